"""Which model is better, and how sure is that: ratings of judgments, whoever judged."""

from .agreement import Agreement, AgreementOfAll, agreement
from .bradley_terry import Fit, bradley_terry
from .elo import elo
from .files import csv_of, latex_of, markdown_of, write_files
from .games import Games
from .leaderboard import ENOUGH, Ratings, Standing, rate, standings_of, votes_to_clear
from .picture import svg_of, words_of
from .reading import BadRow, Judgments, read_judgments
from .rows import Judgment, judgments_of

__all__ = [
    "ENOUGH",
    "Agreement",
    "AgreementOfAll",
    "BadRow",
    "Fit",
    "Games",
    "Judgment",
    "Judgments",
    "Ratings",
    "Standing",
    "agreement",
    "bradley_terry",
    "csv_of",
    "elo",
    "judgments_of",
    "latex_of",
    "markdown_of",
    "rate",
    "read_judgments",
    "standings_of",
    "svg_of",
    "votes_to_clear",
    "words_of",
    "write_files",
]
