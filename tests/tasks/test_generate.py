"""Prompts that fit their model, what ends an answer, and conversations whose answers are learned one by one."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM

from qlora_app.base_models import check_vocabulary
from qlora_app.tasks.chat import Chat, encode
from qlora_app.tasks.dataset import EncodedExamples
from qlora_app.tasks.generate import LEAST_ROOM, prompt_for, read_answer
from qlora_app.tasks.template import ChatTemplate
from tests.chat_templates import tiny_model_for, tokenizer_for
from tests.refusing import refused

FEW = settings(max_examples=15)


def talk(*texts, system=""):
    turns = [{"role": "system", "content": system}] if system else []
    return turns + [{"role": ("user", "assistant")[place % 2], "content": text} for place, text in enumerate(texts)]


# ---- prompts


@FEW
@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=7).filter(lambda sizes: len(sizes) % 2),
    st.integers(64, 300),
    st.integers(1, 300),
)
def test_a_prompt_fits_keeps_its_head_and_its_last_turn_and_says_what_it_left_out(sizes, context, wanted):
    tokenizer = tokenizer_for("chatml")
    conversation = talk(*[f"turn{number} " + "x " * size for number, size in enumerate(sizes)], system="Say little.")
    whole = ChatTemplate.of(tokenizer).prompt_ids(conversation)
    made = prompt_for(tokenizer, conversation, context, wanted)
    text = tokenizer.decode(made.ids)
    assert len(made.ids) + made.room <= context and made.room >= min(wanted, LEAST_ROOM)
    assert text.startswith("<|im_start|>system\nSay") and text.endswith("assistant\n")
    if len(whole) + wanted <= context:
        assert made.ids == whole and made.room == wanted and not made.note
    elif made.ids == whole:
        assert made.room == context - len(whole) and not made.note, "only the room that is free is taken"
    else:
        assert str(context) in made.note and ("were not read" in made.note or "tokens in the middle" in made.note)


def test_the_head_stays_and_the_turns_after_it_go():
    tokenizer = tokenizer_for("chatml")
    conversation = talk(*[f"turn{number} " + "x " * 20 for number in range(9)], system="Say little.")
    kept = [*conversation[:3], *conversation[-3:]]
    short = ChatTemplate.of(tokenizer).prompt_ids(kept)
    made = prompt_for(tokenizer, conversation, len(short) + 40, 40)
    assert made.ids == short and "the 4 turns after the first answer were not read" in made.note


def test_where_the_head_is_too_long_the_oldest_turns_go_and_the_tools_stay():
    tokenizer = tokenizer_for("qwen3")
    tools = (
        '[{"type": "function", "function": {"name": "count", "description": "Counts.", "parameters": {"type": '
        '"object"}}}]'
    )
    conversation = talk(*["old " * 60, "older " * 60, "new?", "yes", "newest?"])
    conversation[0]["tools"] = tools
    later = [{**conversation[2], "tools": tools}, *conversation[3:]]
    short = ChatTemplate.of(tokenizer).prompt_ids(later)
    made = prompt_for(tokenizer, conversation, len(short) + 40, 40)
    assert made.ids == short and "the 2 oldest turns were not read" in made.note


def test_what_an_answer_was_begun_with_is_never_left_out():
    tokenizer = tokenizer_for("chatml")
    conversation = talk(*["old " * 60, "older " * 60, "new?"])
    whole = prompt_for(tokenizer, talk("new?"), None, 40, begun="Five hens")
    made = prompt_for(tokenizer, conversation, len(whole.ids) + 40, 40, begun="Five hens")
    assert made.ids == whole.ids and made.begun == whole.begun and "oldest" in made.note
    assert tokenizer.decode(made.begun) == "Five hens" and made.ids[-len(made.begun) :] == list(made.begun)


# ---- what ends an answer


def test_marks_that_are_no_tokens_end_an_answer_by_their_letters():
    tokenizer = tokenizer_for("guanaco")
    tokenizer.chat_template = (
        "{% for m in messages %}[{{ m.role }}]{{ m.content }}[over]{% endfor %}"
        "{% if add_generation_prompt %}[assistant]{% endif %}"
    )
    template = ChatTemplate.of(tokenizer)
    assert template.stop_strings == ["[over]"]
    ids = tokenizer("Five hens.[over][user]And", add_special_tokens=False)["input_ids"]
    made = read_answer(tokenizer, ids, template.stop_ids(), thinking=False)
    assert made.text == "Five hens." and made.has_ended
    learned = encode(tokenizer, talk("Hens?", "Five."), 64)
    assert tokenizer.decode([label for label in learned.labels if label >= 0]).strip() == "Five.[over]"


def test_a_token_that_also_ends_the_reasoning_ends_no_answer_that_reasons():
    tokenizer = tokenizer_for("gpt_oss")
    end = tokenizer.convert_tokens_to_ids("<|end|>")
    template = ChatTemplate.of(tokenizer)
    assert end in template.stop_ids(thinking=False) and end not in template.stop_ids(thinking=True)
    reasoned = [*talk("Hens?"), {"role": "assistant", "content": "Five.", "reasoning": "I count."}]
    said = tokenizer(
        "<|channel|>analysis<|message|>I count.<|end|><|start|>assistant<|channel|>final<|message|>Five.<|return|>",
        add_special_tokens=False,
    )["input_ids"]
    made = read_answer(tokenizer, said, template.stop_ids(thinking=True), thinking=True)
    assert (made.reasoning, made.text, made.has_ended) == ("I count.", "Five.", True)
    assert template.answer_of(reasoned) == ("I count.", "Five.")


# ---- a tokenizer of another model


def test_a_tokenizer_that_knows_more_than_its_model_is_refused_in_words(tmp_path):
    tokenizer = tokenizer_for("chatml")
    model = AutoModelForCausalLM.from_pretrained(tiny_model_for("chatml", tmp_path))
    check_vocabulary(model, tokenizer)
    tokenizer.add_tokens([f"<new{number}>" for number in range(model.get_input_embeddings().num_embeddings)])
    with refused("model.strange_tokens", "<new"):
        check_vocabulary(model, tokenizer)


# ---- answers that stand alone


@pytest.mark.parametrize("name", ["qwen3", "mistral_v03", "glm45", "chatml"])
def test_every_answer_is_learned_once_behind_the_prompt_it_will_be_asked_with(name):
    tokenizer = tokenizer_for(name)
    conversation = talk("One?", "1.", "Two?", "2.", "Three?", "3.", system="Count.")
    examples = EncodedExamples([conversation, conversation[:3]], tokenizer, 512)
    examples.meet_all()
    assert not examples.left_out and not examples.partly_learned
    rows = [examples.row_of(place) for place in range(len(examples))]
    assert set(rows) == {0, 1} and (len(rows) == 2) == (not ChatTemplate.of(tokenizer).asked_otherwise(conversation))
    assert name != "qwen3" or len(rows) == 4
    prompts = [ChatTemplate.of(tokenizer).prompt_ids(conversation[:turn], False) for turn in (2, 4, 6)]
    found = []
    for place in range(len(examples)):
        if examples.row_of(place) == 0:
            found += starts(examples[place])
    assert sorted(len(ids) for ids in found) == sorted(map(len, prompts)) and all(ids in prompts for ids in found)


def starts(example):
    """The token ids that stand before each learned stretch."""
    labels = example["labels"]
    return [
        example["input_ids"][:place]
        for place in range(1, len(labels))
        if labels[place] != -100 and labels[place - 1] == -100
    ]


def test_reasoning_of_earlier_answers_is_learned_too():
    tokenizer = tokenizer_for("qwen3")
    conversation = talk("One?", "1.", "Two?", "2.")
    conversation[1]["reasoning"], conversation[3]["reasoning"] = "First.", "Second."
    examples = EncodedExamples([conversation], tokenizer, 512)
    examples.meet_all()
    learned = [tokenizer.decode([label for label in one["labels"] if label != -100]) for one in examples]
    assert sorted(learned) == [
        "<think>\nFirst.\n</think>\n\n1.<|im_end|>",
        "<think>\nSecond.\n</think>\n\n2.<|im_end|>",
    ]
    assert Chat().questions(tokenizer, conversation)[0].thinking


def test_a_conversation_of_which_one_answer_is_learned_is_one_example():
    tokenizer = tokenizer_for("qwen3")
    conversation = talk("One?", "1.", "Two?", "2.")
    conversation[1]["reasoning"], conversation[3]["train"] = "First.", False
    examples = EncodedExamples([conversation], tokenizer, 512)
    examples.meet_all()
    assert len(examples) == 1 and not examples.left_out and not examples.partly_learned
    assert "First." in tokenizer.decode([label for label in examples[0]["labels"] if label != -100])


def test_an_answer_says_what_of_its_question_was_not_read(tmp_path):
    tokenizer = tokenizer_for("chatml")
    model = AutoModelForCausalLM.from_pretrained(tiny_model_for("chatml", tmp_path, max_position_embeddings=64))
    long, short = Chat().answers(model, tokenizer, [talk("word " * 100), talk("Hens?")], max_new_tokens=4)
    assert "The model reads at most 64 tokens" in long.note and not short.note
