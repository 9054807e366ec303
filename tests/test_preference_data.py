"""Pairs and judged answers, from whatever rows have them to what is learned and what is held out."""

import json
import random
from dataclasses import replace

import gradio as gr
import pytest

from qlora_app.base_models import ModelChoice
from qlora_app.overrides import with_changes
from qlora_app.presets import suggested
from qlora_app.settings import Settings
from qlora_app.training_data import DatasetChoice, load_examples
from qlora_app.training_data.conversations import read_file
from qlora_app.training_data.preferences import NO_PAIR, OUTVOTED, TIED, by_prompt, labelled_of, pairs_of, side_of
from qlora_app.training_data.votes import Votes
from qlora_app.ui.train.form_state import FormLogic
from qlora_app.ui.train.form_values import DATA, START_FROM, TRAINER, show
from tests.conftest import train_tab
from tests.fixtures.handlers import given

ASKED = [{"role": "user", "content": "q"}]
GOOD, BAD = {"role": "assistant", "content": "a"}, {"role": "assistant", "content": "b"}
PAIR = [*ASKED, {**GOOD, "rejected": "b"}]
ROWS = {
    "hh-rlhf": {"chosen": "\n\nHuman: q\n\nAssistant: a", "rejected": "\n\nHuman: q\n\nAssistant: b"},
    "texts": {"prompt": "q", "chosen": "a", "rejected": "b"},
    "whole lists": {"prompt": "q", "chosen": [*ASKED, GOOD], "rejected": [*ASKED, BAD], "score_chosen": 7},
    "lists apart": {"prompt": ASKED, "chosen": [GOOD], "rejected": [BAD]},
    "objects": {
        "conversations": [{"from": "human", "value": "q"}],
        "chosen": {"from": "gpt", "value": "a"},
        "rejected": {"from": "gpt", "value": "b"},
    },
    "parts": {
        "prompt": "q",
        "chosen": [*ASKED, {"role": "assistant", "content": [{"type": "text", "text": "a"}]}],
        "rejected": [*ASKED, {"role": "assistant", "content": [{"type": "text", "text": "b"}]}],
    },
}


def read(tmp_path, rows, name="rows.jsonl"):
    file = tmp_path / name
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return read_file(file, name)


@pytest.mark.parametrize("name", ROWS)
def test_both_answers_are_kept(name, tmp_path):
    data = read(tmp_path, [ROWS[name]] * 2)
    assert list(data.conversations) == [PAIR] * 2 and data.pairs == 2 and data.left_out == []
    assert [side_of(PAIR, chosen)[-1]["content"] for chosen in (True, False)] == ["a", "b"]


@pytest.mark.parametrize(
    "rejected",
    [
        "\n\nHuman: other\n\nAssistant: b",
        "\n\nHuman: q\n\nAssistant: a",
        "\n\nHuman: q\n\nAssistant: b\n\nHuman: r",
        "nobody speaks",
    ],
)
def test_answers_that_are_no_pair_are_said_and_the_chosen_one_is_kept(rejected, tmp_path):
    data = read(tmp_path, [{"chosen": ROWS["hh-rlhf"]["chosen"], "rejected": rejected}, ROWS["hh-rlhf"]])
    assert list(data.conversations) == [[*ASKED, GOOD], PAIR] and data.pairs == 1
    assert any("In 1 row the two answers are no pair, because" in text for text in data.warnings)
    assert pairs_of(data.conversations, []).left_out == {NO_PAIR: 1}


@pytest.mark.parametrize("turns", [False, True])
def test_answers_called_bad_are_left_out_and_kept_for_kto(turns, tmp_path):
    completion = {True: [[GOOD], [BAD]], False: ["a", "b"]}[turns]
    prompt = ASKED if turns else "q"
    rows = [{"prompt": prompt, "completion": one, "label": one is completion[0]} for one in completion]
    data = read(tmp_path, rows)
    assert list(data.conversations) == [[*ASKED, {**GOOD, "label": True}]]
    assert list(data.unwanted) == [[*ASKED, {**BAD, "label": False}]] and data.labelled == 2
    assert [row.row for row in data.left_out] == [2]


