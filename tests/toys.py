"""Every line of CONTRIBUTING.md's "To add something" is carried out with a toy, in a copy of the package.

A test edits the files that its line names, no more and no fewer, and then finds the toy wherever a person would.
test_contributing.py runs this file in a process of its own: what a copy registers in other libraries (an error handler
of codecs, a kind of attention, a layer of PEFT) would take the place of the package's own for every later test.
"""

import importlib
import json
import re
import shutil
import sys
from pathlib import Path

import gradio as gr
import pytest
import torch
import transformers
import yaml

from qlora_app.base_models import describe_folder
from qlora_app.errors import UserError
from tests.tiny_models import ENCODER, of_bert

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
COPY = "toyhouse"  # the name of the copied package, so that both can be imported


def section(title: str) -> str:
    return TEXT.split(f"\n## {title}\n")[1].split("\n## ")[0]


def promised() -> dict[str, set[str]]:
    """{what can be added: the files that its line names}"""
    lines = re.split(r"^- (?=\*\*)", section("To add something"), flags=re.MULTILINE)[1:]
    named = {}
    for line in lines:
        what = re.match(r"\*\*an? ([\w ]+)\*\*", line)[1]
        named[what] = set(re.findall(r"`((?:qlora_app|presets)/[\w/]+\.(?:py|yaml))`", line))
    return named


class House:
    """A copy of the package and its presets, in which files are added and edited."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.touched: set[str] = set()
        # With what Python compiled, but not what another process is just writing of it: that is gone in a moment.
        shutil.copytree(ROOT / "qlora_app", folder / COPY, ignore=shutil.ignore_patterns("*.pyc.*", "base"))
        (folder / COPY / "starter" / "base").symlink_to(ROOT / "qlora_app" / "starter" / "base")
        shutil.copytree(ROOT / "presets", folder / "presets")

    def path(self, name: str) -> Path:
        self.touched.add(name)
        return self.folder / name.replace("qlora_app/", f"{COPY}/", 1)

    def add(self, name: str, text: str) -> None:
        path = self.path(name)
        assert not path.exists()
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def edit(self, name: str, before: str, after: str) -> None:
        """Replaces the one place where `before` stands."""
        path = self.path(name)
        text = path.read_text(encoding="utf-8")
        assert text.count(before) == 1, f"{before!r} stands {text.count(before)} times in {name}"
        path.write_text(text.replace(before, after), encoding="utf-8")

    def append(self, name: str, text: str) -> None:
        path = self.path(name)
        path.write_text(path.read_text(encoding="utf-8") + text, encoding="utf-8")

    def room(self, module: str):
        return importlib.import_module(f"{COPY}.{module}")


@pytest.fixture
def house(tmp_path, monkeypatch, request):
    house = House(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("QLORA_APP_HOME", str(tmp_path / "home"))
    yield house
    for name in [name for name in sys.modules if name.partition(".")[0] == COPY]:
        del sys.modules[name]
    what = request.node.name.removeprefix("test_adding_a_").removeprefix("test_adding_an_").replace("_", " ")
    assert house.touched == promised()[what]


def form_of(house: House):
    """The form of a fresh page."""
    first = house.room("presets").Presets().load("starter")
    settings = house.room("settings").Settings.from_environment()
    form = house.room("ui.train.recipe_form").RecipeForm(settings, first)
    with gr.Blocks():
        form.build_model(), form.build_data(), form.build_rest()
    return form


def recipe_of(house: House, preset: str, *changes: str):
    settings = house.room("settings").Settings.from_environment()
    return house.room("overrides").recipe_from(preset, list(changes), settings)


# ---- the lines


def test_adding_a_setting(house):
    house.edit(
        "qlora_app/recipe/training.py",
        '    epochs: float = setting(2.0, "Epochs"',
        '    wiggle: int = setting(3, "Wiggle", "How much it wiggles.", ge=1, le=9)\n'
        '    epochs: float = setting(2.0, "Epochs"',
    )
    house.edit(
        "qlora_app/ui/languages/de/settings.yaml",
        "texts:\n",
        'texts:\n  "Wiggle": "Wackeln"\n  "How much it wiggles.": "Wie sehr es wackelt."\n',
    )
    recipe = recipe_of(house, "starter", "training.wiggle=5")
    assert recipe.training.wiggle == 5
    assert house.room("recipe").Recipe.from_dict(yaml.safe_load(recipe.to_yaml())) == recipe
    assert "training.wiggle=5" in house.room("overrides").command_for(recipe, house.room("presets").Presets())
    with pytest.raises(house.room("errors").UserError) as caught:
        recipe_of(house, "starter", "training.wiggle=10")
    assert list(caught.value.problems) == ["training.wiggle"]
    control = form_of(house).controls["training.wiggle"]
    assert (control.label, control.value) == ("Wiggle", 3)
    assert house.room("ui.language").spoken("How much it wiggles.", "de") == "Wie sehr es wackelt."


METHOD = """
from typing import Literal
from ..choices import setting
from .card import Card
from .method import MethodChoices

