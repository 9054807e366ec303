"""A model judges the answers of others: pairs of them in both orders, or each alone from 1 to 10."""

from .judged import Judged
from .prompts import JudgePrompt
from .report import JudgeReport
from .verdicts import score_of, verdict_of

__all__ = ["JudgePrompt", "JudgeReport", "Judged", "score_of", "verdict_of"]
