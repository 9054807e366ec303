"""Is it any good: every way of measuring a model. Adding one: a new file here, and one more member of `EVALUATORS`."""

from .evaluator import Evaluation, Evaluator, Figure, Row
from .exact_match import ExactMatch
from .token_f1 import TokenF1

EVALUATORS: dict[str, type[Evaluator]] = {kind.model_fields["name"].default: kind for kind in (ExactMatch, TokenF1)}

__all__ = ["EVALUATORS", "Evaluation", "Evaluator", "ExactMatch", "Figure", "Row", "TokenF1"]
