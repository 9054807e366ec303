"""The prompt law: what a model is asked with is, token for token, what stood before the answer when it was trained."""

import json
from functools import cache

import pytest
from hypothesis import given, settings

from qlora_app.messages import flatten
from qlora_app.tasks.chat import Chat
from qlora_app.tasks.plain_text import plain
from qlora_app.tasks.template import TRAINED_WITH, ChatTemplate
from qlora_app.tasks.template.going_on import begun_ids
from tests.chat_templates import KINDS, tokenizer_for
from tests.placing import expected, places, switches
from tests.real_tokenizers import REAL, real_tokenizer
from tests.tasks.test_masks import FEW, IGNORED, conversations, runs, without_blanks

TOOLS = json.dumps(
    [
        {
            "type": "function",
            "function": {
                "name": "count_hens",
                "parameters": {"type": "object", "properties": {"yard": {"type": "integer"}}},
            },
        }
    ]
)


@cache
def tokenizer_of(name):
    return tokenizer_for(name)


def first_learned(labels):
    return next((place for place, label in enumerate(labels) if label != IGNORED), None)


def is_split(tokenizer, conversation, kind):
    return any(expected(tokenizer, conversation, kind, **switch).split for switch in switches(kind))


def check_prompts(tokenizer, name, conversation):
    """Of each beginning of a conversation that ends with an answer."""
    kind = KINDS[name]
    template = ChatTemplate.of(tokenizer)
    for turn in [place for place, one in enumerate(conversation) if one["role"] == "assistant"]:
        seen, asked = conversation[: turn + 1], conversation[:turn]
        ids, labels = Chat().encode_whole(tokenizer, seen)
        starts = run_starts(labels)
        assert starts, "the last answer is not learned"
        prompt, before = template.prompt_ids(asked), ids[: starts[-1]]
        if prompt == before:
            continue
        assert is_split(tokenizer, seen, kind), (
            f"asked with {tokenizer.decode(prompt)!r}, trained with {tokenizer.decode(before)!r}"
        )
        assert without_blanks(tokenizer.decode(ids)).startswith(without_blanks(tokenizer.decode(prompt)))


def run_starts(labels):
    return [
        place for place, label in enumerate(labels) if label != IGNORED and (place == 0 or labels[place - 1] == IGNORED)
    ]


@pytest.mark.daily(10)
@pytest.mark.parametrize("name", KINDS)
def test_a_prompt_is_what_stood_before_the_answer(name):
    @settings(FEW, max_examples=8)
    @given(conversations(name))
    def holds(conversation):
        check_prompts(tokenizer_of(name), name, conversation)

    holds()


@pytest.mark.daily(10)
@pytest.mark.parametrize(
    "name", [name for name in KINDS if name != "gpt_oss"]
)  # it refuses channel tokens in an answer
def test_typed_control_tokens_are_the_same_letters_in_prompt_and_training(name):
    @settings(FEW, max_examples=6)
    @given(conversations(name, typed=True))
    def holds(conversation):
        tokenizer = tokenizer_of(name)
        ids, labels = Chat().encode_whole(tokenizer, conversation)
        prompt = ChatTemplate.of(tokenizer).prompt_ids(conversation[:-1])
        start = run_starts(labels)[-1]
        held = {token for token, one in tokenizer.added_tokens_decoder.items() if one.special}
        assert [token for token in prompt if token in held] == [token for token in ids[:start] if token in held]
        if not is_split(
            tokenizer, [{**turn, "content": turn["content"].strip() or "x"} for turn in conversation], KINDS[name]
        ):
            assert without_blanks(tokenizer.decode(prompt)) == without_blanks(tokenizer.decode(ids[:start]))

    holds()


@pytest.mark.parametrize("name", ["chatml", "llama3"])
def test_typed_control_tokens_leave_the_tokenizer_as_it_is_for_other_threads(name):
    tokenizer = tokenizer_for(name)
    typed = f"{tokenizer.eos_token} and more"
    asked = [{"role": "user", "content": typed}]
    template = ChatTemplate.of(tokenizer)
    for ids in (template.prompt_ids(asked), plain(tokenizer, typed).ids):
        assert not tokenizer.backend_tokenizer.encode_special_tokens
        assert typed in tokenizer.decode(ids)
    assert tokenizer.eos_token_id not in plain(tokenizer, typed).ids


