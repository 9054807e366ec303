"""The text of documents: .docx, .odt, .epub, .html and .pdf, paragraph by paragraph."""

import io
import re
import zipfile
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO
from urllib.parse import unquote
from xml.etree import ElementTree

from ...errors import UserError
from .apart import read_apart
from .content import DAMAGED, Content, most_bytes, too_large
from .prose import Part, join
from .reading import Found, ReadAs

_MOST_PAGES, _GLANCED = 100_000, 5
_WORD = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_OPEN = "{urn:oasis:names:tc:opendocument:xmlns:text:1.0}"
_BLOCKS = {
    *("p", "div", "h1", "h2", "h3", "h4", "h5", "h6", "li", "tr", "table", "section", "article", "blockquote"),
    *("pre", "dt", "dd", "figcaption", "title", "ul", "ol", "body", "header", "footer"),
}
_SILENT = {"script", "style", "template", "noscript", "svg", "math", "head"}
_LONGEST = 1 << 20  # characters of one paragraph


class Document:
    """The text of one document as examples; `warnings` is filled meanwhile."""

    def __init__(self, content: Content, kind: str, how: ReadAs, glance: bool) -> None:
        self.content, self.kind, self.how, self.glance = content, kind, how, glance
        self.name = content.name
        self.warnings: list[str] = []

    def rows(self) -> Iterator[Found]:
        """Whole paragraphs, joined; each by itself where that was said. Raises UserError."""
        parts = self._parts()
        found = parts if self.how.pieces in ("parts", "lines") else join(parts)
        count = 0
        for _, text in found:
            count += 1
            yield None, text, None
        if not count:
            raise UserError(
                "dataset.document_no_text",
                "{name} holds no text: its pages are pictures, or empty. Put it through text recognition (OCR) first, "
                "then upload the text.",
                name=self.name,
            )

    def _parts(self) -> Iterator[Part]:
        if self.kind == "pdf":
            return self._pages()
        if self.kind == "html":
            return self._html()
        return self._packed()

    def _html(self) -> Iterator[Part]:
        with self.content.open() as file:
            yield from _of_html(file.read().decode("utf-8", "replace"))

    def _pages(self) -> Iterator[Part]:
        most = _GLANCED if self.glance else _MOST_PAGES
        empty: list[int] = []
        broken: list[int] = []
        for said in read_apart("pdf", self.content, {"pages": most}, self.glance):
            if said.get("why"):
                broken.append(said["number"])
            elif not said["page"].strip():
                empty.append(said["number"])
            for part in _paragraphs(said["page"]):
                yield said["number"], part
        if empty:
            self.warnings.append(
                f"Pages of {self.name} without text, perhaps pictures, are not read: {_listed(empty)}."
            )
        if broken:
            self.warnings.append(f"Pages of {self.name} that cannot be read: {_listed(broken)}.")

    def _packed(self) -> Iterator[Part]:
        place = self.content.whole()
        size = place.stat().st_size if isinstance(place, Path) else len(place.getbuffer())  # type: ignore[attr-defined]
        most = most_bytes(size, self.content.limits)
        try:
            with zipfile.ZipFile(place) as packed:
                if sum(one.file_size for one in packed.infolist()) > most:
                    raise too_large(self.name, most)
                yield from self._of_members(packed)
        except (*DAMAGED, ElementTree.ParseError, KeyError, RecursionError) as error:
            raise UserError(
                "dataset.document_broken",
                "{name} is a document that is damaged. Save it again, or as text (UTF-8), and upload that.",
                name=self.name,
            ) from error

    def _of_members(self, packed: zipfile.ZipFile) -> Iterator[Part]:
        names = packed.namelist()
        if "word/document.xml" in names:
            beside = [name for name in ("footnotes", "endnotes", "comments") if f"word/{name}.xml" in names]
            if beside:
                self.warnings.append(f"Not read of {self.name}: {', '.join(beside)}, headers and footers.")
            with packed.open("word/document.xml") as file:
                yield from _of_word(file)  # type: ignore[arg-type]
        elif "content.xml" in names:
            with packed.open("content.xml") as file:
                yield from _of_open_document(file)  # type: ignore[arg-type]
        else:
            for name in _chapters(packed):
                yield from _of_html(packed.read(name).decode("utf-8", "replace"))


