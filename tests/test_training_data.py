"""Training data: every format, every refusal, every row accounted for."""

import csv
import gzip
import io
import itertools
import json
import random
import re
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qlora_app import starter
from qlora_app.base_models import ModelChoice
from qlora_app.base_models.loading import load_tokenizer
from qlora_app.data_report import starter_tokenizer
from qlora_app.errors import Problem, UserError
from qlora_app.settings import Settings
from qlora_app.tasks.chat import encode
from qlora_app.training_data import (
    DatasetChoice,
    Examples,
    import_file,
    load_examples,
    uploaded_files,
)
from qlora_app.training_data.checks import same_key
from qlora_app.training_data.choice import FORMATS as CHOOSABLE
from qlora_app.training_data.conversations import read_file
from qlora_app.training_data.formats.columns import AskColumns
from qlora_app.training_data.formats.known import KINDS
from qlora_app.training_data.held_out import held_out_places, held_out_positions
from qlora_app.training_data.read import json_stream
from tests.counting import calls_at_most
from tests.fixtures.samples import accounted, check
from tests.refusing import check_problem, refused

SHARED = Path(__file__).parents[2] / "shared" / "samples"
needs_samples = pytest.mark.skipif(
    not SHARED.is_dir(), reason="The sample files are not beside this checkout (../shared/samples)."
)

ALPACA = [{"instruction": f"What is {i} plus {i}?", "input": "", "output": f"It is {2 * i}."} for i in range(12)]
CHAT = [
    {"messages": [{"role": "user", "content": f"Say {i}"}, {"role": "assistant", "content": f"{i}!"}]}
    for i in range(12)
]
SHAREGPT = [
    {"conversations": [{"from": "human", "value": f"Say {i}"}, {"from": "gpt", "value": f"{i}!"}]} for i in range(12)
]
ASKED = [{"Question ": f"Where is {i}?", "ANSWER": f"At {i}."} for i in range(12)]


def jsonl(rows) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def table(rows, delimiter=",") -> str:
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator="\n").writerows(rows)
    return text.getvalue()


@pytest.fixture
def load(tmp_path):
    """What a person does: upload a file of these bytes under this name, then choose it."""

    def load(content, name="data.jsonl", **choice) -> Examples:
        upload = tmp_path / "upload"
        upload.write_bytes(content.encode() if isinstance(content, str) else content)
        data = tmp_path / "data"
        id = import_file(upload, data, name)
        assert (data / id).read_bytes() == upload.read_bytes()
        return accounted(load_examples(DatasetChoice(source="file", id=id, **choice), data))

    return load


@pytest.fixture
def refusal(load, tmp_path):
    """The problem with which a file is refused; nothing of it may stay behind, unless the problem asks."""

    def refusal(content, name="data.jsonl", **choice) -> Problem:
        before = set(tmp_path.glob("data/*"))
        with pytest.raises(UserError) as error:
            load(content, name, **choice)
        problem = error.value.problem
        assert name in str(problem) and str(tmp_path) not in str(problem)
        asks = isinstance(error.value, AskColumns)  # then the file is kept, so that a person can answer
        assert choice or asks or set(tmp_path.glob("data/*")) == before  # glob sees hidden files too
        return problem

    return refusal


def pair(question, answer, **more):
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer, **more}]


# the formats


@pytest.mark.parametrize(
    ("rows", "format"), [(ALPACA, "alpaca"), (CHAT, "messages"), (SHAREGPT, "sharegpt"), (ASKED, "question_answer")]
)
@pytest.mark.parametrize("shape", ["lines", "array", "indented", "wrapped"])
def test_every_format_is_recognised_in_every_shape_of_json_under_any_name(load, rows, format, shape):
    content = {
        "lines": jsonl(rows),
        "array": json.dumps(rows),
        "indented": json.dumps(rows, indent=2),
        "wrapped": json.dumps({"version": 1, "data": rows}, indent=1),
    }[shape]
    for name in ("data.json", "data.jsonl", "data.txt", "data"):
        examples = load(content, name)
        assert (examples.format, examples.rows, examples.left_out) == (format, 12, [])
        assert (len(examples.train), len(examples.held_out)) == (11, 1) and examples.warnings == []
        assert all(
            [turn["role"] for turn in one] == ["user", "assistant"] for one in examples.train + examples.held_out
        )


def test_a_comma_behind_every_line_is_no_mistake(load):
    assert load(jsonl(ALPACA).replace(b"}\n", b"},\n")).train == load(jsonl(ALPACA)).train


@pytest.mark.parametrize(
    "content",
    [
        {"question": ["q", "r"], "answer": ["a", "b"]},
        {"question": {"0": "q", "1": "r"}, "answer": {"0": "a", "1": "b"}},
        {"17": {"question": "q", "answer": "a"}, "18": {"question": "r", "answer": "b"}},
    ],
)
def test_objects_of_columns_or_of_rows_are_read_as_rows(load, content):
    assert load(json.dumps(content, indent=1)).train == [pair("q", "a"), pair("r", "b")]


def test_formats_are_those_a_person_can_choose():
    assert {name for name, kind in KINDS.items() if kind.read} == set(CHOOSABLE) - {"auto"}
    assert all(kind.title and kind.because for kind in KINDS.values())


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"instruction": "Add", "input": "1, 2", "output": "3"}, pair("Add\n\n1, 2", "3")),
        ({"instruction": "", "input": "Who?", "output": "Me"}, pair("Who?", "Me")),
        ({"instruction": "Hi", "input": None, "output": "Ho"}, pair("Hi", "Ho")),
        ({"instruction": "Hi", "input": "<noinput>", "output": "Ho"}, pair("Hi", "Ho")),
        ({"instruction": "Hi", "input": "", "response": "Ho"}, pair("Hi", "Ho")),
        (
            {"instruction": "b", "output": "B", "system": "Be nice", "history": [["a", "A"]]},
            [{"role": "system", "content": "Be nice"}, *pair("a", "A"), *pair("b", "B")],
        ),
        ({"prompt": "Hi", "completion": " Ho"}, pair("Hi", " Ho")),
        ({"input": "Hi", "target": "Ho", "id": 7}, pair("Hi", "Ho")),
        (
            {"system_prompt": "S", "question": "q", "response": "r"},
            [{"role": "system", "content": "S"}, *pair("q", "r")],
        ),
        (
            {"id": 1, "dialogue": [{"content": "q", "role": "user"}, {"role": "assistant", "content": "a"}]},
            pair("q", "a"),
        ),
        ([{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}], pair("q", "a")),
        (
            {
                "messages": [
                    {"role": "User", "content": [{"type": "text", "text": "q"}, {"type": "text", "value": "r"}]},
                    {"role": "assistant", "content": "a"},
                ]
            },
            pair("qr", "a"),
        ),
        ({"system": "S", "messages": pair("q", "a")}, [{"role": "system", "content": "S"}, *pair("q", "a")]),
        (
            {"system": "S", "messages": [{"role": "system", "content": "T"}, *pair("q", "a")]},
            [{"role": "system", "content": "T"}, *pair("q", "a")],
        ),
        ({"conversations": pair("q", "a")}, pair("q", "a")),
        ({"messages": [{"from": "human", "value": "q"}, {"from": "model", "value": "a"}]}, pair("q", "a")),
        (
            {
                "conversation": [
                    {"from": "system", "value": "S"},
                    {"from": "user", "value": "q"},
                    {"from": "chatgpt", "value": "a"},
                ]
            },
            [{"role": "system", "content": "S"}, *pair("q", "a")],
        ),
    ],
)
def test_rows_become_conversations(load, row, expected):
    assert load(jsonl([row]) * 2).train == [expected] * 2


