"""Plain text as examples: parts between empty lines, whole paragraphs joined, or lines; and texts of a known form whose
numbers, times and headers are no words: subtitles and mail boxes.
"""

import email
import email.policy
import html
import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TextIO

from .reading import Doubt, Found, ReadAs

JOINED = 2_000  # characters of paragraphs that are joined to one example: about 500 tokens, which every model takes
_LONGEST_PART = 65_536  # characters of plain text without an empty line
_MOST_MAIL = 1 << 22  # characters of one mail
_HEADING = re.compile(r"#{1,6} (?!.*:\s*$)\S|(?:chapter|part|book|kapitel|teil|chapitre|cap[ií]tulo)\b.{0,60}$", re.I)
_MARK = re.compile(
    r"(?:#{1,4} ?)?(?:human|assistant|user|instruction|input|response|system|question|answer|q|a)\s*:", re.I
)
_TIMES = re.compile(r"(?:\d{1,3}:)?\d{1,2}:\d{2}[.,]\d{1,3}[ \t]*-->[ \t]*(?:\d{1,3}:)?\d{1,2}:\d{2}[.,]\d{1,3}.*")
_SPEAKER = re.compile(r"<v(?:\.[^ >]*)? ([^>]+)>")
_TAG = re.compile(r"</?[a-zA-Z][^<>]*>|<\d[\d:.]*>|\{\\[^{}]*\}")
_MAIL = re.compile(r"From \S+.*\d{4}\s*$")
_MAIL_HEADER = re.compile(r"[A-Za-z][A-Za-z0-9-]*:")

Part = tuple[int, str]  # (line it starts on, text)
Reader = Callable[[TextIO], Iterator[Found]]


class Prose:
    """How the text of one file becomes examples; `warnings` and `doubts` are filled meanwhile."""

    def __init__(self, name: str, how: ReadAs) -> None:
        self.name, self.how = name, how
        self.warnings: list[str] = []
        self.doubts: list[Doubt] = []

    def has_form(self, sample: str) -> bool:
        """Is it a text of a form that is no prose?"""
        return is_subtitles(sample) or is_mail_box(sample)

    def reader(self, sample: str) -> Reader:
        """By its beginning."""
        if self.how.pieces == "lines":
            return self.each_line
        if is_subtitles(sample):
            return self.subtitles
        if is_mail_box(sample):
            return self.mails
        pieces = self.how.pieces
        if pieces == "auto":
            pieces = "joined" if has_headings(sample) else "parts"
            self._note(pieces, sample)
        return self.joined if pieces == "joined" else self.parts

    def _note(self, pieces: str, sample: str) -> None:
        values = [pieces, *(one for one in ("joined", "parts", "lines") if one != pieces)]
        shown = {one: _beginning(one, sample) for one in values}
        self.doubts.append(Doubt("pieces", pieces, tuple((one, shown[one]) for one in values)))
        if pieces == "joined":
            self.warnings.append(
                f"{self.name} has headings, so its paragraphs are joined to examples of about {JOINED:,} characters. "
                "If each part between empty lines stands for itself, say so (dataset.pieces=parts)."
            )

    def parts(self, file: TextIO) -> Iterator[Found]:
        """One row for each part between empty lines."""
        for line, text in _parts(file):
            yield line, text, None

    def each_line(self, file: TextIO) -> Iterator[Found]:
        """One row for each line."""
        for line, text in enumerate(iter(partial(file.readline, _LONGEST_PART), ""), start=1):
            if text.strip():
                yield line, text.strip(), None

    def joined(self, file: TextIO) -> Iterator[Found]:
        """Whole paragraphs, joined."""
        for line, text in join(_parts(file)):
            yield line, text, None

    def subtitles(self, file: TextIO) -> Iterator[Found]:
        """What is said, without numbers and times, joined to examples."""
        said: list[Part] = []
        self.warnings.append(f"{self.name} holds subtitles: their numbers and times are not learned.")
        for line, text in _cues(file):
            if not said or said[-1][1] != text:
                said.append((line, text))
            if sum(len(one) + 1 for _, one in said) > JOINED:
                yield said[0][0], "\n".join(one for _, one in said), None
                said = []
        if said:
            yield said[0][0], "\n".join(one for _, one in said), None

    def mails(self, file: TextIO) -> Iterator[Found]:
        """The text of each mail, with what its header says of it."""
        self.warnings.append(f"{self.name} is a mail box: the text of each mail is a row, attachments are not read.")
        for line, text in _mails(file):
            yield line, _mail(text), None


