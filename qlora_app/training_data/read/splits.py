"""Which of several files are learned, measured with, or kept apart, by what they are called: train, valid, test."""

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import TypeVar

TRAIN, VALIDATION, TEST = "train", "validation", "test"
ALL = "all"  # every file is learned, whatever it is called
_NAMES = {
    **dict.fromkeys(("train", "training", "trn", "trains"), TRAIN),
    **dict.fromkeys(
        ("validation", "valid", "val", "validate", "dev", "devel", "development", "eval", "evaluation"), VALIDATION
    ),
    **dict.fromkeys(("test", "testing", "tst", "heldout", "holdout"), TEST),
}
_SHARD = re.compile(r"\d+|of|part|shard|split|data|set|fold|file")
Named = TypeVar("Named")


def split_of_name(name: str) -> str:
    """The split that a name of rows, such as a key or a sheet, stands for; empty where it stands for none."""
    return _split_of_words(_words(name))


def by_split(files: Sequence[tuple[str, Named]]) -> dict[str, list[Named]]:
    """{split: its files} of (path, file); all of them under an empty name where they are no splits of one another.

    A file of no split is learned beside those to train on.
    """
    found: dict[str, list[Named]] = defaultdict(list)
    stems: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    for path, file in files:
        split, rest = _split_of_path(path)
        found[split or TRAIN if split else ""].append(file)
        stems[split].add(rest)
    measured = set(found) - {TRAIN, ""}
    if not measured or not (TRAIN in found or _belong(stems)):
        return {"": [file for _, file in files]}
    made = {TRAIN: [*found.pop(TRAIN, []), *found.pop("", [])]}
    return {**made, **{split: found[split] for split in (VALIDATION, TEST) if split in found}}


def held_out_split(splits: Sequence[str]) -> str:
    """The split that is measured with where nobody named one; empty without any."""
    return next((split for split in (VALIDATION, TEST) if split in splits), "")


def _belong(stems: dict[str, set[tuple[str, ...]]]) -> bool:
    """Is there beside files such as `notes_test.jsonl` one that is called as they are without the word?"""
    plain = stems.get("", set())
    others = [rest for split, rests in stems.items() if split for rest in rests]
    return bool(plain) and all(rest in plain for rest in others)


def _split_of_path(path: str) -> tuple[str, tuple[str, ...]]:
    """(the split by the nearest part of the path that names one, the words of the file's name beside it)"""
    parts = PurePosixPath(path.replace("\\", "/")).parts
    own = _words(parts[-1].partition(".")[0] if parts else "")
    rest = tuple(word for word in own if word not in _NAMES and not _SHARD.fullmatch(word))
    for words in (own, *(_words(part) for part in reversed(parts[:-1]))):
        if split := _split_of_words(words):
            return split, rest
    return "", rest


def _split_of_words(words: list[str]) -> str:
    found = {_NAMES[word] for word in words if word in _NAMES}
    return found.pop() if len(found) == 1 else ""


def _words(name: str) -> list[str]:
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    joined = re.sub(r"held[-_ ]out|hold[-_ ]out", "heldout", apart.lower())
    return re.findall(r"[a-z]+|\d+", joined)
