"""What each method learned, weighed and took on the starter: the figures of measured.yaml, which benchmarks/methods.py
writes. The page and docs/methods.md show the same.
"""

import functools
from pathlib import Path
from typing import NamedTuple

import yaml

FILE = Path(__file__).parent / "measured.yaml"


class Measured(NamedTuple):
    """Figures as they are shown."""

    score: str  # share of held-out questions answered word for word: "90%"
    parameters: str  # that learn: "262,144"
    memory: str  # at most in use by the process that trained: "638 MB"


@functools.cache
def measured() -> dict[str, Measured]:
    """{name of a method: its figures}, best first; without those that were not measured yet."""
    return {
        row["name"]: Measured(row["held-out_exact_match"], row["learned_parameters"], row["peak_memory"])
        for row in measured_rows()
    }


def measured_rows() -> list[dict[str, str]]:
    """Every figure of every method, best first, under the headings of the manual with _ for each blank."""
    rows: list[dict[str, str]] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return rows
