"""What a row asks is what training made of such a row without its answer, in every format, whether the answer is there
or not.
"""

import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qlora_app.training_data.formats.columns import ColumnMap
from qlora_app.training_data.formats.detect import FormatDetector
from qlora_app.training_data.formats.known import READABLE, convert
from qlora_app.training_data.formats.turns import RowError
from qlora_app.training_data.questions import detector_of, question_of

TOOLS = [{"type": "function", "function": {"name": "count", "parameters": {"type": "object"}}}]


def said(role, text, **more):
    return {"role": role, "content": text} | more


def without(row, *names):
    return {name: value for name, value in row.items() if name not in names}


def columns(*names):
    return lambda row: without(row, *names)


def last_turn(column, by=1):
    return lambda row: row | {column: row[column][:-by]}


def text_before(column, mark):
    """The dialogue up to the last mark, and up to what stands before it."""
    return lambda row: row | {column: row[column][: row[column].rindex(mark)]}


ANSWERED = {"choices": [{"message": said("assistant", "{a}")}]}
PEOPLE = {"speaker": "user", "utterance": "{q}"}, {"speaker": "bot", "utterance": "{a}"}
NODES = {
    "1": {"parent": None, "children": ["2"], "message": None},
    "2": {"parent": "1", "message": {"author": {"role": "user"}, "content": {"parts": ["{q}"]}}},
    "3": {"parent": "2", "message": {"author": {"role": "assistant"}, "content": {"parts": ["{a}"]}}},
}
ROWS_OF_EXPORTS = [
    (
        "squad",
        {"context": "{c}", "question": "{q}", "answers": {"text": ["{a}"], "answer_start": [0]}},
        columns("answers"),
    ),
    ("squad", {"question": "{q}", "answer": ["{a}"], "system": "{s}"}, columns("answer")),
    ("history_response", {"context": ["{q}", "{r}", "{c}"], "response": "{a}"}, columns("response")),
    (
        "gemini_preference",
        {
            "contents": [{"role": "user", "parts": [{"text": "{q}"}]}],
            "completions": [{"score": None, "completion": {"role": "model", "parts": [{"text": "{a}"}]}}],
        },
        columns("completions"),
    ),
    ("turn_texts", {"data": ["{q}", "{r}", "{c}", "{a}"]}, last_turn("data")),
    ("turn_texts", {"history": [["{q}", "{a}"]]}, lambda row: {"history": row["history"][0][:1]}),
    (
        "exchanges",
        {"conversation": [{"system": "{s}", "input": "{q}", "output": "{r}"}, {"input": "{c}", "output": "{a}"}]},
        lambda row: {"conversation": [row["conversation"][0], without(row["conversation"][1], "output")]},
    ),
    ("exchanges", {"messages": [{"human": "{q}"}, {"assistant": "{a}"}]}, last_turn("messages")),
    ("user_assistant", {"human": "{q}", "bot": "{a}", "system": "{s}"}, columns("bot")),
    ("speakers", {"dialog": [*PEOPLE]}, last_turn("dialog")),
    ("chatgpt", {"mapping": NODES, "current_node": "3"}, lambda row: {"mapping": without(row["mapping"], "3")}),
    (
        "claude",
        {"chat_messages": [{"sender": "human", "text": "{q}"}, {"sender": "assistant", "text": "{a}"}]},
        last_turn("chat_messages"),
    ),
    (
        "openai_preference",
        {
            "input": {"messages": [said("user", "{q}")], "tools": TOOLS},
            "preferred_output": [said("assistant", "{a}")],
            "non_preferred_output": [said("assistant", "{r}")],
        },
        columns("preferred_output", "non_preferred_output"),
    ),
    (
        "api_requests",
        {"custom_id": None, "body": {"messages": [said("user", "{q}")]}, "response": {"body": ANSWERED}},
        columns("response"),
    ),
    (
        "label_studio",
        {
            "data": {"text": "{q}"},
            "annotations": [{"result": [{"from_name": "is", "type": "choices", "value": {"choices": ["{a}"]}}]}],
        },
        columns("annotations"),
    ),
    ("label_studio_min", {"text": "{q}", "is": "{a}", "annotation_id": 1, "lead_time": 2.5}, columns("is")),
    ("labelled_pieces", {"text": "{q}", "label": ["{a}"]}, columns("label")),
    ("tagged_words", {"id": None, "tokens": ["{q}", "of", "{r}"], "ner_tags": ["B-X", "O", "O"]}, columns("ner_tags")),
]