class ToyMethod(MethodChoices):
    card = Card(
        what="It learns the layer norms alone. Nothing else changes.",
        paper="Nobody 2026 (arXiv 2601.00001).",
        choose="Never.",
        cost="None.",
        is_not="It is not useful.",
    )
    name: Literal["toy"] = setting("toy", "Method", "How the model is changed.", labels={"toy": "Toy"})
    wiggle: int = setting(3, "Wiggle", "How much it wiggles.", ge=1, le=9)

    def config(self, model, task_type):
        from peft import LNTuningConfig
        return LNTuningConfig(task_type=task_type, target_modules=["input_layernorm", "norm"])

    def trainable(self, block, layers):
        return 1000
"""


def test_adding_a_method(house):
    house.add("qlora_app/methods/toy.py", METHOD)
    house.edit(
        "qlora_app/methods/__init__.py",
        "\nMETHODS: tuple[type[MethodChoices], ...] = (",
        "\nfrom .toy import ToyMethod\n\nMETHODS: tuple[type[MethodChoices], ...] = (\n    ToyMethod,",
    )
    few = (
        "max_steps=2",
        "samples=0",
        "scored_questions=2",
        "general_questions=0",
        "measured_examples=2",
        "max_length=64",
    )
    quick = [f"training.{setting}" for setting in few]
    recipe = recipe_of(house, "starter", "method.name=toy", "method.wiggle=5", *quick)
    assert recipe.method.wiggle == 5
    assert "method.name=toy" in house.room("overrides").command_for(recipe, house.room("presets").Presets())
    assert house.room("hardware_fit").fit(recipe)[0]
    form = form_of(house)
    assert "method[toy].wiggle" in form.controls
    answer = form.choose_method({form.controls["method.name"]: "toy"})
    assert "layer norms alone" in answer.pop(form.card)
    assert 'value="toy" checked' in answer.pop(form.methods.rows)
    assert [group for group, shown in answer.items() if shown.visible] == [form.groups["toy"]]
    base_models = house.room("base_models")
    model = recipe.method.attach(base_models.load_model(recipe.base_model))
    learned = {name for name, weight in model.named_parameters() if weight.requires_grad}
    assert learned and all("norm" in name for name in learned)
    run = house.room("runs").RunStore(house.room("settings").Settings.from_environment().runs).create(recipe)
    assert house.room("worker").main(run.folder) == 0, run.status().sentence
    assert json.loads((run.adapter / "proof.json").read_text())["update"]["zero_layers"] == 0


READER = """

def toy(row):
    asked, said = row["riddle"], row["solution"]
    return [{"role": "user", "content": asked}, {"role": "assistant", "content": said}]
