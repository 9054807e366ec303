"""Text whose lines follow a format of their own: chats, labelled lines (fastText), words with tags (CoNLL)."""

import re
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from typing import TextIO

from .chat_lines import chat_lines
from .reading import Found

LineReader = Callable[[TextIO], Iterator[Found]]
_LABELLED = re.compile(r"((?:__label__\S+[ \t,]*)+)(.*)|(.*?\S)[ \t]+((?:__label__\S+[ \t,]*)+)")
_LABEL = re.compile(r"__label__([^\s,]+)")
_IOB = re.compile(r"O|[BILUSEM][-_]\S+")
_PART_OF_SPEECH = re.compile(r"[A-Z]{1,5}\$?|[.,:;()'`\"$#-]{1,4}")
_LOOKED_AT = 400  # lines
_UNIVERSAL = 10  # columns of CoNLL-U: number, word, lemma, universal part of speech ...


def line_format_of(sample: str) -> LineReader | None:
    """The reader of a text by its first lines; None where they are a table, JSON or prose."""
    if sample.lstrip()[:1] in ("{", '"', ""):
        return None
    lines = [line.strip("\r\ufeff") for line in sample.split("\n")[:_LOOKED_AT]]
    written = [line for line in lines if line.strip()]
    if all([_LABELLED.fullmatch(line.strip()) for line in written]):
        return _labelled
    tags = _tags_of(lines)
    if tags:
        return partial(_tagged, tags=tags)
    return chat_lines(sample)


def _labelled(file: TextIO) -> Iterator[Found]:
    """fastText: __label__x before or after the text."""
    for number, line in enumerate(file, start=1):
        if not line.strip():
            continue
        found = _LABELLED.fullmatch(line.strip())
        if not found:
            yield number, None, "it has no __label__"
            continue
        labels = _LABEL.findall(found[1] or found[4])
        yield number, {"text": (found[2] or found[3] or "").strip(), "label": ", ".join(labels)}, None


def _tags_of(lines: list[str]) -> str:
    """The name of the tags beside words that stand one a line; empty for any other text."""
    blocks = [line for line in lines if _is_word(line)]
    if not blocks or "" not in [line.strip() for line in lines[1:]]:
        return ""
    rows = [_cells(line) for line in blocks]
    width = len(rows[0])
    if width < 2 or any([len(row) != width for row in rows[:-1]]):
        return ""
    if width == _UNIVERSAL and all([re.match(r"\d+", row[0]) for row in rows]):
        return "upos"
    last = [row[-1] for row in rows[: len(rows) - (len(rows) > 1 and len(rows[-1]) != width)]]
    if all([_IOB.fullmatch(tag) for tag in last]):
        return "ner_tags"
    is_speech = width == 2 and all([_PART_OF_SPEECH.fullmatch(tag) for tag in last]) and len(set(last)) > 2
    return "pos_tags" if is_speech else ""


def _is_word(line: str) -> bool:
    return bool(line.strip()) and not line.startswith(("# ", "#\t", "-DOCSTART-"))


def _cells(line: str) -> list[str]:
    return line.strip("\r\n").split("\t") if "\t" in line else line.split()


def _tagged(file: TextIO, tags: str) -> Iterator[Found]:
    """CoNLL: a sentence is a row."""
    rows: list[list[str]] = []
    first, text = 0, ""
    for number, line in enumerate(chain(file, ["\n"]), start=1):
        line = line.rstrip("\r\n")
        if line.startswith("# text = "):
            text = line.removeprefix("# text = ")
        if line.strip():
            if _is_word(line) and len(_cells(line)) > 1:
                first = first if rows else number
                rows.append(_cells(line))
        elif rows:
            yield first, _sentence(rows, tags, text), None
            rows, text = [], ""


def _sentence(rows: list[list[str]], tags: str, text: str) -> dict[str, object]:
    if tags == "upos":
        whole = [row for row in rows if row[0].isdecimal() and len(row) == _UNIVERSAL]
        words, found = [row[1] for row in whole], [row[3] for row in whole]
    else:
        words, found = [row[0] for row in rows], [row[-1] for row in rows]
    made: dict[str, object] = {"tokens": words, tags: found}
    return made | {"text": text} if text else made
