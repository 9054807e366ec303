"""Is it any good: every way of measuring a model. Adding one: a new file here, and one more member of `EVALUATORS`."""

from .contestants import Contestant
from .evaluation import Comparison, Evaluation, Measure, Measured
from .evaluator import Evaluator
from .exact_match import ExactMatch
from .figures import Figure
from .general_rules import GeneralRules
from .harness.evaluator import LmEval
from .json_answers import JsonFields, JsonValid
from .judge.evaluator import Judge
from .labels import Labels
from .length import Length
from .mmlu import MmluScore
from .overlap import ChrF, RougeL
from .patterns import Contains, Pattern
from .perplexity import Perplexity
from .token_f1 import TokenF1

KINDS: tuple[type[Evaluator], ...] = (
    *(ExactMatch, TokenF1, Contains, RougeL, ChrF, Labels),
    *(JsonValid, JsonFields, Pattern, Length, Perplexity, MmluScore, GeneralRules, Judge, LmEval),
)
EVALUATORS: dict[str, type[Evaluator]] = {kind.model_fields["name"].default: kind for kind in KINDS}

__all__ = [
    "EVALUATORS",
    "Comparison",
    "Contestant",
    "Evaluation",
    "Evaluator",
    "ExactMatch",
    "Figure",
    "Judge",
    "Length",
    "Measure",
    "Measured",
    "TokenF1",
]