GUANACO = "### Human: q### Assistant: a### Human: r### Assistant: b"
ROUNDS = [*pair("q", "a"), *pair("r", "b")]
TREE = {
    "role": "prompter",
    "text": "q",
    "replies": [
        {"role": "assistant", "text": "worse", "rank": 1, "replies": []},
        {
            "role": "assistant",
            "text": "a",
            "rank": 0,
            "replies": [
                {
                    "role": "prompter",
                    "text": "r",
                    "rank": None,
                    "replies": [{"role": "assistant", "text": "b", "rank": None}],
                }
            ],
        },
    ],
}


@pytest.mark.parametrize(
    ("format", "row", "expected"),
    [
        ("gpteacher", {"instruction": "Add", "input": "1, 2", "response": "3"}, pair("Add\n\n1, 2", "3")),
        ("gpteacher", {"INSTRUCTION": "q", "RESPONSE": "a"}, pair("q", "a")),
        ("alpaca", {"instruction": "q", "input": "", "output": "a", "text": "Below is an instruction"}, pair("q", "a")),
        ("dolly", {"instruction": "q", "context": "c", "response": "a", "category": "qa"}, pair("c\n\nq", "a")),
        ("dolly", {"instruction": "q", "context": "", "response": "a", "category": "qa"}, pair("q", "a")),
        ("question_answer", {"question": "q", "context": "c", "answer": "a"}, pair("c\n\nq", "a")),
        ("prompt_completion", {"prompt": ROUNDS[:3], "completion": ROUNDS[3:]}, ROUNDS),
        ("input_output", {"input": "q", "output": "a", "source": "LongForm"}, pair("q", "a")),
        ("flan", {"inputs": "q", "targets": "a", "task": "t"}, pair("q", "a")),
        ("text_to_text", {"article": "q", "highlights": "a"}, pair("q", "a")),
        ("text_to_text", {"content": "q", "summary": "a", "title": "t"}, pair("q", "a")),
        ("translation", {"translation": {"de": "Hallo", "en": "Hello"}}, pair("Hallo", "Hello")),
        ("multiple_choice", {"question": "q", "choices": ["x", "y"], "answer": 1}, pair("q\nA. x\nB. y", "B")),
        (
            "multiple_choice",
            {"question": "q", "A": "x", "B": "y", "C": "1", "answer": "B"},
            pair("q\nA. x\nB. y\nC. 1", "B"),
        ),
        (
            "multiple_choice",
            {"question": "q", "choices": {"text": ["x", "y"], "label": ["1", "2"]}, "answerKey": "2"},
            pair("q\nA. x\nB. y", "B"),
        ),
        (
            "multiple_choice",
            {"premise": "p", "question": "effect", "choice1": "x", "choice2": "y", "label": 0},
            pair("p\neffect\nA. x\nB. y", "A"),
        ),
        ("multiple_choice", {"question": "q", "options": ["x", "y"], "answer": "y"}, pair("q\nA. x\nB. y", "B")),
        ("classification", {"text": "good film", "label": 1}, pair("good film", "1")),
        (
            "classification",
            {"sentence1": "s", "sentence2": "t", "label": "same"},
            pair("sentence1: s\nsentence2: t", "same"),
        ),
        (
            "sharegpt",
            {
                "conversations": [
                    {"from": "human", "value": "q"},
                    {"from": "function_call", "value": "{}"},
                    {"from": "observation", "value": "r"},
                    {"from": "gpt", "value": "b"},
                ],
                "tools": "[{}]",
            },
            [
                {"role": "user", "content": "q"},
                {"role": "assistant", "content": "{}"},
                {"role": "tool", "content": "r"},
                {"role": "assistant", "content": "b"},
            ],
        ),
        (
            "messages",
            {
                "messages": [
                    {"role": "user", "content": "q"},
                    {
                        "role": "assistant",
                        "content": None,
                        "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{}"}}],
                    },
                    {"role": "tool", "content": "r"},
                    *pair("r", "b")[1:],
                ]
            },
            [
                {"role": "user", "content": "q"},
                {"role": "assistant", "content": "", "tool_calls": '[{"name": "f", "arguments": {}}]'},
                {"role": "tool", "content": "r"},
                {"role": "assistant", "content": "b"},
            ],
        ),
        ("messages", {"messages": pair("q", "a"), "label": True}, pair("q", "a", label=True)),
        (
            "sharegpt",
            {"conversations": [{"from": "human", "value": "q"}, {"role": "assistant", "content": "a"}]},
            pair("q", "a"),
        ),
        ("oasst_tree", {"message_tree_id": "1", "prompt": TREE}, ROUNDS),
        ("oasst_tree", TREE, ROUNDS),
        ("guanaco_text", {"text": GUANACO}, ROUNDS),
        ("guanaco_text", {"text": GUANACO + "### Human:"}, ROUNDS),
        ("chip2", {"text": "<human>: q\n<bot>: a"}, pair("q", "a")),
        (
            "marked_text",
            {"text": "Be nice. USER: q ASSISTANT: a"},
            [{"role": "system", "content": "Be nice."}, *pair("q", "a")],
        ),
        (
            "marked_text",
            {"text": "<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\na<|im_end|>\n"},
            pair("q", "a"),
        ),
        ("marked_text", {"text": "### Instruction:\nq\n\n### Response:\na"}, pair("q", "a")),
        ("marked_text", {"text": "Q: q\nA: a"}, pair("q", "a")),
        (
            "hh_rlhf",
            {"chosen": "\n\nHuman: q\n\nAssistant: a\n\nHuman: r\n\nAssistant: b", "rejected": "\n\nHuman: q"},
            ROUNDS,
        ),
        ("preference", {"prompt": "q", "chosen": "a", "rejected": "x"}, pair("q", "a", rejected="x")),
        (
            "preference",
            {"prompt": "q", "chosen": pair("q", "a"), "rejected": pair("q", "x"), "score_chosen": 1.0},
            pair("q", "a", rejected="x"),
        ),
        ("preference", {"prompt": "q", "chosen": "Q: x\nA: a", "rejected": "x"}, pair("q", "Q: x\nA: a", rejected="x")),
        ("preference", {"system": "", "question": "q", "chosen": "a", "rejected": "x"}, pair("q", "a", rejected="x")),
        (
            "preference",
            {
                "conversations": [{"from": "human", "value": "q"}],
                "chosen": {"from": "gpt", "value": "a"},
                "rejected": {"from": "gpt", "value": "x"},
            },
            pair("q", "a", rejected="x"),
        ),
        ("text", {"text": " Once upon a time. ", "url": "u"}, [{"role": "text", "content": "Once upon a time."}]),
        ("text", "Once upon a time.", [{"role": "text", "content": "Once upon a time."}]),
    ],
)
def test_every_other_format_is_named_with_its_reason_and_becomes_conversations(load, format, row, expected):
    examples = load(jsonl([row] * 3))
    assert examples.format == format and examples.train == [expected] * 3 and examples.left_out == []
    assert (
        re.fullmatch(rf"{re.escape(KINDS[format].title)}, because [^{{}}]+", examples.because)
        and "None" not in examples.because
    )