KEEPING = [
    name for name, kind in KINDS.items() if not kind.loses and name not in ("mistral_v03", "mistral_tekken")
]  # system text moves


@pytest.mark.parametrize("name", KEEPING)
def test_every_turn_of_a_conversation_begins_as_it_would_be_asked(name):
    tokenizer, kind = tokenizer_of(name), KINDS[name]
    conversation = [{"role": "system", "content": "Say little."}] if kind.system else []
    conversation += [
        {"role": role, "content": f"{role} says {number}"} for number in (1, 2, 3) for role in ("user", "assistant")
    ]
    ids, labels = Chat().encode_whole(tokenizer, conversation)
    turns = [place for place, turn in enumerate(conversation) if turn["role"] == "assistant"]
    assert len(run_starts(labels)) == len(turns)
    for start, turn in zip(run_starts(labels), turns, strict=True):
        assert ChatTemplate.of(tokenizer).prompt_ids(conversation[:turn]) == ids[:start]


@pytest.mark.parametrize("name", KINDS)
def test_an_answer_that_is_gone_on_with_stands_in_the_prompt_as_in_a_row_that_was_learned(name):
    tokenizer = tokenizer_of(name)
    template, asked = ChatTemplate.of(tokenizer), [{"role": "user", "content": "How many hens end?"}]
    ids, labels = Chat().encode_whole(tokenizer, [*asked, {"role": "assistant", "content": "Five hens end here."}])
    prompt, begun = begun_ids(template, asked, "Five hens end")
    assert prompt == template.prompt_ids(asked, thinking=False) == ids[: run_starts(labels)[-1]]
    assert [*prompt, *begun] == ids[: len(prompt) + len(begun)] and begun
    assert tokenizer.decode([*prompt, *begun]).endswith("Five hens end")


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind.thinking])
@pytest.mark.parametrize("begun", ["<think>\nI count", "<think>\nI count.\n</think>\n\nFive hens"])
def test_reasoning_is_gone_on_with_where_it_ended(name, begun):
    tokenizer = tokenizer_of(name)
    template, asked = ChatTemplate.of(tokenizer), [{"role": "user", "content": "Hens?"}]
    prompt, ids = begun_ids(template, asked, begun)
    assert prompt == template.prompt_ids(asked, thinking=True)
    reasoning, answer = template.split_reasoning(tokenizer.decode(ids), begun=True)
    assert reasoning.strip() == ("I count." if "</think>" in begun else "I count")
    assert answer.strip() == ("Five hens" if "</think>" in begun else "")


@pytest.mark.parametrize("name", KINDS)
def test_tools_and_their_answers_stand_in_the_prompt_as_in_training(name):
    tokenizer, kind = tokenizer_of(name), KINDS[name]
    if name == "gemma2":
        conversation = [{"role": "user", "content": "Hens in yard 0?"}, {"role": "assistant", "content": "Five."}]
    else:
        conversation = [
            {"role": "user", "content": "Hens in yard 0?", "tools": TOOLS},
            {"role": "assistant", "content": "", "tool_calls": '[{"name": "count_hens", "arguments": {"yard": 0}}]'},
            {"role": "tool", "content": "5"},
            {"role": "assistant", "content": "Five."},
        ]
    said = conversation if kind.tools and kind.system else flatten(conversation)
    if (
        name == "glm4"
    ):  # it asks for an answer on a new line and writes calls without one: that is said, and not learned around
        assert list(ChatTemplate.of(tokenizer).place(said).problems) == [1]
        return
    if not kind.system and any(turn["role"] == "system" for turn in said):
        pytest.skip("its template has no place for a list of tools")
    ids, labels = Chat().encode_whole(tokenizer, said)
    for turn in [place for place, one in enumerate(said) if one["role"] == "assistant"]:
        seen_ids, seen_labels = Chat().encode_whole(tokenizer, said[: turn + 1])
        assert ChatTemplate.of(tokenizer).prompt_ids(said[:turn]) == seen_ids[: run_starts(seen_labels)[-1]]
    assert "Five." in tokenizer.decode(runs(labels)[-1])
    assert name == "gemma2" or "count_hens" in tokenizer.decode(ids)


