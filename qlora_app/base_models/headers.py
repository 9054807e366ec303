"""The header of a .safetensors file: which tensors it holds, read and checked without their numbers."""

import json
import math
import struct
from pathlib import Path
from typing import Any

from ..errors import Problem, UserError
from ..storage.reading import open_regular

LONGEST_HEADER = 25_000_000  # bytes; the largest known has one million
MOST_TENSORS = 100_000
MOST_DIMENSIONS = 16
BITS = {"BOOL": 8, "F64": 64, "F32": 32, "F16": 16, "BF16": 16, "I64": 64, "I32": 32, "I16": 16, "I8": 8, "U8": 8}
Tensors = dict[str, tuple[str, tuple[int, ...]]]  # {name: (dtype, shape)}


def tensor_shapes(file: Path) -> Tensors:
    """{tensor: (dtype, shape)} from the header of a .safetensors file. Raises UserError if it is damaged or cut off."""
    try:
        with open_regular(file) as content:
            length = struct.unpack("<Q", content.read(8))[0]
            if length > LONGEST_HEADER:
                raise damaged(
                    file, Problem("model.header_too_long", "its header would be {bytes:,} bytes long", bytes=length)
                )
            header = json.loads(content.read(length))
            has = content.seek(0, 2)
        return _checked(file, header, has, 8 + length)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, struct.error) as error:
        raise damaged(file, str(error)[:100]) from error


def _checked(file: Path, header: dict[str, Any], has: int, begins: int) -> Tensors:
    entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
    if len(entries) > MOST_TENSORS:
        raise damaged(file, Problem("model.too_many_tensors", "it names {count:,} tensors", count=len(entries)))
    tensors: Tensors = {}
    end = 0
    for name, entry in entries.items():
        dtype, shape, (first, last) = str(entry["dtype"]), tuple(entry["shape"]), entry["data_offsets"]
        if not _fits(dtype, shape, last - first) or first < 0:
            raise damaged(file, Problem("model.odd_tensor", "the size of {tensor} makes no sense", tensor=name[:100]))
        end = max(end, last)
        tensors[name] = (dtype, shape)
    if has != begins + end:
        raise damaged(
            file,
            Problem("model.file_size", "it has {bytes:,} bytes instead of {right:,}", bytes=has, right=begins + end),
        )
    return tensors


def _fits(dtype: str, shape: tuple[Any, ...], size: int) -> bool:
    """Has a tensor of this shape so many bytes? Of types that are not known here only the shape is looked at."""
    if len(shape) > MOST_DIMENSIONS or not all(isinstance(one, int) and 0 <= one < 1 << 40 for one in shape):
        return False
    return size >= 0 and (dtype not in BITS or math.prod(shape) * BITS[dtype] == 8 * size)


def damaged(file: Path, error: str) -> UserError:
    """The error of a file that is not what it should be."""
    return UserError(
        "model.damaged_file",
        "{name} is damaged or was cut off ({error}). Download it again.",
        name=file.name,
        error=error,
    )
