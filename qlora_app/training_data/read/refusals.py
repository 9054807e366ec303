"""What is said of data that is not learned from."""

from typing import Any

from ...errors import Problem, UserError

WANTED = Problem(
    "advice.give_file",
    "Give a JSON, JSONL, CSV, TSV, Excel, Parquet, Arrow, YAML, Word, PDF or text file; docs/data.md lists the formats "
    "that are read.",
)


class NotTrainable(UserError):
    """A file that was read, and nothing in it can be learned from as it is: its
    format, if it has one, and how many rows.
    """

    def __init__(self, code: str, template: str, format: str | None, rows: int, /, **values: Any) -> None:
        super().__init__(code, template, rows=rows, **values)
        self.format, self.rows = format, rows
