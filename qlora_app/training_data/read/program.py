"""A program of its own that reads a workbook or a PDF from its standard input: their parsers are given files of
strangers, and may take neither the memory nor the time of the app. It imports nothing of the app.

It writes one JSON value a line: {"sheets": [...]}, {"row": [...]}, {"page": "..."}, and {"problem": "..."} at the end.
"""

import contextlib
import datetime
import json
import logging
import re
import resource
import sys
import zipfile
from typing import Any, BinaryIO

HIDDEN = re.compile(rb'<row [^>]*\bhidden="(?:1|true)"')


def main() -> None:
    kind, wanted, memory, seconds = sys.argv[1], json.loads(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    with contextlib.suppress(ValueError, OSError):  # a system that keeps no such limit
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    try:
        {"workbook": workbook, "pdf": pdf}[kind](sys.stdin.buffer, wanted)
    except MemoryError:
        say(problem="memory")
    except BrokenPipeError:
        sys.exit(0)
    except BaseException as error:  # whatever a parser raises: panics of a library in another language are no Exception
        say(problem="damaged", detail=type(error).__name__)


def say(**what: Any) -> None:
    sys.stdout.write(json.dumps(what) + "\n")


# ---- workbooks


def workbook(file: BinaryIO, wanted: dict[str, Any]) -> None:
    """The sheets with their first rows; then all rows of those that are wanted."""
    import python_calamine

    try:
        book = python_calamine.CalamineWorkbook.from_filelike(file)
    except python_calamine.PasswordError:
        say(problem="password")
        return
    if "sheets" not in wanted:
        say(sheets=[_about(book, meta, wanted["rows"]) for meta in book.sheets_metadata], hidden_rows=_hidden(file))
        return
    for name in wanted["sheets"]:
        sheet = book.get_sheet_by_name(name)
        first = (sheet.start or (0, 0))[0]
        for number, cells in enumerate(_rows(sheet), start=first + 1):
            say(sheet=name, line=number, row=cells)


def _about(book: Any, meta: Any, rows: int) -> dict[str, Any]:
    """What a sheet is called, whether it is seen, and how it begins."""
    about: dict[str, Any] = {"name": meta.name, "seen": str(meta.visible).endswith("Visible"), "rows": []}
    if not str(meta.typ).endswith("WorkSheet"):
        return about
    sheet = book.get_sheet_by_name(meta.name)
    about["height"] = sheet.height
    about["merged"] = len(sheet.merged_cell_ranges or [])
    for cells in _rows(sheet):
        about["rows"].append(cells)
        if len(about["rows"]) >= rows:
            break
    return about


def _rows(sheet: Any) -> Any:
    """Every row from the first that is filled, each cell as a text; what is merged over several rows stands in each."""
    merged: dict[int, tuple[int, int]] = {}
    columns = (sheet.start or (0, 0))[1]
    line = (sheet.start or (0, 0))[0]
    below: dict[tuple[int, int], tuple[int, int]] = {}
    for (top, left), (bottom, _) in sheet.merged_cell_ranges or []:
        if bottom > top and bottom - top < 10_000:
            below.update({(row, left): (top, left) for row in range(top + 1, bottom + 1)})
    del merged
    kept: dict[tuple[int, int], str] = {}
    sources = set(below.values())
    for number, row in enumerate(sheet.iter_rows(), start=line):
        cells = [_text(cell) for cell in row]
        for place, cell in enumerate(cells):
            at = (number, place + columns)
            if at in sources:
                kept[at] = cell
            elif at in below and not cell:
                cells[place] = kept.get(below[at], "")
        yield cells


def _text(cell: Any) -> str:
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 1e15:
        return str(int(cell))
    if isinstance(cell, datetime.datetime) and not (cell.hour or cell.minute or cell.second):
        return cell.date().isoformat()
    if isinstance(cell, (datetime.date, datetime.time)):
        return cell.isoformat(" ") if isinstance(cell, datetime.datetime) else cell.isoformat()
    return "" if cell is None else str(cell)


def _hidden(file: BinaryIO) -> int:
    """How many rows of an .xlsx are hidden."""
    file.seek(0)
    if not zipfile.is_zipfile(file):
        return 0
    count = 0
    with zipfile.ZipFile(file) as packed:
        for name in packed.namelist():
            if re.fullmatch(r"xl/worksheets/[^/]+\.xml", name):
                with packed.open(name) as sheet:
                    count += sum(len(HIDDEN.findall(piece)) for piece in iter(lambda: sheet.read(1 << 20), b""))
    return count


# ---- PDF


def pdf(file: BinaryIO, wanted: dict[str, Any]) -> None:
    """The text of each page."""
    import pypdf

    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    reader = pypdf.PdfReader(file)
    if reader.is_encrypted and not reader.decrypt(""):
        say(problem="password")
        return
    for number, page in enumerate(reader.pages, start=1):
        if number > wanted["pages"]:
            break
        try:
            text = page.extract_text()
        except Exception as error:  # one page that cannot be read is named; the others are read
            say(page="", number=number, why=type(error).__name__)
            continue
        say(page=text, number=number)


if __name__ == "__main__":
    main()
