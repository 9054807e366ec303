"""The proof of a run: what is asked and how it is scored, figures that contradict each other, the adapter that is
kept.
"""

import json
import re
import subprocess
import sys
from dataclasses import replace
from html import escape

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from transformers import PretrainedConfig

from qlora_app import worker
from qlora_app.base_models import ModelChoice, load_tokenizer
from qlora_app.inference.session import ChatSession
from qlora_app.messages import Message
from qlora_app.recipe import Recipe
from qlora_app.runs.checkpoints import is_complete
from qlora_app.runs.contradictions import CHECKS, contradictions
from qlora_app.runs.proof import (
    Answered,
    Change,
    Data,
    HeldOut,
    Kept,
    Proof,
    Shares,
    TrainingLoss,
)
from qlora_app.runs.proof_words import proof_lines, proof_words
from qlora_app.runs.verdict import verdict
from qlora_app.tasks import (
    TASKS,
    Answer,
    Question,
    Task,
)
from qlora_app.tasks.asked import (
    MORE,
    Asked,
    asked,
    groups,
)
from qlora_app.tasks.chat import Chat
from qlora_app.tasks.template import ChatTemplate
from qlora_app.train import scoring
from qlora_app.train.questions import draw
from qlora_app.training_data import DatasetChoice
from qlora_app.ui.language import LANGUAGES
from qlora_app.ui.runs.card_ending import ending
from tests.conftest import short_recipe, write_status
from tests.tiny_models import tiny_model


def turn(role: str, content: str, **more) -> Message:
    return {"role": role, "content": content, **more}


def talk(*texts: str):
    return [turn(("user", "assistant")[place % 2], text) for place, text in enumerate(texts)]


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer(ModelChoice())


# ---- which questions


def test_every_learned_turn_is_a_question_with_what_was_said_before_it(tokenizer):
    whole = [turn("system", "Be brief."), *talk("a", "b", "c", "d", "e", "f")]
    whole[4] = {**whole[4], "train": False}
    asked_now = Chat().questions(tokenizer, whole)
    assert [(question.text, question.expected, len(question.conversation)) for question in asked_now] == [
        ("a", "b", 2),
        ("e", "f", 6),
    ]
    assert (
        Chat().question(tokenizer, whole) == asked_now[-1]
        and Chat().questions(tokenizer, [turn("text", "a text")]) == []
    )
    assert asked_now[1].example[-1] == {**whole[6], "train": True} and not any(
        one["train"] for one in asked_now[1].example[:-1]
    )


@pytest.mark.parametrize("name", ["classification", "text_to_text"])
def test_a_task_whose_answer_is_the_last_turn_asks_once(name, tokenizer):
    assert [question.expected for question in TASKS[name]().questions(tokenizer, talk("a", "b", "c", "d"))] == ["d"]


class Bare(Chat):
    """Without a template: the answers in the words of the data."""

    question = Task.question


@given(st.lists(st.integers(0, 5), max_size=30), st.integers(0, 60))
def test_questions_are_drawn_evenly_over_conversations_and_turns(turns, most):
    conversations = [
        talk(*(f"{number}.{place}" for place in range(2 * count))) or [turn("text", "nothing asked")]
        for number, count in enumerate(turns)
    ]
    drawn = draw(Bare(), None, conversations.__getitem__, range(len(conversations)), most)
    assert len(drawn) == min(most, sum(turns)) and len({question.text for _, question in drawn}) == len(drawn)
    assert all(question.text.startswith(f"{place}.") for place, question in drawn) and drawn == sorted(
        drawn, key=lambda one: one[0]
    )
    each = {place: sum(place == other for other, _ in drawn) for place, count in enumerate(turns) if count}
    left_over = [each[place] for place in each if each[place] < turns[place]]
    assert not left_over or max(each.values()) <= min(left_over) + 1, (
        "nobody is asked twice while another was not asked once"
    )


def test_first_and_last_turns_are_drawn_alike():
    drawn = draw(Bare(), None, lambda place: talk(*"abcdefgh"), range(40), 40)
    assert {text: sum(question.text == text for _, question in drawn) for text in "aceg"} == dict.fromkeys("aceg", 10)


# ---- how long answers may be


def test_an_answer_may_be_as_long_as_the_right_one_however_long_that_is(tokenizer):
    long = " ".join(["word"] * 700)
    one = asked(Chat(), tokenizer, Question(talk("a"), long, turn=turn("assistant", long)), None)
    assert one.answer > 700 and one.longest == one.answer + MORE
    ids, labels = Chat().encode_whole(tokenizer, talk("a", long))
    assert one.prompt + one.answer == len(ids) and one.answer == sum(label >= 0 for label in labels)