# (format, row with texts q, r, c, s and a to fill in, how its answer is taken away)
ROWS = [
    (
        "alpaca",
        {"instruction": "{q}", "input": "{c}", "output": "{a}", "system_prompt": "{s}", "history": [["{r}", "{a}"]]},
        columns("output"),
    ),
    ("gpteacher", {"instruction": "{q}", "input": "", "response": "{a}"}, columns("response")),
    ("dolly", {"instruction": "{q}", "context": "{c}", "response": "{a}"}, columns("response")),
    ("question_answer", {"question": "{q}", "context": "{c}", "answer": "{a}", "tools": TOOLS}, columns("answer")),
    ("question_answer", {"question": "{q}", "answer": "{a}", "reasoning": "{r}"}, columns("answer", "reasoning")),
    (
        "prompt_completion",
        {"prompt": [said("system", "{s}"), said("user", "{q}")], "completion": [said("assistant", "{a}")]},
        columns("completion"),
    ),
    ("prompt_completion", {"prompt": "{q}", "completion": "{a}"}, columns("completion")),
    ("named_pairs", {"problem": "{q}", "solution": "{a}", "system_prompt": "{s}"}, columns("solution")),
    ("named_pairs", {"src": "{q}", "tgt": "{a}"}, columns("tgt")),
    ("named_pairs", {"frage": "{q}", "antwort": "{a}", "reasoning": "{r}"}, columns("antwort", "reasoning")),
    ("flan", {"inputs": "{q}", "targets": "{a}"}, columns("targets")),
    ("input_output", {"input": "{q}", "output": "{a}"}, columns("output")),
    ("text_to_text", {"article": "{q}", "summary": "{a}"}, columns("summary")),
    (
        "translation",
        {"translation": {"de": "{q}", "en": "{a}"}},
        lambda row: {"translation": without(row["translation"], "en")},
    ),
    ("multiple_choice", {"question": "{q}", "choices": ["{r}1", "{c}2", "{s}3"], "answer": 1}, columns("answer")),
    (
        "multiple_choice",
        {"premise": "{q}", "question": "{c}", "choice1": "{r}1", "choice2": "{a}2", "label": 0},
        columns("label"),
    ),
    ("classification", {"text": "{q}", "label": "{a}"}, columns("label")),
    ("classification", {"sentence1": "{q}", "sentence2": "{r}", "label": 1}, columns("label")),
    (
        "preference",
        {"prompt": "{q}", "chosen": "{a}", "rejected": "{r}", "system": "{s}"},
        columns("chosen", "rejected"),
    ),
    (
        "preference",
        {
            "conversations": [{"from": "human", "value": "{q}"}],
            "chosen": {"from": "gpt", "value": "{a}"},
            "rejected": {"from": "gpt", "value": "{r}"},
        },
        columns("chosen", "rejected"),
    ),
    (
        "self_instruct",
        {"instruction": "{q}", "instances": [{"input": "{c}", "output": "{a}"}]},
        lambda row: row | {"instances": [without(one, "output") for one in row["instances"]]},
    ),
    (
        "messages",
        {
            "messages": [
                said("user", "{q}"),
                said("assistant", "{a}", weight=0),
                said("user", "{r}"),
                said("assistant", "{a}"),
            ],
            "system": "{s}",
            "tools": TOOLS,
        },
        last_turn("messages"),
    ),
    (
        "messages",
        {
            "messages": [
                said("user", "{q}"),
                said("assistant", "", tool_calls=[{"function": {"name": "count", "arguments": "{}"}}]),
                said("tool", "{r}"),
                said("assistant", "{a}", reasoning_content="{c}"),
            ]
        },
        last_turn("messages"),
    ),
    (
        "messages_parts",
        {
            "messages": [
                said("user", [{"type": "text", "text": "{q}"}]),
                said("assistant", [{"type": "text", "text": "{a}"}]),
            ]
        },
        last_turn("messages"),
    ),
    (
        "sharegpt",
        {
            "conversations": [
                {"from": "system", "value": "{s}"},
                {"from": "human", "value": "{q}"},
                {"from": "gpt", "value": "{a}"},
            ]
        },
        last_turn("conversations"),
    ),
    (
        "oasst_tree",
        {"prompt": {"role": "prompter", "text": "{q}", "replies": [{"role": "assistant", "text": "{a}"}]}},
        lambda row: {"prompt": without(row["prompt"], "replies")},
    ),
    ("guanaco_text", {"text": "### Human: {q}### Assistant: {a}"}, text_before("text", "### Assistant")),
    ("chip2", {"text": "<human>: {q}\n<bot>: {r}\n<human>: {c}\n<bot>: {a}"}, text_before("text", "<bot>")),
    (
        "marked_text",
        {"text": "<|im_start|>user\n{q}<|im_end|>\n<|im_start|>assistant\n{a}<|im_end|>\n"},
        text_before("text", "<|im_start|>assistant"),
    ),
    ("marked_text", {"text": "{s} USER: {q} ASSISTANT: {a}"}, text_before("text", "ASSISTANT")),
    *ROWS_OF_EXPORTS,
    ("hh_rlhf", {"chosen": "\n\nHuman: {q}\n\nAssistant: {a}"}, text_before("chosen", "Assistant:")),
]


