"""Answer options: a column of the data or its different answers, read by the model in place of the right answer."""

import json

import pytest
import torch

from qlora_app import worker
from qlora_app.base_models import ModelChoice, load_model, load_tokenizer
from qlora_app.errors import UserError
from qlora_app.messages import MOST_OPTIONS
from qlora_app.methods import Ia3Method
from qlora_app.methods.answer_options import option_scores
from qlora_app.recipe import Recipe
from qlora_app.runs import RunStore
from qlora_app.settings import Settings
from qlora_app.tasks import TASKS
from qlora_app.tasks.options import (
    OPTIONS,
    ExamplesWithOptions,
    answer_options,
    collator_with_options,
)
from qlora_app.training_data import DatasetChoice, import_file, load_examples
from qlora_app.training_data.formats.columns import ColumnMap
from qlora_app.training_data.formats.turns import RowError
from qlora_app.training_data.store import ConversationStore
from qlora_app.ui.train.form_values import show
from tests.conftest import train_tab
from tests.fixtures.handlers import given
from tests.refusing import check_problem, refused
from tests.tiny_models import tiny_model

COLUMNS = ColumnMap(prompt="inputs", answer="label", options="choices")
TALKS = [
    [
        {"role": "user", "content": "Where does Mira live?"},
        {"role": "assistant", "content": "Orchard Lane", "options": ["Orchard Lane", "the harbour", "a boat"]},
    ],
    [
        {"role": "user", "content": "Who repairs clocks?"},
        {"role": "assistant", "content": "Otto", "options": ["Mira", "Otto"]},
    ],
]
LOSSES = {"name": "ia3", "unlikelihood": 1.0, "length_normalized": 1.0}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    home = tmp_path_factory.mktemp("tiny")
    return {family: tiny_model(family, home) for family in ("llama", "t5")}


@pytest.mark.parametrize("choices", [["no", "yes", "maybe"], "no | yes | maybe"])
@pytest.mark.parametrize("label", ["yes", 1, "1", " yes "])
def test_a_column_lists_the_options_and_the_answer_is_one_of_them(choices, label):
    *_, said = COLUMNS.read({"inputs": "Is it?", "choices": choices, "label": label})
    assert said == {"role": "assistant", "content": "yes", "options": ["no", "yes", "maybe"]}


def test_a_number_that_is_an_option_is_itself():
    assert COLUMNS.read({"inputs": "2 - 1?", "choices": ["1", "0"], "label": 1})[-1]["content"] == "1"


@pytest.mark.parametrize(
    "row, why",
    [
        ({"choices": ["a", "b"], "label": "c"}, "'c' is none of its 2 options"),
        ({"choices": ["a", "a"], "label": "a"}, "has 1 options"),
        ({"choices": "a|", "label": "a"}, "none of them empty"),
        ({"label": "a"}, "no options in `choices`"),
        ({"choices": None, "label": "a"}, "no options in `choices`"),
        ({"choices": list(map(str, range(MOST_OPTIONS + 1))), "label": "3"}, "has 33 options"),
    ],
)
def test_a_row_without_usable_options_says_why(row, why):
    with pytest.raises(RowError, match=why):
        COLUMNS.read({"inputs": "Is it?"} | row)


def test_an_answer_s_number_counts_the_options_as_they_stand_in_the_file():
    row = {"inputs": "Is it?", "choices": ["no", "no", "yes", "maybe"], "label": "2"}
    assert COLUMNS.read(row)[-1] == {"role": "assistant", "content": "yes", "options": ["no", "yes", "maybe"]}


@pytest.mark.parametrize(
    "named, field",
    [
        ({"prompt": "a", "template": "{a}", "answer": "b"}, "prompt"),
        ({"prompt": "a", "answer": "b", "label": "c"}, "label"),
        ({"input": "a", "answer": "b"}, "input"),
    ],
)
def test_a_column_that_would_not_be_read_is_refused_at_its_field(named, field):
    with pytest.raises(UserError) as caught:
        ColumnMap(**named).check("mine.csv", ["a", "b", "c"])
    assert set(caught.value.problems) == {f"dataset.columns.{field}"}


def test_options_want_a_question():
    with pytest.raises(UserError) as caught:
        ColumnMap(answer="a", options="o").check("mine.jsonl", ["a", "o"])
    assert set(caught.value.problems) == {"dataset.columns.options"}


def test_they_are_kept_with_many_conversations(monkeypatch):
    monkeypatch.setattr("qlora_app.training_data.store.IN_MEMORY", 0)
    shelf = ConversationStore()
    for talk in (*TALKS, [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "train": False}]):
        shelf.add(talk, 10)
    kept = shelf.finish()
    assert list(kept)[:2] == TALKS and kept[2][1] == {"role": "assistant", "content": "b", "train": False}