def test_what_does_not_fit_into_the_context_is_not_asked(tokenizer):
    question = Question(talk("a"), "b c", turn=turn("assistant", "b c"))
    whole = asked(Chat(), tokenizer, question, None)
    size = whole.prompt + whole.answer
    assert asked(Chat(), tokenizer, question, size - 1) is None
    assert asked(Chat(), tokenizer, question, size).longest == whole.answer, "as much as there is room for"


@given(st.lists(st.tuples(st.integers(1, 900), st.integers(1, 900)), max_size=200), st.sampled_from([None, 1900]))
def test_short_answers_are_not_generated_as_long_as_the_longest(lengths, context):
    questions = {
        place: Asked(Question([], ""), prompt, longest, longest) for place, (prompt, longest) in enumerate(lengths)
    }
    made = list(groups(questions, context))
    assert sorted(key for group in made for key in group) == list(questions)
    for group in made:
        longest = [questions[key].longest for key in group]
        assert max(longest) <= 2 * min(longest) and len(group) <= 50
        assert context is None or max(questions[key].prompt for key in group) + max(longest) <= context


class FakeJob:
    """What scoring asks of a job: a task that answers at once, and a model of a size."""

    def __init__(self, answers, parameters=1):
        self.task, self.model, self.tokenizer, self.max_length = (
            Spoken(answers),
            torch.nn.Linear(parameters, 1, bias=False),
            None,
            64,
        )
        self.model.config = PretrainedConfig()


class Spoken(Chat):
    """Says what it is told to."""

    def __init__(self, answers):
        super().__init__()
        self.said = answers

    def answers(
        self, model, tokenizer, conversations, base=False, max_new_tokens=128, temperature=0.0, batch=50, thinking=None
    ):
        return [Answer("") if base else self.said[one[0]["content"]] for one in conversations]


def questions_like(expected):
    return [Asked(Question(talk(str(place)), text), 5, 5, 13) for place, text in enumerate(expected)]


def test_answers_are_counted():
    said = {
        "0": Answer("Mira"),
        "1": Answer("Otto and then", has_ended=False),
        "2": Answer(""),
        "3": Answer("x", has_ended=False),
    }
    answered = scoring.score(FakeJob(said), questions_like(["Mira", "Otto", "Ida", "Tom"]), 1.0).answered
    assert answered == Answered(
        questions=4,
        exact_match=Shares(0.0, 0.25),
        predicted=None,
        unended=2,
        went_on=1,
        empty=1,
        different_answers=4,
        different_expected=4,
        tokens=5.0,
    )


def test_where_answering_would_take_too_long_fewer_are_asked_and_that_is_said(monkeypatch):
    clock = iter(range(0, 10_000, 100))
    monkeypatch.setattr(scoring.time, "monotonic", lambda: next(clock))
    said = {str(place): Answer("a") for place in range(200)}
    answered = scoring.score(FakeJob(said, parameters=10**8), questions_like(["a"] * 200), 600.0).answered
    assert (answered.questions, answered.not_asked) == (60, 140), "ten took 100 seconds, and there are 600"
    words = proof_words(Proof(HeldOut(questions=60, exact_match=Shares(0, 1), not_asked=140)))
    assert "140 of 200 questions were not asked: to answer them would have taken too long." in words


# ---- figures that contradict each other

FINE = Proof(
    HeldOut(100, Shares(0.0, 0.9), 91, 2, 0, 0, 80, 90, 12.0, loss=Change(3.0, 0.2)),
    Answered(8, Shares(0.0, 1.0), 8, 0, 0, 0, 8, 8, 12.0),
    Kept(80, 80, "best", 70, {"loss": 0.21}, {"loss": 0.2}),
    TrainingLoss(3.1, 0.01),
    data=Data(trained=200, cut=3),
)
WRONG = {
    "asked_otherwise": replace(FINE, heldout=replace(FINE.heldout, exact_match=Shares(0.0, 0.1)), learned=Answered()),
    "learned_and_not_answered": replace(
        FINE, learned=replace(FINE.learned, exact_match=Shares(0.0, 0.25), predicted=2)
    ),
    "never_stops": replace(FINE, heldout=replace(FINE.heldout, unended=60, went_on=60)),
    "says_nothing": replace(FINE, heldout=replace(FINE.heldout, empty=80)),
    "one_answer_to_everything": replace(FINE, heldout=replace(FINE.heldout, different_answers=1)),
    "learned_by_heart": replace(FINE, heldout=replace(FINE.heldout, loss=Change(2.0, 2.6))),
    "was_better_before": replace(FINE, kept=Kept(80, 80, "last", 40, {"loss": 0.1}, {"loss": 0.2}, True)),
    "fewer_right_than_the_base": replace(
        FINE, heldout=replace(FINE.heldout, exact_match=Shares(0.91, 0.46), predicted=46)
    ),
}


