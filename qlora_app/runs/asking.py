"""Questions to a run while it trains: anybody leaves one as a wish, its worker answers it between two steps."""

import time
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from ..errors import UserError
from ..jobs import RESUMABLE, State, Status
from ..storage.disk import said
from ..storage.files import write_json
from ..storage.reading import read_json
from .proof import MEASURING
from .run import Run

LONGEST_QUESTION = 2000  # characters
MOST_WAITING = 8
ASKABLE: tuple[State, ...] = ("queued", "starting", "running")
_NAME = "ask-"  # what the file of a question begins with; the time behind it says who came first


@dataclass(frozen=True)
class Waiting:
    """A question that is not answered yet."""

    id: str
    question: str


def ask(run: Run, text: str) -> str:
    """Leave a question. Returns its id, under which it is answered.

    Raises UserError for one that is empty or too long, where too many wait, and of a run that trains no more.
    """
    question = text.strip()
    run.task().check_asked(question)
    if len(question) > LONGEST_QUESTION:
        raise UserError(
            "ask.too_long",
            "This question has {length:,} characters; a run that trains takes at most {most:,}. Shorten it.",
            length=len(question),
            most=LONGEST_QUESTION,
        )
    state = run.status().state
    if state not in ASKABLE:
        raise UserError(
            "ask.ended",
            "{id} is {state}, so nothing answers between its steps. Chat with it, or resume it first.",
            id=run.id,
            state=state,
        )
    if len(waiting(run)) >= MOST_WAITING:
        raise UserError(
            "ask.too_many", "{most} questions wait already. Ask again when one of them is answered.", most=MOST_WAITING
        )
    id = f"{time.time_ns():020d}-{uuid4().hex[:6]}"
    folder = run.wishes.folder
    with said(run.folder):
        folder.mkdir(exist_ok=True, mode=0o700)
        write_json(folder / f"{_NAME}{id}", {"question": question})
    return id


def waiting(run: Run) -> list[Waiting]:
    """The questions nobody has answered yet, oldest first. What is no question is passed over."""
    files = sorted(run.wishes.folder.glob(f"{_NAME}*"))
    if not files:  # a training looks at every step
        return []
    answered = {row.get("id") for row in run.asked()}
    found = [(path.name.removeprefix(_NAME), _question_in(path)) for path in files]
    return [Waiting(id, question) for id, question in found if question and id not in answered]


def waiting_words(status: Status) -> str:
    """What becomes of a question that waits, of a run that stands so."""
    if status.state == "queued":
        return "Answered once the run has begun."
    if status.state == "stopping":
        return "Not answered now: the run is being stopped."
    if status.is_active:
        return _answered_when(status)
    if status.state in RESUMABLE:
        return "Not answered: the run has stopped. Resume answers it."
    return "Not answered: the run had ended. Chat with it."


def _answered_when(status: Status) -> str:
    """By the weights of which moment: the first ones that have learned, those of the last step, or others between."""
    has_no_step_after = 0 < status.total <= status.step + 1
    if has_no_step_after or status.sentence == MEASURING:
        return "Answered before the run ends."
    return "Answered before the next step." if status.step else "Answered after the first step."


def forget(run: Run, id: str) -> None:
    """By the worker, once the answer is kept."""
    (run.wishes.folder / f"{_NAME}{id}").unlink(missing_ok=True)


def _question_in(path: Path) -> str:
    question = (read_json(path) or {}).get("question")
    return question.strip()[:LONGEST_QUESTION] if isinstance(question, str) else ""