"""


def test_adding_a_data_format(house, tmp_path):
    house.append("qlora_app/training_data/formats/readers.py", READER)
    known = "qlora_app/training_data/formats/known.py"
    house.edit(known, "from .readers import (\n", "from .readers import (\n    toy,\n")
    kind = 'Kind("toy", "Riddles", lambda row: "riddle" in row, lambda row: ("riddle", "solution"), toy)'
    house.edit(known, "\n_IN_ORDER = (\n", f"\n_IN_ORDER = (\n    {kind},\n")
    data = tmp_path / "riddles.jsonl"
    data.write_text('{"riddle": "What has keys?", "solution": "A piano."}\n' * 3)
    contents = house.room("training_data.conversations").read_file(data, data.name)
    assert contents.format == "toy" and len(contents.conversations) == 3
    assert [turn["content"] for turn in contents.conversations[0]] == ["What has keys?", "A piano."]
    recipe = recipe_of(house, "starter", f"dataset.id={data}", "dataset.format=toy")
    assert recipe.dataset.format == "toy"
    assert ("Riddles", "toy") in form_of(house).controls["dataset.format"].choices


TASK = '''
"""Texts written backwards."""
from .text_to_text import TextToText

class Toy(TextToText):
    """The answer is the input, last letter first."""

    name = "toy"
    example_sentence = "words and what they are backwards"
'''


def test_adding_a_task(house):
    house.add("qlora_app/tasks/toy.py", TASK)
    house.edit(
        "qlora_app/tasks/__init__.py", "from .text_to_text import", "from .toy import Toy\nfrom .text_to_text import"
    )
    house.edit("qlora_app/tasks/__init__.py", "(Chat, TextToText,", "(Chat, Toy, TextToText,")
    house.edit("qlora_app/formatting.py", '    "chat": "Chat",\n', '    "chat": "Chat",\n    "toy": "Backwards",\n')
    house.edit(
        "qlora_app/base_models/families.py",
        '"encoder-decoder": ("text_to_text",)',
        '"encoder-decoder": ("text_to_text", "toy")',
    )
    recipe = recipe_of(house, "t5-small", "task.name=toy")
    rows = [[{"role": "user", "content": "abc"}, {"role": "assistant", "content": "cba"}]] * 3
    possible = house.room("base_models.recognition").tasks_of({"model_type": "t5"})
    assert house.room("tasks").task_for(recipe.task, possible, rows).title == "Backwards"
    assert ("Backwards", "toy") in form_of(house).controls["task.name"].choices


def test_adding_a_model_family(house, tmp_path):
    """ERNIE is of BERT's kind, and transformers knows it: here nothing does, until it has its row."""
    folder = bare_ernie(tmp_path / "ernie")
    config = json.loads((folder / "config.json").read_text())
    with pytest.raises(UserError) as caught:
        describe_folder(folder)
    assert caught.value.code == "model.no_trainable_kind"
    house.edit(
        "qlora_app/base_models/families.py",
        '    "bert": Encoder(',
        '    "ernie": Encoder(title="ERNIE", in_every_task=True),\n    "bert": Encoder(',
    )
    recipe = recipe_of(house, "starter", "base_model.source=folder", f"base_model.id={folder}", "method.name=lora")
    facts = house.room("base_models").facts_of(recipe.base_model)
    assert facts.tasks == ("classification",) and facts.context == config["max_position_embeddings"]
    shapes = house.room("base_models.shapes").shapes_of(config)
    filling = shapes.vocabulary  # the offsets of the words that a head fills in, which the bare model lacks
    assert shapes.parameters == pytest.approx(facts.parameters + filling, rel=0.006)
    assert house.room("fits").verdict(recipe, shapes, house.room("hardware").here())[0]
    lora = recipe.method
    base = house.room("base_models").load_model(recipe.base_model, "AutoModelForSequenceClassification", ("no", "yes"))
    model = lora.attach(base, "SEQ_CLS")
    ids = torch.tensor([[5, 6, 7, 8]])
    model(input_ids=ids, labels=torch.tensor([1])).loss.backward()
    learned = {name: weight for name, weight in model.named_parameters() if "lora_B" in name}
    assert learned and all(weight.grad.any() for weight in learned.values())
    claims = house.room("methods.claims")
    assert {method.title() for method, family, _ in claims.claims() if family == "ernie"} >= {"LoRA", "(IA)3", "MEFT"}
    assert "ERNIE" in " ".join(house.room("tasks.claims").table())


def bare_ernie(folder: Path) -> Path:
    """A tiny model of the family ernie without a head, as encoders are often published."""
    sizes = {name: size for name, size in ENCODER.items() if name in transformers.ErnieConfig().to_dict()}
    tokenizer = of_bert()
    config = transformers.ErnieConfig(vocab_size=len(tokenizer), **sizes)
    transformers.ErnieModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


EVALUATOR = """
from typing import ClassVar, Literal
from ..choices import setting
from ..tasks import Question
from .evaluator import Evaluator

class Toy(Evaluator):
    name: Literal["toy"] = "toy"
    title: ClassVar[str] = "Holds the word"
    word: str = setting("Mira", "Word", "What an answer must hold.")

    def score(self, question: Question, answer: str) -> float:
        return float(self.word in answer)
"""


def test_adding_an_evaluator(house, capsys):
    house.add("qlora_app/evaluate/toy.py", EVALUATOR)
    house.edit("qlora_app/evaluate/__init__.py", "(ExactMatch, ", "(Toy, ExactMatch, ")
    house.edit(
        "qlora_app/evaluate/__init__.py",
        "from .token_f1 import TokenF1\n",
        "from .token_f1 import TokenF1\nfrom .toy import Toy\n",
    )
    sets, tasks = house.room("evaluate.question_sets"), house.room("tasks")
    question = tasks.Question([{"role": "user", "content": "Who?"}], "Otto")
    asked = sets.QuestionSet.of("two", [sets.SetQuestion(id, "", question) for id in ("1", "2")])
    rows = {"somebody": {"1": {"answer": "Mira it is"}, "2": {"answer": "Otto"}}}
    toy = house.room("evaluate").EVALUATORS["toy"]
    found = toy().measure(rows, asked, None, None)
    assert found.of("somebody").figures["toy"].value == 0.5
    with pytest.raises(SystemExit):
        house.room("cli").main(["evaluate", "--help"])
    assert "toy" in capsys.readouterr().out