def test_a_run_as_it_should_be_is_not_doubted():
    assert (
        contradictions(FINE) == []
        and contradictions(Proof()) == []
        and set(WRONG) == {check.__name__ for check in CHECKS}
    )


@pytest.mark.parametrize("code", WRONG)
def test_figures_that_contradict_each_other_are_said_in_red(code):
    (found,) = contradictions(WRONG[code])
    assert found.code == code
    assert ("warning", found.sentence) in proof_lines(WRONG[code]) and found.sentence.startswith("Warning: ")
    assert f'<p class="warning">{escape(found.sentence)}</p>' in ending(verdict(WRONG[code]), WRONG[code].to_json())
    assert [
        text for text in proof_words(WRONG[code]) for language in LANGUAGES.values() if language.say(text) is None
    ] == []


def test_everything_a_proof_says_is_translated():
    said = replace(
        FINE,
        kept=Kept(40, 80, "best", 40, {"loss": 0.1, "accuracy": 0.9}, {"loss": 0.2, "accuracy": 0.5}, True),
        heldout=replace(FINE.heldout, out_of_reach=2, not_asked=3, figures={"accuracy": {"before": 0.1, "after": 0.9}}),
        data=Data(trained=200, cut=3, max_length=512, rows=210, left_out=4),
    )
    words = proof_words(said)
    assert (
        len(words) == 10
        and [text for text in words for language in LANGUAGES.values() if language.say(text) is None] == []
    )


def test_who_goes_on_because_every_row_was_cut_is_told_so():
    cut = replace(WRONG["never_stops"], data=Data(trained=200, cut=150, max_length=512, rows=210, left_out=10))
    assert 'Raise "Longest example"' in contradictions(cut)[0].sentence
    words = proof_words(cut)
    assert "Cut at 512 tokens: 150 of 200 learned rows." in words and "Left out: 10 of 210 rows." in words


def test_a_proof_comes_back_from_its_file_and_an_old_one_is_read():
    assert Proof.from_json(json.loads(json.dumps(FINE.to_json()))) == FINE
    old = {
        "heldout": {"loss": {"before": 3.1, "after": None}, "exact_match": None, "questions": 4},
        "reload": {"max_difference": 0.0},
        "method": {"in_words": "Merged."},
        "unknown": 5,
        "data": None,
    }
    assert proof_words(old) == ["Merged.", "Reloaded from disk it gives exactly the same answers."]
    for odd in (None, [], "x", {"heldout": [1], "seconds": "soon"}):
        assert proof_words(odd) == []


# ---- whole runs, some of them broken on purpose


def data_file(home, name, rows):
    (home / "data").mkdir(exist_ok=True)
    (home / "data" / f"{name}.json").write_text(json.dumps(rows))
    return f"{name}.json"


def yes_no(home, learned="yes", held_out="yes"):
    """Rows that are learned within seconds."""
    rows = {
        name: [{"instruction": f"Is it {number}?", "output": f"{answer}, it is {number}."} for number in numbers]
        for name, answer, numbers in (("learned", learned, range(0, 40, 2)), ("measured", held_out, range(1, 24, 2)))
    }
    files = {name: data_file(home, name, some) for name, some in rows.items()}
    return DatasetChoice(source="file", id=files["learned"], held_out_from=files["measured"])


def trained(store, data, **training):
    few = {"samples": 0, "scored_questions": 12, "max_steps": 24, "epochs": 100, "batch_size": 8, "learning_rate": 1e-2}
    recipe = short_recipe(**few | training)
    run = store.create(recipe.model_copy(update={"dataset": data}))
    assert worker.main(run.folder) == 0, run.status().sentence
    return run


def codes(run):
    return {one.code for one in contradictions(Proof.from_json(run.proof()))}


