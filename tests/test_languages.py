"""Every text of the page has its translation, no translation is without its text, and what people wrote stays as it
is.
"""

import ast
import functools
import json
import re
import string
import time
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import pytest
from gradio.components.api_component import Api
from gradio.context import LocalContext

from qlora_app import hardware, starter
from qlora_app.errors import Problem, UserError, sentence_of, with_code
from qlora_app.export.fidelity import GENERAL as ASKED
from qlora_app.hardware_fit import fit
from qlora_app.methods import METHODS
from qlora_app.methods.card import HEADINGS
from qlora_app.presets import Presets
from qlora_app.recipe import EFFORTS, Recipe
from qlora_app.runs import RunStatus
from qlora_app.train.failures import NotANumber, explain_training
from qlora_app.training_data.conversations import read_file
from qlora_app.training_data.formats.known import KINDS
from qlora_app.ui.language import (
    LANGUAGES,
    LONGEST,
    PLACE,
    Written,
    language_of,
    problem_in,
    spoken,
    translated,
)
from qlora_app.ui.runs import card_parts
from qlora_app.ui.train import recipe_form
from qlora_app.ui.train.form_values import FIELDS, show
from qlora_app.ui.translate import STANDING, in_every_language
from tests.error_codes import errors_of, every_error
from tests.fixtures.handlers import given
from tests.fixtures.page import PROOF, event, make_run, poll

PACKAGE = Path(__file__).parent.parent / "qlora_app"
BREAK = "\N{PILCROW SIGN}"
# Files whose texts the page never shows: the command line, programs of their own, what only a terminal or a file gets.
ELSEWHERE = (
    "ui/door/",  # refused requests; what the page shows of them are errors with codes
    "ui/health.py",  # speaks to programs
    "ui/train/settings_synonyms.py",  # what a search finds, and nothing that is shown
    "jobs/index.py",
    "__main__.py",
    "overrides.py",
    "other_adapters/unpickle.py",  # a program of its own
    "cli/",
    "serving/",  # speaks to programs
    "evaluate/",
    "export/hub_card.py",  # goes into a file
    "export/space.py",  # goes into a file
    "export/curve_picture.py",  # goes into a file
    "export/modelfile.py",  # goes into a file
    "export/reproduce.py",  # goes into a file
    "export/gguf_words.py",  # texts that llama.cpp is tried on
    "data_report.py",
    "launch/",
    "settings.py",
    "train/card.py",
    "runs/summaries.py",  # SQL
    "train/log_lines.py",
    "methods/card.py",
    "methods/claims.py",
    "tasks/claims.py",
    *(
        f"starter/{name}.py"
        for name in (
            "corpus",
            "instructions",
            "orders",
            "pretrain",
            "report",
            "school",
            "talk",
            "tokenizer",
            "wordings",
            "world",
        )
    ),
)
# text, but nothing the page says: for a developer, a library, a refused request, a field the form has not, a style
OTHER_PROSE = {
    "Something of a folder cannot be shown",  # for the terminal
    "A run cannot be shown",  # for the terminal
    "A model could not be loaded",  # for the terminal
    "This machine could not be looked at",  # for the terminal
    "Loading weights",  # what a library calls its bar
    "If this demonstration is yours, set",  # for the terminal, with the two below
    "PASSWORD and log in.",
    "USER and",
    "make run",  # a command
    "it was not done after",  # why a template was ended stands among the errors of its own library
    *("it writes more than", "it makes more than"),
    *("it holds more than", "values within each other", "would take long", "is asked for", "times something"),
    *("it writes something that wide", "it computes a number of more than"),
    "it refers to itself too often",  # what is wrong with YAML is said as its library says it
    "it is nested too deeply",
    "it holds a number that is too large",
    "A handler of the page failed",
    "Another worker is at",
    *("somebody at the door of the nodes was not let in", "waits for other nodes at", "has come"),  # for the log
    *("this is no message", "the other machine has gone", "it does not know the word of the run", "it says nothing"),
    "All are there already.",  # for the terminal
    "A later worker was sent",
    "it was opened with the process",
    "All of it is in",
    "its lock was let go",
    "s to write",
    "does not end with a mark",
    "does not fit at character",
    "of what is in memory",
    "The disk is full",
    "no space left on device",
    "disk quota exceeded",
    "pytorchstreamwriter failed writing",
    "unexpected pos",
    "os error",
    "The loss of step",
    "The file",
    "out of memory",
    "not enough memory",
    "Unterminated string",
    "read only",
    "A visitor is not told:",  # in the terminal
    "This page answers to 127.0.0.1",
    "This page takes no requests",
    "was not saved completely",
    "An answer ends here",
    "Longest answer (tokens)",
    "Temperature of",
    "0 always takes",
    "At 0 a base model",
    "example by example",
    "where its chat template has a place for that",
    "no architecture at all",
    "some method",
    "model name",
    "Value error,",
    "Input should be",
    "end of file",
    "Where the model is",
    "Where the data is",
    "Folder on this machine",
    "Your own file",
    "The starter is part of this app",
    "Starter datasets are part of this app.",
    "A folder with config.json",
    "A starter dataset (helper",
    "sheet ",
    "python -m qlora_app",
    "arXiv ",  # who wrote a paper, which stands on a card as it is
}


