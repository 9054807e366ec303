"""Files that anybody may have written, or put there, read so that none of them can hold up or fill whoever looks.

Only regular files are opened: a pipe would wait for ever for somebody to write. Each has a size it may have. What is
wrong with a file is a sentence of `damage`; what only shows it takes it for missing.
"""

import errno
import json
import math
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, overload

import orjson
import yaml

from ..errors import Problem, UserError

Value = TypeVar("Value", bound="dict[str, Any] | list[Any]")
LARGEST = 32_000_000  # bytes of a file that is read whole
LARGEST_LIST = 1_000_000_000  # of a list with an entry for each row of the data
_LOOKED_THROUGH = 1_000_000  # of a file that is parsed only to see whether it can be
_CHECKED: dict[tuple[Any, ...], Problem | None] = {}  # {a file as it was written: what is wrong with it}
_MOST_CHECKED, _SETTLED = 4000, 1.0  # files; seconds
LARGEST_YAML = 65_536  # of what people write
LARGEST_LINES = 2_000_000_000  # of a file that is read line by line
LONGEST_LINE = 1 << 20
_LARGEST_NUMBER = 1 << 63
_MOST_VALUES = 50_000
_SHORT_OF_MEANS = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOLCK)
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the same in C is ten times as fast
_KINDS = {
    stat.S_ISDIR: Problem("file.is_folder", "a folder"),
    stat.S_ISFIFO: Problem("file.is_pipe", "a pipe"),
    stat.S_ISSOCK: Problem("file.is_socket", "a socket"),
}
_SHAPES: dict[type, Problem] = {
    dict: Problem("file.of_names", "names with values"),
    list: Problem("file.of_rows", "a list"),
}


class NotAFile(OSError):
    """What stands there is a folder, a pipe, a device, or a link that leads to one or nowhere."""

    def __init__(self, path: Path, problem: Problem, because: OSError | None = None) -> None:
        """`because`: what the system said of it, as far as it was asked."""
        super().__init__(str(problem))
        self.path, self.problem = path, problem
        self.filename = str(path)
        self.errno = because.errno if because else None

    def __str__(self) -> str:
        return f"{self.path.name}: {self.problem}"


def is_short_of_means(error: BaseException | None) -> bool:
    """Is it this program or its machine that lacks something, such as one more open file, and the file may be right?"""
    return isinstance(error, OSError) and error.errno in _SHORT_OF_MEANS


