"""Pages of an evaluation that stand alone: its judge, and what changed between two contestants."""

from .routes import JudgeRoutes

__all__ = ["JudgeRoutes"]