def test_without_a_column_they_are_the_different_answers_of_the_data():
    plain = [[talk[0], {"role": "assistant", "content": talk[1]["content"]}] for talk in TALKS]
    assert answer_options(plain) == ["Orchard Lane", "Otto"] and answer_options(TALKS) == []
    for wrong in (
        plain[:1],
        [[TALKS[0][0], {"role": "assistant", "content": str(i)}] for i in range(MOST_OPTIONS + 1)],
    ):
        with refused("task.options_wanted", 32):
            answer_options(wrong)


@pytest.mark.parametrize("family, task", [("llama", "chat"), ("t5", "text_to_text")])
def test_each_option_costs_what_it_costs_alone(family, task, folders):
    choice, task = ModelChoice(source="folder", id=str(folders[family]), precision="fp32"), TASKS[task]()
    tokenizer, model = load_tokenizer(choice), load_model(choice, task.auto_class).eval()
    task.prepare(tokenizer, model)
    examples, plain = ExamplesWithOptions(TALKS, tokenizer, 64, task), task.collator(tokenizer, False)
    assert examples.read_each == 4
    batch = collator_with_options(plain, plain)([examples[0], examples[1]])
    assert batch[OPTIONS]["question"].tolist() == [0, 0, 0, 1, 1] and batch[OPTIONS]["right"].tolist() == [
        True,
        False,
        False,
        False,
        True,
    ]
    assert batch["labels"].shape[0] == 2
    with torch.no_grad():
        means = option_scores(model, batch[OPTIONS]).means()
        alone = [
            -task.measure(model, [plain([{"input_ids": e.input_ids, "labels": e.labels}])])["loss"]
            for talk in TALKS
            for option in talk[-1]["options"]
            for e in [task.encode(tokenizer, [talk[0], {"role": "assistant", "content": option}], 64)]
        ]
    assert means.tolist() == pytest.approx(alone, abs=1e-4)


def test_losses_over_options_are_refused_at_their_fields_where_answers_are_not_read():
    wrong = Ia3Method(**LOSSES).problems("nf4", "bert", "classification")
    assert set(wrong) == {"method.unlikelihood", "method.length_normalized"}
    check_problem(wrong["method.unlikelihood"], "method.no_options_to_read", "Classification")
    assert set(Ia3Method(unlikelihood=1.0).problems("nf4", "bert", "fill_mask")) == {"method.unlikelihood"}
    assert (
        Ia3Method(**LOSSES).problems("nf4", "t5", "text_to_text")
        == Ia3Method().problems("nf4", "bert", "classification")
        == {}
    )


def test_data_without_options_are_refused_before_the_start_at_the_fields_of_the_losses(tmp_path):
    tab = train_tab(Settings(home=tmp_path))
    asked = Recipe.from_dict({"method": LOSSES})
    answer = tab.start.start_run(given(tab, show(asked)))
    alert = answer[tab.mistakes.alert]
    assert 'data-field="f-method-ia3-unlikelihood"' in alert and 'data-field="f-method-ia3-length_normalized"' in alert
    assert "2 to 32 different answers" in alert and answer[tab.stage.tabs].selected == "settings"
    assert RunStore(Settings(home=tmp_path).runs).list() == []


@pytest.mark.slow
def test_t_few_trains_on_a_t5_with_the_options_of_each_row(folders, home):
    file = home / "quiz.jsonl"
    file.write_text(
        "".join(
            json.dumps({"inputs": f"Is {i} even?", "choices": ["yes", "no"], "label": i % 2}) + "\n" for i in range(24)
        )
    )
    id = import_file(file, home / "data", file.name, columns=COLUMNS)
    data = DatasetChoice(source="file", id=id, held_out_share=0.2, columns=COLUMNS)
    assert {talk[-1]["content"] for talk in load_examples(data, home / "data").train} == {"yes", "no"}
    few = {
        "learning_rate": 3e-2,
        "optimizer": "adamw_torch",
        "max_steps": 3,
        "batch_size": 8,
        "checkpoints": 0,
        "evaluations": 0,
        "samples": 0,
        "scored_questions": 2,
        "max_length": 64,
    }
    recipe = Recipe.from_dict(
        {
            "base_model": {"source": "folder", "id": str(folders["t5"])},
            "dataset": data.model_dump(),
            "method": LOSSES,
            "training": few,
        }
    )
    run = RunStore(home / "runs").create(recipe)
    assert worker.main(run.folder) == 0, run.status().sentence
    proof = run.proof()
    assert proof["reload"]["max_difference"] == 0 and proof["update"]["zero_layers"] == 0