def open_regular(path: Path, most: int | None = None) -> BinaryIO:
    """A file for reading, whatever it is linked through. Raises FileNotFoundError where nothing is, NotAFile for what
    is no file, may not be opened, or has more than `most` bytes, and OSError where it may be all right.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except FileNotFoundError:
        if path.is_symlink():
            raise NotAFile(path, Problem("file.leads_nowhere", "it is a link that leads nowhere")) from None
        raise
    except OSError as error:  # a socket, or a link that leads to itself
        if is_short_of_means(error):
            raise
        raise NotAFile(path, _why(error), error) from error
    try:
        check_regular(path, os.fstat(handle), most)
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def check_regular(path: Path, found: os.stat_result, most: int | None = None) -> None:
    """Raises NotAFile for what is none, or has more than `most` bytes."""
    if not stat.S_ISREG(found.st_mode):
        kind = next((words for is_one, words in _KINDS.items() if is_one(found.st_mode)), None)
        what = kind or Problem("file.is_device", "a device")
        raise NotAFile(path, Problem("file.is_none", "it is {what} and no file", what=what))
    if most is not None and found.st_size > most:
        too_large = Problem(
            "file.too_large", "it has {bytes:,} bytes, and at most {most:,} are read", bytes=found.st_size, most=most
        )
        raise NotAFile(path, too_large)


def _why(error: OSError) -> Problem:
    return Problem("file.not_opened", "it cannot be opened: {reason}", reason=error.strerror or str(error))


def is_regular(path: Path) -> bool:
    """Is it a file that can be read, or a link to one?"""
    try:
        open_regular(path).close()
    except (OSError, ValueError):  # a name that no file can have
        return False
    return True


def read_bytes(path: Path, most: int = LARGEST) -> bytes:
    """All of a file. Raises what `open_regular` does."""
    with open_regular(path, most) as file:
        return file.read(most)


def read_text(path: Path, most: int = LARGEST) -> str:
    """A text in UTF-8. Raises what `open_regular` does, and ValueError for other letters."""
    return read_bytes(path, most).decode("utf-8")


# ---- JSON


@overload
def read_json(path: Path) -> dict[str, Any] | None: ...
@overload
def read_json(path: Path, kind: type[Value], most: int = LARGEST) -> Value | None: ...
def read_json(path: Path, kind: type = dict, most: int = LARGEST) -> Any:
    """What a file of JSON holds; None where it is missing, damaged, or holds something of another kind.

    Raises OSError where this program cannot open one more file: then nothing is known of it.
    """
    try:
        found = _parsed(read_text(path, most))
    except (OSError, ValueError, RecursionError) as error:
        if is_short_of_means(error):
            raise
        return None
    return found if isinstance(found, kind) else None


def damage(path: Path, kind: type | None = dict, most: int = LARGEST) -> Problem | None:
    """What is wrong with a file of JSON of that kind; None where nothing is, also where there is none.

    kind: dict or list; None for a file that holds no JSON. Of a long one both ends are looked at: a disk or a program
    that ended early cuts it off. A page asks about each file again and again: one that nobody wrote since is not read.
    """
    try:
        with open_regular(path, most if kind else LARGEST_LINES) as file:
            return _wrong_content(path, file, kind) if kind else None
    except FileNotFoundError:
        return None
    except NotAFile as error:
        return _damaged(path, error.problem)
    except OSError as error:
        return _damaged(path, _why(error))


def _wrong_content(path: Path, file: BinaryIO, kind: type) -> Problem | None:
    found = os.fstat(file.fileno())
    written = (path, kind, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
    if written not in _CHECKED:
        problem = _wrong_json(path, _looked_at(file), kind)
        if time.time() - found.st_ctime < _SETTLED:  # it may be written once more within one tick of the disk's clock
            return problem
        while len(_CHECKED) >= _MOST_CHECKED:
            _CHECKED.pop(next(iter(_CHECKED)), None)
        _CHECKED[written] = problem
    return _CHECKED[written]


def _looked_at(file: BinaryIO) -> bytes:
    """All of a short file; of a long one an empty value of its kind where both ends are those of one."""
    size = os.fstat(file.fileno()).st_size
    if size <= _LOOKED_THROUGH:
        return file.read()
    first = file.read(100).strip()[:1]
    file.seek(size - 100)
    ends = first + file.read(100).strip()[-1:]
    return ends if ends in (b"{}", b"[]") else first


def _wrong_json(path: Path, content: bytes, kind: type) -> Problem | None:
    if not content.strip():  # as a power cut leaves it
        return _damaged(path, Problem("file.empty", "it is empty"))
    try:
        found = _read_quickly(content)
    except UnicodeDecodeError:
        return _damaged(path, Problem("file.no_text", "it is no text"))
    except (ValueError, RecursionError):
        return _damaged(path, Problem("file.no_json", "it is cut off or no JSON"))
    if isinstance(found, kind):
        return None
    return _damaged(path, Problem("file.other_shape", "it does not hold {wanted}", wanted=_SHAPES[kind]))


def _read_quickly(content: bytes) -> Any:
    """JSON, where only its kind is asked for. Raises ValueError and RecursionError for none."""
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:  # it knows no NaN, which others write
        return _parsed(content.decode("utf-8"))


def _damaged(path: Path, why: Problem) -> Problem:
    return Problem("file.damaged", "{file} cannot be read: {why}.", file=path.name, why=why)


def _parsed(text: str) -> Any:
    """JSON without what Python reads and nobody can show: numbers that are none, or longer than a line."""
    found = json.loads(text, parse_constant=lambda _: None, parse_float=_finite, parse_int=_bounded)
    return _without_halves(found) if "\\ud" in text or "\\uD" in text else found


def _finite(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None


def _bounded(text: str) -> int | None:
    number = int(text)
    return number if abs(number) < _LARGEST_NUMBER else None


def _without_halves(value: Any) -> Any:
    """Half of a character, which JSON can name and no file or page can hold, is replaced."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, list):
        return [_without_halves(one) for one in value]
    if isinstance(value, dict):
        return {_without_halves(name): _without_halves(one) for name, one in value.items()}
    return value


# ---- lines of JSON


def read_lines(path: Path, after: int) -> tuple[list[Any], int]:
    """(rows after byte `after`, offset behind the last whole line). Lines that are no objects of JSON are passed over,
    and so are files that cannot be read.
    """
    rows, offset = [], after
    for row, end in each_line(path, after):
        offset = end
        if row is not None:
            rows.append(row)
    return rows, offset


