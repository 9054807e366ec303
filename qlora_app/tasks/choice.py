"""What a run teaches the model to produce."""

from typing import Literal

from ..choices import Choices, setting
from ..formatting import TASK_NAMES


class TaskChoice(Choices):
    """Which task is learned, and the settings that only one of them has."""

    name: Literal[("auto", *TASK_NAMES)] = setting(  # type: ignore[valid-type]
        "auto",
        "Task",
        "What the model learns to produce. Automatic: what it is made for and the data can teach.",
        labels={"auto": "Automatic"} | TASK_NAMES,
    )
    prefix: str = setting(
        "",
        "Text in front",
        "Text to text only: stands before every input, for example summarize:",
        tasks=["text_to_text"],
    )
    masked_share: float = setting(
        0.15,
        "Masked share",
        "Fill the blank only: so much of every text is hidden, anew each time it is seen.",
        tasks=["fill_mask"],
        gt=0,
        le=0.8,
    )
    masking: Literal["words", "tokens"] = setting(
        "words",
        "Masking",
        "Fill the blank only. Hiding whole words is harder than pieces of them, and teaches more.",
        labels={"words": "Whole words", "tokens": "Single tokens"},
        tasks=["fill_mask"],
    )
