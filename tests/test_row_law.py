"""The row law: what is accepted is used, and whatever of a row is not in what is learned is named with its count."""

import copy
import itertools
import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qlora_app.errors import UserError
from qlora_app.training_data.conversations import read_file
from qlora_app.training_data.formats.columns import ColumnMap
from qlora_app.training_data.formats.row_view import present
from qlora_app.training_data.formats.tool_calls import CALL_IDS
from qlora_app.training_data.questions import detector_of, question_of
from tests.refusing import refused
from tests.test_questions import ROWS, TOOLS, said

OBJECT = [
    said("user", "q"),
    said(
        "assistant",
        None,
        tool_calls=[{"id": "1", "type": "function", "function": {"name": "f", "arguments": {"a": 1}}}],
    ),
    said("tool", "r", tool_call_id="1"),
    said("assistant", "b"),
]
CALLED = {"role": "assistant", "content": "", "tool_calls": '[{"name": "f", "arguments": {"a": 1}}]'}


def read(tmp_path, rows, name="rows.jsonl", **how):
    file = tmp_path / name
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return read_file(file, name, **how)


def turns(tmp_path, row, **how):
    found = read(tmp_path, [row], **how)
    return found.conversations[0], " ".join(found.warnings)


# ---- nothing is passed over in silence


def leaves(value, path=()):
    """(keys that lead there, text) of every text and number."""
    if isinstance(value, dict):
        for key, one in value.items():
            yield from leaves(one, (*path, str(key).strip()))
    elif isinstance(value, list):
        for one in value:
            yield from leaves(one, path)
    elif value not in (None, "", True, False):
        yield path, str(value)


def objects(value):
    """Every object in a row, itself first."""
    if isinstance(value, dict):
        yield value
        for one in value.values():
            yield from objects(one)
    elif isinstance(value, list):
        for one in value:
            yield from objects(one)


class Tokens:
    """Texts that stand nowhere else."""

    def __init__(self):
        self.number = itertools.count(100)

    def new(self, _=None):
        return f"tok{next(self.number)}x"

    def fill(self, value):
        if isinstance(value, dict):
            return {key: self.fill(one) for key, one in value.items()}
        if isinstance(value, list):
            return [self.fill(one) for one in value]
        return re.sub(r"\{[qrcsa]\}", self.new, value) if isinstance(value, str) else value


PLACES = [
    "weight",
    "train",
    "mask",
    "label",
    "tools",
    "functions",
    "reasoning",
    "thinking",
    "id",
    "name",
    "metadata",
    "system",
    "sys_prompt",
    "instruction",
    "input",
    "context",
    "source",
    "thought",
    "signature",
    "tool_calls",
    "value",
    "text",
    "topic",
    "lang",
    "extra",
    "kto_tag",
    "history",
    "index",
    "citations",
    "score",
    "rank",
    "title",
    "arguments",
    "parameters",
    "description",
]
names = st.one_of(st.sampled_from(PLACES), st.text("abcdefghij_", min_size=1, max_size=9))
shapes = st.sampled_from(
    [
        lambda made: made,
        lambda made: [made],
        lambda made: {"inner": made},
        lambda made: [{"inner": made}],
        lambda made: {"tools": [{"name": made}], "beside": made},
        lambda made: 12345.5,
    ]
)
extras = st.lists(st.tuples(names, shapes, st.integers(0, 50)), min_size=1, max_size=4)
RICH = [
    (
        "messages",
        {
            "messages": [said("user", [{"type": "text", "text": "{q}"}]), *OBJECT[1:]],
            "tools": TOOLS,
            "metadata": {"system": "{s}"},
        },
        None,
    )
]


def unnamed(rows, found):
    """What is neither learned nor named."""
    learned = json.dumps(list(found.conversations), ensure_ascii=False)
    words = " ".join(found.warnings)
    for path, text in itertools.chain.from_iterable(map(leaves, rows)):
        is_named = any(f"`{key[:40]}`" in words for key in path) or "rejected" in path
        parts = re.findall(r"tok\d+x", text) or [text]
        if not is_named and not all(part in learned for part in parts):
            yield path, text