def each_line(path: Path, after: int = 0) -> Iterator[tuple[dict[str, Any] | None, int]]:
    """(row, offset behind its line) of every whole line after byte `after`, without holding the file in memory.

    The row of a line that is no object of JSON is None: it is empty, or torn by a full disk.
    """
    try:
        file = open_regular(path, LARGEST_LINES)
        file.seek(after)
    except (OSError, ValueError, OverflowError):  # an offset that somebody else wrote
        return
    with file:
        yield from lines_of(file, after)


def lines_of(file: BinaryIO, after: int = 0) -> Iterator[tuple[dict[str, Any] | None, int]]:
    """As `each_line`, of an open file that stands at byte `after`. Raises OSError."""
    for lines, gap in _batches(file):
        for row, line in zip(_rows(lines), lines, strict=True):
            after += len(line) + gap
            yield row, after


def last_lines(path: Path, size: int = 1 << 16) -> list[dict[str, Any]]:
    """The rows of the last `size` bytes, oldest first; none where there is no such file."""
    try:
        end = path.stat().st_size
    except OSError:
        return []
    rows, _ = read_lines(path, max(0, end - size))  # the first line may be cut: then it is no JSON
    return rows


def _rows(lines: list[bytes]) -> list[dict[str, Any] | None]:
    """All at once where each is JSON, which takes half the time."""
    try:
        rows = orjson.loads(b"[" + b",".join(lines) + b"]")
    except ValueError:
        return [_row(line) for line in lines]
    if len(rows) != len(lines):
        return [_row(line) for line in lines]
    return [row if isinstance(row, dict) else None for row in rows]


def _row(line: bytes) -> dict[str, Any] | None:
    try:
        row = orjson.loads(line)
    except ValueError:
        row = _row_in_python(line)
    return row if isinstance(row, dict) else None


def _row_in_python(line: bytes) -> Any:
    """What is no strict JSON, and still may be read: NaN, for one."""
    try:
        return _parsed(line.decode("utf-8"))
    except (ValueError, RecursionError):
        return None


def _batches(file: BinaryIO) -> Iterator[tuple[list[bytes], int]]:
    """(whole lines, bytes of the end of each); one that is too long comes in pieces without ends, which are no JSON."""
    rest = b""
    while chunk := file.read(LONGEST_LINE):
        *lines, rest = (rest + chunk).split(b"\n")
        yield lines, 1
        if len(rest) >= LONGEST_LINE:
            yield [rest], 0
            rest = b""


# ---- YAML


def parse_yaml(text: str) -> Any:
    """What people wrote. Raises ValueError for what is no YAML, names no value (the 99th of May), or stands for far
    more than it says by referring to itself.
    """
    try:
        found = yaml.load(text, Loader=_LOADER)
        _count(found, max(_MOST_VALUES, len(text) // 8))
    except (yaml.YAMLError, TypeError, OverflowError) as error:
        raise ValueError(str(error)) from error
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    return found


def _count(value: Any, most: int, so_far: int = 0) -> int:
    """How many values a value holds. Raises ValueError for more than `most`, and for a number longer than a line."""
    so_far += 1
    if so_far > most:
        raise ValueError("it refers to itself too often")
    if isinstance(value, int) and abs(value) >= _LARGEST_NUMBER:
        raise ValueError("it holds a number that is too large")
    inside = [*value, *value.values()] if isinstance(value, dict) else value
    if isinstance(inside, list | tuple | set):
        for one in inside:
            so_far = _count(one, most, so_far)
    return so_far


def read_mapping(path: Path, most: int = LARGEST_YAML) -> dict[str, Any]:
    """Names with values, of a file of YAML of at most `most` bytes. Raises UserError with what is wrong with it, and
    OSError where this program cannot open one more file.
    """
    try:
        values = parse_yaml(read_text(path, most))
    except NotAFile as error:
        raise UserError.of(_damaged(path, error.problem)) from error
    except OSError as error:
        if is_short_of_means(error):
            raise
        raise UserError.of(_damaged(path, _why(error))) from error
    except UnicodeDecodeError as error:
        raise UserError.of(_damaged(path, Problem("file.no_text", "it is no text"))) from error
    except ValueError as error:
        no_yaml = Problem("file.no_yaml", "it is no YAML ({error})", error=str(error)[:200])
        raise UserError.of(_damaged(path, no_yaml)) from error
    if not isinstance(values, dict):
        raise UserError.of(_damaged(path, Problem("file.no_settings", "it names no settings")))
    return {str(name): value for name, value in values.items()}
