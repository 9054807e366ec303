"""What a person should know about readable data before training on it, and which rows are kept aside to measure with."""

import hashlib
import re
from collections import defaultdict

from ..messages import Conversation

LONG = 20_000  # characters, about 5,000 tokens: more than nearly every real example and every usual limit
MOST_HELD_OUT = 500  # more would only make every measurement slower
FEWEST_TO_SPLIT = 10
_MARKER = re.compile(r"<\|[a-z_]{2,30}\|>|</?s>|\[/?INST\]|### (?:Human|Assistant|Instruction|Response):")
_MARKER_PARTS = ("<|", "s>", "INST]", "### ")  # looked for first: the expression alone takes ten times as long
_PLACEHOLDER = re.compile(r"\{\{ ?\w{1,40} ?\}\}")


def content_warnings(conversations: list[Conversation], numbers: list[int], keys: list[bytes]) -> list[str]:
    """Sentences about readable rows that may surprise. `numbers`: their row numbers in the file; `keys`: their same_key."""
    markers, placeholders, long = [], [], []
    for number, conversation in zip(numbers, conversations, strict=True):
        text = "\n".join(turn["content"] for turn in conversation)
        if any(part in text for part in _MARKER_PARTS) and (found := _MARKER.search(text)):
            markers.append((number, repr(found[0])))
        if found := _PLACEHOLDER.search(text):
            placeholders.append((number, repr(found[0])))
        if len(text) > LONG:
            long.append((number, f"{len(text):,} characters"))
    repeated = len(keys) - len(set(keys))
    return [*_sentence("Template markers or special tokens", markers, "they are trained as plain text"),
            *_sentence("Placeholders nobody has filled in", placeholders, "the model will learn to write them"),
            *_sentence("Very long text", long, "what goes beyond the longest example of the settings is cut"),
            *([f"Duplicates: {repeated:,} of {len(keys):,} rows repeat another one; they are all on one side of the held-out split."]
              if repeated else [])]


def same_key(conversation: Conversation) -> bytes:
    """16 bytes, equal for conversations that differ in letter case and blanks only."""
    text = "\0".join(f"{turn['role']}\0{' '.join(turn['content'].casefold().split())}" for turn in conversation)
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def held_out_positions(keys: list[bytes], share: float, seed: int) -> set[int]:
    """Which conversations, given by their same_key, are never trained on: `share` of them, at least 1, at most 500.

    Equal ones stay together. Empty without a share, with fewer than 10, and when all are equal.
    """
    if not share or len(keys) < FEWEST_TO_SPLIT:
        return set()
    groups: dict[bytes, list[int]] = defaultdict(list)
    for position, key in enumerate(keys):
        groups[key].append(position)
    wanted = min(MOST_HELD_OUT, max(1, round(len(keys) * share)))
    # Ordered by a hash of the row itself: rows added to the file later do not move the others to the other side.
    order = sorted(groups, key=lambda key: hashlib.blake2b(b"%d " % seed + key).digest())
    chosen: set[int] = set()
    for key in order:
        if len(chosen) + len(groups[key]) <= wanted:
            chosen.update(groups[key])
    smallest = min(groups.values(), key=len)
    if not chosen and len(groups) > 1 and len(smallest) <= MOST_HELD_OUT:
        chosen.update(smallest)
    return chosen


def _sentence(what: str, rows: list[tuple[int, str]], consequence: str) -> list[str]:
    if not rows:
        return []
    count = "1 row" if len(rows) == 1 else f"{len(rows):,} rows"
    return [f"{what} in {count} (first: row {rows[0][0]}, {rows[0][1]}): {consequence}."]