@pytest.mark.daily(6)
@pytest.mark.parametrize(("format", "pattern"), [(one[0], one[1]) for one in ROWS + RICH], ids=str)
@settings(max_examples=40)
@given(added=extras)
def test_what_is_not_learned_is_named(tmp_path, format, pattern, added):
    made = Tokens()
    rows = [made.fill(copy.deepcopy(pattern)) for _ in range(2)]
    for row in rows:
        for name, shape, place in added:
            every = [one for one in objects(row) if not {"parameters", "arguments"} & one.keys() or one is row]
            there = every[place % len(every)]
            if not (there.get("role") == "tool" and name in CALL_IDS):  # which call it answers: read, and in no turn
                there.setdefault(name, shape(made.new()))
    try:
        found = read(tmp_path, rows)
    except UserError:
        return  # that is said
    if found.format != "text" and len(found.left_out) == 0:
        speakers = {
            "user",
            "assistant",
            "tool",
            "human",
            "gpt",
            "bot",
            "choices",
            "prompter",
            "text",
            "function",
            "system",
        }  # and what a part is
        # what says which result, which choice, which question of an annotator, or how long it took
        ids = ("id", "tool_call_id", "answer", "label", "from_name", "lead_time", "annotation_id", "ner_tags")
        assert [
            (path, text)
            for path, text in unnamed(rows, found)
            if ("tok" in text and not {"tool_calls", "id"} <= {*path}) or (text not in speakers and path[-1] not in ids)
        ] == []


def test_columns_and_keys_are_named_with_their_count(tmp_path):
    rows = [
        {
            "messages": [said("user", f"q{i}", name="Ann"), said("assistant", "a", **({"mood": "x"} if i < 3 else {}))],
            "topic": "t",
        }
        for i in range(9)
    ] + [{"messages": [said("user", "q"), said("assistant", "a")], "topic": None, "id": 7}]
    words = read(tmp_path, rows).warnings
    assert "Columns that are not read, with the number of rows they stand in: `topic` (9), `id` (1)." in words
    assert "Keys of turns that are not read, with the number of rows they stand in: `name` (9), `mood` (3)." in words


def test_a_row_that_is_wholly_used_says_nothing(tmp_path):
    for format, pattern, _ in ROWS:
        found = read(tmp_path, [Tokens().fill(pattern)])
        assert not [text for text in found.warnings if "not read" in text], format


def test_columns_beside_those_a_person_named(tmp_path):
    row = {"Ask": "q", "body": {"en": "a", "de": "b"}, "topic": "t"}
    found = read(tmp_path, [row], columns=ColumnMap(prompt="ask", answer="body.en"))
    assert found.conversations[0] == [said("user", "q"), said("assistant", "a")]
    assert "Inside of `body` not read, with the number of rows it stands in: `de` (1)." in found.warnings
    assert any(text.startswith("Columns that are not read") and "`topic` (1)" in text for text in found.warnings)


# ---- labels of any name


@pytest.mark.parametrize("column", ["category", "topic", "Genre", "is_spam"])
def test_short_values_that_repeat_are_the_label_of_a_text(tmp_path, column):
    found = read(tmp_path, [{"text": f"What of {i}?", column: ["geo", "travel"][i % 2]} for i in range(12)])
    assert found.format == "classification" and found.conversations[1] == [
        said("user", "What of 1?"),
        said("assistant", "travel"),
    ]
    assert f"`{column.lower()}` is taken for the label of each text" in found.warnings[0]
    assert (found.user, found.answer) == ("text", column.lower())
    assert read(tmp_path, [{"text": "q", column: "a"}] * 2, format="text").format == "text"


