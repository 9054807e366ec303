"""What a person should know about readable data before training on it, and which rows are kept aside to measure with."""

import hashlib
import re
from collections import defaultdict
from typing import NamedTuple

from ..messages import Conversation

LONG = 20_000  # characters, about 5,000 tokens: more than nearly every real example and every usual limit
MOST_HELD_OUT = 500  # more would only make every measurement slower
FEWEST_TO_SPLIT = 10
CONSTANT_FROM = 10  # rows: fewer may well begin alike
_MARKER = re.compile(r"<\|[a-z_]{2,30}\|>|</?s>|\[/?INST\]|### (?:Human|Assistant|Instruction|Response):")
_PLACEHOLDER = re.compile(r"\{\{ ?\w{1,40} ?\}\}")
# What UTF-8 looks like when it was read as Windows-1252 and saved again, what stands for a lost character, and control characters
# other than line ends.
_BROKEN = re.compile("\u00c3[\u0080-\u00bf\u0192\u201a\u201e]|\u00e2\u20ac|\ufffd|[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f]")
_PERSONAL = re.compile(r"(?P<mail>[\w.+-]{1,64}@[\w-]{1,63}\.[\w.-]{2,20})"
                       r"|(?P<phone>\+\d{1,3}[ .-]?\(?\d{2,4}\)?[ .-]?\d{3,4}[ .-]?\d{3,5}\b"
                       r"|\(\d{3}\) ?\d{3}-\d{4}\b|\b\d{3}-\d{3}-\d{4}\b)"
                       r"|(?P<key>\b(?:sk-|ghp_|hf_|xox[bp]-)[\w-]{20,}|\bAKIA[0-9A-Z]{16}\b|-----BEGIN [A-Z ]{0,20}PRIVATE KEY)")
_PRIVATE = {"mail": "an e-mail address", "phone": "a phone number", "key": "a secret key"}  # named, never repeated in a sentence


class _Check(NamedTuple):
    """Something that may surprise: what is looked for, parts that are looked for first because that is quick, what follows of it."""

    what: str
    pattern: re.Pattern[str]
    parts: tuple[str, ...]
    consequence: str


_CHECKS = (
    _Check("Template markers or special tokens", _MARKER, ("<|", "s>", "INST]", "### "), "they are trained as plain text"),
    _Check("Placeholders nobody has filled in", _PLACEHOLDER, ("{{",), "the model will learn to write them"),
    _Check("Control characters or broken letters", _BROKEN, (), "the file may have been saved in a wrong encoding"),
    _Check("What looks like personal data", _PERSONAL, ("@", "+", "-", ") "), "the model may repeat it to others"),
)


def content_warnings(conversations: list[Conversation], numbers: list[int], keys: list[bytes]) -> list[str]:
    """Sentences about readable rows that may surprise. `numbers`: their row numbers in the file; `keys`: their same_key."""
    found: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for number, conversation in zip(numbers, conversations, strict=True):
        text = "\n".join([turn["content"] for turn in conversation])
        for check in _CHECKS:
            likely = any(part in text for part in check.parts) if check.parts else not text.isascii() or not text.isprintable()
            if likely and (hit := check.pattern.search(text)):
                found[check.what].append((number, _PRIVATE.get(hit.lastgroup or "") or repr(hit[0])))
        if len(text) > LONG:
            found["long"].append((number, f"{len(text):,} characters"))
    repeated = len(keys) - len(set(keys))
    sentences = [line for check in _CHECKS for line in _sentence(check.what, found[check.what], check.consequence)]
    return [*sentences,
            *_sentence("Very long text", found["long"], "what goes beyond the longest example of the settings is cut"),
            *_constant(conversations),
            *([f"Duplicates: {repeated:,} of {len(keys):,} rows repeat another one; they are all on one side of the held-out split."]
              if repeated else [])]


def _constant(conversations: list[Conversation]) -> list[str]:
    """All questions begin with the same paragraph: that is what the model will take for the question."""
    asked = [turn["content"] for conversation in conversations for turn in conversation[:2] if turn["role"] == "user"]
    first = {text.partition("\n\n")[0] for text in asked[:CONSTANT_FROM]}
    if len(asked) < CONSTANT_FROM or len(first) > 1 or not all(text.partition("\n\n")[0] in first for text in asked):
        return []
    return ["Every question begins with the same paragraph; if that is an instruction, the model learns to do just this one thing."]


def overlap_warnings(train: list[Conversation], held_out: list[Conversation]) -> list[str]:
    """A held-out question that is also trained on with another answer measures memory."""
    asked = {one[0]["content"].casefold().strip() for one in train if len(one) == 2}
    both = sum(len(one) == 2 and one[0]["content"].casefold().strip() in asked for one in held_out)
    return [f"{both:,} of {len(held_out):,} held-out questions are also asked in the rows that are learned: the held-out loss will look "
            "too good."] if both else []


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
