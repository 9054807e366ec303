"""About how long an evaluation takes on this machine: of what its models read and write, at the pace of a training."""

from pathlib import Path
from typing import Any

from ..effort import MEASURED, SCORED, pace_of
from ..hardware_fit import sizes_of
from ..preflight import examples_of
from ..runs import RunStore
from ..settings import Settings
from .decoding import AnswerDecoding
from .question_sets import HeldOut, QuestionsChoice

LETTERS_OF_A_TOKEN = 4
OPEN_ANSWER = 0.5  # of the most tokens, that an answer has where none is expected


def seconds_for(spec: Any, settings: Settings, files: Path) -> float | None:
    """Of an EvaluateSpec, before anything is asked, without what endpoints take; None where the pace is not known.

    files: where the chosen file lies.
    """
    if spec.questions.measured_by:
        return None  # somebody else's questions, which are not here yet
    asked = _characters(spec.questions, spec.limit, spec.decoding, settings, files)
    store, total = RunStore(settings.runs), 0.0
    for contestant in (one for one in spec.contestants if one.is_here):
        recipe = store.get(contestant.run).recipe()
        pace = pace_of(recipe, None, store, sizes_of(recipe.base_model))
        if pace is None:
            return None
        for kind in {str(one.kept_for(spec.decoding)): one for one in spec.evaluators}.values():
            writes = "decoding" in kind.kept_for(spec.decoding)
            total += pace * (SCORED / 2 * (asked[0] + asked[1]) if writes else MEASURED * (asked[0] + asked[2]))
    return total


def _characters(
    questions: QuestionsChoice, limit: int | None, decoding: AnswerDecoding, settings: Settings, files: Path
) -> tuple[int, float, int]:
    """(of the questions, of the answers that are written, of shots and right answers)"""
    if isinstance(questions, HeldOut):
        run = RunStore(settings.runs).get(questions.run)
        talks = list(examples_of(run.recipe().dataset, settings.data).held_out)[:limit]
        read = sum(len(turn["content"]) for talk in talks for turn in talk)
        return read, 0.0, 0
    every = questions.read(files, settings).first(limit).questions
    read = sum(len(turn["content"]) for one in every for turn in one.question.conversation)
    open_answer = OPEN_ANSWER * LETTERS_OF_A_TOKEN * decoding.max_new_tokens
    written = sum(len(one.expected) or open_answer for one in every)
    return read, written, sum(len(piece) for one in every for piece in one.pieces[:-1])