def filled(value, texts):
    if isinstance(value, dict):
        return {key: filled(one, texts) for key, one in value.items()}
    if isinstance(value, list):
        return [filled(one, texts) for one in value]
    if isinstance(value, str):
        for name, text in texts.items():
            value = value.replace(f"{{{name}}}", text)
    return value


words = (
    st.text("abcdefghijk äöé", min_size=2, max_size=30)
    .filter(lambda text: len(text.strip()) > 2)
    .map(lambda text: f"w{text.strip()}w")
)


@pytest.mark.daily(7)
@pytest.mark.parametrize(
    ("format", "pattern", "taken"), ROWS, ids=[f"{name}-{place}" for place, (name, *_) in enumerate(ROWS)]
)
@settings(max_examples=25)
@given(texts=st.fixed_dictionaries({name: words for name in "qrcsa"}))
def test_a_question_is_the_training_without_its_answer(format, pattern, taken, texts):
    row = filled(pattern, texts)
    kind, seen = FormatDetector(format, ColumnMap())(copy.deepcopy(row))
    learned = convert(kind, seen, [])[0]
    assert kind.name == format and learned[-1]["role"] == "assistant"
    for asked in (row, taken(row)):
        found = question_of(asked, detector_of(format))
        assert found == learned[:-1]
    assert question_of(taken(row) | {"extra": "x"}, detector_of(format)) == learned[:-1]


def test_every_format_with_an_answer_was_tried():
    assert {name for name, *_ in ROWS} | {"text", "unnatural_instructions", "people"} == set(READABLE) - {"oasst_links"}


