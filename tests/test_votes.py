"""What people said of answers in the chat, as datasets."""

import threading

import pytest

from qlora_app.training_data import DatasetChoice, load_examples, server_files
from qlora_app.training_data.votes import EXAMPLES, PAIRS, Votes
from tests.refusing import refused

SYSTEM = {"role": "system", "content": "Be kind."}


def asked(question="Who is Mira?"):
    return [SYSTEM, {"role": "user", "content": question}]


@pytest.fixture
def votes(tmp_path):
    return Votes(tmp_path / "data")


def rows_of(votes, file):
    return list(load_examples(DatasetChoice(source="file", id=file, held_out_share=0), votes.folder).train)


def test_pairs_and_corrections_are_datasets_that_the_page_lists_and_reads(votes):
    for n in range(3):
        votes.prefer(f"{n}", asked(f"Who is {n}?"), f"The baker {n}.", [(f"Hm {n}", {}), (f"What {n}", {"run": "r"})])
        votes.correct(f"{n}/1", asked(f"Who is {n}?"), f"A baker, {n}.", {"run": "r"})
    assert votes.counts() == {"pairs": 6, "examples": 3}
    assert server_files(votes.folder) == [EXAMPLES, PAIRS]
    right = [*asked("Who is 1?"), {"role": "assistant", "content": "A baker, 1."}]
    assert right in rows_of(votes, EXAMPLES)
    chosen = [*asked("Who is 1?"), {"role": "assistant", "content": "The baker 1."}]
    rows = [
        [{name: said for name, said in turn.items() if name != "rejected"} for turn in row]
        for row in rows_of(votes, PAIRS)
    ]
    assert rows.count(chosen) in (1, 2)


def test_a_vote_is_changed_and_taken_back_and_lines_of_others_stay(votes):
    votes.folder.mkdir()
    (votes.folder / PAIRS).write_text('{"mine": 1}\nno json\n', encoding="utf-8")
    votes.prefer("a", asked(), "One.", [("Two.", {})])
    votes.prefer("b", asked(), "One.", [("Two.", {})])
    votes.prefer("a", asked(), "Two.", [("One.", {})])
    assert votes.counts()["pairs"] == 4
    votes.take_back("a")
    votes.take_back("b")
    assert (votes.folder / PAIRS).read_text(encoding="utf-8") == '{"mine": 1}\nno json\n'
    votes.correct("a", asked(), "One.", {})
    votes.take_back("a")
    assert not (votes.folder / EXAMPLES).exists(), "an empty dataset teaches nothing"


def test_answers_of_the_same_words_make_no_pair(votes):
    votes.prefer("a", asked(), "One.", [("One. ", {}), ("", {}), ("  ", {})])
    assert votes.counts() == {"pairs": 0, "examples": 0}


def test_people_who_vote_at_once_lose_nothing(votes):
    threads = [
        threading.Thread(target=votes.prefer, args=(f"{n}", asked(), f"Good {n}", [("Bad", {})])) for n in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert votes.counts()["pairs"] == 20


def test_a_file_that_is_too_large_is_said(votes, monkeypatch):
    monkeypatch.setattr("qlora_app.training_data.votes.LARGEST", 100)
    with refused("votes.too_many", PAIRS):
        votes.prefer("a", asked(), "x" * 200, [("y", {})])
    assert votes.counts()["pairs"] == 0