def join(parts: Iterable[Part], most: int = JOINED) -> Iterator[Part]:
    """Paragraphs one after another, as many as go into `most` characters; a heading begins the next."""
    kept: list[Part] = []
    size = 0
    for line, text in parts:
        ends = size + len(text) > most or (size > most // 2 and _HEADING.match(text))
        if kept and ends:
            yield from _filled(kept)
            kept, size = [], 0
        kept.append((line, text))
        size += len(text) + 2
    yield from _filled(kept)


def _filled(kept: list[Part]) -> Iterator[Part]:
    if kept:
        yield kept[0][0], "\n\n".join(text for _, text in kept)


def has_headings(sample: str) -> bool:
    """Is it a book, whose headings stand between empty lines?"""
    parts = [part.strip() for part in re.split(r"\n[ \t\r]*\n", sample) if part.strip()]
    if any(_MARK.match(part) for part in parts):
        return False
    headings = sum(_HEADING.match(part) is not None or _is_underlined(part) for part in parts)
    return len(parts) > 1 and headings > 0


def _is_underlined(part: str) -> bool:
    lines = part.splitlines()
    return len(lines) > 1 and re.fullmatch(r"={3,}|-{3,}", lines[1].strip()) is not None and len(lines[0]) < 100


def _beginning(pieces: str, sample: str) -> str:
    """The first example by these pieces, in short."""
    text = sample.strip()
    if pieces == "lines":
        text = text.partition("\n")[0]
    elif pieces == "parts":
        text = re.split(r"\n[ \t\r]*\n", text)[0]
    return " ".join(text.split())[:60]


def _parts(file: TextIO) -> Iterator[Part]:
    start, size = 1, 0
    part: list[str] = []
    for line, text in enumerate(iter(partial(file.readline, _LONGEST_PART), ""), start=1):
        if text.strip():
            if not part:
                start = line
            part.append(text)
            size += len(text)
        if part and (not text.strip() or size > _LONGEST_PART):
            yield start, "".join(part).strip()
            part, size = [], 0
    if part:
        yield start, "".join(part).strip()


def is_subtitles(sample: str) -> bool:
    """SRT and VTT, and others with a line of two times before what is said."""
    if re.match(r"\ufeff?WEBVTT\b", sample):
        return True
    lines = [line.strip() for line in sample.splitlines()[:40] if line.strip()]
    times = [place for place, line in enumerate(lines) if _TIMES.fullmatch(line)]
    return bool(times) and times[0] <= 1


def _cues(file: TextIO) -> Iterator[Part]:
    """What is said in each cue."""
    for line, part in _parts(file):
        lines = part.splitlines()
        place = next((number for number, one in enumerate(lines) if _TIMES.match(one.strip())), None)
        if place is None:
            continue  # WEBVTT, NOTE, STYLE and REGION hold nothing that is said
        words = [_TAG.sub("", _SPEAKER.sub(r"\1: ", one)).strip() for one in lines[place + 1 :]]
        said = html.unescape(" ".join(word for word in words if word))
        if said:
            yield line + place + 1, said


def is_mail_box(sample: str) -> bool:
    """Mails one after another as mbox keeps them."""
    lines = sample.splitlines()[:2]
    return len(lines) == 2 and bool(_MAIL.match(lines[0])) and bool(_MAIL_HEADER.match(lines[1]))


def _mails(file: TextIO) -> Iterator[Part]:
    mail: list[str] = []
    start, size, after_blank = 1, 0, True
    for line, text in enumerate(iter(partial(file.readline, _LONGEST_PART), ""), start=1):
        if after_blank and _MAIL.match(text):
            if mail:
                yield start, "".join(mail)
            mail, start, size = [], line, 0
        elif size < _MOST_MAIL:
            mail.append(text)
            size += len(text)
        after_blank = not text.strip()
    if mail:
        yield start, "".join(mail)


def _mail(text: str) -> dict[str, str]:
    try:
        parsed = email.message_from_string(text, policy=email.policy.default)
        body = parsed.get_body(("plain",))
        said = body.get_content() if body else parsed.get_payload() if not parsed.is_multipart() else ""
        headers = {name: str(parsed[name]) for name in ("from", "to", "date", "subject") if parsed[name]}
    except (LookupError, ValueError, TypeError, AttributeError, KeyError):  # whatever stands in a mail
        headers, said = {}, text.partition("\n\n")[2]
    unquoted = re.sub(r"^>(>*From )", r"\1", str(said), flags=re.M)
    return {**headers, "text": unquoted.strip()}
