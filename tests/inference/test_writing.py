"""Answers as text while they grow: no half characters, and nothing of what ends them."""

import functools
import itertools
from types import SimpleNamespace

import pytest

from qlora_app.base_models import ModelChoice, load_tokenizer
from qlora_app.inference.rows import Asked, Ended, Row, Token
from qlora_app.inference.writing import Events, Said, Writing, ending_check, together
from qlora_app.tasks.chat import Chat
from qlora_app.tasks.template import ChatTemplate


@pytest.fixture(scope="module")
def tokenizer():
    made = load_tokenizer(ModelChoice())
    Chat().prepare(made)
    return made


def written(tokenizer, text, stops=(), room=1000):
    """Everything that is shown of a text while its tokens come one by one."""
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    check = ending_check(tokenizer, stops, thinking=False)
    row = Row(Asked([1], room, ends_with=check))
    writing = Writing(row, tokenizer, False, stops)
    shown = []
    for token in ids:
        row.add(token)
        while not row.events.empty():
            writing.take(row.events.get()[1], row.began)
        shown.append(writing.said())
        if row.is_over:
            break
    return shown


TEXT = "Grüße aus Pennywick 🦙🥖, wo Mira wohnt: täglich Brot."


def test_no_half_character_is_shown_and_what_was_shown_stays(tokenizer):
    shown = written(tokenizer, TEXT)
    assert shown[-1] == TEXT and shown[-1].tokens == len(shown)
    for earlier, later in itertools.pairwise(shown):
        assert "\N{REPLACEMENT CHARACTER}" not in earlier and later.startswith(earlier)


@pytest.mark.parametrize("stop", ["wohnt", "🥖", " wo Mira", "aus Penny", "t: t"])
def test_nothing_of_what_ends_an_answer_is_ever_shown(tokenizer, stop):
    whole = TEXT.partition(stop)[0].rstrip()
    shown = written(tokenizer, TEXT, ["never there", stop])
    assert shown[-1] == whole and shown[-1].why == "stop" and shown[-1].is_whole
    assert all(whole.startswith(one) for one in shown)


def test_the_beginning_of_an_ending_is_shown_when_it_was_none(tokenizer):
    shown = written(tokenizer, "one two thr", ["three"])
    assert shown[-1].why is None and shown[-1] == "one two"
    cut = written(tokenizer, "one two thr", ["three"], room=shown[-1].tokens)
    assert cut[-1].why == "length" and cut[-1] == "one two thr"


def test_several_are_read_together_and_whoever_stops_reading_cancels_them(tokenizer):
    events: Events = Events()
    rows = [Row(Asked([1], 10), into=events) for _ in range(2)]
    ids = tokenizer("Mira bakes", add_special_tokens=False)["input_ids"]
    reading = together([Writing(row, tokenizer, False) for row in rows], events)
    rows[1].add(ids[0])
    first = next(reading)
    assert first[0] == "" and first[1] and isinstance(first[1], Said) and not first[1].is_whole
    rows[0].end("stop")
    assert [one.is_whole for one in next(reading)] == [True, False]
    reading.close()
    rows[1].add(ids[1])
    assert all(row.is_cancelled for row in rows) and rows[1].is_over
    assert events.get() == (rows[1], Ended("cancelled"))


def test_what_goes_wrong_is_raised_where_it_is_read(tokenizer):
    row = Row(Asked([1], 10))
    row.events.put((row, Token(5)))
    row.fail(ValueError("broken"))
    with pytest.raises(ValueError, match="broken"):
        list(Writing(row, tokenizer, False))


class _Letters:
    """A tokenizer of which every letter is a token."""

    def decode(self, ids, skip_special_tokens=False):
        return "".join(map(chr, ids))


@pytest.mark.parametrize(
    "marks", [("<think>", "</think>"), ("", "</think>"), ("<|channel|>analysis<|message|>", "<|end|><|start|>final")]
)
@pytest.mark.parametrize("answer", ["Paris.", "a <b and </c>", ""])
def test_while_it_grows_reasoning_stays_reasoning_and_an_answer_an_answer(monkeypatch, marks, answer):
    traits = SimpleNamespace(reasoning_marks=marks, without_control=lambda text: text.strip())
    template = SimpleNamespace(traits=traits, stop_strings=[])
    template.split_reasoning = functools.partial(ChatTemplate.split_reasoning, template)
    for place in ("qlora_app.inference.writing", "qlora_app.tasks.generate"):
        monkeypatch.setattr(f"{place}.ChatTemplate", SimpleNamespace(of=lambda tokenizer: template))
    written = [ord(letter) for letter in f"{marks[0]}The capital < of{marks[1]}{answer}"]
    row = Row(Asked([], 1000))
    writing = Writing(row, _Letters(), thinking=True)
    texts = [writing.said()]
    for id in written:
        writing.take(Token(id), 0.0)
        texts.append(writing.said())
    writing.take(Ended("stop"), 0.0)
    texts.append(writing.said())
    assert (texts[-1].reasoning, texts[-1].answer) == ("The capital < of", answer)
    for before, after in itertools.pairwise(texts):
        assert after.reasoning.startswith(before.reasoning) and after.answer.startswith(before.answer)
