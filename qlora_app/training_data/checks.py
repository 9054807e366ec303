"""What a person should know about readable data before training on it, and which rows are kept aside to measure with."""

import hashlib
import re

from ..messages import Conversation

_MARKERS = re.compile(r"<\|[a-z_]{2,30}\|>|</?s>|\[/?INST\]|### (?:Human|Assistant|Instruction|Response):")
_PLACEHOLDER = re.compile(r"\{\{ ?\w{1,40} ?\}\}")
LONG = 20_000  # characters, about 5,000 tokens: beyond the largest usual example length
MOST_HELD_OUT = 500  # more would only make every measurement slower
FEWEST_TO_SPLIT = 10


def content_warnings(conversations: list[Conversation], numbers: list[int]) -> list[str]:
    """Sentences about readable rows that may surprise; `numbers` are their row numbers in the file."""
    texts = ["\n".join(turn["content"] for turn in conversation) for conversation in conversations]
    warnings = []
    for pattern, words in ((_MARKERS, "contain special tokens or template markers, which are trained as plain text"),
                           (_PLACEHOLDER, "contain placeholders that somebody should have filled in")):
        found = [(number, match[0]) for number, text in zip(numbers, texts, strict=True) if (match := pattern.search(text))]
        if found:
            warnings.append(f"{_rows(len(found))} {words} (first: row {found[0][0]}, {found[0][1]!r}).")
    long = [(number, len(text)) for number, text in zip(numbers, texts, strict=True) if len(text) > LONG]
    if long:
        warnings.append(f"{_rows(len(long))} very long (first: row {long[0][0]}, {long[0][1]:,} characters); what goes beyond the longest example "
                        f"of the settings is cut.")
    repeated = len(texts) - len({same_key(conversation) for conversation in conversations})
    if repeated:
        warnings.append(f"{repeated:,} of {len(texts):,} rows are duplicates of others; they are never on both sides of the held-out split.")
    return warnings


def same_key(conversation: Conversation) -> bytes:
    """Equal for conversations that differ in letter case and blanks only (16 bytes)."""
    text = "\0".join(f"{turn['role']}\0{' '.join(turn['content'].casefold().split())}" for turn in conversation)
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def held_out_rows(conversations: list[Conversation], share: float, seed: int) -> tuple[set[int], str | None]:
    """(positions that are never trained on, a warning or None). Duplicates stay together; the same seed, the same answer."""
    if not share:
        return set(), None
    if len(conversations) < FEWEST_TO_SPLIT:
        return set(), f"With {len(conversations)} rows none is held out: the run is not measured on rows it never saw."
    groups: dict[bytes, list[int]] = {}
    for position, conversation in enumerate(conversations):
        groups.setdefault(same_key(conversation), []).append(position)
    wanted = min(MOST_HELD_OUT, max(1, round(len(conversations) * share)))
    # Ordered by a hash of the row itself, so that rows added later do not move the others from one side to the other.
    salt = str(seed).encode()
    order = sorted(groups, key=lambda key: hashlib.blake2b(key, digest_size=16, salt=salt[:16]).digest())
    chosen: set[int] = set()
    for key in order:
        if len(chosen) + len(groups[key]) <= wanted:
            chosen.update(groups[key])
        if len(chosen) == wanted:
            break
    if not chosen and len(groups) > 1:
        smallest = min(order, key=lambda key: len(groups[key]))
        chosen.update(groups[smallest] if len(groups[smallest]) <= MOST_HELD_OUT else [])
    if not chosen:
        return chosen, "All rows are the same, so none is held out." if len(groups) == 1 else "The rows repeat too often for any to be held out."
    return chosen, None


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"
