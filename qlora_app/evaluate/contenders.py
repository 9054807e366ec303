"""A contestant that was found and can be asked: a model here, an endpoint, or a file of answers."""

import functools
import json
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
from .contestants import Contestant
from .decoding import AnswerDecoding
from .json_rows import rows_of_json
from .question_sets import SetQuestion
from .stream import Answered, answered

AT_ONCE_HERE, AT_ONCE_ELSEWHERE = 16, 4  # questions that are answered at the same time
TOGETHER = 32  # of a model that does not chat
ANSWERS = ("answer", "generation", "response", "output", "prediction", "completion")
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
            seconds = (time.monotonic() - began) / len(some)
            for one, text in zip(some, texts, strict=True):
                yield Answered(one, text, len(session.encode(text)), round(seconds, 4))


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
    """Answers that somebody has already, in FastChat's JSONL (question_id, choices[0].turns) QLoRA's (question_id,
    generation) or ours (question, answer).
    """

    contestant: Contestant
    file: Path  # the job's copy

    @property
    def made_of(self) -> dict[str, Any]:
        return {"file": sha256_of(self.file)}

    def answers(self, questions: Sequence[SetQuestion], decoding: AnswerDecoding, check: Check) -> Iterator[Answered]:
        known = answers_in(self.file)
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


@dataclass(frozen=True)
class AnswersInFile:
    """What says its question answers that one and no other; what names only an id, the question of that id."""

    by_id_and_text: dict[tuple[str, str], str]
    by_text: dict[str, str]
    by_id: dict[str, str]

    def of(self, one: SetQuestion) -> str | None:
        text = one.text.strip()
        return self.by_id_and_text.get((one.id, text), self.by_text.get(text, self.by_id.get(one.id)))


def answers_in(file: Path) -> AnswersInFile:
    """Raises UserError where no line has an answer."""
    found = AnswersInFile({}, {}, {})
    for line in rows_of_json(file):
        answer = _answer_of(line)
        id, question = line.get("question_id", line.get("id")), line.get("question", line.get("prompt"))
        if answer is None:
            continue
        if isinstance(question, str):
            found.by_text.setdefault(question.strip(), answer)
            _keep(found.by_id_and_text, (str(id), question.strip()), answer, file)
        elif id is not None:
            _keep(found.by_id, str(id), answer, file)
    if not found.by_text and not found.by_id:
        raise UserError(
            "evaluate.no_answers_in_file",
            "{file} has no answers: each line is JSON with `question_id` and `choices`, as FastChat writes it, or with "
            "`question` and `answer`.",
            file=file.name,
        )
    return found


def _keep(known: dict[Any, str], key: Any, answer: str, file: Path) -> None:
    if known.setdefault(key, answer) != answer:
        raise UserError(
            "evaluate.two_answers",
            "{file} has two answers to the same question, {key}. Leave one of them.",
            file=file.name,
            key=repr(key[-1] if isinstance(key, tuple) else key)[:100],
        )


def _answer_of(line: dict[str, Any]) -> str | None:
    for name in ANSWERS:
        if isinstance(line.get(name), str):
            return str(line[name])
        if isinstance(line.get(name), bool | int | float):
            return json.dumps(line[name])
    choices = line.get("choices")
    turns = choices[0].get("turns") if isinstance(choices, list) and choices and isinstance(choices[0], dict) else None
    if isinstance(turns, list) and turns and isinstance(turns[0], str):
        return str(turns[0])
    has_old_form = "question_id" in line and isinstance(line.get("text"), str) and "category" not in line
    return str(line["text"]) if has_old_form else None
