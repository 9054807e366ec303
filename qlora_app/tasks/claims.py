"""What is said to work: every task, family and precision that a test trains with the real worker and reads back. The
table of docs/tasks.md is this one; with which methods is in `methods/claims.py`."""

from ..formatting import FIGURES, TASK_NAMES
from . import TASKS

DECODERS = {"llama": "LLaMA", "qwen3": "Qwen3", "gpt2": "GPT-2"}
ENCODERS = {"bert": "BERT", "roberta": "RoBERTa", "deberta-v2": "DeBERTa"}
FAMILIES = {
    "chat": DECODERS,
    "text_to_text": {"t5": "T5"},
    "classification": ENCODERS | DECODERS,
    "fill_mask": ENCODERS,
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