def _of_word(file: BinaryIO) -> Iterator[Part]:
    """Each paragraph, headings marked as Markdown does; the cells of a table's row stand on one line."""
    words: list[str] = []
    cells: list[str] = []
    level, depth = 0, 0
    for event, element in ElementTree.iterparse(file, ("start", "end")):
        tag = element.tag.removeprefix(_WORD)
        if event == "start":
            depth += tag == "tbl"
            continue
        if tag == "t":
            words.append(element.text or "")
        elif tag in ("tab", "br", "cr"):
            words.append("\t" if tag == "tab" else "\n")
        elif tag == "pStyle":
            level = _level(element.get(f"{_WORD}val") or "")
        elif tag == "p":
            text = "".join(words).strip()[:_LONGEST]
            if text and depth:
                cells.append(text)
            elif text:
                yield 0, f"{'#' * level} {text}" if level else text
            words, level = [], 0
            element.clear()
        elif tag == "tr" and cells and depth == 1:
            yield 0, " | ".join(cells)
            cells = []
            element.clear()
        depth -= tag == "tbl"
        if tag == "tbl":
            element.clear()


def _level(style: str) -> int:
    """Of a heading, by the name of its style; 0 for other paragraphs."""
    found = re.search(r"(?:heading|berschrift|titre|t[ií]tulo|titolo|kop|rubrik)\s*(\d)", style, re.I)
    if found:
        return min(6, max(1, int(found[1])))
    return 1 if style.lower() in ("title", "titel") else 0


def _of_open_document(file: BinaryIO) -> Iterator[Part]:
    for _, element in ElementTree.iterparse(file):
        if element.tag in (f"{_OPEN}p", f"{_OPEN}h"):
            text = "".join(element.itertext()).strip()[:_LONGEST]
            if text:
                yield 0, f"# {text}" if element.tag.endswith("h") else text
            element.clear()


def _chapters(packed: zipfile.ZipFile) -> list[str]:
    """The files of a book in the order in which they are read."""
    container = ElementTree.fromstring(packed.read("META-INF/container.xml"))
    place = next(one.get("full-path") or "" for one in container.iter() if one.tag.endswith("rootfile"))
    book = ElementTree.fromstring(packed.read(place))
    files = {one.get("id"): one.get("href") or "" for one in book.iter() if one.tag.endswith("}item")}
    order = [files.get(one.get("idref"), "") for one in book.iter() if one.tag.endswith("}itemref")]
    folder = PurePosixPath(place).parent
    names = [str(folder / unquote(one)) for one in order if one]
    return [name for name in names if name in packed.NameToInfo]


class _Html(HTMLParser):
    """The words of a page, block by block."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []
        self._words: list[str] = []
        self._silent = 0
        self._heading = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, Any]]) -> None:
        self._silent += tag in _SILENT
        if tag in _BLOCKS:
            self.end_block()
            self._heading = int(tag[1]) if re.fullmatch("h[1-6]", tag) else 0
        elif tag == "br":
            self._words.append("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag in _SILENT:
            self._silent = max(0, self._silent - 1)
        if tag in _BLOCKS:
            self.end_block()

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self._words.append(re.sub(r"\s+", " ", data))

    def end_block(self) -> None:
        text = re.sub(r" *\n *", "\n", "".join(self._words)).strip()
        if text:
            self.parts.append(f"{'#' * self._heading} {text}" if self._heading else text)
        self._words, self._heading = [], 0


def _of_html(text: str) -> Iterator[Part]:
    page = _Html()
    for line in io.StringIO(text):
        page.feed(line)
        yield from ((0, part) for part in page.parts)
        page.parts = []
    page.close()
    page.end_block()
    yield from ((0, part) for part in page.parts)


def _paragraphs(page: str) -> Iterator[str]:
    """The paragraphs of a page of a PDF, whose lines end where the paper does: words divided there are put together."""
    for part in re.split(r"\n[ \t]*\n", page):
        joined = re.sub(r"(?<=[^\W\d_])-\n(?=[a-zà-ÿ])", "", part)
        text = re.sub(r"[ \t]*\n[ \t]*", "\n", joined).strip()
        if text:
            yield text


def _listed(numbers: list[int]) -> str:
    shown = ", ".join(map(str, numbers[:10]))
    return f"{shown} and more ({len(numbers):,} in all)" if len(numbers) > 10 else shown