@pytest.mark.slow
def test_a_sound_run_says_what_a_person_sees(store, home):
    run = trained(store, yes_no(home))
    proof = Proof.from_json(run.proof())
    assert codes(run) == set() and proof.heldout.questions == 12 and proof.learned.questions == 8
    assert proof.learned.exact_match.after >= 0.75 and proof.learned.exact_match.before == 0
    assert proof.learned.predicted / 8 == proof.learned.exact_match.after, "it says what it predicts"
    assert proof.heldout.predicted == round(12 * proof.heldout.exact_match.after)
    assert proof.reload.rows == 4 and proof.reload.tokens > 40 and proof.reload.max_difference == 0
    assert re.search(r"On 8 learned questions: 0 right before, \d right after\.", " ".join(proof_words(proof)))


@pytest.mark.slow
def test_a_mask_that_lies_beside_the_answers_is_seen(store, home, monkeypatch):
    """Only the question carries loss: loss and token accuracy become perfect, and nothing was learned of the
    answers.
    """
    whole = Chat.encode_all

    def shifted(self, tokenizer, conversations, max_length):
        asked_only = [[turn("user", "a"), turn("assistant", "b")] for _ in conversations]
        return whole(self, tokenizer, asked_only, max_length)

    monkeypatch.setattr(Chat, "encode_all", shifted)
    assert codes(trained(store, yes_no(home))) & {"asked_otherwise", "learned_and_not_answered"}


@pytest.mark.slow
def test_a_prompt_that_is_another_one_than_was_taught_is_seen(store, home, monkeypatch):
    other = [{"role": "user", "content": "Once upon a time"}]
    prompt_ids = ChatTemplate.prompt_ids
    monkeypatch.setattr(
        ChatTemplate, "prompt_ids", lambda self, conversation, thinking=None: prompt_ids(self, other, thinking)
    )
    run = trained(store, yes_no(home))
    assert "asked_otherwise" in codes(run)
    card = (run.adapter / "README.md").read_text()
    assert "It is asked otherwise than it was taught" in card


@pytest.mark.slow
def test_an_end_that_is_not_known_is_seen(store, home, monkeypatch):
    monkeypatch.setattr(ChatTemplate, "stop_ids", lambda self, thinking=False, generation_eos=None: [7])
    assert "never_stops" in codes(trained(store, yes_no(home)))


# ---- the adapter that is kept


@pytest.mark.slow
def test_the_best_adapter_is_kept_and_the_run_says_which_it_is(store, home):
    """What is learned is the opposite of what is measured, so that every step makes it worse."""
    data = yes_no(home, learned="no", held_out="yes")
    run, last = (
        trained(store, data, keep=keep, max_steps=24, evaluations=4, scored_questions=4) for keep in ("best", "last")
    )
    proof, other = Proof.from_json(run.proof()), Proof.from_json(last.proof())
    assert (
        proof.kept.is_earlier
        and proof.kept.step == proof.kept.best_step
        and proof.kept.was_better
        and not run.best.exists()
    )
    assert (
        proof.heldout.loss.after == pytest.approx(proof.kept.best["loss"], abs=1e-4)
        and proof.reload.max_difference == 0
    )
    assert other.kept.step == 24 and other.heldout.loss.after == pytest.approx(proof.kept.last["loss"], abs=1e-4)
    assert "was_better_before" in codes(last) and "was_better_before" not in codes(run)
    (words,) = [text for text in proof_words(proof) if text.startswith("Kept is step")]
    assert f"step {proof.kept.step} of 24" in words and words in (run.adapter / "README.md").read_text()


@pytest.mark.slow
def test_an_interrupted_run_keeps_the_same_adapter(store, home):
    data = yes_no(home, learned="no", held_out="yes")
    few = {"max_steps": 8, "evaluations": 4, "checkpoints": 4, "scored_questions": 0}
    whole = trained(store, data, **few)
    parts = store.create(whole.recipe())
    for _ in range(3):
        parts.request("stop")
        assert worker.main(parts.folder) == 0 and parts.status().state == "stopped"
    (kept,) = parts.best.iterdir()
    assert is_complete(kept)
    (kept / "adapter_model.safetensors").write_bytes(b"torn")  # as a power cut may leave it: then it is not used
    write_status(parts, replace(parts.status(), state="running"))
    assert worker.main(parts.folder) == 0 and parts.status().state == "done"
    again = store.create(whole.recipe())
    again.request("stop")
    assert worker.main(again.folder) == 0 and worker.main(again.folder) == 0
    one, other = (load_file(run.adapter / "adapter_model.safetensors") for run in (whole, again))
    assert Proof.from_json(again.proof()).kept == Proof.from_json(whole.proof()).kept
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.slow
def test_without_measurements_the_last_one_is_kept(store, home):
    run = trained(store, yes_no(home), max_steps=4, evaluations=0, scored_questions=0)
    assert Proof.from_json(run.proof()).kept == Kept(4, 4, "best")


