"""A contestant that was found and can be asked: a model here, an endpoint, or a file of answers."""

import functools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ..base_models import fingerprint, folder_of
from ..errors import Problem, UserError
from ..inference.loaded import checksum
from ..inference.pool import ModelPool
from ..inference.remote import Remote
from ..inference.session import ChatSession
from ..inference.sides import Here, Side, endpoint_of
from ..runs import RunStore
from ..settings import Settings
from ..storage.digests import sha256_of
from ..tasks.task import in_batches
from .answer_files import answers_in
from .contestants import Contestant
from .decoding import AnswerDecoding
from .question_sets import SetQuestion
from .stream import Answered, answered

AT_ONCE_HERE, AT_ONCE_ELSEWHERE = 16, 4  # questions that are answered at the same time
TOGETHER = 32  # of a model that does not chat
ASKS_WITH = ("tokenizer_config.json", "chat_template.jinja")  # of an adapter's folder: what its prompts depend on
Check = Callable[[], None]  # called often; raises Stopped where somebody asked for an end


class Contender(Protocol):
    """What an evaluator may ask."""

    @property
    def contestant(self) -> Contestant: ...

    @property
    def made_of(self) -> dict[str, Any]:
        """What its answers depend on, without loading it."""

    def answers(self, questions: Sequence[SetQuestion], decoding: AnswerDecoding, check: Check) -> Iterator[Answered]:
        """Each as soon as it is whole, in any order; one that could not be had has its `problem`. Raises UserError."""


@dataclass(frozen=True)
class HereContender:
    """A run, one of its checkpoints, or its base."""

    contestant: Contestant
    settings: Settings
    pool: ModelPool
    places: dict[str, int]  # {id of a question: its place in the set}

    @functools.cached_property
    def _run(self) -> Any:
        return RunStore(self.settings.runs).get(self.contestant.run)

    @property
    def is_base(self) -> bool:
        return self.contestant.who == "base"

    @property
    def made_of(self) -> dict[str, Any]:
        run, adapter = self._run, self._run.adapter_at(self.contestant.checkpoint)
        if adapter is None:
            raise UserError(
                "run.no_checkpoint_to_chat",
                "This run has saved nothing yet. Its first checkpoint comes soon; then you can chat with it.",
            )
        choice = run.base_model()
        return {
            "adapter": "" if self.is_base else checksum(adapter),
            "base": fingerprint(folder_of(choice)),
            "loaded_as": choice.model_dump(mode="json"),
            "asks_with": [sha256_of(adapter / name) for name in ASKS_WITH if (adapter / name).is_file()],
        }

    @property
    def session(self) -> ChatSession:
        """Waits until it is loaded."""
        return self.pool.get(self._run, self.contestant.checkpoint)

    def answers(self, questions: Sequence[SetQuestion], decoding: AnswerDecoding, check: Check) -> Iterator[Answered]:
        session = self.session
        if not session.task.is_chat:
            yield from self._labelled(session, questions, decoding, check)
            return
        voice = Here(session, self.is_base)
        asked = [self._asked(session, one, decoding) for one in questions]
        yield from answered(voice, asked, AT_ONCE_HERE, check)

    def _asked(self, session: ChatSession, one: SetQuestion, decoding: AnswerDecoding) -> Any:
        return one, session.as_trained(one.question.conversation), decoding.for_question(self.places[one.id])

    def _labelled(
        self, session: ChatSession, questions: Sequence[SetQuestion], decoding: AnswerDecoding, check: Check
    ) -> Iterator[Answered]:
        """Of a model that knows no turns: the likeliest answers, several at a time."""
        for some in in_batches(questions, TOGETHER):
            check()
            began = time.monotonic()
            conversations = [session.as_trained(one.question.conversation) for one in some]
            texts = session.answer_all(conversations, self.is_base, decoding.max_new_tokens)
            seconds = time.monotonic() - began
            for one, text in zip(some, texts, strict=True):
                yield Answered(one, text, len(session.encode(text)), round(seconds, 4), at_once=len(some))


@dataclass(frozen=True)
class EndpointContender:
    """An OpenAI-compatible endpoint of the settings. What it is made of may change behind its name."""

    contestant: Contestant
    settings: Settings
    places: dict[str, int]

    @property
    def _endpoint(self) -> Any:
        return endpoint_of(Side(who="endpoint", endpoint=self.contestant.endpoint), self.settings.endpoints or ())

    @property
    def made_of(self) -> dict[str, Any]:
        return {"url": self._endpoint.place, "model": self._endpoint.model}

    def answers(self, questions: Sequence[SetQuestion], decoding: AnswerDecoding, check: Check) -> Iterator[Answered]:
        asked = [(one, one.question.conversation, decoding.for_question(self.places[one.id])) for one in questions]
        yield from answered(Remote(self._endpoint), asked, AT_ONCE_ELSEWHERE, check, retries=True)


@dataclass(frozen=True)
class FileContender:
    """Answers that somebody has already (answer_files.py)."""

    contestant: Contestant
    file: Path  # the job's copy
    settings: Settings

    @property
    def made_of(self) -> dict[str, Any]:
        whose = {"whose": self.contestant.whose} if self.contestant.whose else {}
        return {"file": sha256_of(self.file), **whose}

    def answers(self, questions: Sequence[SetQuestion], decoding: AnswerDecoding, check: Check) -> Iterator[Answered]:
        known = answers_in(self.file, self.settings, self.contestant.whose, self.contestant.file)
        for one in questions:
            text = known.of(one)
            if text is None:
                problem = Problem(
                    "evaluate.not_in_file",
                    "{file} has no answer to question {id}.",
                    file=Path(self.contestant.file).name,
                    id=one.id,
                )
                yield Answered(one, problem=problem)
            else:
                yield Answered(one, text)
