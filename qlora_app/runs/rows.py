"""The lines of metrics.jsonl and samples.jsonl, as types: written by train/callbacks.py, read by page and curve."""

from typing import TypedDict


class MetricRow(TypedDict, total=False):
    """One line of metrics.jsonl: of a training step (all but the held-out figures), or of a measurement (those only).

    A task may measure more on held-out rows than their loss; each stands there as `held_out_` and its name.
    """

    step: int  # optimizer steps done, from 1
    loss: float  # of the step: nats a learned token
    learning_rate: float | None
    grad_norm: float | None  # before clipping; None where it was no number
    epoch: float
    tokens: int  # learned from since this part of the run began, padding left out
    tokens_per_second: int
    memory_mb: int  # the GPU's peak, or the process's memory where there is none
    seconds: float  # of training, earlier parts of the run included
    held_out_loss: float | None


class SampleRow(TypedDict, total=False):
    """One line of samples.jsonl: a sample question as the model answered it at a step. Step 0 is the base."""

    step: int
    question: str
    answer: str
    is_cut: bool  # the answer had not ended; missing in runs of the first version
    expected: str  # empty where nothing is known to be right