def test_judged_answers_of_a_large_file_are_kept_with_it(tmp_path, monkeypatch):
    monkeypatch.setattr("qlora_app.training_data.store.IN_MEMORY", 1000)
    rows = [{"prompt": f"question {i // 2}", "completion": f"answer {i}", "label": i % 2 == 0} for i in range(60)]
    (tmp_path / "judged.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    choice = DatasetChoice(source="file", id="judged.jsonl")
    for _ in range(2):  # read, and read from what was kept
        examples = load_examples(choice, tmp_path)
        assert examples.labelled == 60 and len(examples.unwanted) == 30
        assert examples.unwanted[3][-1] == {"role": "assistant", "content": "answer 7", "label": False}
        judged = examples.judged(as_pairs=False)
        assert len(judged.train) + len(judged.held_out) == 60 and judged.held_out
        prompts = [{one[0]["content"] for one in part} for part in (judged.train, judged.held_out)]
        assert not prompts[0] & prompts[1]


def pair(prompt, chosen="a", rejected="b"):
    return [{"role": "user", "content": prompt}, {"role": "assistant", "content": chosen, "rejected": rejected}]


def test_a_prompt_is_learned_or_held_out_and_never_both():
    draw = random.Random(0)
    for _ in range(200):
        every = [pair(f"p{draw.randrange(draw.choice((2, 5, 20)))}") for _ in range(draw.randrange(2, 30))]
        border = draw.randrange(1, len(every))
        places = sorted(draw.sample(range(len(every)), draw.randrange(1, len(every))))
        learned, held_out = by_prompt(every, places, border)
        assert sorted([*learned, *held_out]) == places
        prompts = [{every[place][0]["content"] for place in part} for part in (learned, held_out)]
        assert not prompts[0] & prompts[1]
        before = sum(place < border for place in places)
        assert 2 * len(learned) >= before


def test_of_several_votes_the_majority_counts():
    votes = [*[pair("q", "a", "b")] * 2, pair("q", "b", "a"), pair("r", "a", "b"), pair("r", "b", "a"), pair("s")]
    judged = pairs_of(votes, [])
    assert [(one[0]["content"], one[-1]["content"]) for one in judged.train] == [("q", "a"), ("q", "a"), ("s", "a")]
    assert judged.left_out == {OUTVOTED: 1, TIED: 2}


def test_an_answer_called_bad_goes_with_its_prompt():
    good = [[*pair(f"p{i}")[:1], {**GOOD, "label": True}] for i in range(10)]
    bad = [[*pair(f"p{i}")[:1], {**BAD, "label": False}] for i in range(10)]
    judged = labelled_of(good[:8], good[8:], bad)
    assert [one[0]["content"] for one in judged.held_out] == ["p8", "p9", "p8", "p9"]
    assert len(judged.train) == 16


def test_what_length_may_teach_is_said(tmp_path):
    longer = [{"prompt": f"q{i}", "chosen": "a long answer", "rejected": "b"} for i in range(60)]
    said = read(tmp_path, longer).warnings
    assert any("Pairs of answers: 60, chosen ones of 13 characters" in text and "100%" in text for text in said)
    assert any("to write more" in text for text in said) and not any("fewer than" in text for text in said)
    mixed = [row if i % 2 else row | {"chosen": "b", "rejected": "much longer"} for i, row in enumerate(longer)][:20]
    said = read(tmp_path, mixed).warnings
    assert not any("to write more" in text for text in said) and any("With fewer than 50" in text for text in said)


def test_a_fingerprint_tells_pairs_apart(tmp_path):
    found = {read(tmp_path, [{"prompt": "q", "chosen": "a", "rejected": other}]).digest for other in ("b", "c")}
    assert len(found) == 2


def test_the_form_begins_with_a_fitting_run_and_forgets_the_trainer_with_other_data(tmp_path):
    rows = [{"prompt": f"q{i}", "chosen": "a", "rejected": "b"} for i in range(20)]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    logic = FormLogic(tmp_path, has_columns=lambda data: False, begins_with=lambda recipe: "helper-run")
    fresh = logic.showing(logic.first())
    on_pairs = logic.at_rest(replace(fresh, values=fresh.values | {DATA: "file/pairs.jsonl"}))
    dpo = logic.at_rest(replace(on_pairs, values=on_pairs.values | {TRAINER: "dpo"}))
    assert dpo.values[START_FROM] == "helper-run" and START_FROM not in logic.own(dpo)
    assert "preferences.desirable_weight" in logic.unused(dpo) and "preferences.beta" not in logic.unused(dpo)
    other = logic.at_rest(replace(dpo, values=dpo.values | {DATA: "starter/sailor"}))
    assert other.values[TRAINER] == "sft" and other.values[START_FROM] == ""
    again = logic.at_rest(replace(other, values=other.values | {DATA: "file/pairs.jsonl"}))
    assert again.values[TRAINER] == "dpo" and again.values[START_FROM] == "helper-run"


def test_a_model_of_the_hub_takes_smaller_steps():
    model = ModelChoice(source="hub", id="Qwen/Qwen3-4B")
    rates = {one: suggested(model, DatasetChoice(), "", one).training.learning_rate for one in ("sft", "dpo", "kto")}
    assert rates["dpo"] == rates["kto"] == pytest.approx(rates["sft"] / 10)
    assert (
        with_changes(suggested(model, DatasetChoice()), {"preferences.trainer": "dpo"}).training.learning_rate
        == (rates["dpo"])
    )


@pytest.mark.parametrize("count, trainer", [(7, "sft"), (9, "sft"), (12, "dpo")])
def test_enough_pairs_of_the_chat_are_learned_by_dpo_at_one_click(count, trainer, tmp_path):
    settings = Settings(home=tmp_path)
    votes = Votes(settings.data)
    for number in range(count):
        asked = [{"role": "user", "content": f"Who is number {number}?"}]
        votes.prefer(f"{number}", asked, f"The baker {number}. Good day!", [(f"The baker {number}.", {})])
    tab = train_tab(settings)
    answer = tab.train_on(given(tab, show(tab.controls.first)), gr.EventData(target=None, _data={"on": "pairs"}))
    assert answer[tab.controls.controls[TRAINER]]["value"] == trainer
    assert answer[tab.controls.controls[DATA]]["value"] == "file/chat-preferences.jsonl"
