"""What a person should know about readable data before training on it, and
which rows are kept aside to measure with.
"""

import hashlib
import re
from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from ..formatting import count_of
from ..messages import STRUCTURE, Conversation, Message
from .formats.stand_ins import may_be_nothing
from .held_out import KEY, Keys

LONG = 20_000  # characters, about 5,000 tokens: more than nearly every real example and every usual limit
CONSTANT_FROM = 10  # rows: fewer may well begin alike
MOST_ANSWERS = 100  # different ones that are counted
FEWEST_SAME = 5  # rows: fewer may well answer alike
SAME_SHARE = 0.9  # of the rows; then it is said
_NOTHING = "Answers that may stand for nothing"
_MARKER = re.compile(
    r"<\|[a-z_]{2,30}\|>|</?s>|\[/?INST\]|### (?:Human|Assistant|Instruction|Response):|<(?:start|end)_of_turn>"
    r"|<\uff5c[^<>\uff5c\n]{2,30}\uff5c>|\n\n(?:Human|Assistant):"
)
_PLACEHOLDER = re.compile(r"\{\{ ?\w{1,40} ?\}\}")
# What UTF-8 looks like when it was read as Windows-1252 and saved again, what
# stands for a lost character, and control characters other than line ends.
_BROKEN = re.compile(
    "\u00c3[\u0080-\u00bf\u0192\u201a\u201e]|\u00e2\u20ac|\ufffd|[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f]"
)
# elements and letters that stand in pages; generics of a programming language look alike, and are none
_MARKUP = re.compile(
    r"</?(?:p|br|div|span|li|ul|ol|strong|em|h[1-6]|table|tr|td|img|font|blockquote)(?:\s[^<>]{0,300})?/?>"
    r"|<a\s[^<>]{0,300}>|<doc id=|&(?:nbsp|amp|lt|gt|quot|#\d{2,5});",
    re.IGNORECASE,
)
_PERSONAL = re.compile(
    r"(?P<mail>[\w.+-]{1,64}@[\w-]{1,63}\.[\w.-]{2,20})"
    r"|(?P<phone>\+\d{1,3}[ .-]?\(?\d{2,4}\)?[ .-]?\d{3,4}[ .-]?\d{3,5}\b"
    r"|\(\d{3}\) ?\d{3}-\d{4}\b|\b\d{3}-\d{3}-\d{4}\b)"
    r"|(?P<key>\b(?:sk-|ghp_|hf_|xox[bp]-)[\w-]{20,}|\bAKIA[0-9A-Z]{16}\b|-----BEGIN [A-Z ]{0,20}PRIVATE KEY)"
)
# what was found is named, and never repeated in a sentence
_PRIVATE = {"mail": "an e-mail address", "phone": "a phone number", "key": "a secret key"}


class _Check(NamedTuple):
    """Something that may surprise: what is looked for, parts that are looked for first
    because that is quick, what follows of it.
    """

    what: str
    pattern: re.Pattern[str]
    parts: tuple[str, ...]
    consequence: str

    def is_likely(self, text: str) -> bool:
        """False where a search would find nothing."""
        for part in self.parts:  # not any(): this runs for every row there is
            if part in text:
                return True
        return not self.parts and not (text.isascii() and text.replace("\n", "").isprintable())


_CHECKS = (
    _Check(
        "Template markers or special tokens",
        _MARKER,
        ("<|", "s>", "INST]", "### ", "_turn>", "<\uff5c", "\n\nHuman:"),
        "they are trained as plain text",
    ),
    _Check("Placeholders nobody has filled in", _PLACEHOLDER, ("{{",), "the model will learn to write them"),
    _Check("Tags of web pages", _MARKUP, ("<", "&"), "the model will learn to write them"),
    _Check("Control characters or broken letters", _BROKEN, (), "the file may have been saved in a wrong encoding"),
    _Check("What looks like personal data", _PERSONAL, ("@", "+", "-", ") "), "the model may repeat it to others"),
)