@pytest.mark.parametrize("name", KINDS)
def test_what_ends_an_answer_stops_it(name):
    """After the right answer the first token that the template writes is one that stops, and no token of the answer
    is.
    """
    tokenizer = tokenizer_of(name)
    conversation = [{"role": "user", "content": "Hens?"}, {"role": "assistant", "content": "Five hens."}]
    ids, labels = Chat().encode_whole(tokenizer, conversation)
    learned = [token for token, label in zip(ids, labels, strict=True) if label != IGNORED]
    stops = set(ChatTemplate.of(tokenizer).stop_ids())
    ends = [place for place, token in enumerate(learned) if token in stops]
    assert ends, f"nothing of {tokenizer.decode(learned)!r} stops it"
    said = tokenizer.decode(learned[: ends[0]])
    assert "Five hens." in said
    added = {token for token, one in tokenizer.added_tokens_decoder.items() if one.special}
    after = said[said.index("Five hens.") :]
    assert not any(tokenizer.decode([token]) in after for token in added), (
        "another control token is said before it stops"
    )
    assert tokenizer.eos_token_id in stops


THINKING = [name for name, kind in KINDS.items() if kind.reasoning]


@pytest.mark.parametrize("name", THINKING)
def test_a_model_that_was_taught_to_think_is_asked_to(name):
    tokenizer = tokenizer_of(name)
    template = ChatTemplate.of(tokenizer)
    thought = [
        {"role": "user", "content": "Hens?"},
        {"role": "assistant", "content": "Five.", "reasoning": "Two and three."},
    ]
    ids, labels = Chat().encode_whole(tokenizer, thought)
    assert template.prompt_ids(thought[:1], thinking=True) == ids[: first_learned(labels)]
    learned = tokenizer.decode([token for token, label in zip(ids, labels, strict=True) if label != IGNORED])
    assert "Two and three." in learned and "Five." in learned


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind.thinking])
def test_the_switch_changes_the_prompt(name):
    template = ChatTemplate.of(tokenizer_of(name))
    asked = [{"role": "user", "content": "Hens?"}]
    assert template.has_thinking
    assert template.prompt_ids(asked, thinking=True) != template.prompt_ids(asked, thinking=False)


@pytest.mark.parametrize(
    "name", [name for name, kind in KINDS.items() if not kind.thinking and not kind.reasoning and not kind.loses]
)
def test_a_template_without_a_switch_says_so(name):
    assert not ChatTemplate.of(tokenizer_of(name)).has_thinking


DATED = {
    "llama32": "02 Jan 2026",
    "smollm3": "02 January 2026",
    "granite3": "January 02, 2026",
    "gpt_oss": "2026-01-02",
    "mistral_v7": "2026-01-02",
}


@pytest.mark.parametrize("name", DATED)
def test_the_date_is_the_runs(name):
    tokenizer = tokenizer_for(name)
    tokenizer.init_kwargs[TRAINED_WITH] = {"date": "2026-01-02"}
    conversation = [{"role": "user", "content": "Hens?"}, {"role": "assistant", "content": "Five."}]
    ids, labels = Chat().encode_whole(tokenizer, conversation)
    prompt = ChatTemplate.of(tokenizer).prompt_ids(conversation[:1])
    assert DATED[name] in tokenizer.decode(ids) and DATED[name] in tokenizer.decode(prompt)
    assert prompt == ids[: first_learned(labels)]


@pytest.mark.slow
@pytest.mark.parametrize("name", REAL)
def test_the_law_holds_with_published_tokenizers(name):
    tokenizer = real_tokenizer(name)

    @settings(FEW, max_examples=8)
    @given(conversations(name))
    def holds(conversation):
        check_prompts(tokenizer, name, conversation)

    holds()


def test_the_places_are_in_order():
    """Of the oracle: what is learned for certain lies within what may be."""
    for name, kind in KINDS.items():
        conversation = [
            {"role": role, "content": f"{role} {number}"} for number in (1, 2) for role in ("user", "assistant")
        ]
        for place in places(tokenizer_of(name), conversation, kind)[1]:
            assert place.first <= place.begin < place.said <= place.end <= place.last
