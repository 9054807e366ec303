"""An OpenAI-compatible endpoint elsewhere that answers in a column. Its address and key are in the settings alone."""

import itertools
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..errors import UserError
from ..messages import Conversation, flatten
from ..settings import Endpoint
from .refused_fields import UNREADABLE, refused_by
from .rows import Ended, Ending
from .session import Decoding
from .writing import Events, Growing, Said

PATIENCE = 120.0  # seconds for the next token
CONNECTS = 10.0
LOOKS = 0.1  # seconds between two looks at whether anybody still wants it
NO_STREAM = ("text/html", "application/json")  # types of what is no answer, but a login page or an error
MOST_PIECES = 8  # of what is no answer, to be quoted
LONGEST_REASON = 300  # letters of what an endpoint says of a refusal


@dataclass(frozen=True)
class Remote:
    """A Voice: an endpoint of the settings."""

    endpoint: Endpoint
    temperature: float | None = None  # None: as the settings of the chat say
    checksum: str = ""
    system: str = ""

    def write(
        self, conversation: Conversation, decoding: Decoding, stop: threading.Event, into: Events, begun: str = ""
    ) -> Growing:
        if begun:
            raise UserError("endpoint.begun", "{name} cannot go on with an answer. Ask again.", name=self.endpoint.name)
        body = {
            "model": self.endpoint.model,
            "messages": [{"role": turn["role"], "content": turn["content"]} for turn in flatten(conversation)],
            "stream": True,
            **self._how(decoding),
        }
        answer = RemoteAnswer(self.endpoint, body, stop, into)
        answer.begin()
        return answer

    def _how(self, decoding: Decoding) -> dict[str, Any]:
        """As OpenAI names it; what only some endpoints know is sent where it was asked for."""
        temperature = decoding.temperature if self.temperature is None else self.temperature
        how: dict[str, Any] = {
            "max_tokens": decoding.max_new_tokens,
            "temperature": 0 if decoding.greedy else temperature,
            "top_p": decoding.top_p,
            "seed": decoding.seed,
            "repetition_penalty": decoding.repetition_penalty,
            "top_k": decoding.top_k or None,
            "min_p": decoding.min_p or None,
        }
        return {name: value for name, value in how.items() if value is not None}


