"""Files that survive a crash at any moment: replaced whole, or appended one line at a time."""

import errno
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson

CHUNK = 1 << 20  # bytes that are read at once


def read_json(path: Path) -> dict[str, Any] | None:
    """None for a file that is not there, or that a power cut left empty."""
    try:
        known: dict[str, Any] | None = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return known


def write_json(path: Path, value: Any, lasting: bool = True) -> None:
    replace_file(path, json.dumps(value), lasting)


def replace_file(path: Path, text: str, lasting: bool = True) -> None:
    """Write beside, rename: a reader sees the old file or the new one, never half of one.

    `lasting` waits for the disk (5 to 40 ms), so that it also survives a power cut. What is written several times a
    second does
    without: it survives the end of any program.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(beside, "w", encoding="utf-8") as file:
            file.write(text)
            if lasting:
                file.flush()
                os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:  # also where somebody asked for an end in the middle: nothing is left beside it
        beside.unlink(missing_ok=True)
        raise


def append_line(path: Path, row: Mapping[str, Any]) -> int:
    """One os.write for a whole line, its count checked (a full disk writes short); returns the size after it."""
    line = (json.dumps(row, ensure_ascii=False) + "\n").encode()
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        size = os.fstat(file).st_size
        if size and os.pread(file, 1, size - 1) != b"\n":
            line = b"\n" + line  # a line cut short by a crash must not swallow this one
        if os.write(file, line) != len(line):
            raise OSError(errno.ENOSPC, "The disk is full", str(path))
        return size + len(line)
    finally:
        os.close(file)


def replace_in_place(path: Path, text: str) -> None:
    """The last resort on a full disk: the file keeps its place and its size, and what is not needed of it is blank.

    Raises OSError where it has no room for the text.
    """
    whole = text.encode()
    with open(path, "r+b") as file:
        size = os.fstat(file.fileno()).st_size
        file.write(whole.ljust(size))
        file.truncate(max(size, len(whole)))


def read_lines(path: Path, after: int) -> tuple[list[Any], int]:
    """(rows after byte `after`, offset behind the last whole line). Lines that are no JSON are passed over."""
    rows = []
    try:
        for row, line in each_line(path, after):
            after += len(line) + 1
            if row is not None:
                rows.append(row)
    except FileNotFoundError:
        return [], 0
    return rows, after


def each_line(path: Path, after: int = 0) -> Iterator[tuple[Any, bytes]]:
    """(row, its line without the end) of every whole line after byte `after`, without holding the file in memory.

    The row of a line that is no JSON is None: it is empty, or torn by a full disk.
    """
    with open(path, "rb") as file:
        file.seek(after)
        rest = b""
        while chunk := file.read(CHUNK):
            *lines, rest = (rest + chunk).split(b"\n")
            yield from zip(_rows(lines), lines, strict=True)


def _rows(lines: list[bytes]) -> list[Any]:
    """All at once where each is JSON, which takes a third of the time."""
    try:
        rows: list[Any] = orjson.loads(b"[" + b",".join(lines) + b"]")
    except ValueError:
        return [_row(line) for line in lines]
    return rows if len(rows) == len(lines) else [_row(line) for line in lines]


def _row(line: bytes) -> Any:
    try:
        return orjson.loads(line)
    except ValueError:
        pass
    try:
        return json.loads(line)  # which also knows NaN
    except ValueError:
        return None


def last_lines(path: Path, size: int = 1 << 16) -> list[Any]:
    """The rows of the last `size` bytes, oldest first; none where there is no such file."""
    try:
        end = path.stat().st_size
    except FileNotFoundError:
        return []
    rows, _ = read_lines(path, max(0, end - size))  # the first line may be cut: then it is no JSON
    return rows
