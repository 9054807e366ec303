"""A model that was taught to call a tool, asked as a program asks it."""

import json

import pytest
import torch
import transformers

from qlora_app.inference.loaded import LoadedBase
from qlora_app.inference.session import ChatSession
from qlora_app.serving.answering import Answers
from qlora_app.serving.models import Asked
from qlora_app.serving.problems import ApiError
from qlora_app.serving.requests import ChatWish, read
from qlora_app.tasks.chat import Chat
from tests.chat_templates import tiny_model_for, tokenizer_for

TOOL = {
    "type": "function",
    "function": {
        "name": "count_hens",
        "description": "how many hens are there",
        "parameters": {"type": "object", "properties": {"yard": {"type": "integer"}}},
    },
}
ASKED = {"role": "user", "content": "How many hens are in yard 7?"}
CALL = [{"name": "count_hens", "arguments": {"yard": 7}}]
UNANSWERED = {"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "{}"}}]}
MOST_STEPS, KNOWN = 600, 0.02  # nats a token


@pytest.fixture(
    scope="module",
    params=["hermes", *(pytest.param(name, marks=pytest.mark.slow) for name in ("mistral_tekken", "glm45"))],
)
def session(request, tmp_path_factory):
    """Its template's call, and what follows when the tool has answered, learned by heart."""
    tokenizer = tokenizer_for(request.param)
    sizes = {"max_position_embeddings": 2048}
    folder = tiny_model_for(request.param, tmp_path_factory.mktemp("calling"), **sizes)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder)
    told = json.dumps([TOOL])
    talk = [{**ASKED, "tools": told}, {"role": "assistant", "content": "", "tool_calls": json.dumps(CALL)}]
    more = [*talk, {"role": "tool", "content": "5"}, {"role": "assistant", "content": "Five hens."}]
    rows = [Chat().encode_whole(tokenizer, one) for one in (talk, more)]
    optimizer = torch.optim.Adam(model.parameters(), lr=0.005)
    for _ in range(MOST_STEPS):
        losses = [model(input_ids=torch.tensor([ids]), labels=torch.tensor([labels])).loss for ids, labels in rows]
        if max(losses) < KNOWN:
            break
        sum(losses).backward()
        optimizer.step()
        optimizer.zero_grad()
    else:
        raise AssertionError(f"not learned: {losses}")
    return ChatSession(LoadedBase(model), tokenizer)


def answers(session, **how):
    body = {"model": "any", "messages": [ASKED], "tools": [TOOL], "temperature": 0} | how
    return Answers(read(ChatWish, body), Asked("any", None, of_base=True), session)


def test_a_call_is_read_and_its_answer_is_gone_on_with(session):
    asked = answers(session)
    choice = asked.whole(asked.last())["choices"][0]
    (call,) = choice["message"]["tool_calls"]
    assert choice["finish_reason"] == "tool_calls" and choice["message"]["content"] is None
    assert call["type"] == "function" and call["function"]["name"] == "count_hens"
    assert json.loads(call["function"]["arguments"]) == {"yard": 7}
    told = {"role": "tool", "tool_call_id": call["id"], "content": "5"}
    after = answers(session, messages=[ASKED, choice["message"], told])
    said = after.whole(after.last())["choices"][0]
    assert said["message"]["content"] == "Five hens." and said["finish_reason"] == "stop"


BELL = {"type": "function", "function": {"name": "ring_bell", "parameters": {"properties": {"times": {"enum": [3]}}}}}


@pytest.mark.parametrize(
    ("choice", "called"),
    [
        ("required", {"count_hens", "ring_bell"}),
        ({"type": "function", "function": {"name": "ring_bell"}}, {"ring_bell"}),
    ],
    ids=["required", "named"],
)
def test_what_has_to_be_called_is_called_whatever_was_learned(session, choice, called):
    asked = answers(session, messages=[{"role": "user", "content": "Hello!"}], tools=[TOOL, BELL], tool_choice=choice)
    told = asked.whole(asked.last())["choices"][0]
    calls = [call["function"] for call in told["message"]["tool_calls"]]
    assert {call["name"] for call in calls} <= called and told["finish_reason"] == "tool_calls"
    assert all(json.loads(call["arguments"]).keys() <= {"yard", "times"} for call in calls)


def test_a_tool_that_takes_what_no_schema_allows_is_refused_by_its_field(session):
    odd = {"type": "function", "function": {"name": "odd", "parameters": {"properties": {"it": {"type": "wat"}}}}}
    with pytest.raises(ApiError) as refusal:
        answers(session, tools=[odd], tool_choice="required")
    assert refusal.value.status == 400 and refusal.value.param == "tools"


@pytest.mark.parametrize("tools", [[], [TOOL]])
def test_a_tool_that_is_not_there_cannot_be_demanded(tools):
    choice = {"type": "function", "function": {"name": "ring_bell"}}
    with pytest.raises(ApiError) as refusal:
        read(ChatWish, {"model": "any", "messages": [ASKED], "tools": tools, "tool_choice": choice})
    assert refusal.value.status == 400 and "tool_choice" in str(refusal.value)


def test_a_stream_tells_the_call_once_and_nothing_of_how_it_is_written(session):
    asked = answers(session, stream=True)
    growing = asked.growing()
    choices = [chunk["choices"][0] for chunk in asked.chunks(lambda: next(growing, None))]
    told = [choice["delta"]["tool_calls"] for choice in choices if "tool_calls" in choice["delta"]]
    assert "".join(choice["delta"].get("content") or "" for choice in choices) == ""
    assert [[one["function"]["name"] for one in calls] for calls in told] == [["count_hens"]]
    assert choices[-1]["finish_reason"] == "tool_calls"


@pytest.mark.parametrize(
    "messages",
    [
        [ASKED, {"role": "tool", "tool_call_id": "x", "content": "5"}],
        [ASKED, {"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "{"}}]}],
        [ASKED, {"role": "assistant", "tool_calls": [7]}],
        [
            ASKED,
            {"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "{}"}}]},
            ASKED,
        ],
    ],
)
def test_calls_that_do_not_fit_are_refused_by_their_place(messages):
    wish = read(ChatWish, {"model": "any", "messages": messages})
    with pytest.raises(ApiError) as refusal:
        wish.conversation()
    assert refusal.value.status == 400 and refusal.value.param.startswith("messages.")


def test_what_tools_said_stands_in_the_order_of_their_calls():
    calls = [{"id": id, "function": {"name": id, "arguments": "{}"}} for id in ("a", "b")]
    said = [{"role": "tool", "tool_call_id": id, "content": f"of {id}"} for id in ("b", "a")]
    wish = read(ChatWish, {"model": "any", "messages": [ASKED, {"role": "assistant", "tool_calls": calls}, *said]})
    assert [turn["content"] for turn in wish.conversation()[2:]] == ["of a", "of b"]
