"""The metrics of runs as one table for other programs: CSV or Parquet, a row for each line of metrics.jsonl."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..storage.reading import each_line
from .run import Run

COLUMNS = {
    "run": str,
    "name": str,
    "step": int,
    "epoch": float,
    "seconds": float,
    "tokens": int,
    "loss": float,
    "held_out_loss": float,
    "learning_rate": float,
    "grad_norm": float,
    "tokens_per_second": float,
    "memory_mb": float,
}
ENDINGS = (".csv", ".parquet")
_AT_ONCE = 50_000  # rows in memory


def write_metrics(runs: Sequence[Run], file: Path) -> int:
    """Every line of every run, with its id and name; returns how many. `tokens` are those of the part of a run since it
    was last resumed, as its file has them. Raises UserError for an ending that is none of ENDINGS.
    """
    if file.suffix == ".csv":
        return _write_csv(runs, file)
    if file.suffix == ".parquet":
        return _write_parquet(runs, file)
    raise UserError(
        "metrics.ending", "{name} ends in neither .csv nor .parquet, which say how it is written.", name=file.name
    )


def _rows(runs: Sequence[Run]) -> Iterator[dict[str, Any]]:
    for run in runs:
        title, file = run.title, run.folder / "metrics.jsonl"
        if not file.is_file():
            continue
        for row, _ in each_line(file):
            if row is not None:
                known = {name: _of_kind(row.get(name), kind) for name, kind in COLUMNS.items()}
                yield known | {"run": run.id, "name": title}


def _of_kind(value: Any, kind: type) -> Any:
    """None for what a damaged line has instead."""
    if isinstance(value, bool) or not isinstance(value, int | float) or kind is str:
        return None
    return kind(value)


def _write_csv(runs: Sequence[Run], file: Path) -> int:
    count = 0
    with open(file, "w", encoding="utf-8", newline="") as into:
        writer = csv.DictWriter(into, COLUMNS)
        writer.writeheader()
        for count, row in enumerate(_rows(runs), 1):  # noqa: B007
            writer.writerow(row)
    return count


def _write_parquet(runs: Sequence[Run], file: Path) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {str: pa.string(), int: pa.int64(), float: pa.float64()}
    schema = pa.schema([(name, kinds[kind]) for name, kind in COLUMNS.items()])
    count, waiting = 0, []
    with pq.ParquetWriter(file, schema) as writer:
        for row in _rows(runs):
            waiting.append(row)
            if len(waiting) == _AT_ONCE:
                writer.write_table(pa.Table.from_pylist(waiting, schema))
                count, waiting = count + len(waiting), []
        writer.write_table(pa.Table.from_pylist(waiting, schema))
    return count + len(waiting)