@pytest.mark.parametrize(
    ("map", "row", "answer"),
    [
        (ColumnMap(prompt="Ask", answer="Say", system="Who"), {"Ask": "q", "Say": "a", "Who": "s"}, "Say"),
        (ColumnMap(template="{t}: {in.b}", label="mark"), {"T": "t", "in": {"b": "x"}, "mark": 1}, "mark"),
        (ColumnMap(prompt="t", answer="right", options="all"), {"t": "q", "right": "x", "all": ["x", "y"]}, "right"),
    ],
)
def test_columns_that_a_person_named_ask_as_they_taught(map, row, answer):
    recogniser = detector_of("columns", map)
    kind, seen = recogniser(row)
    learned = convert(kind, seen, [])[0]
    assert question_of(row, recogniser) == question_of(without(row, answer), recogniser) == learned[:-1]


def test_a_label_that_was_found_by_its_values():
    recogniser = detector_of("classification", answer="topic")
    for row in ({"text": "q", "topic": "geo"}, {"text": "q"}, "q"):
        assert question_of(row, recogniser) == [said("user", "q")]


@pytest.mark.parametrize(
    ("row", "asked"),
    [
        ("Who?", "Who?"),
        ({"Prompt": "Who?", "answer": "Mira"}, "Who?"),
        ({"instruction": "Sum up", "input": "A text"}, "Sum up\n\nA text"),
        ([said("user", "Who?")], "Who?"),
        ({"question": "Which?", "choices": ["x", "y"]}, "Which?\nA. x\nB. y"),
        ({"messages": [said("user", "a"), said("assistant", "b"), said("user", "Who?")]}, "Who?"),
    ],
)
@pytest.mark.parametrize("format", ["auto", "alpaca", "messages", "columns"])
def test_rows_of_another_format_than_that_of_the_training_are_asked_too(row, asked, format):
    assert question_of(row, detector_of(format))[-1] == said("user", asked)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"image": "a.png", "question": "q"}, "pictures, sound or video (`image`)"),
        ({"messages": [said("user", [{"type": "image_url", "image_url": "x"}])]}, "not text (image_url)"),
        ({"messages": [said("assistant", "a")]}, ""),
        ({"messages": [said("system", "s")]}, ""),
        ({"x": 1}, ""),
        (5, "neither a text"),
        ("  ", "empty"),
        ({"messages": [said("narrator", "x")]}, "role 'narrator'"),
        ({"question": ""}, "empty"),
        ({"question": None}, ""),
    ],
)
@pytest.mark.parametrize("format", ["auto", "messages", "question_answer", "classification"])
def test_a_row_that_cannot_be_asked_says_why(row, reason, format):
    with pytest.raises(RowError) as error:
        question_of(row, detector_of(format))
    assert reason in str(error.value)


def test_a_plain_text_comes_back_whole():
    words = " ".join(f"word{i}" for i in range(2000))
    (turn,) = question_of({"text": words, "url": "u"}, detector_of("text"))
    assert turn["role"] == "text" and turn["content"].split() == words.split()


@pytest.mark.parametrize(
    "columns",
    [
        ColumnMap(prompt="Frage", answer="Lösung"),
        ColumnMap(answer="Lösung"),
        ColumnMap(template="Q: {Frage} ({Thema})", answer="Lösung"),
    ],
)
def test_what_stands_for_itself_is_asked_though_the_run_named_columns(columns):
    asks = detector_of("auto", columns)
    for value in ("Was ist 3?", {"question": "Was ist 3?"}, [{"role": "user", "content": "Was ist 3?"}]):
        if columns.given.keys() == {"answer"} and isinstance(value, dict):
            continue  # of plain texts there is no column that asks
        assert question_of(value, asks) == [{"role": "user", "content": "Was ist 3?"}]


def test_a_composed_question_with_a_column_missing_is_refused_by_its_name():
    asks = detector_of("auto", ColumnMap(template="Q: {Frage} ({Thema})", answer="Lösung"))
    assert question_of({"Frage": "Was ist 3?", "Thema": "Zahlen"}, asks)[0]["content"] == "Q: Was ist 3? (Zahlen)"
    with pytest.raises(RowError, match="no column 'thema'"):
        question_of({"Frage": "Was ist 3?"}, asks)
