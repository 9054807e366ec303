"""Every kind of question set, and the one that a word means. A new one is a `QuestionsChoice`, and a member here."""

from pathlib import Path
from typing import Any

from ..choices import one_of_kinds
from ..errors import UserError
from ..runs import RunStore
from ..runs.finding import find_run
from ..storage.outside import check_own
from .general_rules import General
from .harness.tasks import HarnessTasks
from .multiple_choice import Mmlu
from .question_sets import HeldOut, QuestionFile, QuestionsChoice, Vicuna

QUESTION_SETS: dict[str, type[QuestionsChoice]] = {
    kind.model_fields["name"].default: kind for kind in (HeldOut, QuestionFile, Vicuna, General, Mmlu, HarnessTasks)
}
QUESTIONS: Any = one_of_kinds(tuple(QUESTION_SETS.values()))


def questions_named(word: str, store: RunStore, like: str = "") -> QuestionsChoice:
    """What a word on the command line means. like: the run whose format a file has. Raises UserError."""
    name, colon, rest = word.partition(":")
    if name == "held_out" and colon:
        return HeldOut(run=find_run(rest, store).id)
    if name == "lm_eval" and colon:
        return HarnessTasks.of(rest)
    if name == "mmlu" and colon and Path(rest).expanduser().exists():
        return Mmlu(path=str(check_own(Path(rest).expanduser()).resolve()))
    if word in QUESTION_SETS and not (QUESTION_SETS[word].model_fields.keys() & {"path", "run", "tasks"}):
        return QUESTION_SETS[word]()
    if not Path(word).is_file():
        raise UserError(
            "evaluate.no_questions",
            "There is no file {word}. Questions are a file, or one of: held_out:RUN, mmlu:FOLDER, lm_eval:TASK, "
            "{known}.",
            word=word,
            known=", ".join(kind for kind in QUESTION_SETS if kind not in ("held_out", "file", "mmlu", "lm_eval")),
        )
    return QuestionFile(path=str(Path(word).resolve()), like=like)
