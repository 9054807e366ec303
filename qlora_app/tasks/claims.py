"""What is said to work: every task, family and precision that a test trains with the real worker and reads back. The
table of docs/tasks.md is this one; with which methods is in `methods/claims.py`."""

from ..base_models.families import TRIED, Kind
from ..formatting import FIGURES, TASK_NAMES
from . import TASKS


def _tried(kind: Kind) -> dict[str, str]:
    """{model_type: what people call it} of the families of a kind that are trained in every task they can learn."""
    return {
        model_type: family.title for model_type, family in TRIED.items() if family.kind == kind and family.in_every_task
    }


FAMILIES = {
    "chat": _tried("decoder"),
    "text_to_text": _tried("encoder-decoder"),
    "classification": _tried("encoder") | _tried("decoder"),
    "fill_mask": _tried("encoder"),
}
PRECISIONS = ("nf4", "fp4", "int8", "bf16", "fp32")


def claims() -> list[tuple[str, str, str]]:
    """Every (family, task, precision)."""
    return [
        (family, task, precision)
        for task, families in FAMILIES.items()
        for family in families
        for precision in PRECISIONS
    ]


def table() -> list[str]:
    """The tasks as rows of the table in docs/tasks.md."""
    rows = []
    for name, task in TASKS.items():
        figures = [task.accuracy_name, *task().scores([], [])]
        measured = ", ".join(FIGURES.get(figure, "Exact match") for figure in figures)
        rows.append(
            f"| {TASK_NAMES[name]} (`{name}`) | {', '.join(FAMILIES[name].values())} | {task.example_sentence} | "
            f"{measured} |"
        )
    return rows
