"""What was read of a large file is kept: the same rows as from memory, read once, in little memory, never half."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from qlora_app.errors import UserError
from qlora_app.settings import Settings
from qlora_app.training_data import (
    DatasetChoice,
    import_file,
    load_examples,
)
from qlora_app.training_data import (
    read_cache as readings,
)
from qlora_app.training_data import (
    store as shelf,
)
from qlora_app.training_data.first_rows import first_conversations
from qlora_app.training_data.read import json_stream
from qlora_app.training_data.store import ArrowConversations

PAIRS = [{"instruction": f"What is {i % 90}?", "output": f"It is {i}.\u2028\u0085"} for i in range(200)]
CHATS = [
    {
        "messages": [
            {"role": "system", "content": "s"},
            {"role": "user", "content": f"q{i}"},
            {"role": "assistant", "content": "a", "weight": i % 2},
            {"role": "user", "content": "r"},
            {"role": "assistant", "content": f"b{i}"},
        ]
    }
    for i in range(60)
]
SEVERAL = [
    {
        "instruction": "Add",
        "instances": [{"input": f"{i}, 1", "output": f"{i + 1}"}, {"input": f"{i}, 2", "output": f"{i + 2}"}],
    }
    for i in range(30)
]
ODD = [{"instruction": "Write to a@b.example", "output": "{{name}} <|im_end|>"}, {"instruction": "x", "output": ""}]


def jsonl(rows) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.fixture
def on_disk(monkeypatch):
    """Everything goes to the disk, a few rows at a time."""
    monkeypatch.setattr(shelf, "IN_MEMORY", 0)
    monkeypatch.setattr(shelf, "_AT_ONCE", 2000)
    monkeypatch.setattr(shelf, "_ROWS", 7)
    monkeypatch.setattr(shelf, "_READ_BEFORE_FORGOTTEN", 20)


def imported(tmp_path: Path, rows, home="home", **choice) -> tuple[DatasetChoice, Path]:
    upload, data = tmp_path / "mine.jsonl", tmp_path / home / "data"
    upload.write_text(rows if isinstance(rows, str) else jsonl(rows))
    return DatasetChoice(source="file", id=import_file(upload, data, "mine.jsonl"), **choice), data


def never(*_, **__):
    raise AssertionError("it was read a second time")


@pytest.mark.daily(6)
@pytest.mark.parametrize(
    "choice",
    [{}, {"turns": "last"}, {"turns": "everything"}, {"held_out_share": 0.4, "split_seed": 3}, {"held_out_share": 0}],
)
@pytest.mark.parametrize(
    "rows", [PAIRS, CHATS, CHATS[:20] + PAIRS[:30] + CHATS[20:], SEVERAL, PAIRS[:40] + ODD + PAIRS[:40]]
)
def test_from_the_disk_it_is_the_same_as_from_memory(tmp_path, request, rows, choice):
    in_memory = load_examples(*imported(tmp_path, rows, "first", **choice))
    request.getfixturevalue("on_disk")
    kept, again = load_examples(*imported(tmp_path, rows, **choice)), load_examples(*imported(tmp_path, rows, **choice))
    assert isinstance(kept.train, ArrowConversations) and isinstance(in_memory.train, list)
    for examples in (kept, again):
        as_lists = replace(examples, train=list(examples.train), held_out=list(examples.held_out))
        assert as_lists == in_memory
    assert [kept.train[i] for i in range(len(kept.train))] == kept.train[:] == in_memory.train and kept.train[
        -1
    ] == in_memory.train[-1]
    with pytest.raises(IndexError):
        kept.train[len(kept.train)]


def test_a_file_is_read_once(tmp_path, on_disk, monkeypatch):
    choice, data = imported(tmp_path, PAIRS)
    monkeypatch.setattr(readings, "read_file", never)
    first = load_examples(choice, data)
    monkeypatch.setattr(readings, "held_out_places", never)
    assert load_examples(choice, data) == first and len(first.held_out) == 20
    monkeypatch.undo()
    assert [file.name for file in data.iterdir() if file.is_file()] == [choice.id]


@pytest.mark.daily(4)
@pytest.mark.parametrize("name", ["about.json", "rows.npz", "conversations.arrow"])
@pytest.mark.parametrize("kept", [None, 0, -100, -1000])
def test_a_reading_that_is_broken_is_made_again(tmp_path, on_disk, name, kept):
    choice, data = imported(tmp_path, PAIRS)
    before = load_examples(choice, data)
    (file,) = (data / readings.FOLDER).glob(f"*/{name}")
    content = file.read_bytes()
    # a file that is mapped must not be cut short in its place, and is not: only whole ones are moved there
    file.unlink()
    if kept is not None:
        file.write_bytes(content[:kept])
    assert load_examples(choice, data) == before == load_examples(choice, data)


def test_a_file_that_was_written_again_is_read_again(tmp_path, on_disk):
    choice, data = imported(tmp_path, PAIRS)
    before = load_examples(choice, data)
    (data / choice.id).write_text(jsonl(PAIRS[:100]))
    after = load_examples(choice, data)
    assert (before.rows, after.rows) == (200, 100) and before.fingerprint != after.fingerprint


def test_a_file_that_is_refused_leaves_nothing_behind(tmp_path, on_disk):
    for content in (
        jsonl(PAIRS)[:-20],
        jsonl([{**row, "output": ""} for row in PAIRS]),
        jsonl(PAIRS) + "{broken\n" * 300,
    ):
        with pytest.raises(UserError):
            load_examples(*imported(tmp_path, content))
    assert not [
        file for file in (tmp_path / "home").rglob("*") if file.is_file() and not file.name.endswith("mine.jsonl")
    ]


def test_the_reading_used_longest_ago_makes_room(tmp_path, on_disk, monkeypatch):
    choice, data = imported(tmp_path, PAIRS)
    first = load_examples(choice, data)
    monkeypatch.setattr(
        readings.Settings, "from_environment", lambda: Settings(max_cache_mb=1).model_copy(update={"max_cache_mb": 0})
    )
    imported(tmp_path, CHATS)
    assert len(list((data / readings.FOLDER).iterdir())) == 1
    assert len(list(first.train)) == len(first.train), "whoever had opened it goes on reading"
    assert load_examples(choice, data) == first


@pytest.mark.parametrize(
    "content",
    [
        jsonl(PAIRS),
        json.dumps(PAIRS),
        "instruction,output\n" + "q,a\n" * 200,
        jsonl(ODD[1:] + PAIRS),
        "{broken\n" + jsonl(PAIRS),
    ],
)
def test_the_first_rows_are_there_before_the_rest_is_read(tmp_path, content):
    file = tmp_path / "mine.txt"
    file.write_text(content)
    found = first_conversations(file, "mine.txt", Settings(), 3)
    assert len(found) == 3 and all(one[-1]["role"] == "assistant" for one in found)


PROGRAM = """
import resource, sys
from pathlib import Path
import datasets
from qlora_app.training_data import DatasetChoice, import_file, load_examples
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (1024 if sys.platform == "linux" else 1024 ** 2)
folder, before = Path(sys.argv[1]), peak()
id = import_file(folder / "mine.jsonl", folder / "data", "mine.jsonl")
examples = load_examples(DatasetChoice(source="file", id=id), folder / "data")
print(peak() - before, len(examples.train), sum(len(one) for one in examples.train))
"""


@pytest.mark.slow
def test_a_large_file_takes_little_memory(tmp_path):
    text = "word " * 400
    (tmp_path / "mine.jsonl").write_text(
        "".join(json.dumps({"instruction": f"{i} {text}", "output": text}) + "\n" for i in range(9_000))
    )
    size = (tmp_path / "mine.jsonl").stat().st_size / 1e6
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[1],
        env=os.environ | {"QLORA_APP_HOME": str(tmp_path)},
    )
    megabytes, examples, turns = map(int, done.stdout.split())
    assert size > 35 and turns == 2 * examples == 17_000
    assert megabytes < 50, (
        f"{megabytes} MB for a file of {size:.0f} MB; the first 10 stay in memory, the rest is Arrow itself"
    )


@pytest.mark.parametrize("longest", [200, 1_000_000])
def test_a_broken_first_line_and_a_wrapped_list_are_told_apart_by_their_beginning(tmp_path, monkeypatch, longest):
    monkeypatch.setattr(json_stream, "LONGEST_LINE", longest)
    lines = ",\n".join(json.dumps(row) for row in PAIRS)
    for content, left_out in (("{broken\n" + jsonl(PAIRS), 1), ('{"data": [\n' + lines + "]}", 0)):
        examples = load_examples(*imported(tmp_path, content))
        assert (examples.rows - left_out, len(examples.left_out)) == (200, left_out)


def test_what_other_code_has_read_is_read_again(tmp_path, on_disk, monkeypatch):
    choice, data = imported(tmp_path, PAIRS)
    monkeypatch.setattr(readings, "read_file", never)
    load_examples(choice, data)
    monkeypatch.setattr(readings, "source_of", lambda folder: f"changed {folder.name}")
    with pytest.raises(AssertionError, match="a second time"):
        load_examples(choice, data)


def test_a_part_is_read_together_and_what_was_read_of_the_table_is_forgotten(tmp_path, on_disk):
    train = load_examples(*imported(tmp_path, PAIRS)).train
    one_by_one = [train[i] for i in range(len(train))]
    for part in (slice(3, 40), slice(0, 0), slice(-5, None), slice(50, 10, -7), slice(None)):
        assert train[part] == one_by_one[part]
    train._read = 0
    for i in range(0, 60, 6):  # it counts what parts read too, else a pass in parts would fill the memory
        train[i : i + 6]
        assert train._read == (i + 6) % 24