@pytest.mark.parametrize(
    ("more", "hint"),
    [
        (lambda i: {"source": ["a", "b"][i % 2]}, ""),
        (lambda i: {"note": f"about {i}"}, ""),
        (lambda i: {"kind": "same"}, ""),
        (lambda i: {"kind": "ab"[i % 2]} if i else {}, ""),
    ],
)
def test_other_columns_beside_a_text_are_named(tmp_path, more, hint):
    found = read(tmp_path, [{"text": f"What of {i}?", **more(i)} for i in range(12)])
    words = " ".join(found.warnings)
    assert found.format == "text" and all(f"`{name}` (1" in words for name in more(1)) and hint in words


# ---- what is not to be learned


@pytest.mark.parametrize(
    "mark",
    [
        {"train": False},
        {"trainable": False},
        {"training": False},
        {"train_on_turn": False},
        {"weight": 0},
        {"weight": 0.0},
        {"loss_weight": 0},
        {"loss": False},
        {"learn": "false"},
        {"masked": True},
        {"mask": 1},
        {"loss_mask": 0},
        {"train": "no"},
        {"weight": "0"},
        {"compute_loss": False},
    ],
)
@pytest.mark.parametrize("place", [1, 3])
def test_marks_that_a_turn_is_not_learned(tmp_path, mark, place):
    talk = [said("user", "a"), said("assistant", "A"), said("user", "b"), said("assistant", "B")]
    talk[place] |= mark
    talk[0] |= {name: value for name, value in mark.items() if name != "mask"}
    made, words = turns(tmp_path, {"messages": talk})
    assert [one.get("train", True) for one in made] == [at != place for at in range(4)] and "not read" not in words
    assert ("`mask` of a turn is understood so" in words) == ("mask" in mark)


@pytest.mark.parametrize("mark", [{"train": True}, {"weight": 1}, {"masked": False}, {"loss": True}])
def test_marks_that_change_nothing_and_those_that_cannot_be_followed(tmp_path, mark):
    made, words = turns(tmp_path, {"messages": [said("user", "a"), said("assistant", "A", **mark)]})
    assert made[1] == said("assistant", "A") and words == ""
    made, words = turns(tmp_path, {"messages": [said("user", "a", **mark), said("assistant", "A", weight=0.5)]})
    assert (
        "train" not in made[0] | made[1]
        and "Keys of turns that are not read" in words
        and f"`{next(iter(mark))}`" in words
    )


# ---- system texts, tools, reasoning, calls


@pytest.mark.parametrize(
    "row",
    [
        {"system": "S"},
        {"system_prompt": "S"},
        {"System Prompt": "S"},
        {"sys_prompt": "S"},
        {"system_instruction": "S"},
        {"systemMessage": "S"},
        {"systemInstruction": {"role": "system", "parts": [{"text": "S"}]}},
        {"systemInstruction": {"parts": {"text": "S"}}},
        {"metadata": {"system_prompt": "S"}},
        {"system_message": {"role": "system", "content": "S"}},
    ],
)
def test_system_texts_at_their_various_places(tmp_path, row):
    for asked in (
        {"question": "q", "answer": "a"},
        {"messages": [said("user", "q"), said("assistant", "a")]},
        {"question": "q", "choices": ["x", "y"], "answer": "B"},
    ):
        made, words = turns(tmp_path, row | asked)
        assert made[0] == said("system", "S") and len(made) == 3 and "not read" not in words


def test_a_system_turn_of_its_own_stays_and_the_other_is_named(tmp_path):
    talk = [said("system", "T"), said("user", "q"), said("assistant", "a")]
    made, words = turns(tmp_path, {"messages": talk, "system": "S"})
    assert made == talk and "`system` (1)" in words
    assert turns(tmp_path, {"messages": talk, "system": "T"})[1] == ""
    made, words = turns(tmp_path, {"messages": talk[1:], "instruction": "Be kind."})
    assert (
        made[0] == said("system", "Be kind.")
        and "`instruction` beside a conversation is taken as its system text" in words
    )


