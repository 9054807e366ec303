"""What the model is asked to produce: encoding with its loss mask, collation, the
measure on held-out examples, answers.
"""

from collections.abc import Sequence

from ..errors import Problem, UserError, joined
from ..formatting import TASK_NAMES
from ..messages import Conversation
from .chat import Chat
from .choice import TaskChoice
from .classification import Classification
from .fill_mask import FillMask
from .task import (
    Answer,
    Candidate,
    Question,
    Task,
)
from .text_to_text import TextToText

__all__ = [
    "TASKS",
    "Answer",
    "Candidate",
    "Question",
    "Task",
    "TaskChoice",
    "not_made_for",
    "task_for",
    "task_from",
    "unsuitable_tasks",
]
TASKS: dict[str, type[Task]] = {task.name: task for task in (Chat, TextToText, Classification, FillMask)}


def task_for(choice: TaskChoice, possible: tuple[str, ...], conversations: Sequence[Conversation]) -> Task:
    """The task that is meant, for a model that is made for the `possible` ones and data of these conversations.

    Automatic takes the first of them that the data can teach. Raises UserError with the reason where nothing fits.
    """
    if choice.name != "auto" and choice.name not in possible:
        problem = not_made_for(choice.name, possible)
        raise UserError.of(problem, {"task.name": problem})
    wanted = possible if choice.name == "auto" else (choice.name,)
    reasons: dict[str, str] = {}
    for name in wanted:  # one after another: of many examples each look takes its time
        reasons[name] = TASKS[name].why_unsuitable(conversations)
        if not reasons[name]:
            return TASKS[name](choice, TASKS[name].labels_of(conversations))
    unmet = [_unmet(name, reason) for name, reason in reasons.items()]
    raise UserError.at(
        "task.name",
        "task.data_cannot_teach",
        "These data cannot teach this model: {why}. Choose other data, or a model that chats.",
        why=joined(unmet, "; "),
    )


def _unmet(name: str, reason: str) -> Problem:
    """What a task wants, and why these data are not that."""
    return Problem(
        "task.wants",
        "{task} wants {what}, and {reason}",
        task=TASK_NAMES[name],
        what=TASKS[name].example_sentence,
        reason=reason,
    )


def task_from(written: dict | None, choice: TaskChoice) -> Task:
    """The task of a run, from what its worker wrote down; chat for runs from before there were others."""
    written = written or {}
    kind = TASKS.get(str(written.get("name", "")), Chat)
    labels = written.get("labels")
    return kind(choice, tuple(map(str, labels)) if isinstance(labels, list) else ())


def unsuitable_tasks(conversations: Sequence[Conversation]) -> dict[str, str]:
    """{task: why these data cannot teach it, empty if they can}"""
    return {name: task.why_unsuitable(conversations) for name, task in TASKS.items()}


def not_made_for(name: str, possible: tuple[str, ...]) -> Problem:
    """Why a model that is made for the `possible` tasks cannot learn the task `name`."""
    listed = " or ".join(TASK_NAMES[one] for one in possible)
    return Problem(
        "task.model_not_made_for",
        "This model is not made for the task {task}, only for {possible}. Choose one of these, or another model.",
        task=TASK_NAMES[name],
        possible=listed,
    )