def test_a_task_with_several_instances_gives_several_conversations(load):
    rows = [
        {
            "instruction": "Add",
            "instances": [{"input": "1, 2", "output": "3"}, {"input": "", "output": "4"}, {"input": "5", "output": ""}],
        },
        {"instruction": "Go", "instances": [{"instruction_with_input": "Go home", "input": "x", "output": "ok"}]},
    ]
    examples = load(jsonl(rows[:1]))
    assert examples.train == [pair("Add\n\n1, 2", "3"), pair("Add", "4")] and examples.rows == 1
    assert "was skipped (first: row 1)" in examples.warnings[0]
    examples = load(jsonl(rows[1:]))
    assert examples.format == "unnatural_instructions" and examples.train == [pair("Go home", "ok")]


def test_messages_that_name_the_one_they_answer_are_joined(load):
    def message(id, parent, role, text, rank=None):
        return {"message_id": id, "parent_id": parent, "role": role, "text": text, "rank": rank}

    rows = [
        message("5", "2", "prompter", "r"),
        message("1", None, "prompter", "q"),
        message("3", "1", "assistant", "worse", 1),
        message("2", "1", "assistant", "a", 0),
        message("6", "5", "assistant", "b"),
        message("9", "8", "assistant", "lost"),
        message("7", None, "prompter", "alone"),
    ]
    examples = load(jsonl(rows))
    assert (examples.format, examples.train, examples.rows) == ("oasst_links", [ROUNDS], 7)
    assert [(one.row, one.reason[:20]) for one in examples.left_out] == [
        (3, "another answer to th"),
        (6, "the message it answe"),
        (7, "it has no assistant "),
    ]


def test_a_table_of_choices_without_names(load):
    row = ["What is 1 + 1?", "1", "2", "3", "4", "B"]
    examples = load(table([row, row]), "abstract_algebra_test.csv")
    assert examples.format == "multiple_choice" and examples.rows == 2
    assert examples.train[0] == pair("What is 1 + 1?\nA. 1\nB. 2\nC. 3\nD. 4", "B")


def test_a_long_document_is_learned_in_pieces_and_nothing_of_it_is_lost(load):
    words = " ".join(f"word{i}" for i in range(5000))
    examples = load(jsonl([{"text": words}]), held_out_share=0)
    pieces = [one[0]["content"] for one in examples.train]
    assert " ".join(pieces) == words and len(pieces) > 5 and all(2000 <= len(piece) <= 4000 for piece in pieces[:-1])


def test_pages_with_questions_in_them_are_text_like_the_others(load):
    rows = [{"text": f"A page about {i}."} for i in range(8)] + [{"text": "Q: Who?\nA: Me."}]
    examples = load(jsonl(rows))
    assert (examples.format, len(examples.train), examples.left_out) == ("text", 9, [])


@pytest.mark.parametrize(
    ("turns", "learned"),
    [("all", [None, None, None, None]), ("last", [None, False, None, None]), ("everything", [True, True, True, True])],
)
def test_which_turns_are_learned_is_a_choice(load, turns, learned):
    rows = jsonl([{"messages": ROUNDS}])
    examples = load(rows, turns=turns)
    assert [turn.get("train") for turn in examples.train[0]] == learned
    assert (examples.fingerprint == load(rows).fingerprint) == (turns == "all")


# columns that only the person knows

NOTES = [{"Titel": f"t{i}", "body": f"b{i}", "notes": f"n{i}", "mark": i, "nested": {"en": f"e{i}"}} for i in range(3)]


def test_a_file_nobody_could_know_asks_which_column_is_what(load):
    with pytest.raises(AskColumns) as asked:
        load(jsonl(NOTES))
    assert asked.value.columns == ["Titel", "body", "notes", "mark", "nested"]
    assert (asked.value.format, asked.value.rows) == ("unknown", 3) and "which column asks" in str(asked.value)


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"prompt": "titel", "answer": "Notes"}, pair("t0", "n0")),
        ({"template": "{Titel}: {body}", "answer": "notes"}, pair("t0: b0", "n0")),
        (
            {"prompt": "Titel", "input": "body", "label": "mark", "system": "notes"},
            [{"role": "system", "content": "n0"}, *pair("t0\n\nb0", "0")],
        ),
        ({"prompt": "Titel", "answer": "nested.en"}, pair("t0", "e0")),
        ({"answer": "body"}, [{"role": "text", "content": "b0"}]),
    ],
)
def test_columns_that_are_named_are_read_so(load, columns, expected):
    examples = load(jsonl(NOTES), columns=columns)
    assert examples.train[0] == expected and examples.format == "columns" and "because you named" in examples.because


@pytest.mark.parametrize(
    ("columns", "field", "expected"),
    [
        (
            {"prompt": "title", "answer": "notes"},
            "dataset.columns.prompt",
            ("columns.not_there", "title"),
        ),
        ({"prompt": "Titel"}, "dataset.columns.answer", ("columns.none_to_learn",)),
        ({"template": "Titel", "answer": "notes"}, "dataset.columns.template", ("columns.template_names_none",)),
    ],
)
def test_columns_that_are_not_there_are_named_with_those_that_are(load, columns, field, expected):
    with pytest.raises(UserError) as error:
        load(jsonl(NOTES), columns=columns)
    check_problem(error.value.problems[field], *expected)


def test_conversations_in_two_columns_can_be_told_apart(load):
    assert load(jsonl([{"a1": pair("a", "b"), "a2": pair("c", "d")}]), columns={"messages": "a2"}).train == [
        pair("c", "d")
    ]


# packed files, and tables of Arrow


def gzipped(content: bytes) -> bytes:
    return gzip.compress(content)


def zipped_files(**files) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def parquet(rows) -> bytes:
    import pyarrow
    import pyarrow.parquet

    buffer = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "pack", [gzipped, lambda content: zipped_files(**{"a/rows": content, "README.md": "x", "__MACOSX/._rows": "x"})]
)
@pytest.mark.parametrize(
    ("content", "format"),
    [
        (jsonl(CHAT), "messages"),
        (json.dumps(ALPACA).encode(), "alpaca"),
        (parquet(CHAT), "messages"),
        (table([["question", "answer"], *[["é", str(i)] for i in range(12)]]).encode("cp1252"), "question_answer"),
    ],
)
def test_archives_and_parquet_are_read_by_their_bytes(load, pack, content, format):
    plain = load(content, "wrong.txt")
    assert plain.format == format and plain.rows == 12
    packed = load(pack(content), "data.bin")
    beside = "Not read, because other files hold the data: 1 (README.md)."
    assert (packed.train, [text for text in packed.warnings if text != beside]) == (
        plain.train,
        [text.replace("wrong.txt", "data.bin") for text in plain.warnings],
    )


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (zipped_files(**{"a.jsonl": "x", "b.jsonl": "y"}), ("dataset.not_json", "a.jsonl in data.zip")),
        (zipped_files(), ("archive.empty",)),
        (zipped_files(**{"README.md": "x"}), ("archive.empty",)),
        (zipped_files(**{"../a.jsonl": jsonl(ALPACA)}), ("archive.leads_outside",)),
        (zipped_files(**{"/etc/a": "x"}), ("archive.leads_outside",)),
        (zipped_files(**{"a\\..\\..\\b": "x"}), ("archive.leads_outside",)),
        (zipped_files(**{"a.zip": zipped_files(a="x")}), ("dataset.other_kind", "archive inside another")),
        (zipped_files(**{"a.pkl": b"\x80\x04\x95rest"}), ("dataset.pickle",)),
        (zipped_files(**{"a.jsonl": jsonl(ALPACA)})[:-30], ("archive.damaged",)),
        (gzipped(jsonl(ALPACA))[:-20], ("archive.damaged",)),
        (gzipped(b" " * 40_000_000), ("archive.too_large",)),
        (zipped_files(a=b" " * 40_000_000), ("archive.too_large",)),
        (parquet(ALPACA)[:-5], ("dataset.damaged_parquet",)),
    ],
)
def test_archives_that_cannot_be_read_are_refused_in_one_sentence(refusal, content, expected):
    check_problem(refusal(content, "data.zip"), *expected)


