"""Small files of the kinds that were learned wrongly, read as a person's own and put under the templates that broke
them.
"""

from pathlib import Path
from types import SimpleNamespace

import pytest

from qlora_app.recipe import Training
from qlora_app.tasks.chat import Chat
from qlora_app.tasks.dataset import EncodedExamples
from qlora_app.tasks.template import TRAINED_WITH, ChatTemplate
from qlora_app.train.questions import questions_of
from qlora_app.training_data import import_file, load_examples
from qlora_app.training_data.choice import DatasetChoice
from tests.chat_templates import KINDS, THINK_MARKS, tokenizer_for
from tests.tasks.test_masks import check_mask, runs

SAMPLES = Path(__file__).parent.parent / "data" / "faults"


def rows_of(name, home):
    """The conversations of one of our own files, as an import reads them."""
    id = import_file(SAMPLES / name, home / "data", name)
    return list(load_examples(DatasetChoice(source="file", id=id, held_out_share=0.0), home / "data").train)


def learned(tokenizer, conversation):
    return [tokenizer.decode(run) for run in runs(Chat().encode_whole(tokenizer, conversation)[1])]


@pytest.mark.parametrize("file", ["think.jsonl", "reasoning_content.jsonl"])
@pytest.mark.parametrize("name", ["qwen3", "qwen3_later", "qwen3_opened", "glm45"])
def test_reasoning_is_learned_with_the_model_s_own_marks(home, file, name):
    tokenizer = tokenizer_for(name)
    for place, conversation in enumerate(rows_of(file, home), 1):
        ids, _ = Chat().encode_whole(tokenizer, conversation)
        assert [ids.count(tokenizer.convert_tokens_to_ids(mark)) for mark in THINK_MARKS] == [1, 1]
        (said,) = learned(tokenizer, conversation)
        assert f"One and {place}." in said and "</think>" in said


@pytest.mark.daily(15)
@pytest.mark.parametrize("name", KINDS)
def test_of_two_turns_both_answers_are_learned_and_no_question(home, name):
    tokenizer = tokenizer_for(name)
    for conversation in rows_of("two_turns.jsonl", home):
        check_mask(tokenizer, name, conversation)
        said = learned(tokenizer, conversation)
        assert len(said) == 2 and "By the mill." in said[1]
        assert not any("Where" in text or "keeps" in text for text in said)


def test_phi_stops_where_its_turn_ends():
    assert tokenizer_for("phi3").convert_tokens_to_ids("<|end|>") in ChatTemplate.of(tokenizer_for("phi3")).stop_ids()


@pytest.mark.parametrize("name", ["qwen3", "chatml", "granite4", "hermes", "gpt_oss"])
def test_tool_arguments_as_text_and_as_an_object_are_one_thing(home, name):
    tokenizer = tokenizer_for(name)
    as_text, as_object = (rows_of(f"tool_args_{kind}.jsonl", home) for kind in ("string", "dict"))
    for one, other in zip(as_text, as_object, strict=True):
        assert Chat().encode_whole(tokenizer, one) == Chat().encode_whole(tokenizer, other)
        assert "\\\\" not in "".join(learned(tokenizer, one))


def test_a_row_that_a_template_refuses_does_not_keep_the_others_from_being_read(home):
    """Gemma 2 refuses system turns, and one of four rows has one."""
    rows = rows_of("one_system.jsonl", home)
    made = Chat().encode_all(tokenizer_for("gemma2"), [row for row in rows if row[0]["role"] != "system"], 64)
    assert len(made) == 3 and all(any(label != -100 for label in one.labels) for one in made)


def test_a_typed_question_is_put_as_the_rows_put_theirs():
    tokenizer, nothing = tokenizer_for("chatml"), SimpleNamespace(held_out=[], also_learned=[])
    rows = EncodedExamples([], tokenizer, 64, Chat())
    tokenizer.init_kwargs[TRAINED_WITH] = {"system": "Answer in verse."}
    typed = Training(sample_questions=["Who is Mira?"], scored_questions=0)
    (asked,) = questions_of(Chat(), tokenizer, nothing, set(), rows, typed, None).samples
    assert asked.conversation[0] == {"role": "system", "content": "Answer in verse."} and asked.text == "Who is Mira?"
