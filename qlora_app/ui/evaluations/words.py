"""What evaluators and question sets are called on the page, and what its form sends."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import UserError
from ...evaluate import EVALUATORS
from ...evaluate.harness.tasks import HarnessTasks, known_tasks
from ...evaluate.known_sets import QUESTION_SETS
from ...evaluate.question_sets import QuestionsChoice
from ...storage.outside import check_own

ASKED_ALONE = ("judge", "lm_eval")  # has a form of its own; belongs to questions that nothing else measures
EVALUATOR_WORDS = {name: kind.title for name, kind in EVALUATORS.items()}
SET_WORDS = {name: kind.title for name, kind in QUESTION_SETS.items()}
LONGEST = 1000  # letters of a field


@dataclass(frozen=True)
class Form:
    """As it was filled in; nothing of it is believed before it is checked."""

    contestants: tuple[str, ...]
    evaluators: dict[str, dict[str, Any]]  # {name: its settings}
    set_name: str
    place: str  # of the chosen file or folder
    tasks: tuple[str, ...]  # of lm-eval
    limit: int | None

    def questions(self, runs: Sequence[str]) -> QuestionsChoice:
        """runs: those that are asked; the first says whose held-out rows, and which format a file has."""
        first = runs[0] if runs else ""
        if self.set_name == "held_out":
            if not first:
                raise UserError("evaluate.no_run", "Choose a run whose held-out rows are asked, or other questions.")
            return QUESTION_SETS["held_out"].model_validate({"run": first})
        if self.set_name == "file":
            return QUESTION_SETS["file"].model_validate({"path": self.place, "like": first})
        if self.set_name == "mmlu":
            return QUESTION_SETS["mmlu"].model_validate({"path": self.place})
        if self.set_name == "lm_eval":
            return HarnessTasks(tasks=known_tasks(self.tasks))
        return QUESTION_SETS[self.set_name]()


def of_form(asked: Any, folder: Path, most: int) -> Form:
    """{contestants, evaluators, set, file: {name, text}, folder, tasks, pattern, shots, limit}. Raises UserError."""
    given = asked if isinstance(asked, dict) else {}
    contestants = [one[:LONGEST] for one in given.get("contestants") or [] if isinstance(one, str)]
    known = EVALUATOR_WORDS.keys() - set(ASKED_ALONE)
    names = [one for one in given.get("evaluators") or [] if isinstance(one, str) and one in known]
    if not contestants:
        raise UserError("evaluate.nobody", "Choose who is asked.")
    if any(one.startswith("file:") for one in contestants):
        raise UserError("evaluate.no_file_here", "A file of answers is evaluated from the command line.")
    set_name = given.get("set")
    if set_name not in SET_WORDS:
        raise UserError("evaluate.no_set", "Choose the questions.")
    if set_name == "lm_eval":
        names = ["lm_eval"]
    if not names:
        raise UserError("evaluate.nothing_measured", "Choose what is measured.")
    place = _place(set_name, given, folder, most)
    more: dict[str, dict[str, Any]] = {
        "regex": {"pattern": _text(given, "pattern")},
        "mmlu": {"shots": 0 if given.get("shots") == "0" else 5},
    }
    limit = given.get("limit")
    is_limited = isinstance(limit, int) and not isinstance(limit, bool) and limit > 0
    most_asked = limit if is_limited else None
    if set_name == "lm_eval":  # of each task, not of the tasks
        more["lm_eval"], most_asked = {"limit": most_asked}, None
    chosen = given.get("tasks")
    tasks = tuple(one for one in chosen if isinstance(one, str)) if isinstance(chosen, list) else ()
    evaluators = {name: more.get(name, {}) for name in names}
    return Form(tuple(contestants), evaluators, str(set_name), place, tasks, most_asked)


def _place(set_name: Any, given: dict[str, Any], folder: Path, most: int) -> str:
    if set_name == "mmlu":
        place = Path(_text(given, "folder")).expanduser()
        if not _text(given, "folder") or not place.exists():
            raise UserError("evaluate.no_folder", "There is no folder or file {folder}.", folder=_text(given, "folder"))
        return str(check_own(place).resolve())
    if set_name != "file":
        return ""
    file = given.get("file")
    text, name = (file.get("text"), file.get("name")) if isinstance(file, dict) else (None, None)
    if not isinstance(text, str) or not isinstance(name, str) or not text.strip():
        raise UserError("evaluate.no_upload", "Choose a file of questions.")
    if len(text) > most:
        raise UserError("evaluate.upload_large", "This file is too large for the page. Name it on the command line.")
    kept = folder / (Path(name).name.lstrip(".")[-60:] or "questions.jsonl")
    kept.write_text(text, encoding="utf-8")
    return str(kept)


def _text(given: dict[str, Any], name: str) -> str:
    value = given.get(name)
    return value[:LONGEST] if isinstance(value, str) else ""