def test_a_long_array_is_read_in_pieces_to_the_same_rows_and_lines(load, refusal, monkeypatch):
    content = json.dumps(ALPACA, indent=1)
    whole = load(content)
    monkeypatch.setattr(json_stream, "_CHUNK", 7)
    assert load(content).train == whole.train
    check_problem(refusal(content.replace('"What is 1', "What is 1")), "dataset.broken_row", 2, 8)
    check_problem(refusal(content[:-40]), "dataset.cut_off_row", 12, 57)
    check_problem(refusal(content.replace("},", "}", 1)), "dataset.no_comma", 1)


def test_turns_marked_with_weight_zero_are_read_and_not_learned(load):
    row = {"messages": [*pair("a", "A"), *pair("b", "B")]}
    row["messages"][1]["weight"] = 0
    (conversation,) = load(jsonl([row])).train
    assert [turn.get("train", True) for turn in conversation] == [True, False, True, True]


@pytest.mark.parametrize(
    ("turns", "expected", "warning"),
    [
        ([*pair("a", "A"), {"role": "assistant", "content": "B"}], pair("a", "A\n\nB"), "merged"),
        ([*pair("a", "A"), {"role": "user", "content": "b"}], pair("a", "A"), "cut"),
        ([{"role": "assistant", "content": "Welcome"}, *pair("a", "A")], pair("a", "A"), "dropped"),
        ([{"role": "system", "content": " "}, *pair("a", "A")], pair("a", "A"), None),
    ],
)
def test_crooked_conversations_are_straightened_and_it_is_said(load, turns, expected, warning):
    examples = load(jsonl([{"messages": turns}]))
    assert examples.train == [expected]
    assert [warning in sentence for sentence in examples.warnings] == ([True] if warning else [])


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"instruction": "Hi", "input": "", "output": None}, "`output` is null"),
        ({"instruction": "Hi", "input": "", "output": 7}, "`output` is a number"),
        ({"instruction": "Hi", "input": "", "output": float("nan")}, "`output` is null"),
        ({"instruction": "Hi", "input": "", "output": {"a": 1}}, "`output` is an object"),
        ({"instruction": "Hi", "input": "", "output": " \u200b\n"}, "answer (turn 2) is empty"),
        ({"instruction": "", "input": " ", "output": "Ho"}, "question (turn 1) is empty"),
        ({"instruction": "Hi", "input": ["x"], "output": "Ho"}, "`input` is a list"),
        ({"instruction": "Hi", "output": "half \ud83d"}, "broken text"),
        ({"instruction": "Hi", "input": "x"}, "questions without answers"),
        ({"instruction": "Hi", "output": "Ho", "history": ["x"]}, "`history`"),
        ({"messages": [{"role": "narrator", "content": "x"}]}, "role 'narrator'"),
        ({"messages": [{"role": ["user"], "content": "x"}]}, "role"),
        ({"messages": [{"role": "user", "content": [{"type": ["text"]}, 5]}]}, "not text"),
        ({"messages": [5, {"role": "user", "content": "x"}]}, "turn 1 is not an object"),
        ({"instruction": "Hi", "output": "Ho", "history": 5}, "`history`"),
        ({"messages": [{"role": "user", "content": "x"}]}, "no assistant turn"),
        ({"messages": []}, "an empty list"),
        ({"messages": None}, "null"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}]}, "image_url"),
        (
            {"messages": [*pair("a", "A"), {"role": "system", "content": "New rule"}]},
            "system turn stands in the middle",
        ),
        (
            {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "tool_calls": [], "content": None}]},
            "no `content`",
        ),
        ({"conversations": [{"from": "human", "value": "q"}, {"from": "wizard", "value": "{}"}]}, "role 'wizard'"),
        ({"conversations": [{"from": "human", "value": "q"}, {"from": "gpt"}]}, "no `value`"),
        ({"conversations": {"from": "human", "value": "q"}}, "instead of a list"),
        (7, "not known"),
        (None, "not known"),
    ],
)
def test_a_row_that_cannot_be_used_is_left_out_with_its_reason(load, row, reason):
    good = next(
        rows
        for rows in (CHAT, SHAREGPT, ALPACA)
        if not isinstance(row, dict) or rows[0].keys() & row.keys() or rows is ALPACA
    )
    content = (json.dumps(good[0]) + "\n" + json.dumps(row) + "\n" + json.dumps(good[1]) + "\n").encode()
    examples = load(content)
    (left_out,) = examples.left_out
    assert (left_out.row, left_out.line) == (2, 2) and reason in left_out.reason
    assert "Left out: 1 of 3 rows" in examples.warnings[0] and reason in examples.warnings[0]


@pytest.mark.parametrize(
    "line",
    [
        '{"instruction": "a", "output": "b", "output": "c"}',
        "{'instruction': 'a'}",
        "[" * 100_000,
        '{"instruction": "a", "output": ' + "9" * 5000 + "}",
    ],
)
def test_a_line_that_is_broken_is_left_out_by_its_number(load, line):
    examples = load(jsonl(ALPACA[:2]) + b"\n" + line.encode() + b"\n" + jsonl(ALPACA[2:4]))
    assert [(one.row, one.line) for one in examples.left_out] == [(3, 4)] and len(examples.train) == 4


def test_the_format_of_most_rows_wins_and_the_others_are_counted(load):
    examples = load(jsonl(CHAT[:3] + ALPACA[:7]))
    assert examples.format == "alpaca" and [one.row for one in examples.left_out] == [1, 2, 3]
    assert "Left out: 3 of 10 rows" in examples.warnings[0]


def test_a_format_can_be_forced(load, refusal):
    both = [{"messages": pair("q", "a"), "question": "Q", "answer": "A"}]
    assert load(jsonl(both)).format == "messages"
    assert load(jsonl(both), format="question_answer").train == [pair("Q", "A")]
    check_problem(refusal(jsonl(ALPACA), format="sharegpt"), "dataset.no_trainable_row_of_format", "ShareGPT")


# tables


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "cp1252"])
def test_tables_of_every_delimiter_and_encoding(load, delimiter, encoding):
    rows = [
        ["", " Question", "Answer "],
        *([str(i), f"Wo liegt „{i}“, bitte?", f"In Köln;\nam Rhein | {i}\t, ja"] for i in range(12)),
    ]
    examples = load(table(rows, delimiter).encode(encoding), "faq.csv")
    assert examples.format == "question_answer" and examples.rows == 12 and examples.left_out == []
    assert pair("Wo liegt „3“, bitte?", "In Köln;\nam Rhein | 3\t, ja") in examples.train + examples.held_out
    assert [("Windows-1252" in sentence and "Köln" in sentence) for sentence in examples.warnings] == [True] * (
        encoding == "cp1252"
    )