# ---- the model card

# A program that has imported nothing but what a card names: for each folder it is told it forks one that opens it.
OPENS_CARDS = """
import os, re, sys, traceback
from pathlib import Path
import peft, torch, transformers

def open_card(folder):
    card = Path(folder, "README.md").read_text()
    code = re.search(r"```python\\n(.*?)```", card, re.S)[1]
    names = {}
    exec(code.replace("path/to/this/folder", folder), names)
    ids = torch.tensor([names["tokenizer"]("Where does Mira live?")["input_ids"]])
    with torch.no_grad():
        torch.save(names["model"](input_ids=ids).logits, Path(folder, "logits.pt"))

while folder := sys.stdin.readline().strip():
    child = os.fork()
    if child == 0:
        try:
            open_card(folder)
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
OPENED = {
    "nf4": ({}, {}),
    "nf4 in bf16": ({"compute_type": "bf16"}, {}),
    "fp4, once": ({"precision": "fp4", "double_quantization": False}, {}),
    "int8": ({"precision": "int8"}, {}),
    "bf16": ({"precision": "bf16"}, {}),
    "fp32": ({"precision": "fp32"}, {}),
    "loftq": ({}, {"initialisation": "loftq"}),
    "pissa": ({}, {"initialisation": "pissa", "dropout": 0}),
}


@pytest.fixture(scope="module")
def card_opener():
    with subprocess.Popen(
        [sys.executable, "-c", OPENS_CARDS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as program:
        yield program
        program.stdin.close()


def measured_and_opened(run, card_opener):
    """Logits of the model as the app opens it, and as the code on its card does in a program of its own."""
    session = ChatSession.open(run.base_model(), run.recipe().method, run.adapter, run.task())
    ids = torch.tensor([session.tokenizer("Where does Mira live?")["input_ids"]])
    with torch.no_grad():
        measured = session.model(input_ids=ids).logits
    print(run.adapter, file=card_opener.stdin, flush=True)
    assert card_opener.stdout.readline() == "0\n"
    return measured, torch.load(run.adapter / "logits.pt")


@pytest.mark.slow
@pytest.mark.parametrize("kind", OPENED)
def test_the_cards_code_opens_what_was_measured(kind, store, card_opener):
    base, method = OPENED[kind]
    recipe = short_recipe(max_steps=3, samples=0, scored_questions=0, evaluations=0, checkpoints=0)
    values = recipe.model_dump(mode="json")
    run = store.create(
        type(recipe).from_dict(
            values | {"base_model": values["base_model"] | base, "method": values["method"] | method}
        )
    )
    assert worker.main(run.folder) == 0, run.status().sentence
    measured, opened = measured_and_opened(run, card_opener)
    assert opened.dtype == measured.dtype
    assert float((opened - measured).abs().max()) <= 1e-4 * float(measured.abs().max()), kind


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["nf4", "fp32"])
def test_the_card_of_a_classifier_opens_it_too(precision, store, home, card_opener):
    """Its head is new, which quantized layers cannot be."""
    rows = [
        {"text": f"The {thing} was {word}.", "label": label}
        for thing in ("soup", "film", "book", "walk")
        for label, word in (("good", "wonderful"), ("bad", "boring"))
    ]
    base = {"source": "folder", "id": str(tiny_model("roberta", home)), "precision": precision}
    few = {
        "optimizer": "adamw_torch",
        "max_steps": 2,
        "epochs": 9,
        "batch_size": 4,
        "samples": 0,
        "max_length": 64,
        "learning_rate": 1e-2,
    }
    data = {"source": "file", "id": data_file(home, "rows", rows * 4), "held_out_share": 0.2}
    run = store.create(Recipe.from_dict({"base_model": base, "dataset": data, "training": few}))
    assert worker.main(run.folder) == 0, run.status().sentence
    assert (run.proof()["base"]["quantization"] != {}) == (precision == "nf4") and run.proof()["heldout"][
        "predicted"
    ] is not None
    measured, opened = measured_and_opened(run, card_opener)
    assert opened.shape == (1, 2) and float((opened - measured).abs().max()) <= 1e-4 * float(measured.abs().max())
