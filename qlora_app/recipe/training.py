"""How an adapter is trained: the settings that are the same for every method and task."""

import re
from typing import Literal

from pydantic import field_validator

from ..choices import Choices, setting


class Training(Choices):
    """How long and how the adapter learns. The defaults are QLoRA's (Dettmers et al. 2023) unless the comment says
    otherwise.
    """

    epochs: float = setting(2.0, "Epochs", "How many times every example is seen. Effort sets this.", gt=0, le=1000)
    max_steps: int = setting(
        0, "Max steps", "Ends earlier than the epochs would; 0 leaves it to the epochs.", ge=0, le=10_000_000
    )
    batch_size: int = setting(
        16,
        "Batch size",
        "Examples behind each step. They are worked off in small parts, so memory stays the same.",
        ge=1,
        le=4096,
    )
    micro_batch: int = setting(
        0, "Micro-batch", "Examples worked off at once, at most. A step is the same; 0: what suits.", ge=0, le=4096
    )
    learning_rate: float = setting(
        2e-4, "Learning rate", "Step size. 2e-4 suits 4-bit LoRA up to 13B; tiny models take more.", gt=0, le=1
    )
    scheduler: Literal["constant", "cosine", "linear"] = setting(
        "cosine",
        "Schedule",
        "How the learning rate goes on after the warm-up.",
        labels={"constant": "Constant", "cosine": "Cosine to zero", "linear": "Linear to zero"},
    )
    warmup_ratio: float = setting(
        0.03, "Warm-up ratio", "Share of the steps in which the learning rate rises from zero.", ge=0, lt=1
    )
    optimizer: Literal["paged_adamw_8bit", "paged_adamw_32bit", "adamw_torch"] = setting(
        "paged_adamw_8bit",
        "Optimizer",
        "8-bit keeps the optimizer's memory at a quarter; paged survives short spikes on a GPU.",
        labels={
            "paged_adamw_8bit": "AdamW 8-bit, paged",
            "paged_adamw_32bit": "AdamW 32-bit, paged",
            "adamw_torch": "AdamW 32-bit",
        },
    )
    adam_beta2: float = setting(0.999, "Adam beta 2", "Memory of the squared gradients.", gt=0, lt=1)
    weight_decay: float = setting(0.0, "Weight decay", "Pulls the adapter towards zero.", ge=0, le=1)
    max_grad_norm: float = setting(0.3, "Max gradient norm", "Longer gradients are shortened to this.", gt=0, le=100)
    max_length: int = setting(
        1024, "Max length (tokens)", "Longer examples are cut at the end, and counted.", ge=16, le=131_072
    )
    packing: bool = setting(
        True, "Packing", "Several examples share a row without seeing each other, so no time goes into padding."
    )
    gradient_checkpointing: Literal["auto", "on", "off"] = setting(
        "auto",
        "Gradient checkpointing",
        "Less memory for a step 1.5 times as long. Automatic: on for large models on a GPU.",
        labels={"auto": "Automatic", "on": "On", "off": "Off"},
    )
    evaluations: int = setting(
        8,
        "Held-out measurements",
        "How often in the run the loss on held-out examples is measured.",
        part="measuring",
        ge=0,
        le=1000,
    )
    measured_examples: int = setting(
        100,
        "Held-out examples measured",
        "How many of them are used for that; 100 give the loss to two digits.",
        part="measuring",
        ge=1,
        le=100_000,
    )
    checkpoints: int = setting(
        4, "Checkpoints", "How often in the run everything needed to resume is saved.", part="saving", ge=0, le=1000
    )
    samples: int = setting(
        6, "Samples", "How often in the run the sample questions are answered.", part="measuring", ge=0, le=1000
    )
    sample_questions: list[str] = setting(
        [],
        "Sample questions",
        "Asked before, during and after the run, one a line. Empty: taken from the held-out examples.",
        part="measuring",
    )
    scored_questions: int = setting(
        100,
        "Scored questions",
        "Held-out questions answered at the end by base and adapter and compared word for word.",
        part="measuring",
        ge=0,
        le=100_000,
    )
    general_questions: int = setting(
        60,
        "General questions",
        "Of sixty about nothing in particular (arithmetic, format, refusals, language), how many base and adapter are "
        "asked at the end: what was forgotten?",
        part="measuring",
        ge=0,
        le=60,
    )
    keep: Literal["best", "last"] = setting(
        "best",
        "Adapter to keep",
        "Training may go on too long. The best is that of the held-out measurement with the lowest loss (for "
        "labels: the most right), unless the last one is as good.",
        labels={"best": "The best on held-out examples", "last": "The last"},
        part="saving",
    )
    early_stopping: int = setting(
        0,
        "Early stopping",
        "Ends after so many held-out measurements in a row that were no better than the best; 0: never.",
        part="ending",
        ge=0,
        le=1000,
    )
    stop_when_broken: bool = setting(
        True,
        "Stop what goes wrong",
        "Ends where going on is of no use, such as a loss that exploded, and keeps the best adapter so far.",
        part="ending",
    )
    max_minutes: float = setting(
        0.0,
        "Max minutes",
        "Stops and saves after so many minutes of training, all parts of the run together; 0: no limit.",
        part="ending",
        ge=0,
        le=1_000_000,
    )
    stop_at: str = setting(
        "",
        "Stop at",
        "Stops and saves at this time of day, such as 07:30 on the clock of this machine; empty: never.",
        part="ending",
    )
    max_tokens: int = setting(
        0,
        "Max tokens",
        "Stops and saves after so many tokens were learned from; 0: no limit.",
        part="ending",
        ge=0,
    )
    max_cost: float = setting(
        0.0,
        "Max cost",
        "Stops and saves when the time of training has cost so much; 0: no limit.",
        part="ending",
        ge=0,
    )
    price_an_hour: float = setting(
        0.0, "Price of an hour", "What an hour on this machine costs, in the same money.", part="ending", ge=0
    )
    start_from: str = setting(
        "",
        "Start from",
        "A run, or a folder with a PEFT adapter, whose weights it begins with; of the same base and method. Empty: a "
        "new adapter.",
    )
    extends: str = setting("", "Extends", "The run whose last checkpoint it goes on from.", recorded=True)
    seed: int = setting(0, "Seed", "The same seed, data and machine give the same adapter.", ge=0, lt=2**32)

    @field_validator("stop_at")
    @classmethod
    def _is_time_of_day(cls, value: str) -> str:
        if value and not re.fullmatch(r"([01]?\d|2[0-3]):[0-5]\d", value):
            raise ValueError("a time of day, such as 07:30")
        return value