def test_a_row_with_the_wrong_number_of_fields_is_named_by_its_line(load, refusal):
    examples = load('question,answer\n"a\nb",c\none,two, three\nd,e\n\nf,g,,\nonly\nh,i\n', "faq.csv")
    assert [(one.row, one.line) for one in examples.left_out] == [(2, 4), (5, 8)]
    assert "3 fields, the header has 2" in examples.left_out[0].reason
    assert examples.train == [pair("a\nb", "c"), pair("d", "e"), pair("f", "g"), pair("h", "i")]
    check_problem(
        refusal("question,answer\na,b,c\nd,e,f\ng,h\n", "faq.csv"), "dataset.rows_unreadable", "line 2, line 3"
    )


def test_tables_keep_text_and_know_spreadsheets(load, refusal):
    assert load("sep=;\r\nquestion;answer\r\n1+1?;02\r\n", "faq.csv").train == [pair("1+1?", "02")]
    assert load("question,answer\ra,b\rc,d\r", "mac.csv").train == [pair("a", "b"), pair("c", "d")]
    assert load('question\tanswer\na "b\tc\nd\te" f\n', "mrpc.tsv").train == [pair('a "b', "c"), pair("d", 'e" f')]
    assert load("question,answer\nq," + "long " * 40_000 + "\n", "faq.csv").train[0][1]["content"].endswith("long ")
    check_problem(refusal('question,answer\na,b\nc,"d\ne f\n', "faq.csv"), "dataset.open_quote", 3)
    lone = load('question,answer\na,b\nc,"d\ne,f\n', "faq.csv")
    assert lone.train[1:] == [pair("c", '"d'), pair("e", "f")] and "line 3" in lone.warnings[0]
    twice = load("question,answer,Answer\na,b,c\n", "faq.csv")
    assert twice.train == [pair("a", "b")] and any("`answer (2)` (1)" in text for text in twice.warnings)
    check_problem(refusal("good film\t1\nbad film\t0\n", "films.tsv"), "dataset.ask_columns", "'col1', 'col2'")


# refusals


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", ("dataset.empty_file", 0)),
        (b"\xef\xbb\xbf \n", ("dataset.empty_file",)),
        (b"[]", ("dataset.no_rows",)),
        (b"{}", ("dataset.no_rows",)),
        (b'{"data": []}', ("dataset.no_rows",)),
        (b"question,answer\n", ("dataset.no_rows",)),
        (b"PAR1\x15\x04", ("dataset.damaged_parquet",)),
        (b"\x1f\x8b\x08rest", ("archive.damaged",)),
        (zipped_files(**{"xl/workbook.xml": "x"}), ("dataset.document_damaged", "workbook")),
        (b"SQLite format 3\0rest", ("dataset.other_kind", "SQLite")),
        (b"\x80\x04\x95rest", ("dataset.pickle",)),
        (b"cos\nsystem\n", ("dataset.pickle",)),
        (b"%PDF-1.7", ("dataset.document_damaged", "PDF")),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 22773992\n",
            ("dataset.lfs_pointer", " to 22,773,992 bytes", 22773992),
        ),
        (b"\n<!DOCTYPE html><title>Sign in</title>", ("dataset.web_page",)),
        (bytes(range(256)) * 4, ("dataset.broken_text", "zero bytes")),
        (b"\x80\xff\x81\xfe{", ("dataset.ask_encoding", "cp1251")),
        (b"\x80\xff\x01\x02\x81\xfe{", ("dataset.unknown_encoding",)),
        (b"\xff\xfe\x00\xd8", ("dataset.broken_text", "not valid utf-16")),
        (json.dumps(ALPACA)[:-1], ("dataset.cut_off_list",)),
        (json.dumps(ALPACA, indent=1)[:-40], ("dataset.cut_off_row", 12, 57)),
        (json.dumps(ALPACA)[:200], ("dataset.cut_off_row", 3)),
        (jsonl(ALPACA)[:-20], ("dataset.cut_off_row", 12)),
        ('[{"instruction": "a", "output": "b"}\n{"instruction": "a"}]', ("dataset.no_comma", 1)),
        ('[{"instruction": "a", "output": "b"},\n{"instruction": a}]', ("dataset.broken_row", 2)),
        (json.dumps(ALPACA) + " x", ("dataset.goes_on",)),
        ("[" * 100_000, ("dataset.row_too_deep",)),
        ('{"a": ' * 100_000, ("dataset.broken_object", "nested too deeply")),
        ('{\n "instruction": "a"\n "output": "b"\n}', ("dataset.broken_object", "not valid JSON")),
        ("oops", ("dataset.not_json",)),
        ("{oops}\n" * 3, ("dataset.rows_unreadable", "line 1, line 2, line 3")),
        ('{"train": [{"a": 1}], "data": [{"a": 1}]}', ("dataset.several_lists",)),
        (jsonl([{"instruction": "a", "output": ""}] * 2), ("dataset.no_trainable_row",)),
        (jsonl([{"chosen": "a", "rejected": "b"}]), ("dataset.ask_nested", "no column for the question")),
        (
            jsonl([{"prompt": "a", "completion": "b", "label": False}]),
            ("dataset.no_trainable_row", "marked as a bad answer"),
        ),
        (jsonl([{"question": "a"}]), ("dataset.not_trainable", "questions without answers")),
        (jsonl([{"turns": ["a"], "question_id": 1}]), ("dataset.not_trainable", "questions without answers")),
        (jsonl([{"question": "a", "choices": ["b"], "answer": "b"}]), ("dataset.ask_nested", "it has 1 choices")),
        (
            jsonl([{"question": "a", "choices": ["b", "c"], "answer": "d"}]),
            ("dataset.ask_nested", "none of its 2 choices"),
        ),
        (
            jsonl([{"instruction": "a", "context": {"b": 1}, "response": "c"}]),
            ("dataset.ask_nested", "only text can be learned"),
        ),
        (jsonl([{"role": "prompter", "text": "a", "replies": []}]), ("dataset.no_trainable_row", "no assistant turn")),
        (jsonl([{"input_ids": [1], "labels": [1]}]), ("dataset.not_trainable", "tokens")),
        (jsonl([{"instruction": "a", "instances": []}]), ("dataset.no_trainable_row", "nothing in it to learn from")),
        (jsonl([{"image": "a.png", "question": "a", "answer": "b"}]), ("dataset.not_trainable", "pictures")),
        (jsonl([{"spam": "a", "eggs": "b"}]), ("dataset.ask_columns", "'spam', 'eggs'")),
        (
            jsonl([{"question": "a", "answer": "b", "response": "c"}]),
            ("dataset.format_in_doubt", "could be the answer (response, answer)"),
        ),
        (
            jsonl([{"question": "a", "text": "b", "answer": "c"}]),
            ("dataset.format_in_doubt", "could be the question (question, text)"),
        ),
        (
            jsonl([{"prompt": "x", "instruction": "a", "output": "b"}]),
            ("dataset.format_in_doubt", "could be the question (instruction, prompt)"),
        ),
        (
            jsonl([{"a1": pair("a", "b"), "a2": pair("a", "b")}]),
            ("dataset.format_in_doubt", "could be the conversation ('a1', 'a2')"),
        ),
    ],
)
def test_what_cannot_be_trained_on_is_refused_in_one_sentence(refusal, content, expected):
    check_problem(refusal(content), *expected)


