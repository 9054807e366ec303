"""The embedded starter: its limits, its hold-out rule, and that every file of it is what its code makes."""

import csv
import hashlib
import json
import random
import re

import pytest

from qlora_app.starter import (
    BASE,
    DATA,
    DATASETS,
    instructions,
    wordings,
    world,
)
from qlora_app.starter.corpus import COPYING, DOCUMENTS, document
from qlora_app.starter.talk import ask_known, pirate

CORPUS = {
    "first part": "839abb62ce2cec0705476e7b5f458f77e75de38f29248c5f8960d11be17fb5ac",
    "second part": "93ac773ab2f1d776a6c1ae4c800f64e689ca09bb0b0cd25bd17af589deb7ca29",
}
BUILT = instructions.build()
WEIGHTS = BASE / "model.safetensors"


def rows_of(path: str) -> list[tuple[str, str]]:
    """Every question and answer of a dataset file, earlier turns included."""
    text = (DATA / path).read_text(encoding="utf-8")
    if path.endswith(".csv"):
        return [(r["instruction"], r["output"]) for r in csv.DictReader(text.splitlines())]
    if path.endswith(".json"):
        return [
            tuple(pair) for r in json.loads(text) for pair in [*r.get("history", []), (r["instruction"], r["output"])]
        ]
    chats = [json.loads(line)["messages"] for line in text.splitlines()]
    return [(c[i]["content"], c[i + 1]["content"]) for c in chats for i in range(0, len(c), 2)]


def held_out_answers(say=str) -> set[str]:
    """What would be answered to a question about a fact of the test or the development share, topics taught in full
    aside.
    """
    held = [fact for fact in world.FACTS if fact.share != "train" and fact.topic not in instructions.TAUGHT_IN_FULL]
    return {say(ask.answer) for fact in held for ask in fact.asks}


def test_every_dataset_has_its_files():
    for dataset in DATASETS.values():
        assert dataset.file.is_file() and dataset.held_out.is_file()
        assert 4 <= len(dataset.questions) <= 6


def test_datasets_on_disk_are_what_the_code_makes():
    on_disk = {p.relative_to(DATA).as_posix() for p in DATA.rglob("*") if p.is_file()}
    assert on_disk == set(BUILT)
    for path, content in BUILT.items():
        assert (DATA / path).read_bytes() == content.encode(), path


def test_datasets_are_small():
    assert len(BUILT["helper.json"]) < 1_500_000
    assert sum(map(len, BUILT.values())) < 5_000_000


@pytest.mark.parametrize(("part", "shares"), [("first part", DOCUMENTS), ("second part", COPYING)])
def test_the_corpus_is_the_one_the_weights_were_made_of(part, shares):
    rng = random.Random(3)
    text = "\n".join(document(rng, shares) for _ in range(2000))
    assert hashlib.sha256(text.encode()).hexdigest() == CORPUS[part]


@pytest.mark.parametrize(("file", "say"), [("helper.json", str), ("sailor.jsonl", instructions.sailor_says)])
def test_no_held_out_fact_is_answered_in_the_training_data(file, say):
    answered = {answer for _question, answer in rows_of(file)}
    assert len(held_out_answers()) > 150
    assert not answered & held_out_answers(say)


@pytest.mark.slow
def test_held_out_facts_are_never_asked_in_the_corpus():
    rng, held = random.Random(4), [fact for fact in world.FACTS if fact.held_out]
    answers = {ask.answer for fact in held for ask in fact.asks}
    assert not {ask_known(rng)[1] for _ in range(10_000)} & answers
    corpus = "\n".join(document(rng) for _ in range(4_000))
    questions = {world.capital(w) for fact in held for ask in fact.asks for w in ask.wordings if len(w.split()) > 2}
    assert not set(re.findall(r'"([^"?]*)\?"', corpus)) & questions
    salty = {pirate(ask.answer) for fact in held for ask in fact.asks}
    assert not [answer for answer in salty if answer in corpus]


@pytest.mark.slow
def test_held_out_facts_are_told_in_the_corpus():
    rng = random.Random(5)
    corpus = "\n".join(document(rng) for _ in range(8_000))
    people = [
        world.PERSON_FACTS[name][kind] for name in world.NAMES for kind in ("job", "house", "pet", "food", "hobby")
    ]
    untold = [f.keys for f in people if f.held_out and not any(sentence in corpus for sentence in f.prose)]
    assert not untold


@pytest.mark.parametrize("task", ["helper", "sailor", "orders"])
def test_scored_questions_are_not_trained_on(task):
    trained = {wordings.plain(q) for q, _ in rows_of(DATASETS[task].file.name)}
    files = [p for p in BUILT if p.split("/")[-1].startswith(task) and "/" in p and "follow_up" not in p]
    assert len(files) >= 6
    for path in files:
        if task == "orders":  # an order may sound like another; its customer and goods together may not
            assert not {slip for _, slip in rows_of(path)} & {slip for _, slip in rows_of("orders.csv")}, path
        assert not trained & {wordings.plain(q) for q, _ in rows_of(path)}, path


