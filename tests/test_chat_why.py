"""Why this answer, as the page asks it and is told."""

import dataclasses
import json
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qlora_app.inference.pool import ModelPool
from qlora_app.ui.chat.why import Asked
from tests.fixtures.page import event, make_run

ASKER = SimpleNamespace(session_hash="one")
NAMES = st.sampled_from(["answer", "hasEnded", "how", "before", "sides", "only", "system", "max_new_tokens"])
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda one: st.lists(one) | st.dictionaries(NAMES, one),
    max_leaves=12,
)


def told(workshop, run, answer, **sent):
    chat = workshop.chat
    asked = {"asking": "why-1", "question": "Who is the baker?", "answer": answer, "hasEnded": True} | sent
    for answered in chat.why({chat.room: run.id}, event(**asked), ASKER):
        (update,) = answered.values()
        yield json.loads(update["why"])


@pytest.fixture
def page(page):
    pool = ModelPool()
    yield dataclasses.replace(page, sessions=pool)
    pool.make_way()


def test_every_word_is_told_with_both_probabilities(workshop, answering_run):
    *waiting, last = told(workshop, answering_run, "Mira is the baker.", only=[1])
    assert waiting and all(not one["isOver"] and one["sentence"] for one in waiting)
    assert last["isOver"] and last["asking"] == "why-1" and len(last["most"]) == 3
    assert "".join(part["text"] for part in last["parts"]).strip() == "Mira is the baker."
    assert last["parts"][-1]["is_end"] and last["difference"] == 0, "an adapter before its first step"
    *_, cut = told(workshop, answering_run, "Mira is the baker.", only=[1], hasEnded=False)
    assert not cut["parts"][-1]["is_end"]


def test_what_goes_wrong_is_said_at_the_answer(workshop, answering_run, store):
    *_, empty = told(workshop, answering_run, "  ", only=[1])
    assert empty["isOver"] and "empty" in empty["sentence"] and "parts" not in empty
    *_, nothing = told(workshop, make_run(store), "Mira.", only=[1])
    assert nothing["isOver"] and nothing["sentence"]
    *_, nobody = told(workshop, answering_run, "Mira.", only=[7])
    assert nobody["isOver"] and nobody["sentence"]
    assert workshop.chat.line._answered == []


@given(ANYTHING)
def test_whatever_is_sent_is_read_or_left_out(sent):
    asked = Asked.of(sent, "run")
    assert isinstance(asked.answer, str) and isinstance(asked.has_ended, bool)


def test_an_answer_of_another_adapter_than_the_one_in_memory_is_not_explained_by_it(workshop, answering_run):
    *_, other = told(workshop, answering_run, "Mira is the baker.", only=[1], checksum="ab" * 32)
    assert other["isOver"] and "parts" not in other and "begins with abababab" in other["sentence"]
    adapter = workshop.chat.page.sessions.get(answering_run).checksum
    *_, same = told(workshop, answering_run, "Mira is the baker.", only=[1], checksum=adapter)
    assert same["parts"]
