"""What is a training's alone: its recipe, curve, samples, checkpoints, adapter and proof."""

from .curve import Curve
from .run import Run, RunStatus, RunWriter
from .store import RunStore, job_at

__all__ = ["Curve", "Run", "RunStatus", "RunStore", "RunWriter", "job_at"]