def test_plain_text_and_json_that_is_none_are_told_apart(load, refusal):
    story = "Once upon a time, there was a town.\n\nIt had a mill,\nand a bridge.\n\n\n"
    examples = load(story, "story.txt")
    assert examples.format == "text" and examples.rows == 2 and "all of it is learned" in examples.warnings[0]
    assert examples.train[1] == [{"role": "text", "content": "It had a mill,\nand a bridge."}]
    check_problem(refusal(story, "story.json"), "dataset.not_json")


# import


def test_import_is_whole_private_and_repeatable(tmp_path):
    upload, data = tmp_path / "upload", tmp_path / "data"
    upload.write_bytes(jsonl(ALPACA))
    first = import_file(upload, data, "my data (1).jsonl")
    assert first == import_file(upload, data, "my data (1).jsonl") and re.fullmatch(
        r"[0-9a-f]{12}-my_data_1_.jsonl", first
    )
    assert [file.name for file in data.iterdir()] == [first] and (data / first).stat().st_mode & 0o777 == 0o600
    assert DatasetChoice(source="file", id=first).title == "my_data_1_.jsonl"
    upload.write_bytes(jsonl(CHAT))
    time.sleep(0.01)
    second = import_file(upload, data, "chat.jsonl")
    assert uploaded_files(data) == [second, first] and uploaded_files(tmp_path / "none") == []


@pytest.mark.parametrize(
    "name",
    [
        "../../etc/passwd",
        "..\\..\\boot.ini",
        "/etc/passwd",
        ".hidden",
        "",
        "…",
        "a\0b",
        "x\n<b>.json",
        "日本" * 200 + ".jsonl",
    ],
)
def test_no_name_leads_out_of_the_data_folder(tmp_path, name):
    upload, data = tmp_path / "upload", tmp_path / "data"
    upload.write_bytes(jsonl(ALPACA))
    id = import_file(upload, data, name)
    assert [file.name for file in data.iterdir()] == [id] and DatasetChoice(source="file", id=id).problems() == {}
    assert load_examples(DatasetChoice(source="file", id=id), data).rows == 12


def test_limits_and_a_full_disk_are_said(tmp_path):
    upload, data = tmp_path / "upload", tmp_path / "data"
    upload.write_bytes(jsonl(ALPACA) * 2000)
    with refused("dataset.too_large", 1):
        import_file(upload, data, "big.jsonl", limits=Settings(max_upload_mb=1))
    with refused("dataset.too_many_rows", 100):
        import_file(upload, data, "big.jsonl", limits=Settings(max_rows=100))
    assert list(data.iterdir()) == []
    (tmp_path / "file").write_text("in the way")
    with refused("dataset.not_saved"):
        import_file(upload, tmp_path / "file" / "data", "big.jsonl")


def test_a_file_that_is_gone_is_said_at_its_field(tmp_path):
    for id in ("0123456789ab-gone.jsonl", "../x", "x" * 400):
        with pytest.raises(UserError) as error:
            load_examples(DatasetChoice(source="file", id=id), tmp_path)
        assert "dataset.id" in error.value.problems and str(tmp_path) not in str(error.value)


# the held-out part


def test_the_split_is_stable_and_duplicates_stay_on_one_side(load):
    rows = [ALPACA[i // 4 % 5] | {"output": f"It is  {'TEN' if i % 2 else 'ten'} {i // 4}"} for i in range(400)]
    random.Random(1).shuffle(rows)
    first, again, other = (load(jsonl(rows), split_seed=seed) for seed in (0, 0, 1))
    assert first == again and first.fingerprint != other.fingerprint and first.held_out != other.held_out
    assert 1 <= len(first.held_out) <= 40
    assert not {same_key(one) for one in first.train} & {same_key(one) for one in first.held_out}
    assert "Duplicates" in first.warnings[0]
    questions = [f"{row['instruction']}|{row['output']}" for row in rows]
    order = [questions.index(f"{one[0]['content']}|{one[1]['content']}") for one in first.train]
    assert len(first.train) + len(first.held_out) == 400 and sorted(set(order)) == list(dict.fromkeys(order))


@pytest.mark.parametrize(
    ("rows", "share", "expected"),
    [(9, 0.5, 0), (10, 0, 0), (10, 0.01, 1), (100, 0.25, 25), (20_000, 0.1, 500), (10, 0.89, 9)],
)
def test_how_many_are_held_out(rows, share, expected):
    keys = [str(i).encode() for i in range(rows)]
    assert len(held_out_positions(keys, share, 0)) == expected
    assert held_out_positions([b"same"] * rows, share, 0) == set()
    assert held_out_positions(keys[:20], share, 3) <= held_out_positions(keys[:20], min(0.89, share * 2), 3)


@pytest.mark.parametrize("system", [[], [{"role": "system", "content": "Be kind."}]])
def test_rows_that_ask_the_same_stay_on_one_side(load, system):
    rows = [
        {
            "messages": [
                *system,
                {"role": "user", "content": f"Who is {i // 2}?"},
                {"role": "assistant", "content": f"{i}"},
            ]
        }
        for i in range(60)
    ]
    examples = load(jsonl(rows))
    learned = {one[-2]["content"] for one in examples.train}
    assert len(examples.held_out) == 6 and not any(one[-2]["content"] in learned for one in examples.held_out)
    assert not examples.also_learned and examples.warnings == []


def test_where_most_rows_ask_the_same_its_answers_are_held_out_and_counted(load):
    examples = load(
        jsonl(
            [{"instruction": f"Write a poem{i * ' now' if i < 2 else '.'}", "output": f"Poem {i}"} for i in range(60)]
        )
    )
    learned = {one[0]["content"] for one in examples.train}
    both = [place for place, one in enumerate(examples.held_out) if one[0]["content"] in learned]
    assert len(examples.held_out) == 6 and examples.also_learned == both != []
    assert f"{len(both)} of 6 held-out questions are also asked" in examples.warnings[-1]


def test_without_repeated_questions_the_split_is_what_it_was():
    keys = [str(i).encode() for i in range(300)]
    for asked in ([0] * 300, range(1, 301), [*range(1, 200), *[0] * 101]):
        assert held_out_places(keys, asked, 0.1, 7) == held_out_positions(keys, 0.1, 7)


def test_fewer_rows_and_equal_rows_are_still_trained_on(load):
    assert len(load(jsonl(ALPACA[:2])).train) == 2
    assert len(load(jsonl(ALPACA[:1] * 12)).train) == 12
    assert len(load(jsonl(ALPACA), held_out_share=0).train) == 12


# what a person should know


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("a <|im_end|>", "special tokens in 1 row (first: row 2, '<|im_end|>')"),
        ("I am {{name}}", "'{{name}}'"),
        ("long " * 5000, "Very long text in 1 row (first: row 2, 25,"),
        ("fine <| code s> ###", None),
    ],
)
def test_readable_rows_that_surprise_are_named(load, answer, words):
    warnings = load(jsonl([ALPACA[0], ALPACA[1] | {"output": answer}])).warnings
    assert (words in warnings[0]) if words else warnings == []


def test_line_separators_inside_text_are_text(load):
    rows = [{"instruction": "a\u0085b\u2028c", "output": "x\u000by\r\nz"}, ALPACA[1]]
    assert load(jsonl(rows)).train[0] == pair("a\u0085b\u2028c", "x\u000by\r\nz")
    assert load(jsonl(rows).replace(b"\n{", b"\r\n\r\n{") + b"\r\n \n").rows == 2


# the starter


