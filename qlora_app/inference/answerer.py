"""What an evaluator may ask: anything with a name that answers conversations."""

from collections.abc import Callable, Sequence
from typing import Protocol

from ..tasks.asked import Asked, groups
from ..tasks.generate import context_of
from .session import ChatSession

Progress = Callable[[int, int], None]  # (questions answered so far, questions in all)


class Answerer(Protocol):
    """A run's adapter, a base, a checkpoint; later also an endpoint elsewhere."""

    name: str

    def answers(self, questions: Sequence[Asked], on_progress: Progress) -> list[str]:
        """The likeliest answer to each question, in their order. `on_progress` hears how far that is."""
        ...


class SessionAnswerer:
    """A model in memory: its adapter, or with `base` the model below it."""

    def __init__(self, session: ChatSession, name: str, base: bool = False) -> None:
        self.session, self.name, self.base = session, name, base

    def answers(self, questions: Sequence[Asked], on_progress: Progress) -> list[str]:
        """Questions whose answers have about the same length are answered together.

        An answer may be a few tokens longer than the right one; what is longer still cannot be right.
        """
        answers: dict[int, str] = {}
        context = context_of(self.session.model)
        for group in groups(dict(enumerate(questions)), context):
            longest = max(questions[place].longest for place in group)
            asking = [questions[place].question for place in group]
            conversations = [question.conversation for question in asking]
            thinking = [question.thinking for question in asking]
            given = self.session.answer_all(conversations, self.base, longest, thinking)
            answers |= zip(group, given, strict=True)
            on_progress(len(answers), len(questions))
        return [answers[place] for place in range(len(questions))]
