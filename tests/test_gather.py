"""A turn a row: a table of single turns gives the conversations that were cut into it."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qlora_app.training_data.conversations import read_file
from qlora_app.training_data.formats.stand_ins import is_lost
from qlora_app.training_data.read.gather import _MOST_TURNS, gather
from qlora_app.training_data.read.turn_order import in_order

TEXTS = st.text(st.characters(categories=("Lu", "Ll", "Nd")), min_size=1, max_size=12).filter(
    lambda text: not is_lost(text)
)
TALKS = st.lists(st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=4), min_size=1, max_size=6)
NAMES = st.tuples(
    st.sampled_from(["conversation_id", "Dialogue_ID", "session_id", "dialog", "ticket_id"]),
    st.sampled_from(["role", "Speaker", "sender"]),
    st.sampled_from(["content", "text", "utterance", "Message"]),
)


def written(folder, rows):
    file = folder / "turns.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def rows_of(talks, names):
    talk, who, says = names
    for number, exchanges in enumerate(talks):
        texts = [
            ("user", asks) if side == 0 else ("assistant", says)
            for pair in exchanges
            for side, (asks, says) in ((0, pair), (1, pair))
        ]
        for place, (role, text) in enumerate(texts):
            yield {talk: f"c{number}", "turn": place, who: role, says: text}


@settings(max_examples=40)
@given(talks=TALKS, names=NAMES, mixed=st.randoms(use_true_random=False))
def test_single_turns_give_the_conversations_they_were_cut_from(tmp_path_factory, talks, names, mixed):
    rows = list(rows_of(talks, names))
    numbers = list(range(len(talks)))
    mixed.shuffle(numbers)
    for number in numbers:  # the turns of one are in any order, their numbers say which
        place = [at for at, row in enumerate(rows) if row[names[0]] == f"c{number}"]
        shuffled = [rows[at] for at in place]
        mixed.shuffle(shuffled)
        rows[place[0] : place[-1] + 1] = shuffled
    contents = read_file(written(tmp_path_factory.mktemp("turns"), rows), "turns.jsonl")
    meant = [[text for pair in exchanges for text in pair] for exchanges in talks]
    assert [[turn["content"] for turn in one] for one in contents.conversations] == meant
    assert {turn["role"] for one in contents.conversations for turn in one} == {"user", "assistant"}


TIMES = {
    "created_at": lambda minutes: f"2024-01-01 {10 + minutes // 60}:{minutes % 60:02}",
    "Timestamp": lambda minutes: f"2024-01-01T{10 + minutes // 60}:{minutes % 60:02}:00Z",
    "date": lambda minutes: f"1/13/2024 {10 + minutes // 60}:{minutes % 60:02}",
    "start_time": lambda minutes: 60.5 * minutes,
}


@pytest.mark.parametrize("column", TIMES)
@pytest.mark.parametrize("step", [1, 2])  # two turns in the same minute are turned round with all
@settings(max_examples=8)
@given(talks=TALKS)
def test_turns_that_stand_newest_first_are_turned_round_by_their_times(tmp_path_factory, talks, column, step):
    talks = [exchanges * step for exchanges in talks]  # of one minute only nobody knows what was first
    rows = [row | {"minute": number // step} for number, row in enumerate(rows_of(talks, ("chat_id", "role", "text")))]
    rows = [{column: TIMES[column](row.pop("minute")), **row} for row in rows]
    for row in rows:
        del row["turn"]
    newest_first = sorted(rows[::-1], key=lambda row: row["chat_id"])
    meant = [[text for pair in exchanges for text in pair] for exchanges in talks]
    contents = read_file(written(tmp_path_factory.mktemp("turns"), newest_first), "turns.jsonl")
    assert sorted([[turn["content"] for turn in one] for one in contents.conversations]) == sorted(meant)


def test_times_that_are_mixed_are_sorted_and_days_that_may_be_months_are_not():
    def order(times):
        turns = [{"id": "c", "date": time} for time in times]
        return [times.index(turn["date"]) for turn in in_order(turns)]

    assert order(["2024-01-01 10:02", "2024-01-01 10:00", "2024-01-01 10:01"]) == [1, 2, 0]
    assert order(["1/12/2024 10:02", "1/13/2024 10:00", "2/1/2024 10:00"]) == [0, 1, 2]
    assert order(["10:00", "yesterday", "2024-01-01 10:00"]) == [0, 1, 2]


def test_a_conversation_that_begins_again_is_left_out_and_named(tmp_path):
    rows = list(rows_of([[("Hello", "Good day")], [("Ahoy", "Good day, sailor")]], ("chat_id", "role", "content")))
    contents = read_file(written(tmp_path, [*rows, {**rows[0], "content": "Hello again"}]), "turns.jsonl")
    assert len(contents.conversations) == 2
    assert [str(row) for row in contents.left_out] == [
        "row 3 (line 5): its conversation 'c0' was begun by earlier rows that other conversations follow: sort "
        "the rows by their conversation"
    ]


@pytest.mark.parametrize("beside", [{"emotion": "joy"}, {"parent_id": "m0"}, {"speaker": "Ann"}, {"text": None}])
def test_rows_that_are_something_by_themselves_are_no_turns(beside):
    rows = [{**row, **beside} for row in rows_of([[("Hello", "Good day")]] * 4, ("dialogue_id", "role", "text"))]
    found = [(line, row, None) for line, row in enumerate(rows, start=1)]
    assert list(gather(found)) == found


@pytest.mark.parametrize("has_system", [False, True])
@pytest.mark.parametrize("names", [("role", "content"), ("from", "value"), ("Speaker", "Message")])
def test_turns_without_a_conversation_are_pairs_and_never_a_classifier_of_roles(tmp_path, names, has_system):
    who, says = names
    rows = []
    for number in range(8):
        system = [("system", "Be brief.")] if has_system and number % 2 == 0 else []
        rows += [{who: role, says: f"{text}{number}"} for role, text in [*system, ("user", "q"), ("assistant", "a")]]
    contents = read_file(written(tmp_path, rows), "turns.jsonl")
    assert len(contents.conversations) == (4 if has_system else 8) and not contents.left_out
    assert [turn["content"] for turn in contents.conversations[-1]][-2:] == ["q7", "a7"]
    assert has_system != any("single turns" in warning for warning in contents.warnings)


def test_names_with_blanks_are_names_of_conversations_too(tmp_path):
    rows = list(rows_of([[("Hello", "Good day")] * 2] * 4, ("Chat ID", "Speaker", "Message")))
    assert len(read_file(written(tmp_path, rows), "turns.jsonl").conversations) == 4


def test_a_very_long_conversation_goes_on_in_the_next_row():
    rows = [{"chat_id": "a", "role": ("user", "assistant")[i % 2], "content": str(i)} for i in range(_MOST_TURNS + 4)]
    found = list(gather((line, row, None) for line, row in enumerate(rows, start=1)))
    assert [(line, len(value["messages"]), problem) for line, value, problem in found] == [
        (1, _MOST_TURNS, None),
        (_MOST_TURNS + 1, 4, None),
    ]