# ---- what stands in the code


@functools.cache
def written(path: Path) -> list[str]:
    """Every text in a file but its docstrings and its errors, values of f-strings as {}."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    errors = {id(text) for error in errors_of(tree) for text in error.texts}
    said = errors | {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}  # docstrings
    inner = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    texts = []
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            texts.append("".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in said | inner:
            texts.append(node.value)
    return texts


def pieces(text: str) -> list[str]:
    """What stands between the values and the markup of a text: [" rows repeat another one; they are all …"]."""
    return [" ".join(piece.split()) for piece in re.split(r"\{\}|<[^>]*>|<[^>]*$|·", text)]


def is_prose(piece: str) -> bool:
    """Two English words in a row, and nothing that only a program writes."""
    return bool(re.search(r"[A-Za-z]{2,} [a-z]{2,}", piece)) and not re.search(
        r"[{}=<>\\^|]|\(\?|\w\(\)|=>|::|--", piece
    )


HARVESTED = [path for path in sorted(PACKAGE.rglob("*.py")) if not str(path.relative_to(PACKAGE)).startswith(ELSEWHERE)]
# Sentences with other texts of ours in them, which are tried as the app makes them.
PUT_TOGETHER = (
    "Asked: {}, too few",
    "Held out: {}, too few",
    "In {} {} (first:",
    "{} in {} (first:",
    "Left out: {}",
)
QUESTIONS = {
    *(question for data in starter.DATASETS.values() for question in data.questions),
    *ASKED,
}  # for a model that speaks English


@pytest.fixture(params=LANGUAGES)
def language(request):
    return LANGUAGES[request.param]


@functools.cache
def keys_of(language) -> list[str]:
    """What it has a text for, with {} for values."""
    return [" ".join(PLACE.sub("{}", key).split()) for key in language.texts]


@pytest.mark.parametrize("path", HARVESTED, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_sentence_in_the_code_has_a_translation(path, language):
    known = keys_of(language)
    missing = [
        piece
        for text in written(path)
        for piece in pieces(text)
        if is_prose(piece)
        and piece not in QUESTIONS
        and not any(piece in key for key in known)
        and not any(other in piece for other in OTHER_PROSE)
    ]
    assert missing == []


@pytest.mark.parametrize("path", HARVESTED, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_sentence_with_values_in_it_is_recognised(path, language):
    values = (
        "7",
        "x",
        "7.5 GB",
        "a list",
        "Do you mean x?",
    )  # what may stand in a place: a figure, a name, another text
    whole = [
        text.strip()
        for text in written(path)
        if "{}" in text and text.rstrip().endswith(".") and len(text) > 20 and "<" not in text
    ]
    unknown = [
        text
        for text in whole
        if not text.startswith(PUT_TOGETHER)
        and not any(other in text for other in OTHER_PROSE)
        and all(language.say(text.replace("{}", value)) is None for value in values)
    ]
    assert unknown == []


def test_the_harvest_finds_sentences():
    found = [piece for path in HARVESTED for text in written(path) for piece in pieces(text) if is_prose(piece)]
    assert len(found) > 400 and "it has no assistant turn to learn from" in found
    assert pieces(f"<p>Held-out loss: {'{}'} before</p>") == ["", "Held-out loss:", "before", ""]


def known_phrases() -> str:
    """The words of every text of the package and its presets, with BREAK where a value, a mark or another text is."""
    texts = [text for path in PACKAGE.rglob("*.py") for text in written(path)]
    texts += [re.sub(r"[{}]", ";", path.read_text(encoding="utf-8")) for path in PACKAGE.rglob("*.js")]
    texts += [words for name in Presets().names() for words in (Presets().load(name).name, Presets().load(name).note)]
    texts += [text for method in METHODS for part in method.card.sections(method.learning_rate) for text in part]
    return BREAK.join(f" {in_phrases(text)} " for text in texts)


def in_phrases(text: str) -> str:
    """Its words, with BREAK for values, figures and marks."""
    marked = re.sub(r"\$?\{[^{}]*\}|\d+|_+|[^\w\s'/-]|(?<!\w)'|'(?!\w)", f" {BREAK} ", text)
    return " ".join(re.findall(rf"\w+|{BREAK}", marked))


def is_said(key: str, known: str) -> bool:
    """Does the code hold every phrase of it, whole or, from four words on, put together from two?"""
    return all(_is_written(phrase.split(), known) for phrase in in_phrases(key).split(BREAK))


def _is_written(words: list[str], known: str) -> bool:
    if not any(word.isalpha() and len(word) > 1 for word in words):
        return True
    cuts = [(" ".join(words[:at]), " ".join(words[at:])) for at in range(1, len(words)) if len(words) > 3]
    return f" {' '.join(words)} " in known or any(f" {a} " in known and f" {b} " in known for a, b in cuts)


def test_every_translation_has_a_text_in_the_code(language):
    known = known_phrases()
    others = re.compile(
        r"^(a valid|a finite|greater|less)\b"  # Pydantic's words, which are tried below
        r"|^[A-Z][a-z]{2}$"  # months
        r"|^(gradient checkpointing on|as many examples|an 8-bit optimizer|one process|examples of at most|a rank of)"
        r"|alone takes? \{n\}$|^\{n\} tokens (would|are)|^\{name\} has no (subset|split)"  # of more parts
    )
    assert [key for key in language.texts if not is_said(key, known) and not others.search(key)] == []


def test_key_and_translation_have_the_same_places(language):
    different = [
        key for key, text in language.texts.items() if sorted(PLACE.findall(key)) != sorted(PLACE.findall(text))
    ]
    assert different == []


def labels_of(field):
    return (field.json_schema_extra or {}).get("labels", {}).values()


def test_what_is_declared_has_a_translation(language):
    texts = [*EFFORTS.values(), *card_parts.STATES.values(), *recipe_form.SECTIONS.values()]
    for field in FIELDS.values():
        texts += [field.title, field.description, *labels_of(field)]
    texts += [text for data in starter.DATASETS.values() for text in (data.title, data.description)]
    shipped = [Presets().load(name) for name in Presets().names()]
    texts += [preset.note for preset in shipped] + [
        preset.name for preset in shipped if preset.base_model.source == "starter"
    ]
    assert len(texts) > 100 and [text for text in texts if text not in language.texts] == []


def test_every_card_has_a_translation(language):
    cards = [method.card.sections(method.learning_rate) for method in METHODS]
    texts = [text for card in cards for heading, text in card if heading != "Paper"] + [*HEADINGS.values()]
    assert [text for text in texts if language.say(text) is None] == []


def test_what_stands_on_the_page_has_a_translation(workshop, language):
    examples = {"my-style", "qwen 0.6b", "{title}\n{body}"}
    standing = [
        text
        for one in workshop.build().blocks.values()
        if not isinstance(one, Api)  # of a function that programs call by its name
        for name in STANDING
        if isinstance(text := getattr(one, name, None), str)
    ]
    standing += [one.value for one in workshop.build().blocks.values() if isinstance(one, gr.Button)]
    words = {text for text in standing if text and text not in examples and not text.isidentifier()} | {"Training"}
    assert len(words) > 60 and [text for text in words if language.say(text) is None] == []


# ---- sentences as the app makes them


def refusals(tmp_path):
    """Files nobody can learn from, and what is said of them."""
    files = {
        "a.json": "",
        "b.json": '[{"question": "a"',
        "c.json": '{"question": [1',
        "d.csv": "question\nx\n",
        "e.jsonl": '{"chosen": "a", "rejected": "b"}\n',
        "f.jsonl": '{"text": "a"}\n',
        "g.json": "hello",
        "h.csv": 'question,answer\n"a,b\n',
        "i.zip": "PK\x03\x04abc",
        "j.csv": "question,answer,answer\na,b,c\n",
        "k.jsonl": '{"messages": [{"role": "user", "content": "a"}]}\n',
        "l.csv": "a,b\n1,2\n",
        "m.jsonl": '{"instruction": 5, "output": "x"}\n',
        "n.json": '[{"question": "a", "answer": "b"}] more',
        "o.jsonl": '{"messages": [{"role": "king", "content": "a"}]}\n',
        "p.html": "<html><body>x</body></html>",
        "q.gz": "\x1f\x8b\x08",
        "r.jsonl": "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 123456\n",
    }
    for name, content in files.items():
        (tmp_path / name).write_text(content, encoding="latin-1")
        try:
            read_file(tmp_path / name, name)
        except UserError as error:
            yield error.problem


def oddities(tmp_path):
    """What is said beside a file that can be learned from."""
    turns = [("user", "a"), ("user", "b"), ("assistant", "c")]
    row = json.dumps({"messages": [{"role": role, "content": text} for role, text in turns]})
    (tmp_path / "odd.jsonl").write_text("\n".join([*[row] * 20, "{broken", '{"messages": []}']))
    return read_file(tmp_path / "odd.jsonl", "odd.jsonl").warnings


def reasons():
    """Why a file is read as it is, and what is said of every file of its format."""
    for kind in KINDS.values():
        if kind.read:
            yield f"{kind.title}, because {kind.because.format(user='`a`, `b`', answer='`c`')}"
            yield from [kind.note] if kind.note else []


def verdicts():
    for preset in ("qwen3-4b", "llama-3.3-70b", "guanaco-65b"):
        recipe = Presets().load(preset)
        for size in (4, 16, 24, 48, 200):
            for kind in ("cpu", "cuda"):
                yield fit(recipe, hardware.Machine(kind, size * 2.0**30, size * 2.0**30 * 0.8))[1]


def mistakes():
    wrong = {
        "training": {
            "epochs": 0,
            "batch_size": 1.5,
            "learning_rate": "fast",
            "warmup_ratio": 2,
            "packing": "maybe",
            "optimizer": "sgd",
            "seed": -1,
            "epoch": 3,
        },
        "base_model": {"source": "hub", "id": "x y"},
        "dataset": {"source": "starter", "id": "cats"},
    }
    try:
        Recipe.from_dict(wrong)
    except UserError as error:
        return list(error.problems.values())


def failures():
    no_number = [NotANumber(3, float("nan"), False, cause) for cause in ("rows", "method", "rate")]
    errors = [MemoryError(), OSError(28, "full"), *no_number, FileNotFoundError(2, "gone", "x.json"), ValueError("x")]
    return [explain_training(error, recipe) for error in errors for recipe in (Recipe(), None)]


@pytest.mark.parametrize("make", [oddities, reasons, verdicts], ids=lambda make: make.__name__)
def test_sentences_as_the_app_makes_them_are_translated(make, language, tmp_path):
    sentences = list(make(tmp_path) if make is oddities else make())
    assert len(sentences) > 1
    missing = [text for text in sentences if language.say(text) is None]
    assert missing == []


@pytest.mark.parametrize("make", [refusals, mistakes, failures], ids=lambda make: make.__name__)
def test_errors_as_the_app_makes_them_are_filled_in_every_language(make, language, tmp_path):
    problems = list(make(tmp_path) if make is refusals else make())
    assert len(problems) > 1
    for problem in problems:
        assert not re.search(r"\{\w", problem_in(problem, "de"))
        assert (language.problem(problem) == str(problem)) == (problem.code not in language.errors), problem.code


def error(template="", **values):
    return Problem("dataset.too_large", template or "{name} is too large: {size:,.1f} MB of {most:,} MB", **values)


def test_an_error_is_filled_as_the_language_writes_it():
    problem = error(name="1,5.csv", size=5786.25, most=2000)
    assert str(problem) == "1,5.csv is too large: 5,786.2 MB of 2,000 MB"
    assert problem_in(problem, "de").startswith("1,5.csv ist zu groß: 5.786,2 MB, und die Grenze ist 2.000 MB.")
    assert problem_in(problem, "en") == problem_in(problem, "xx") == str(problem)


def test_an_error_within_another_is_translated_too():
    inner = Problem("preset.near", "Do you mean {name}?", name="starter")
    outer = UserError("preset.unknown", "There is no preset {name!r}. {hint}", name="start", hint=inner)
    assert problem_in(outer.problem, "de") == "Eine Voreinstellung 'start' gibt es nicht. Ist starter gemeint?"


def test_an_error_nobody_translated_is_english():
    unknown = Problem("moon.full", "The moon is full: {share:.1f} of it.", share=0.5)
    other_values = Problem("preset.near", "Do you mean {it}?", it="starter")  # as an older version wrote it
    assert problem_in(unknown, "de") == "The moon is full: 0.5 of it."
    assert problem_in(other_values, "de") == "Do you mean starter?"


def test_what_a_worker_kept_of_an_error_is_translated():
    kept = json.loads(json.dumps(with_code({"sentence": explain_training(NotANumber(3, float("nan"), False), None)})))
    again = sentence_of(kept)
    assert again == kept["sentence"] and problem_in(again, "de").startswith("Der Loss von Schritt 3 ist nan. Die")
    assert type(sentence_of({"sentence": "Old {run}."})) is str


def test_an_error_s_values_have_their_place_in_every_translation(language):
    english = {error.code: places(error.template) for error in every_error()}
    known = {code: places(text) for code, text in language.errors.items()}
    assert known == {code: english.get(code) for code in known}


def places(template):
    return {name for _, name, _, _ in string.Formatter().parse(template) if name}


# ---- the translator


@pytest.mark.parametrize(
    ("english", "german"),
    [
        ("<p>The log is empty.</p>", "<p>Das Protokoll ist leer.</p>"),
        ("<b> Finished </b>", "<b> Fertig </b>"),
        (
            "<p>Downloading &lt;script&gt;&amp;: 7 GB of 9 GB.</p>",
            "<p>&lt;script&gt;&amp; wird heruntergeladen: 7 GB von 9 GB.</p>",
        ),
        (
            "<p>5,786 rows: 5,200 to learn from, 586 held out</p>",
            "<p>5.786 Zeilen: 5.200 zum Lernen, 586 zurückgehalten</p>",
        ),
        ("<dd>0.04 <small>was 3.05</small></dd>", "<dd>0,04 <small>war 3,05</small></dd>"),
        ("<td>4.9 MB</td><td>96%</td>", "<td>4,9 MB</td><td>96 %</td>"),
        ('<i aria-label="Log" title="Start">x &amp; y</i>', '<i aria-label="Protokoll" title="Starten">x &amp; y</i>'),
        (
            '<p translate="no">Finished <b>Log</b> 0.5</p>Finished',
            '<p translate="no">Finished <b>Log</b> 0.5</p>Fertig',
        ),
        ('<p translate="no">Log<p>Log</p></p><p>Log</p>', '<p translate="no">Log<p>Log</p></p><p>Protokoll</p>'),
        ("<p>It has rows</p>", "<p>It has rows</p>"),
        ("<td>5.23.0</td>", "<td>5.23.0</td>"),
    ],
)
def test_only_texts_of_ours_change(english, german):
    assert translated(english, "de") == german
    assert translated(english, "en") == translated(english, "xx") == english


@pytest.mark.parametrize(
    "text", ["row 1: ", "Log, ", "Log and ", "Finished. ", "a is b. ", "1 ", "x has rows (a). The first: "]
)
def test_a_long_text_made_to_be_slow_is_not(text, language):
    began = time.process_time()
    assert language.say((text * 200)[:LONGEST].strip() + "?") is None
    assert time.process_time() - began < 2, "processor seconds; a tenth of one on an idle machine"


def test_a_text_somebody_wrote_stays_also_where_there_is_no_markup():
    assert spoken("Finished", "de") == "Fertig" and spoken(Written("Finished"), "de") == "Finished"


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("de-DE,de;q=0.9,en;q=0.8", "de"),
        ("de", "de"),
        ("en-US,de;q=0.9", "en"),
        ("fr-FR,de;q=0.5", "en"),
        ("", "en"),
        (None, "en"),
        ("DE-at", "de"),
        ("<script>", "en"),
    ],
)
def test_the_first_language_of_the_browser_counts(header, name):
    assert language_of(header) == name


# ---- the page for somebody who reads German


@pytest.fixture
def in_german():
    token = LocalContext.request.set(SimpleNamespace(headers={"accept-language": "de-DE,de;q=0.9"}))
    yield
    LocalContext.request.reset(token)


def test_names_and_answers_stay_as_they_were_written(workshop, store, in_german):
    run = make_run(
        store,
        name="Start training",
        proof=PROOF,
        warnings=["The model reads at most 512 tokens; longer examples are cut there."],
    )
    with run.hold() as out:
        for step in (130, 140):
            out.append_sample({"step": step, "question": "Log", "answer": "Finished", "expected": "Stopped"})
    run.log.write_text("Finished.\n")
    parts = poll(workshop, run, log=True)["parts"]
    assert "<b>Fertig</b>" in parts["head"] and "Das Modell liest höchstens 512 Tokens" in parts["head"]
    assert ">Start training</span>" in parts["head"] and "Training starten" not in "".join(parts.values())
    assert parts["samples"].count('<span translate="no">Finished</span>') == 2 and ">Log</p>" in parts["samples"]
    assert ">Stopped</span>" in parts["samples"] and "Finished." in parts["log"]
    assert "<b>Das hat er gelernt.</b>" in parts["verdict"] and "96 von 100 Fragen" in parts["verdict"]
    assert "Bei 100 zurückgehaltenen" in parts["verdict"] and "0,31 nachher" in parts["verdict"]
    demo = workshop.build()
    in_every_language(demo)
    row = workshop.runs.table.rows({"count": 1})["rows"][0]
    assert row["name"] == "Start training" and row["word"] == "Fertig"


def test_the_card_of_a_failed_run_says_why_in_german(workshop, store, in_german):
    why = explain_training(NotANumber(3, float("nan"), False), Recipe())
    run = make_run(store, state="failed", sentence=why, loss=None)
    news = poll(workshop, run)
    assert "Der Loss von Schritt 3 ist nan. Die Lernrate senken (jetzt 0,0002)" in news["parts"]["head"]
    assert news["say"].startswith("Gescheitert. Der Loss von Schritt 3")
    older = make_run(store, state="failed", sentence="The loss of step 3 is nan.")  # kept without a code
    assert "The loss of step 3 is nan." in poll(workshop, older)["parts"]["head"]


def answer_of(demo, handler, output, *values):
    """What the browser gets at `output` when it calls a handler."""
    called = next(e for e in demo.fns.values() if getattr(e.fn, "__wrapped__", None) == handler)
    return called.fn(*values)[output]


def test_what_handlers_raise_is_german_too(workshop, in_german):
    demo = workshop.build()
    in_every_language(demo)
    called = next(e for e in demo.fns.values() if getattr(e.fn, "__wrapped__", None) == workshop.runs.open)
    with pytest.raises(gr.Error) as caught:
        called.fn(event(run="nobody"))
    assert str(caught.value.message) == "Einen Lauf 'nobody' gibt es nicht. Vielleicht wurde er gelöscht."
    assert caught.value.title == "Das ging nicht"


def test_what_the_form_holds_is_nobody_s_to_translate(workshop, store, in_german):
    make_run(store, name="Start", state="running", sentence=RunStatus("queued").sentence)
    demo = workshop.build()
    in_every_language(demo)
    tab = workshop.train
    called = next(e for e in demo.fns.values() if getattr(e.fn, "__wrapped__", None) == tab.form.back_to_suggested)
    shown = called.fn(given(tab, show(Recipe(name="Finished", note="Log"))))
    data = shown[tab.controls.controls["dataset"]]
    assert "Finished" not in shown.values() and data["choices"][0][0] == "Höfliche Hilfe, kennt Pennywick"