LISTED = json.dumps(TOOLS)


@pytest.mark.parametrize("given", [TOOLS, LISTED, str(TOOLS), [json.dumps(one) for one in TOOLS], TOOLS[0]])
@pytest.mark.parametrize(
    "place", ["tools", "functions", "Available_Tools", "metadata", "extra", "system turn", "first turn"]
)
def test_tools_at_their_various_places(tmp_path, given, place):
    talk = [said("system", "S"), said("user", "q"), said("assistant", "a")]
    row = {"messages": talk}
    if place == "system turn":
        talk[0]["tools"] = given
    elif place == "first turn":
        talk.pop(0)
        talk[0]["functions"] = given
    else:
        row |= {place: {"tools": given}} if place in ("metadata", "extra") else {place: given}
    made, words = turns(tmp_path, row)
    assert (
        json.loads(made[0]["tools"]) == TOOLS
        and all("tools" not in one for one in made[1:])
        and "not read" not in words
    )


def test_tools_in_other_words(tmp_path):
    declared = [{"functionDeclarations": [{"name": "f"}, {"name": "g"}]}]
    talk = [{"role": "user", "parts": [{"text": "q"}]}, {"role": "model", "parts": [{"text": "a"}]}]
    made, _ = turns(tmp_path, {"contents": talk, "tools": declared})
    assert json.loads(made[0]["tools"]) == [{"name": "f"}, {"name": "g"}]
    made, _ = turns(tmp_path, {"question": "q", "answer": "a", "tools": "f(x): counts"})
    assert made[0] == said("system", "You can call these tools:\nf(x): counts")
    for nothing in ("[]", [], "", None, "null", {}):
        assert turns(tmp_path, {"question": "q", "answer": "a", "tools": nothing}) == (
            [said("user", "q"), said("assistant", "a")],
            "",
        )


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning", "thinking", "thought", "reason_thinking"])
def test_reasoning_by_its_names(tmp_path, name):
    made, words = turns(tmp_path, {"messages": [said("user", "q"), said("assistant", "a", **{name: "r"})]})
    assert made[1] == said("assistant", "a", reasoning="r") and words == ""
    made, words = turns(tmp_path, {"question": "q", "answer": "a", name: "r"})
    assert (
        made[1] == said("assistant", "a", reasoning="r")
        and f"`{name}` is learned as what the assistant thinks" in words
    )


@pytest.mark.parametrize(
    "part", [{"type": "thinking", "thinking": "r"}, {"type": "reasoning", "text": "r"}, {"text": "r", "thought": True}]
)
def test_reasoning_as_a_part(tmp_path, part):
    made, words = turns(
        tmp_path, {"messages": [said("user", "q"), said("assistant", [part, {"type": "text", "text": "a"}])]}
    )
    assert made[1] == said("assistant", "a", reasoning="r") and words == ""


CALLS = {
    "OpenAI": OBJECT,
    "arguments as text": [
        OBJECT[0],
        said(
            "assistant",
            None,
            tool_calls=[{"id": "1", "type": "function", "function": {"name": "f", "arguments": '{ "a":1 }'}}],
        ),
        *OBJECT[2:],
    ],
    "calls as text": [
        OBJECT[0],
        said("assistant", "", tool_calls='[{"name": "f", "arguments": {"a": 1, "b": null}}]'),
        *OBJECT[2:],
    ],
    "filled up by a table": [
        OBJECT[0],
        said(
            "assistant",
            None,
            function_call=None,
            tool_calls=[
                {
                    "id": "1",
                    "type": "function",
                    "function": {"name": "f", "arguments": {"a": 1, "b": None, "c": float("nan")}},
                },
                None,
            ],
        ),
        *OBJECT[2:],
    ],
    "function_call": [
        OBJECT[0],
        said("assistant", None, function_call={"name": "f", "arguments": '{"a": 1}'}),
        said("function", "r", name="f"),
        OBJECT[3],
    ],
    "ShareGPT": [
        {"from": "human", "value": "q"},
        {"from": "function_call", "value": '{"name": "f", "arguments": {"a": 1}}'},
        {"from": "observation", "value": "r"},
        {"from": "gpt", "value": "b"},
    ],
    "Anthropic": [
        said("user", "q"),
        said("assistant", [{"type": "tool_use", "id": "1", "name": "f", "input": {"a": 1}}]),
        said("user", [{"type": "tool_result", "tool_use_id": "1", "content": [{"type": "text", "text": "r"}]}]),
        said("assistant", "b"),
    ],
    "Gemini": [
        {"role": "user", "parts": [{"text": "q"}]},
        {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {"a": 1}}}]},
        {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": "r"}}]},
        {"role": "model", "parts": [{"text": "b"}]},
    ],
}