class Findings:
    """What a person should know about conversations before training on them, collected one after another."""

    def __init__(self) -> None:
        self.keys = bytearray()  # same_key of each, one behind the other
        self.asked = array("Q")  # question_number of each
        # what it is -> [in how many rows, the first of them, what was found there]
        self._found: dict[str, list[Any]] = {}
        self._questions, self._paragraph, self._is_constant = 0, "", True
        # by the hash of an answer, of the first different ones: in how many rows it stands
        self._answers: Counter[int] = Counter()

    def add(self, number: int, conversation: Conversation) -> None:
        """`number`: of its row in the file."""
        text = "\n".join(_texts(conversation))
        for check in _CHECKS:
            if not check.is_likely(text):
                continue
            hit = check.pattern.search(text)
            if hit:
                self._note(check.what, number, _PRIVATE.get(hit.lastgroup or "") or repr(hit[0]))
        if len(text) > LONG:
            self._note("long", number, f"{len(text):,} characters")
        self.keys += same_key(conversation)
        self.asked.append(question_number(conversation))
        self._count_answer(number, conversation[-1])
        for turn in conversation[:2]:
            if turn["role"] == "user":
                self._ask(turn["content"].partition("\n\n")[0])

    def _note(self, what: str, number: int, found: str) -> None:
        self._found.setdefault(what, [0, number, found])[0] += 1

    def _ask(self, paragraph: str) -> None:
        if not self._questions:
            self._paragraph = paragraph
        self._is_constant = self._is_constant and paragraph == self._paragraph
        self._questions += 1

    def _count_answer(self, place: int, turn: Message) -> None:
        """What most rows answer is among the first answers. `place`: the number of its row."""
        if turn["role"] != "assistant":
            return
        if may_be_nothing(turn["content"]):
            self._note(_NOTHING, place, repr(turn["content"].strip()))
        number = hash(turn["content"])
        if number in self._answers or len(self._answers) < MOST_ANSWERS:
            self._answers[number] += 1

    def _same_answers(self) -> list[str]:
        """The sentence that is due where nothing can be told apart by the answers."""
        rows, most = len(self.asked), max(self._answers.values(), default=0)
        if rows < FEWEST_SAME or most < SAME_SHARE * rows:
            return []
        if most == rows:
            return [f"All {rows:,} answers are the same: the model will learn to say this and nothing else."]
        return [f"{most:,} of {rows:,} answers are the same: the model will learn to say this to nearly everything."]

    @property
    def duplicates(self) -> int:
        """How many repeat another one, letter case and blanks aside."""
        return Keys(self.keys).repeated

    def sentences(self) -> list[str]:
        """What may surprise, in words."""
        repeated, rows = self.duplicates, len(self.asked)
        sentences = [self._sentence(check.what, check.what, check.consequence) for check in _CHECKS]
        sentences.append(self._sentence(_NOTHING, _NOTHING, "the model will learn to write them"))
        sentences.append(
            self._sentence("long", "Very long text", "what goes beyond the longest example of the settings is cut")
        )
        if self._is_constant and self._questions >= CONSTANT_FROM:  # that is what the model will take for the question
            sentences.append(
                "Every question begins with the same paragraph; if that is an instruction, the model learns to do "
                "just this "
                "one thing."
            )
        sentences += self._same_answers()
        if repeated and repeated >= SAME_SHARE * rows:
            sentences.append(
                f"Duplicates: nearly all rows repeat another one, only {rows - repeated:,} of {rows:,} differ. "
                "What is learned is learned by heart."
            )
        elif repeated:
            sentences.append(
                f"Duplicates: {repeated:,} of {len(self.asked):,} rows repeat another one; they are all on one side of "
                f"the "
                "held-out split."
            )
        return [sentence for sentence in sentences if sentence]

    def _sentence(self, what: str, words: str, consequence: str) -> str:
        if what not in self._found:
            return ""
        count, first, example = self._found[what]
        rows = count_of(count, "row")
        return f"{words} in {rows} (first: row {first}, {example}): {consequence}."


def _words(turn: Message) -> str:
    """All that a turn holds: its text, and what it thinks, calls or may call.

    Most hold a text alone, and are not asked: this is slow.
    """
    parts: dict[str, Any] = {**turn}
    return "\n".join([turn["content"], *[f"{name}: {parts[name]}" for name in STRUCTURE if name in parts]])


def also_learned(tested: Sequence[int], learned: Iterable[int]) -> list[int]:
    """Places of the held-out questions that are also trained on, with another answer.

    Both: question_number of each conversation.
    """
    both = {number for number in tested if number}.intersection(learned)
    return [place for place, number in enumerate(tested) if number in both]


def overlap_warnings(both: int, held_out: int) -> list[str]:
    """The sentence that is due where `both` of so many held-out questions are learned too; none where that is 0."""
    if not both:
        return []
    return [
        f"{both:,} of {held_out:,} held-out questions are also asked in the rows that are learned: the held-out "
        "loss will look too good."
    ]


FEW_ROWS, FEW_HELD_OUT = 20, 10  # below these a result says little


def few_warnings(learned: int, held_out: int, share: float) -> list[str]:
    """What is due before a start where there are too few rows to learn from or to measure with.

    share: of the rows that was to be held out; where that is 0 it was chosen.
    """
    warnings = []
    if learned == 1:
        warnings.append("There is only 1 row to learn from: the model can learn it by heart, and nothing more.")
    elif learned < FEW_ROWS:
        warnings.append(f"There are only {learned} rows to learn from: the model will learn them by heart.")
    if share and not held_out:
        warnings.append(
            "No row is held out, because there are too few: nothing will be measured on rows it has not seen."
        )
    if held_out == 1:
        warnings.append("1 row is held out, so the result will be a guess.")
    elif 1 < held_out < FEW_HELD_OUT:
        warnings.append(f"{held_out} rows are held out, so the result will be a guess.")
    return warnings


def question_number(conversation: Conversation) -> int:
    """Equal for conversations that ask the same up to the last answer, letter case, blanks and system texts aside.

    0 without a question.
    """
    turns = [turn for turn in conversation[:-1] if turn["role"] != "system"]
    if not turns:
        return 0
    texts = _texts(turns)
    plain = "\0".join([" ".join(text.casefold().split()) for text in texts])
    digest = hashlib.blake2b(plain.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") or 1


def _texts(turns: Sequence[Message]) -> list[str]:
    """What each turn says; most have a role and a content and no more, and are not looked at twice."""
    return [turn["content"] if len(turn) == 2 else _words(turn) for turn in turns]


def same_key(conversation: Conversation) -> bytes:
    """16 bytes, equal for conversations that differ in letter case and blanks only."""
    parts: list[str] = []
    for turn, text in zip(conversation, _texts(conversation), strict=True):
        parts += turn["role"], " ".join(text.casefold().split())
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=KEY).digest()