EXPORTER = '''
"""A run in one line."""
from typing import Literal
from ..choices import setting
from ..runs.exports import Export
from .exporter import Exporter, listed

class Toy(Exporter):
    """Its name."""
    title = "Toy"
    name: Literal["toy"] = setting("toy", "Export", "What is made.", labels={"toy": "Toy"})

    def write(self, run, folder, out, settings):
        (folder / "toy.txt").write_text(run.id)
        files, checksums = listed(folder)
        return Export("toy", files=files, checksums=checksums)
'''


def test_adding_an_exporter(house, capsys, tmp_path):
    house.add("qlora_app/export/toy.py", EXPORTER)
    house.edit("qlora_app/export/__init__.py", "        GgufExporter,\n", "        Toy,\n        GgufExporter,\n")
    house.edit(
        "qlora_app/export/__init__.py",
        "from .merged import MergedExporter\n",
        "from .merged import MergedExporter\nfrom .toy import Toy\n",
    )
    toy, made_in = house.room("export").exporter_of("toy", {}), tmp_path / "made"
    made_in.mkdir()
    made = toy.write(house.room("runs").Run(tmp_path / "a-run"), made_in, None, None)
    assert made.files == {"toy.txt": 5}
    spec = house.room("kinds.export").ExportSpec.model_validate({"export": {"name": "toy"}})
    assert spec.export == toy
    with pytest.raises(SystemExit):
        house.room("cli").main(["export", "--help"])
    assert "toy" in capsys.readouterr().out


def test_adding_an_exported_family(house):
    house.edit("qlora_app/export/gguf_families.py", '    "gpt2":', '    "toy": GgufFamily(arch="llama"),\n    "gpt2":')
    families = house.room("export.gguf_families")
    assert families.family_problem({"model_type": "toy"}) is None


KIND = '''
"""The kind `toy`: knits."""
from typing import Literal
from ..jobs import JobSpec, failures

class Knitting(JobSpec):
    kind: Literal["toy"] = "toy"
    rows: int = 3

def work(job, out, settings):
    rows = job.spec(Knitting).rows
    for row in range(1, rows + 1):
        out.progress(row, rows, f"Row {row}.")
    out.write("result", {"rows": rows})
    out.end("done", "Knitted.")

def stopped(job):
    return "Stopped. Resume knits anew."

def explain(error, job):
    return failures.explain(error)
'''


def test_adding_a_kind_of_job(house, tmp_path, capsys):
    house.add("qlora_app/kinds/toy.py", KIND)
    house.edit("qlora_app/worker.py", "\nKINDS = {", f'\nKINDS = {{\n    "toy": "{COPY}.kinds.toy",')
    knitting = house.room("kinds.toy").Knitting
    job = house.room("jobs").JobStore(tmp_path / "home" / "jobs").create("scarf", knitting(rows=4))
    job.request("stop")
    assert house.room("worker").main(job.folder) == 0
    assert (job.status().state, job.status().sentence) == ("stopped", "Stopped. Resume knits anew.")
    assert house.room("worker").main(job.folder) == 0
    assert (job.status().state, job.status().progress, job.result()) == ("done", 1.0, {"rows": 4})
    assert house.room("cli").main(["jobs"]) == 0 and "Knitted." in capsys.readouterr().out
    assert house.room("cli").main(["watch", job.id]) == 0


def test_adding_a_preset(house):
    house.add(
        "presets/toy.yaml",
        "like: smollm2-135m\nname: Toy\nnote: A toy.\n\nbase_model:\n  id: toys/toy-1b\n\ntraining:\n  epochs: 5\n",
    )
    house.append(
        "qlora_app/known_models.yaml",
        "toys/toy-1b:\n  {model_type: llama, parameters: 1235814400, hidden_size: 2048, intermediate_size: 8192,\n"
        "   num_hidden_layers: 16, num_attention_heads: 32, num_key_value_heads: 8, vocab_size: 128256,\n"
        "   tie_word_embeddings: true}\n",
    )
    recipe = recipe_of(house, "toy")
    assert recipe.training.epochs == 5 and recipe.base_model.id == "toys/toy-1b"
    assert "toy" in house.room("presets").Presets().names()
    assert house.room("hardware_fit").smallest_card(recipe)


def test_adding_a_language(house):
    german = (ROOT / "qlora_app" / "ui" / "languages" / "de" / "frame.yaml").read_text(encoding="utf-8")
    figures = german.partition("\ntexts:\n")[0]
    house.add("qlora_app/ui/languages/toy/toy.yaml", f'{figures}\ntexts:\n  "Runs": "Tuur"\nerrors: {{}}\n')
    language = house.room("ui.language")
    assert language.language_of("toy") == "toy"
    assert language.spoken("Runs", "toy") == "Tuur"
    assert language.spoken("Chat", "toy") == "Chat", "what lacks a translation stays English"
