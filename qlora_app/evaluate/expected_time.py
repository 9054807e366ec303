"""About how long an evaluation takes on this machine: of what its models read and write, at the pace that they have
answered at here, or else that of a training.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..effort import MEASURED, SCORED, pace_of
from ..errors import UserError
from ..formatting import about
from ..hardware_fit import sizes_of
from ..inference.pool import ModelPool
from ..preflight import examples_of
from ..runs import RunStore
from ..settings import Settings
from .contenders import HereContender
from .contestants import Contestant
from .decoding import AnswerDecoding
from .kept_answers import KeptAnswers
from .pace import kind_of, measured_pace
from .question_sets import HeldOut, QuestionsChoice, QuestionSet

LETTERS_OF_A_TOKEN = 4
OPEN_ANSWER = 0.5  # of the most tokens, that an answer has where none is expected


@dataclass(frozen=True)
class Expected:
    """is_measured: have all of its models answered so here before?"""

    seconds: float
    is_measured: bool
    is_kept: bool = False  # is every answer there already?

    @property
    def words(self) -> str:
        if self.is_kept:
            return "All of these answers are kept already: nothing is asked again."
        if self.is_measured:
            return f"Takes about {about(self.seconds)} on this machine, at the pace of earlier answers."
        return (
            f"Takes about {about(self.seconds)} on this machine, by how fast it trains: how fast it answers is not "
            "measured yet."
        )


@dataclass(frozen=True)
class _Letters:
    """Of a set: in its questions, in the answers that are written, in shots and right answers."""

    asked: float
    written: float
    shown: float


def expected_time(spec: Any, settings: Settings, files: Path) -> Expected | None:
    """Of an EvaluateSpec, before anything is asked, without what endpoints take and what is kept; None where nothing
    tells.

    files: where the chosen file lies.
    """
    if spec.questions.measured_by:
        return None  # somebody else's questions, which are not here yet
    asked = spec.questions.read(files, settings).first(spec.limit)
    letters = _letters(asked, spec.questions, spec.limit, spec.decoding, settings)
    store, total, is_measured, shares = RunStore(settings.runs), 0.0, True, []
    kinds = {str(one.kept_for(spec.decoding)): one.kept_for(spec.decoding) for one in spec.evaluators}.values()
    for contestant in (one for one in spec.contestants if one.is_here):
        run = store.get(contestant.run)
        recipe, loaded_as = run.recipe(), run.base_model().model_dump(mode="json")
        for kept_for in kinds:
            shares.append(_share_left(contestant, kept_for, asked, settings))
            if not shares[-1]:
                continue
            seconds = _as_measured(kept_for, loaded_as, letters, settings)
            if seconds is None:
                is_measured = False
                seconds = _as_trained(kept_for, recipe, letters, store)
            if seconds is None:
                return None
            total += shares[-1] * seconds
    return Expected(total, is_measured, bool(shares) and not any(shares))


def _share_left(contestant: Contestant, kept_for: Mapping[str, Any], asked: QuestionSet, settings: Settings) -> float:
    """Of the questions, those that this contestant has not answered yet: from 0 to 1."""
    try:
        made_of = HereContender(contestant, settings, ModelPool(), {}).made_of
    except (UserError, OSError):  # what is wrong with it is said when it is asked
        return 1.0
    kept = KeptAnswers(settings.evaluations, {"contestant": made_of, "questions": asked.digest, **kept_for}).rows()
    return sum(one.id not in kept for one in asked.questions) / max(1, len(asked.questions))


def _as_measured(
    kept_for: Mapping[str, Any], loaded_as: Mapping[str, Any], letters: _Letters, settings: Settings
) -> float | None:
    kind = kind_of(kept_for)
    pace = measured_pace(settings.evaluations, kind, loaded_as) if kind else None
    if pace is None:
        return None
    counted = letters.written if kind == "decoding" else letters.asked + letters.shown
    return pace * counted / LETTERS_OF_A_TOKEN


def _as_trained(kept_for: Mapping[str, Any], recipe: Any, letters: _Letters, store: RunStore) -> float | None:
    pace = pace_of(recipe, None, store, sizes_of(recipe.base_model))
    if pace is None:
        return None
    if kind_of(kept_for) == "decoding":
        return pace * SCORED / 2 * (letters.asked + letters.written)
    return pace * MEASURED * (letters.asked + letters.shown)


def _letters(
    found: QuestionSet, questions: QuestionsChoice, limit: int | None, decoding: AnswerDecoding, settings: Settings
) -> _Letters:
    if isinstance(questions, HeldOut):
        run = RunStore(settings.runs).get(questions.run)
        talks = list(examples_of(run.recipe().dataset, settings.data).held_out)[:limit]
        turns = [turn for talk in talks for turn in talk]
        answers = sum(len(turn["content"]) for turn in turns if turn["role"] == "assistant")
        return _Letters(sum(len(turn["content"]) for turn in turns) - answers, answers, answers)
    every = found.questions
    asked = sum(len(turn["content"]) for one in every for turn in one.question.conversation)
    open_answer = OPEN_ANSWER * LETTERS_OF_A_TOKEN * decoding.max_new_tokens
    written = sum(len(one.expected) or open_answer for one in every)
    shown = sum(len(piece) for one in every for piece in one.pieces[:-1])
    return _Letters(asked, written, shown + sum(len(one.expected) for one in every))
