"""No example is cut into tokens twice, and what is kept on disk is what was made, or it is made again."""

import hashlib
import random
import threading

import pytest
from torch.utils.data import DataLoader

from qlora_app import worker
from qlora_app.base_models import ModelChoice, load_tokenizer
from qlora_app.runs import RunStore
from qlora_app.storage.cache import make_room
from qlora_app.storage.digests import sha256_of, source_of
from qlora_app.tasks import token_cache
from qlora_app.tasks.chat import (
    GUANACO_TEMPLATE,
    IGNORED,
    Encoded,
    encode,
    encode_all,
    has_loss,
)
from qlora_app.tasks.dataset import EncodedExamples
from qlora_app.tasks.token_cache import TokenCache, cache_folder
from tests.conftest import short_recipe
from tests.refusing import refused


def example(place: int) -> Encoded:
    """Different for each place, of different lengths; every fifth has labels that are not its own ids."""
    chance = random.Random(place)
    ids = [chance.randrange(100_000) for _ in range(chance.randrange(40))]
    labels = [place % 7, 2] if place % 5 == 0 else [i if chance.random() < 0.5 else IGNORED for i in ids]
    return Encoded(ids, labels, place % 3 == 0)


def never() -> Encoded:
    raise AssertionError("it was encoded a second time")


def filled(folder, count=300, most_mb=100) -> TokenCache:
    cache = TokenCache(count, folder, most_mb)
    for place in range(count):
        assert cache.get(place, lambda: example(place)) == example(place)  # noqa: B023  it is called at once
    cache.save()
    return cache


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "tokens" / "a" / "train"


@pytest.mark.parametrize("piece", [10, 500, 1_000_000])
def test_what_was_kept_is_what_was_made(folder, monkeypatch, piece):
    monkeypatch.setattr(token_cache, "_PIECE", piece)
    monkeypatch.setattr(token_cache, "_READ_BEFORE_FORGOTTEN", 10_000)
    filled(folder)
    again = TokenCache(300, folder, 100)
    for place in random.Random(0).sample(range(300), 300):
        assert again.get(place, never) == example(place)
    again.save()
    assert len(list(folder.glob("*"))) == (1 if piece == 1_000_000 else len(list(folder.glob("*.tokens")))) > 0


def test_without_a_folder_it_is_remembered_too():
    cache = TokenCache(5)
    assert cache.get(3, lambda: example(3)) == cache.get(3, never) == example(3)
    cache.save()


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:-8],
        lambda data: data[:30],
        lambda data: b"x" * len(data),
        lambda data: data[:40] + b"\7" + data[41:],
        lambda data: data[:-3] + b"\7" + data[-2:],
    ],
)
def test_what_is_broken_is_made_again(folder, damage):
    filled(folder)
    (file,) = folder.glob("*.tokens")
    file.write_bytes(damage(file.read_bytes()))
    assert filled(folder) and file not in folder.glob("*")
    again = TokenCache(300, folder, 100)
    assert all(again.get(place, never) == example(place) for place in range(300))


def test_a_piece_of_a_longer_dataset_is_not_taken(folder):
    filled(folder, 300)
    assert filled(folder, 200)


def test_several_at_once_do_not_hurt_each_other(folder, monkeypatch):
    monkeypatch.setattr(token_cache, "_PIECE", 200)
    wrong = []

    def work() -> None:
        try:
            filled(folder)
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    again = TokenCache(300, folder, 100)
    assert not wrong and all(again.get(place, never) == example(place) for place in range(300))


def test_the_oldest_is_thrown_away_and_whoever_reads_it_goes_on(folder, tmp_path):
    first = filled(folder)
    for name in "bc":
        filled(tmp_path / "tokens" / name / "train")
    TokenCache(1, tmp_path / "tokens" / "b" / "train", 100)  # used again: now c is older
    make_room(tmp_path / "tokens", 0, tmp_path / "tokens" / "b")
    assert [one.name for one in (tmp_path / "tokens").iterdir()] == ["b"]
    assert all(first.get(place, never) == example(place) for place in range(300))


def test_a_full_disk_ends_nothing(folder, monkeypatch, capsys):
    cache = TokenCache(10, folder, 100)
    cache.get(0, lambda: example(0))
    folder.parent.mkdir(parents=True)
    folder.write_text("in the way")
    cache.save()
    assert cache.get(0, never) == example(0) and "not kept" in capsys.readouterr().out


def test_another_tokenizer_template_length_or_dataset_has_another_folder(tmp_path):
    tokenizer, other, longer = (load_tokenizer(ModelChoice()) for _ in range(3))
    other.chat_template = GUANACO_TEMPLATE + " "
    longer.add_tokens(["<mine>"])
    folders = {
        cache_folder(tmp_path, *what)
        for what in (("x", tokenizer, 9), ("x", other, 9), ("x", longer, 9), ("y", tokenizer, 9), ("x", tokenizer, 8))
    }
    assert len(folders) == 5 and cache_folder(tmp_path, "x", load_tokenizer(ModelChoice()), 9) in folders


def test_other_code_makes_its_tokens_anew(tmp_path, monkeypatch):
    tokenizer = load_tokenizer(ModelChoice())
    before = cache_folder(tmp_path, "x", tokenizer, 9)
    monkeypatch.setattr(token_cache, "source_of", lambda folder: f"changed {folder.name}")
    assert cache_folder(tmp_path, "x", tokenizer, 9) != before