@pytest.mark.parametrize("name", starter.DATASETS)
def test_starter_datasets_are_clean_and_bring_their_own_held_out(tmp_path, name):
    examples = load_examples(DatasetChoice(id=name, held_out_share=0.5, split_seed=4), tmp_path)
    assert examples == load_examples(DatasetChoice(id=name), tmp_path)
    assert (
        (examples.left_out, examples.warnings) == ([], [])
        and len(examples.train) > 1000
        and len(examples.held_out) > 100
    )
    assert examples.rows == len(examples.train) + len(examples.held_out)
    assert all(one[-1]["role"] == "assistant" for one in examples.train)
    assert not {same_key(one) for one in examples.train} & {same_key(one) for one in examples.held_out}


def test_starter_loads_fast_enough_for_the_first_loss(tmp_path):
    """0.06 s, which are some 160 calls for each of its 4,500 rows."""
    with calls_at_most(200 * 4500):
        assert load_examples(DatasetChoice(), tmp_path).rows == 4491


def test_importing_needs_no_heavy_library():
    heavy = "{'torch', 'transformers', 'datasets', 'pandas', 'pyarrow', 'numpy'}"
    code = f"import sys, qlora_app.training_data; print(sorted({heavy} & set(sys.modules)))"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )


# the sample kits


@pytest.mark.slow
@needs_samples
def test_real_files_of_public_repositories(tmp_path):
    cases = json.loads((SHARED / "real" / "expected.json").read_text())["files"]
    assert len(cases) == 32
    for case in cases:
        check(case, SHARED / "real", tmp_path / "data")


@needs_samples
def test_nasty_files(tmp_path):
    folder, data = tmp_path / "nasty", tmp_path / "deep" / "data"
    subprocess.run([sys.executable, str(SHARED / "make_nasty.py"), str(folder)], check=True, capture_output=True)
    cases = json.loads((folder / "expected.json").read_text())["cases"]
    assert len(cases) == 38
    before = {path.name for path in tmp_path.iterdir()} | {"deep"}
    for case in cases:
        start = time.process_time()
        check(case, folder, data)
        assert time.process_time() - start < 10
        for canary in case.get("canary", []):
            assert not list(tmp_path.rglob(canary)) and not Path(canary).exists()
    assert {path.name for path in tmp_path.iterdir()} == before
    assert sorted(uploaded_files(data)) == sorted(path.name for path in data.iterdir())


@pytest.fixture(scope="module")
def starter_model():
    from qlora_app.base_models import ModelChoice
    from qlora_app.base_models.loading import load_model

    return load_model(ModelChoice(precision="fp32"))


@pytest.mark.slow
@needs_samples
def test_every_real_file_trains_one_step_on_the_starter(starter_model):
    import torch

    tokens = starter_tokenizer()
    optimizer = torch.optim.SGD(starter_model.parameters(), lr=1e-3)
    trained = 0
    for case in json.loads((SHARED / "real" / "expected.json").read_text())["files"]:
        try:
            data = read_file(SHARED / "real" / case["file"], case["file"])
        except UserError:
            continue
        ids, labels, *_ = encode(tokens, min(data.conversations, key=lambda one: len(str(one))), 1024)
        loss = starter_model(input_ids=torch.tensor([ids]), labels=torch.tensor([labels])).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        assert 0 < loss.item() < 20, case["file"]
        trained += 1
    assert trained == 28


# what the model learns of it

TEMPLATES = {
    "the starter's": None,
    "ChatML": "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] | trim }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
    "Llama 3's": "{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m['role'] }}<|end_header_id|>\n\n{{ "
    "m['content'] | trim }}"
    "<|eot_id|>{% endfor %}{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}",
    "one without an end": "{% for m in messages %}{% if m['role'] == 'assistant' %}### Response:\n{{ m['content'] | "
    "trim }}\n\n"
    "{% else %}### Instruction:\n{{ m['content'] | trim }}\n\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}### Response:\n{% endif %}",
}
MARKS = ["<|im_end|>", "<|endoftext|>", "<|eot_id|>", "### Human:", "### Response:\n", "<|im_start|>assistant\n"]


@pytest.fixture(scope="module", params=TEMPLATES)
def templated(request):
    """The starter's tokenizer with one of the usual templates, whose marks are special tokens as in the models that use
    it.
    """
    made = load_tokenizer(ModelChoice())
    if TEMPLATES[request.param]:
        made.chat_template = TEMPLATES[request.param]
        marks = {
            mark
            for mark in ("<|im_start|>", "<|im_end|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")
            if mark in made.chat_template
        }
        made.add_special_tokens({"additional_special_tokens": sorted(marks)})
    return made


words = st.lists(
    st.one_of(st.text(st.characters(exclude_categories=["Cs", "Co"]), max_size=12), st.sampled_from(MARKS)),
    max_size=4,
)
texts = st.tuples(st.text("abcdefg", min_size=1, max_size=5), words, st.text("xyz", min_size=1, max_size=3)).map(
    lambda parts: parts[0] + "".join(parts[1]) + parts[2]
)
conversations = st.tuples(st.booleans(), st.lists(st.tuples(texts, texts), min_size=1, max_size=3), texts).map(
    lambda given: (
        [{"role": "system", "content": given[2]}] * given[0]
        + [turn for asked, said in given[1] for turn in pair(asked, said)]
    )
)


@pytest.mark.daily(1)
@settings(max_examples=60)
@given(conversation=conversations)
def test_exactly_the_answers_and_their_end_are_learned(templated, conversation):
    """Whatever people write, template marks among it: the text is all there, and only what the assistant says carries
    loss.
    """
    ids, labels, is_cut, _ = encode(templated, conversation, 100_000)
    spans = [
        templated.decode([i for i, _ in group])
        for learned, group in itertools.groupby(zip(ids, labels, strict=True), key=lambda one: one[1] != -100)
        if learned
    ]
    ends = templated.chat_template == TEMPLATES["one without an end"]
    end = (
        templated.eos_token
        if "endoftext" in templated.chat_template or ends or "eos_token" in templated.chat_template
        else None
    )
    end = end or ("<|im_end|>" if "im_end" in templated.chat_template else "<|eot_id|>")
    answers = [turn["content"] for turn in conversation if turn["role"] == "assistant"]
    expected = [answer + (end if not ends or answer is answers[-1] else "") for answer in answers]
    assert [span.strip() for span in spans] == expected and not is_cut
    assert all(label in (-100, i) for i, label in zip(ids, labels, strict=True))
    for turn in conversation:
        assert turn["content"] in templated.decode(ids)
    if not ends:  # what a turn spells out is no special token: each one there is the template's own
        assert ids.count(templated.convert_tokens_to_ids(end)) - (end == templated.bos_token) == (
            len(answers) if end == templated.eos_token else len(conversation)
        )


@pytest.mark.slow
@settings(max_examples=40)
@given(text=texts)
def test_a_plain_text_is_learned_whole_with_its_end(text):
    made = load_tokenizer(ModelChoice())
    ids, labels, *_ = encode(made, [{"role": "text", "content": text}], 100_000)
    assert labels == ids and made.decode(ids) == text + made.eos_token and ids.count(made.eos_token_id) == 1


def test_everything_is_learned_where_everything_is_asked_for():
    ids, labels, *_ = encode(starter_tokenizer(), [{**turn, "train": True} for turn in pair("q", "a")], 100)
    assert ids == labels


# whatever comes

