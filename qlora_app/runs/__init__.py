"""What is a training's alone: its recipe, curve, samples, checkpoints, adapter and proof."""

from .all_jobs import AllJobs, address_of
from .curve import Curve
from .run import Run, RunStatus, RunWriter
from .store import RunStore, job_at

__all__ = ["AllJobs", "Curve", "Run", "RunStatus", "RunStore", "RunWriter", "address_of", "job_at"]