class RemoteAnswer:
    """An answer that a thread reads from an endpoint. Its events are pieces of text, then how it ended."""

    note = ""

    def __init__(self, endpoint: Endpoint, body: dict[str, Any], stop: threading.Event, into: Events) -> None:
        self.row = self
        self._endpoint, self._body, self._stop, self._into = endpoint, body, stop, into
        self._cancelled = threading.Event()
        self._began = time.monotonic()
        self._answer, self._reasoning, self._pieces, self._seconds = "", "", 0, 0.0
        self._why: Ending | None = None
        self._error: BaseException | None = None

    def begin(self) -> None:
        for work in (self._read, self._watch):
            threading.Thread(target=work, name="endpoint", daemon=True).start()

    # ---- Growing

    @property
    def is_over(self) -> bool:
        return self._why is not None or self._error is not None

    def take(self, event: Any, now: float) -> None:
        if self.is_over:  # it was stopped, and its endpoint said one more word
            return
        if isinstance(event, BaseException):
            raise event
        if isinstance(event, Ended):
            self._why = event.why
            return
        self._answer += event.get("content") or ""
        self._reasoning += event.get("reasoning_content") or ""
        self._pieces += 1
        self._seconds = now - self._began

    def fail(self, error: BaseException) -> None:
        if not self.is_over:
            self._error = error

    def said(self) -> Said:
        text = f"<think>\n{self._reasoning}\n</think>\n\n{self._answer}" if self._reasoning else self._answer
        said = Said(text, self._pieces, self._seconds, self._why in ("stop", "length"))
        said.why, said.error, said.answer, said.reasoning = self._why, self._error, self._answer, self._reasoning
        return said

    def cancel(self) -> None:
        self._cancelled.set()

    # ---- its threads

    def _watch(self) -> None:
        """Who stops does not wait for an endpoint that says nothing."""
        while not self.is_over and not self._is_unwanted:
            self._stop.wait(LOOKS)
        if not self.is_over:
            self._put(Ended("cancelled"))

    @property
    def _is_unwanted(self) -> bool:
        return self._stop.is_set() or self._cancelled.is_set()

    def _read(self) -> None:
        try:
            why: Ending = "stop"
            for choice in self._choices():
                if self._is_unwanted:
                    return
                if delta := choice.get("delta"):
                    self._put(delta)
                if choice.get("finish_reason") == "length":
                    why = "length"
            self._put(Ended(why))
        except Exception as error:  # whoever waits for it hears of it
            self._put(error)

    def _choices(self) -> Iterator[dict[str, Any]]:
        """Raises UserError where the endpoint cannot be reached, refuses, or breaks off."""
        import httpx

        url = f"{self._endpoint.url.rstrip('/')}/chat/completions"
        refused = refused_by(self._endpoint.url, self._endpoint.model)
        body = refused.without(self._body)
        key = self._endpoint.key
        headers = {"authorization": f"Bearer {key.get_secret_value()}"} if key else {}
        is_whole = False
        try:
            with httpx.stream(
                "POST", url, json=body, headers=headers, timeout=httpx.Timeout(PATIENCE, connect=CONNECTS)
            ) as answer:
                if answer.status_code != 200:
                    answer.read()
                    if answer.status_code in UNREADABLE and refused.learn(answer.text, body):
                        yield from self._choices()
                        return
                    raise self._refusal(answer.status_code, answer.text)
                if answer.headers.get("content-type", "").startswith(NO_STREAM):
                    raise self._no_stream(answer)
                for line in answer.iter_lines():
                    data = line.removeprefix("data:").strip()
                    if not line.startswith("data:") or data == "":
                        continue
                    if data == "[DONE]":
                        is_whole = True
                        break
                    yield from self._told(data)
        except httpx.HTTPError as error:
            raise UserError(
                "endpoint.unreachable",
                "{name} does not answer ({why}). Look at its address in QLORA_APP_ENDPOINTS, or ask again.",
                name=self._endpoint.name,
                why=type(error).__name__,
            ) from error
        if not is_whole:
            raise UserError("endpoint.cut", "{name} broke off its answer. Ask again.", name=self._endpoint.name)

    def _no_stream(self, answer: Any) -> UserError:
        """What it says instead of an answer: an error, or the page of somebody else."""
        begin = b"".join(itertools.islice(answer.iter_bytes(), MOST_PIECES))
        said = self._refusal(answer.status_code, begin.decode("utf-8", "replace")).problem.values["why"]
        return UserError(
            "endpoint.no_stream",
            "{name} does not answer as OpenAI's interface does, but with {type}: {said}",
            name=self._endpoint.name,
            type=answer.headers["content-type"],
            said=said,
        )

    def _told(self, data: str) -> list[dict[str, Any]]:
        try:
            told = json.loads(data)
            if isinstance(told.get("error"), dict):
                raise self._refusal(200, data)
            return [choice for choice in told.get("choices") or [] if choice.get("index", 0) == 0]
        except (ValueError, AttributeError) as error:
            raise UserError(
                "endpoint.unread", "{name} answers otherwise than OpenAI's interface does.", name=self._endpoint.name
            ) from error

    def _refusal(self, status: int, text: str) -> UserError:
        try:
            why = str(json.loads(text)["error"]["message"])
        except (ValueError, TypeError, KeyError):
            why = text
        key = self._endpoint.key
        if key:  # some say it again
            why = why.replace(key.get_secret_value(), "…")
        return UserError(
            "endpoint.refused",
            "{name} refuses ({status}): {why}",
            name=self._endpoint.name,
            status=status,
            why=" ".join(why.split())[:LONGEST_REASON],
        )

    def _put(self, event: Any) -> None:
        self._into.put((self, event))
