"""The run folder: the only channel between the page and the worker."""

from .curve import Curve
from .run import (
    ACTIVE,
    ALREADY_RUNNING,
    ENDED,
    Run,
    Status,
)
from .store import RunStore

__all__ = ["ACTIVE", "ALREADY_RUNNING", "ENDED", "Curve", "Run", "RunStore", "Status"]