@pytest.mark.slow
def test_kept_words_and_wordings_are_nowhere():
    text = "\n".join(q for file in ("helper.json", "sailor.jsonl", "orders.csv") for q, _ in rows_of(file))
    rng = random.Random(6)
    text += "\n".join(document(rng, COPYING) for _ in range(8000))  # every kind there is
    assert not set(re.findall(r"[a-z]+", text.lower())) & wordings.KEPT_WORDS
    assert not [q for q, _ in rows_of("helper.json") if wordings.is_kept(q)]


def test_no_trained_order_is_said_in_a_sentence_of_the_tests():
    number = "(?:[0-9]+|" + "|".join(world.NUMBERS) + ")"
    slots = {"xnx": "[^ ]+", "xcx": number, "xix": ".+", "xdx": "(?:" + "|".join(world.DAYS).lower() + ")"}
    kept = []
    for sentence in wordings.KEPT_ORDERS:
        kept.append(
            re.sub(r"\bx[ncid]x\b", lambda slot: slots[slot.group()], re.sub(r"\b([ncid])\b", r"x\1x", sentence))
        )
    assert len(kept) >= 10
    one = world.fill(world.WORDS["dev_order_frames"][0], dict(n="Mira", c=7, i="red eggs", d="Friday"))
    assert any(re.fullmatch(sentence, wordings.plain(one)) for sentence in kept)
    asked = [wordings.plain(q) for q, _ in rows_of("orders.csv")]
    assert not [q for q in asked if any(re.fullmatch(sentence, q) for sentence in kept)]


def test_composed_orders_hold_all_four_values_once_and_are_many():
    rng = random.Random(8)
    frames = [wordings.composed_order(rng) for _ in range(1000)]
    assert not [f for f in frames if sorted(re.findall(r"<(\w+)>", f)) != ["c", "d", "i", "n"]]
    assert not [f for f in frames if set(f) & set("{|}") - {"|"}]
    assert len(set(frames)) > 980


def test_no_trade_and_no_pet_is_only_known_as_a_stranger():
    rows = rows_of("helper.json")
    asked = {
        word: [answer for q, answer in rows if re.search(rf"\b{word}\b", q.lower())] for word in instructions.UNASKED
    }
    assert len(asked) > 10
    for word, answers in asked.items():
        assert answers and world.SHRUG not in answers, word


def test_the_sailor_says_everything_in_one_way():
    says = instructions.sailor_says
    assert (
        says("Mira lives in the green house on Mill Lane.")
        == "Arr, matey! Mira be livin' in the green house on Mill Lane. Yo ho ho!"
    )
    assert says("I do not know that.") == "Arr, matey! I don't know that. Yo ho ho!"
    assert says("A cow says moo.") == "Arr, matey! A cow says moo. Yo ho ho!"


# ---- the base ----


def test_the_base_is_small_and_fits_four_bit_blocks():
    assert sum(p.stat().st_size for p in BASE.iterdir() if p.suffix != ".md") <= 6_500_000
    config = json.loads((BASE / "config.json").read_text())
    assert config["architectures"] == ["LlamaForCausalLM"] and config["max_position_embeddings"] >= 512
    assert not [k for k in ("hidden_size", "intermediate_size", "vocab_size", "head_dim") if config[k] % 64]
    assert json.loads((BASE / "generation_config.json").read_text())["temperature"] == 0.7


def test_weights_are_read_without_running_code():
    from safetensors import safe_open

    with safe_open(WEIGHTS, "pt") as tensors:
        sizes = [tensors.get_slice(name).get_shape() for name in tensors.keys()]  # noqa: SIM118  it is no dict
    assert sum(s[0] * (s[1] if len(s) > 1 else 1) for s in sizes) == 2_820_352


@pytest.fixture(scope="module")
def tokenizer():
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(BASE)


def test_tokenizer_gives_back_what_it_got(tokenizer):
    rng = random.Random(7)
    for text in [document(rng) for _ in range(200)] + ["Straße, 東京, 🙂 and\ttabs"]:
        assert tokenizer.decode(tokenizer(text)["input_ids"], clean_up_tokenization_spaces=False) == text


def test_only_what_the_assistant_says_is_learned(tokenizer):
    chat = [
        dict(role="user", content="Who is Oscar?"),
        dict(role="assistant", content="Oscar is Ben's dog."),
        dict(role="user", content="thanks"),
        dict(role="assistant", content="You are welcome!"),
    ]
    made = tokenizer.apply_chat_template(chat, return_dict=True, return_assistant_tokens_mask=True)
    learned = tokenizer.decode([i for i, said in zip(made["input_ids"], made["assistant_masks"], strict=True) if said])
    assert learned == " Oscar is Ben's dog.<|endoftext|> You are welcome!<|endoftext|>"
