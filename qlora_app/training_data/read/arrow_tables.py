"""Rows of Parquet, Arrow and Feather."""

from collections.abc import Iterator
from typing import Any, BinaryIO

from ...errors import UserError
from .reading import Found

_BATCH = 256  # rows of a table in memory at once


def read_parquet(file: BinaryIO, name: str) -> Iterator[Found]:
    """Every row as JSON would hold it, a few at a time. Raises UserError for a damaged file."""
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.ParquetFile(file)
        for batch in table.iter_batches(_BATCH):
            for row in batch.to_pylist():
                yield None, row, None
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise UserError(
            "dataset.damaged_parquet",
            "{name} is a damaged Parquet file, or one of a kind that cannot be read. Download or save it again.",
            name=name,
        ) from error


def read_arrow(file: BinaryIO, name: str, head: bytes) -> Iterator[Found]:
    """Every row of an Arrow file or stream, as `datasets` writes it, or of Feather. Raises UserError."""
    import pyarrow

    try:
        for batch in _batches(file, head):
            for start in range(0, batch.num_rows, _BATCH):
                for row in batch.slice(start, _BATCH).to_pylist():
                    yield None, row, None
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise UserError(
            "dataset.damaged_arrow",
            "{name} is a damaged Arrow or Feather file, or one of a kind that cannot be read. Save it again.",
            name=name,
        ) from error


def _batches(file: BinaryIO, head: bytes) -> Iterator[Any]:
    import pyarrow

    if head.startswith(b"FEA1"):
        import pyarrow.feather

        yield from pyarrow.feather.read_table(file).to_batches(_BATCH)
    elif head.startswith(b"ARROW1"):
        opened = pyarrow.ipc.open_file(file)
        for number in range(opened.num_record_batches):
            yield opened.get_batch(number)
    else:
        yield from pyarrow.ipc.open_stream(file)