VALUES = [
    None,
    True,
    0,
    2.5,
    float("nan"),
    "",
    " ",
    "word",
    "half \ud83d",
    [],
    {},
    ["a"],
    [[]],
    [None],
    {"a": 1},
    [{"role": "user"}],
    [{"from": 1, "value": 2}],
    pair("q", "a"),
    [["q", "a"]],
    [{"type": "text", "text": "x"}],
    {"text": ["x", "y"], "label": 5},
    {"de": "x", "en": None},
    TREE,
    [TREE],
    [5, {"a": 1}],
    [{"instruction_with_input": 5, "output": "x"}],
    "\n\nHuman: q\n\nAssistant: a",
    "### Human: q### Assistant:",
    "A",
    "b",
]
NAMES = [
    "instruction",
    "input",
    "output",
    "Output ",
    "response",
    "system",
    "history",
    "messages",
    "conversations",
    "question",
    "answer",
    "text",
    "prompt",
    "completion",
    "label",
    "chosen",
    "rejected",
    "image",
    "context",
    "other",
    "",
    "choices",
    "options",
    "choice1",
    "choice2",
    "answerKey",
    "instances",
    "replies",
    "translation",
    "parent_id",
    "message_id",
    "role",
    "kto_tag",
    "sentence1",
    "tools",
    "targets",
    "inputs",
    "col1",
    "col2",
    "turns",
    "content",
    "summary",
    "label_text",
]


def test_no_row_of_any_shape_is_more_than_a_sentence(load):
    chance = random.Random(0)
    for _ in range(250):
        rows = [
            {chance.choice(NAMES): chance.choice(VALUES) for _ in range(chance.randint(0, 5))}
            for _ in range(chance.randint(0, 6))
        ]
        rows += [
            {
                "messages": [
                    {
                        chance.choice(["role", "content", "from", "value", "weight"]): chance.choice(
                            [*VALUES, "user", "assistant"]
                        )
                        for _ in range(4)
                    }
                    for _ in range(3)
                ]
            }
            for _ in range(chance.randint(0, 2))
        ] + [chance.choice(VALUES)]
        try:
            load(json.dumps(rows), format=chance.choice([*CHOOSABLE, "auto", "auto"]))
        except UserError as error:
            assert len(str(error)) < 900


@pytest.mark.slow
def test_hostile_files_take_no_time(load, refusal):
    start = time.process_time()
    wide = ",".join(f"column{i}" for i in range(100_000)) + "\n" + "x," * 99_999 + "x\n"
    check_problem(refusal(wide, "wide.csv"), "dataset.ask_columns", "columns that are not known")
    assert "Windows-1252" in load(b"question,answer\nq," + b"A" * 1_000_000 + b"\xe9\n", "cp1252.csv").warnings[0]
    load(jsonl([ALPACA[0] | {"output": "{{" * 200_000 + "<|" * 200_000}]))
    assert time.process_time() - start < 5


# ---- larger than the memory

LISTED = json.dumps(ALPACA)


@pytest.fixture
def little_memory(monkeypatch):
    monkeypatch.setattr(json_stream, "MOST_AT_ONCE", 400)
    monkeypatch.setattr(json_stream, "_CHUNK", 50)


@pytest.mark.parametrize(
    "text",
    [
        f'{{"data": {LISTED}}}',
        f'{{"version": {{"a": [1]}}, "train": {LISTED}, "note": "x"}}\n',
        json.dumps({"name": "n", "rows": ALPACA}, indent=2),
        f'\ufeff {{ "data" : {LISTED} }}',
        LISTED,
    ],
)
def test_a_list_in_a_large_object_is_read_row_by_row(load, little_memory, text):
    examples = load(text.encode(), held_out_share=0)
    assert (examples.rows, len(examples.train), examples.left_out) == (12, 12, [])
    assert examples.train[3] == pair("What is 3 plus 3?", "It is 6.")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (json.dumps({"question": ["why?"] * 300, "answer": ["so."] * 300}), ("dataset.object_too_large",)),
        (
            json.dumps({"a": {"question": "x" * 2000, "answer": "y"}, "b": {"question": "x", "answer": "y"}}),
            ("dataset.object_too_large",),
        ),
        (f'{{"data": {LISTED}, "train": {LISTED}}}', ("dataset.several_lists", "data, train")),
        (f'{{"data": {LISTED}', ("dataset.cut_off_object",)),
        (f'{{"data": {LISTED[:-90]}', ("dataset.cut_off_row",)),
        (f'{{"data": {LISTED[:-1]}, oops]}}', ("dataset.broken_row", 13)),
        (json.dumps([{"instruction": "a", "output": "b" * 2000}]), ("dataset.row_too_large", 1)),
        (json.dumps({"instruction": "a" * 2000, "output": "b"}) + "\n{}\n", ("dataset.line_too_large",)),
    ],
)
def test_what_would_fill_the_memory_is_refused_with_a_way_out(refusal, little_memory, text, expected):
    check_problem(refusal(text), *expected)


def test_messages_that_name_their_parents_are_not_collected_without_end(load, refusal, monkeypatch):
    monkeypatch.setattr("qlora_app.training_data.conversations._MOST_LINKED", 300)
    tree = [
        {
            "message_id": f"m{i}",
            "parent_id": f"m{i - 1}" if i % 2 else None,
            "role": "assistant" if i % 2 else "prompter",
            "text": "word " * 9,
        }
        for i in range(20)
    ]
    check_problem(refusal(jsonl(tree)), "dataset.too_many_linked")
    assert load(jsonl(tree[:4]), held_out_share=0).rows == 4


# ---- what other programs write

TURNS = [{"role": "user", "content": "it's \u00e9"}, {"role": "assistant", "content": 'the "end"'}]


@pytest.mark.parametrize("column", ["messages", "conversations"])
@pytest.mark.parametrize("written", [json.dumps(TURNS), str(TURNS), f" {json.dumps(TURNS, indent=1)}"])
def test_turns_written_as_text_in_a_table(load, column, written):
    examples = load(table([["id", column], *([str(i), written] for i in range(3))]), "chats.csv")
    assert list(examples.train) == [pair("it's \u00e9", 'the "end"')] * 3 and examples.left_out == []


@pytest.mark.parametrize(
    "written", ["[1, 2", "hello", "[" * 5000, "[]", "__import__('os')", "[__import__('os').getcwd()]"]
)
def test_text_that_is_no_list_of_turns_is_named(refusal, written):
    check_problem(refusal(jsonl([{"messages": written}] * 3)), "dataset.no_trainable_row", "instead of a list of turns")


@pytest.mark.parametrize(
    "turns",
    [
        [{"role": "user", "parts": [{"text": "a"}, "b"]}, {"role": "model", "parts": [{"text": "c"}]}],
        [{"role": "human", "content": "ab"}, {"role": "ai", "content": "c"}],
        [
            {"role": "user", "content": [{"type": "input_text", "text": "ab"}]},
            {"role": "assistant", "content": [{"type": "output_text", "text": "c"}]},
        ],
    ],
)
def test_turns_of_other_interfaces(load, turns):
    assert list(load(jsonl([{"contents": turns}] * 3)).train) == [pair("ab", "c")] * 3


def test_lines_that_are_no_json_at_all_are_not_called_cut_off(refusal):
    broken = "\n".join(str(row).replace(",", "") for row in ALPACA)
    check_problem(refusal(broken), "dataset.rows_unreadable", "not valid JSON")
    check_problem(refusal(jsonl(ALPACA)[:-9]), "dataset.cut_off_row")