@pytest.mark.parametrize("talk", CALLS.values(), ids=CALLS)
def test_calls_are_the_same_however_they_are_written(tmp_path, talk):
    made, words = turns(tmp_path, {"messages" if "parts" not in talk[0] else "contents": talk})
    assert made == [said("user", "q"), CALLED, said("tool", "r"), said("assistant", "b")] and words == ""


def test_calls_and_results_of_several_tools(tmp_path):
    calls = [
        {"id": name, "function": {"name": name, "arguments": arguments}}
        for name, arguments in (("x", "no JSON"), ("y", None))
    ]
    talk = [
        said("user", "q"),
        said("assistant", "Wait.", tool_calls=calls),
        said("tool", {"n": 2}, tool_call_id="y"),
        said("tool", "1", tool_call_id="x"),
        said("assistant", "b"),
    ]
    made, words = turns(tmp_path, {"messages": talk})
    assert json.loads(made[1]["tool_calls"]) == [{"name": "x", "arguments": "no JSON"}, {"name": "y", "arguments": {}}]
    assert [one["content"] for one in made] == ["q", "Wait.", "1", '{"n": 2}', "b"] and words == ""


def test_reasoning_alone_is_no_answer(tmp_path):
    with refused("dataset.no_trainable_row", "has reasoning, and says nothing"):
        turns(tmp_path, {"messages": [said("user", "q"), said("assistant", "", reasoning="r")]})
    made, _ = turns(
        tmp_path, {"messages": [said("user", "q"), said("assistant", None, reasoning="r"), said("assistant", "a")]}
    )
    assert made[1] == said("assistant", "a", reasoning="r")


# ---- nothing is nothing

values = st.recursive(
    st.one_of(st.text(max_size=4), st.integers(), st.booleans(), st.floats(allow_nan=False, allow_infinity=False)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, min_size=1, max_size=3)
    ),
    max_leaves=8,
)


def filled_up(value):
    """As a table format writes it: every object has keys more that are null."""
    if isinstance(value, dict):
        return {
            **{key: filled_up(one) for key, one in value.items()},
            "other\0": None,
            "nan\0": float("nan"),
            "empty\0": {"x": None},
        }
    if isinstance(value, list):
        return [filled_up(one) for one in value] + [None] * any(isinstance(one, dict) for one in value)
    return value


@settings(max_examples=200)
@given(value=values)
def test_null_nan_and_absent_are_one_thing_at_every_depth(value):
    assert present(filled_up(value)) == value