def test_a_digest_of_code_is_another_one_when_a_file_is(tmp_path):
    def digest() -> str:
        source_of.cache_clear()
        return source_of(tmp_path)

    (tmp_path / "below").mkdir()
    seen = [digest()]
    for name, text in (("a.py", "1"), ("a.py", "2"), ("below/b.py", "2"), ("notes.txt", "no code")):
        (tmp_path / name).write_text(text)
        seen.append(digest())
    assert len(set(seen)) == 4 and seen[-1] == seen[-2]
    assert sha256_of(tmp_path / "a.py") == hashlib.sha256(b"2").hexdigest()


@pytest.mark.slow
def test_a_second_start_on_the_same_data_encodes_nothing_and_learns_the_same(home, monkeypatch):
    def losses() -> list[float]:
        few = {"evaluations": 0, "samples": 0, "scored_questions": 0, "checkpoints": 0}
        run = RunStore(home / "runs").create(short_recipe(max_steps=4, packing=False, **few))
        assert worker.main(run.folder) == 0, run.status().sentence
        return [row["loss"] for row in run.metrics()[0] if "loss" in row]

    first = losses()
    monkeypatch.setattr("qlora_app.tasks.chat.encode_all", lambda *_: never())
    assert losses() == first and len(first) == 4
    assert (
        len(list((home / "tokens").glob("*/train/*.tokens"))) == 1
        and len(list((home / "tokens").glob("*/held-out/*.tokens"))) == 1
    )


def test_examples_say_how_many_of_those_seen_are_cut():
    tokenizer = load_tokenizer(ModelChoice())
    talk = [
        [{"role": "user", "content": "a"}, {"role": "assistant", "content": "word " * count}] for count in (1, 90, 90)
    ]
    examples = EncodedExamples(talk, tokenizer, 24)
    assert examples.encoded(1) == examples.encoded(1) == encode(tokenizer, talk[1], 24) and examples.count_cut() == 1


MIXED = [
    *(
        [{"role": "user", "content": f"question {i} {w}"}, {"role": "assistant", "content": f"{w} answer" * i}]
        for i in range(1, 5)
        for w in ("plain", "é€😀", "### Human: <s> x </s>")
    ),
    [{"role": "text", "content": "a document, <s> with a mark"}],
    [{"role": "text", "content": "another"}],
    [
        {"role": "system", "content": "be kind"},
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b", "train": False},
        {"role": "user", "content": "c"},
        {"role": "assistant", "content": "d"},
    ],
    [{"role": "user", "content": "all", "train": True}, {"role": "assistant", "content": "of it", "train": True}],
]
UNMARKED = GUANACO_TEMPLATE.replace("{% generation %}", "").replace("{% endgeneration %}", "")


@pytest.mark.parametrize("template", [GUANACO_TEMPLATE, UNMARKED])
def test_many_together_are_what_each_is_alone(template):
    tokenizer = load_tokenizer(ModelChoice())
    tokenizer.chat_template = template
    alone = [encode(tokenizer, one, 40) for one in MIXED]
    assert encode_all(tokenizer, MIXED, 40) == alone and any(one.is_cut for one in alone)
    assert all(has_loss(one.labels) for one in alone)
    examples = EncodedExamples(MIXED, tokenizer, 40)
    order = [7, 3, 7, 0, 1, 15, 14]
    assert [one["input_ids"] for one in examples.__getitems__(order)] == [alone[i].input_ids for i in order]
    assert [one["labels"] for one in examples] == [one.labels for one in alone]


def test_a_micro_batch_of_the_trainer_s_loader_is_encoded_in_one_go(monkeypatch):
    asked = []
    monkeypatch.setattr(
        "qlora_app.tasks.chat.encode_all",
        lambda tokenizer, some, length: asked.append(len(some)) or encode_all(tokenizer, some, length),
    )
    examples = EncodedExamples(MIXED, load_tokenizer(ModelChoice()), 40)
    assert len(list(DataLoader(examples, batch_size=8, collate_fn=list))) == 2 and asked == [8, 8]
    assert len(list(DataLoader(examples, batch_size=8, collate_fn=list))) == 2 and asked == [8, 8]


def test_of_many_those_that_the_template_refuses_are_left_out_and_named():
    tokenizer = load_tokenizer(ModelChoice())
    tokenizer.chat_template = (
        "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}" + GUANACO_TEMPLATE
    )
    left_out = [place for place, one in enumerate(MIXED) if one[0]["role"] == "system"]
    encoded = encode_all(tokenizer, MIXED, 40)
    assert left_out and [place for place, one in enumerate(encoded) if not one.input_ids] == left_out
    examples = EncodedExamples(MIXED, tokenizer, 40)
    examples.meet_all()
    assert [one.place for one in examples.left_out] == left_out and len(examples) == len(MIXED) - len(left_out)
    assert "'be kind'" in examples.left_out[0].reason and "no system" in examples.left_out[0].reason
    assert all(has_loss(one["labels"]) for one in examples)
    with refused("template.refuses", "be kind", "no system"):
        encode(tokenizer, MIXED[left_out[0]], 40)
