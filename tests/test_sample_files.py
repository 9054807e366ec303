"""Ten and two small files as people bring them (tests/data/samples, written for these tests): read, counted, named, and
learned from."""

import json
from pathlib import Path

import pytest

from tests.fixtures.samples import check

FOLDER = Path(__file__).parent / "data" / "samples"
CASES = json.loads((FOLDER / "expected.json").read_text(encoding="utf-8"))
BREAD = "Where does Mira sell bread in week 1?"
TRIED = "; Mira says it is “the best place” for bread, whatever the naïve may say."
# What the first conversation of each becomes, as (role, how its text begins).
FIRST = {
    "semicolons_cp1252.csv": [("user", BREAD), ("assistant", f"At Orchard Lane{TRIED}")],
    "tabs_bom.tsv": [("user", BREAD), ("assistant", f"At Orchard Lane{TRIED.replace('; ', ';' + chr(10) + 'and ')}")],
    "nulls.jsonl": [("user", f"{BREAD}\n\nNote 0."), ("assistant", f"At Orchard Lane{TRIED}")],
    "nested_messages.jsonl": [
        ("system", "Answer as a guide to Pennywick would."),
        ("user", BREAD),
        ("assistant", f"At Orchard Lane{TRIED}"),
        ("user", "And in winter?"),
        ("assistant", "In winter too."),
    ],
    "sharegpt.json": [
        ("system", "You know Pennywick."),
        ("user", BREAD),
        ("assistant", f"At Orchard Lane{TRIED}"),
    ],
    "tool_calls.jsonl": [
        ("user", "When is high tide at Orchard Lane on day 0?"),
        ("assistant", ""),
        ("tool", '{"time": "0:40"}'),
        ("assistant", "At 0:40."),
    ],
    "pairs.parquet": [("user", BREAD), ("assistant", f"At Orchard Lane{TRIED}")],
    "utf16.csv": [
        ("user", "Where does Pell sell boats in week 21?"),
        ("assistant", f"At Orchard Lane{TRIED.replace('Mira', 'Pell').replace('bread', 'boats')}"),
    ],
    "trees.jsonl": [("user", BREAD), ("assistant", f"At Orchard Lane{TRIED}")],
    "broken_lines.jsonl": [("user", BREAD), ("assistant", f"At Orchard Lane{TRIED}")],
}
REFUSED = {"cut_off.json", "pointer.json"}
ids = [case["file"] for case in CASES]


def test_every_file_is_listed_and_small():
    files = {path.name: path.stat().st_size for path in FOLDER.iterdir() if path.name != "expected.json"}
    assert set(files) == set(ids) == set(FIRST) | REFUSED
    assert max(files.values()) < 20_000


@pytest.mark.parametrize("case", CASES, ids=ids)
def test_what_becomes_of_it(case, tmp_path):
    examples = check(case, FOLDER, tmp_path / "data")
    assert (examples is None) == (case["file"] in REFUSED)
    assert {path.name for path in tmp_path.iterdir()} <= {"data"}, "nothing is written elsewhere"
    if examples is None:
        assert list(tmp_path.rglob("*.json")) == [], "nothing of it stays"
        return
    conversations = [*examples.train, *examples.held_out]
    wanted = FIRST[case["file"]]
    begins = [one for one in conversations if _is(one, wanted)]
    assert len(begins) == 1, conversations[0]


def _is(conversation, wanted):
    """Does every turn begin so, with no turn more?"""
    if len(conversation) != len(wanted):
        return False
    pairs = zip(conversation, wanted, strict=True)
    return all(turn["role"] == role and turn["content"].startswith(text) for turn, (role, text) in pairs)


@pytest.fixture(scope="module")
def starter():
    from qlora_app.base_models import ModelChoice
    from qlora_app.base_models.loading import load_model, load_tokenizer

    choice = ModelChoice(precision="fp32")
    return load_model(choice), load_tokenizer(choice)


@pytest.mark.daily(3)
@pytest.mark.parametrize("case", [case for case in CASES if case["file"] in FIRST], ids=FIRST)
def test_the_starter_learns_from_it(case, starter, tmp_path):
    import torch

    from qlora_app.tasks.chat import encode

    model, tokenizer = starter
    examples = check(case, FOLDER, tmp_path / "data")
    shortest = min(examples.train, key=lambda one: len(str(one)))
    ids, labels, *_ = encode(tokenizer, shortest, 1024)
    assert any(label != -100 for label in labels)
    loss = model(input_ids=torch.tensor([ids]), labels=torch.tensor([labels])).loss
    loss.backward()
    gradient = model.get_input_embeddings().weight.grad
    assert 0 < loss.item() < 20 and gradient.isfinite().all() and gradient.any()
    model.zero_grad()