def test_parquet_fills_up_and_nothing_changes(tmp_path):
    import pyarrow
    import pyarrow.parquet

    rows = [
        {"messages": OBJECT, "tools": TOOLS, "score": 0.5, "system": None},
        {"messages": [said("user", "a", name="Ann"), said("assistant", "b", weight=0.0)]},
        {"messages": [said("user", "a"), said("assistant", "b")], "system": "S"},
    ]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "rows.parquet")
    plain, filled = read(tmp_path, rows), read_file(tmp_path / "rows.parquet", "rows.parquet")
    assert list(filled.conversations) == list(plain.conversations) and filled.digest == plain.digest
    assert [text.replace("rows.parquet", "rows.jsonl") for text in filled.warnings if "Left" not in text] == [
        text for text in plain.warnings if "Left" not in text
    ]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"instruction": "q", "output": "a", "messages": None, "response": None}, "q"),
        ({"question": "q", "answer": "a", "text": float("nan")}, "q"),
        ({"messages": [said("user", "q"), said("assistant", "a")], "chosen": None, "rejected": None}, "q"),
    ],
)
def test_columns_that_are_null_decide_nothing(tmp_path, row, expected):
    assert turns(tmp_path, row) == ([said("user", expected), said("assistant", "a")], "")


def test_texts_whose_answer_is_null_are_not_learned_as_prose(tmp_path):
    found = read(tmp_path, [{"text": f"t{i}", "summary": None} for i in range(8)] + [{"text": "t", "summary": "s"}])
    assert found.format == "text_to_text" and len(found.conversations) == 1 and len(found.left_out) == 8


# ---- tables


def test_a_lone_quote_of_a_tsv_swallows_no_row(tmp_path):
    lines = ["label\ta\tb", *(f"{i % 2}\t{chr(34) * (i in (3, 900, 2500, 2999))}S {i}\tO {i}" for i in range(3000))]
    (tmp_path / "x.tsv").write_text("\n".join(lines) + "\n")
    found = read_file(tmp_path / "x.tsv", "x.tsv", columns=ColumnMap(prompt="a", answer="b"))
    assert found.rows == 3000 and [one[1]["content"] for one in found.conversations] == [f"O {i}" for i in range(3000)]


def test_a_text_in_quotes_over_several_lines_stays_one(tmp_path):
    (tmp_path / "x.tsv").write_text("question\tanswer\n" + '"q\n\nr\ts"\ta\nb\tc\n' * 400)
    found = read_file(tmp_path / "x.tsv", "x.tsv")
    assert found.rows == 800 and found.conversations[0] == [said("user", "q\n\nr\ts"), said("assistant", "a")]


@pytest.mark.parametrize(
    "system",
    [
        {"value": "Be kind.", "mood": "x"},
        {"role": "system", "content": "Be kind.", "mood": "x"},
        {"parts": [{"text": "Be kind.", "mood": "x"}]},
        [{"type": "text", "text": "Be kind.", "mood": "x"}],
    ],
    ids=str,
)
def test_of_a_system_object_only_its_text_is_learned_and_the_rest_is_named(tmp_path, system):
    """A text beside such an object hid everything else in it."""
    rows = [{"text": f"<human>: q{i}\n<bot>: a{i}", "system": system} for i in range(3)]
    found = read(tmp_path, rows)
    assert found.conversations[0][0] == {"role": "system", "content": "Be kind."}
    assert "`mood` (3)" in " ".join(found.warnings) and "`role`" not in " ".join(found.warnings)


def test_a_column_without_a_name_is_named_where_a_row_has_a_system_text_and_no_tools(tmp_path):
    """The tools that are missing counted as read, under an empty name."""
    rows = [{"text": f"<human>: q{i}\n<bot>: a{i}", "system": "Be kind.", "": f"number {i}"} for i in range(3)]
    assert "`` (3)" in " ".join(read(tmp_path, rows).warnings)


CHOICES = ["red", "blue", "green", "white"]
WRITTEN = {
    "choices": lambda right: {"choices": CHOICES, "answer": right},
    "options, numbers as texts": lambda right: {"options": CHOICES, "answer": str(right)},
    "a column each": lambda right: {**{f"option{n}": text for n, text in enumerate(CHOICES, 1)}, "answer": right},
    "letters as columns": lambda right: {**dict(zip("ABCD", CHOICES, strict=True)), "label": right},
    "answers": lambda right: {"answers": CHOICES, "correct": right},
}


@pytest.mark.parametrize("written", WRITTEN)
@pytest.mark.parametrize("first", [0, 1])
def test_numbers_of_choices_count_from_what_the_whole_file_says(written, first, tmp_path):
    file = tmp_path / "choices.jsonl"
    rows = [{"question": f"q{number}", **WRITTEN[written](first + number % 4)} for number in range(8)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    contents = read_file(file, file.name)
    assert [one[-1]["content"] for one in contents.conversations] == list("ABCDABCD") and not contents.left_out
    assert any(f"count from {first}" in warning for warning in contents.warnings)


def test_numbers_that_could_count_from_either_are_said_loudly(tmp_path):
    file = tmp_path / "choices.jsonl"
    rows = [{"question": f"q{number}", "choices": CHOICES, "answer": number} for number in (1, 2, 3)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    contents = read_file(file, file.name)
    assert [one[-1]["content"] for one in contents.conversations] == ["B", "C", "D"]
    assert any("nothing tells" in warning for warning in contents.warnings)


@pytest.mark.parametrize("mark", ["selected", "is_correct", "correct", "pm_score", "score", "votes"])
@pytest.mark.parametrize("right", [0, 1, 2])
@pytest.mark.parametrize("as_table", [False, True])
def test_of_several_answers_the_one_marked_as_right_is_learned(mark, right, as_table, tmp_path):
    by_score = "score" in mark or mark == "votes"
    marks = [number == right for number in range(3)]
    if by_score:
        marks = [9 if number == right else number - 3 for number in range(3)]
    answers = [{"text": f"a{number}", mark: given} for number, given in enumerate(marks)]
    if as_table:
        answers = {"text": [f"a{number}" for number in range(3)], mark: marks}
    contents = read(tmp_path, [{"question": "q", "answers": answers}])
    assert [one[-1]["content"] for one in contents.conversations] == [f"a{right}"]
    assert any(f"`{mark}` is learned" in warning for warning in contents.warnings)


def test_answers_that_are_all_marked_as_wrong_are_not_learned(tmp_path):
    rows = [
        {"question": "q", "answers": [{"text": "a", "correct": False}, {"text": "b", "correct": False}]},
        {"question": "q", "answers": [{"text": "a", "correct": False}, {"text": "b", "correct": True}]},
    ]
    contents = read(tmp_path, rows)
    assert [one[-1]["content"] for one in contents.conversations] == ["b"] and len(contents.left_out) == 1


EARLIER = [said("user", "Hello"), said("assistant", "Hi!")]


@pytest.mark.parametrize("before", ["chat_history", "conversation", "messages", "history"])
@pytest.mark.parametrize("asks", ["question", "message", "prompt"])
@pytest.mark.parametrize("replies", ["answer", "response", "output"])
def test_a_question_and_its_answer_beside_what_was_said_before_are_learned(before, asks, replies, tmp_path):
    wanted = [*EARLIER, said("user", "q"), said("assistant", "a")]
    assert turns(tmp_path, {before: EARLIER, asks: "q", replies: "a"})[0] == wanted
    whole = [*EARLIER, said("user", "q"), said("assistant", "a")]
    assert turns(tmp_path, {before: whole, asks: "q", replies: "a"})[0] == wanted  # the row says it twice


def test_what_is_asked_after_a_history_is_asked_in_a_chat_too():
    asked = question_of({"chat_history": EARLIER, "message": "q"}, detector_of("messages"))
    assert asked == [*EARLIER, said("user", "q")]


def test_the_channel_of_thoughts_is_reasoning_and_not_the_answer(tmp_path):
    thought, final = said("assistant", "hm", channel="analysis"), said("assistant", "a", channel="final")
    contents = read(tmp_path, [{"messages": [said("user", "q"), thought, final]}])
    assert contents.conversations[0] == [said("user", "q"), said("assistant", "a", reasoning="hm")]
    assert any("`analysis` is learned as what the assistant thinks" in warning for warning in contents.warnings)
