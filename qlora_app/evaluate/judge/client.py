"""An OpenAI-compatible endpoint that is asked for judgments: whole answers, not streams.

Whatever an endpoint does, `ask` ends: with a text, with what is wrong as a `Failed`, or with a UserError where the
endpoint will not answer anything. A deadline holds for the whole of a call, also where letters trickle in for ever.
"""

import json
import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ...errors import Problem, UserError
from ...inference.refused_fields import refused_by
from ...messages import Conversation
from ...settings import Endpoint
from .budget import Budget, Cost, most_tokens_of, text_tokens, tokens_of

CONNECTS = 10.0  # seconds
LARGEST_ANSWER = 4_000_000  # bytes
LONGEST_WAIT = 120.0  # seconds that an endpoint may ask for before the job is given up for now
FIRST_PAUSE = 0.5  # seconds before the second attempt; twice as long before each further one
LONGEST_REASON = 300  # letters of what an endpoint says of a refusal
WHOLE_REFUSALS = (401, 402, 403, 404, 405)  # it would say the same of every other question
PASSING = (408, 409, 425, 429)  # and all from 500 on


@dataclass(frozen=True)
class Asking:
    """How an endpoint is asked. temperature None: it is not told any. seconds: for one attempt, however it fails."""

    temperature: float | None = 0.2
    longest: int = 1024  # tokens of a judgment
    attempts: int = 5
    seconds: float = 120.0


Over = Literal["", "refused", "budget", "stopped"]


@dataclass(frozen=True)
class Reply:
    """What an endpoint said at last, and what all attempts took. `problem`: why it is no answer; "" for one.

    over: why nothing else is to be asked: the endpoint refuses altogether (`error` says so), the budget holds no
    further call, or somebody stopped it; "" where the next question may be asked.
    """

    text: str
    problem: str
    cost: Cost
    seconds: float
    was_cut: bool = False  # it reached the longest it may be, so its end is not the end
    is_estimated: bool = False  # the endpoint did not count its tokens
    over: Over = ""
    error: UserError | None = None
    is_of_question: bool = False  # it refuses this one, and may answer others


class _Abandoned(Exception):
    """Nobody waits for it any more."""


class _Failed(Exception):
    """One attempt brought nothing. wait: seconds the endpoint asks for; passing: may the next one do better?"""

    def __init__(self, problem: Problem, passing: bool = True, wait: float | None = None, over: Over = "") -> None:
        super().__init__(str(problem))
        self.problem, self.passing, self.wait, self.over = problem, passing, wait, over


@dataclass
class _Spent:
    """What the attempts for one judgment took so far."""

    begin: Callable[[Cost], Any]
    cost: Cost = Cost()  # noqa: RUF009


class JudgeClient:
    """One endpoint, asked by several threads at once. What it refuses to be told is remembered."""

    def __init__(
        self,
        endpoint: Endpoint,
        asking: Asking,
        budget: Budget,
        stop: threading.Event,
        pause: Callable[[float], Any] | None = None,
    ) -> None:
        """pause: waits so many seconds, and is cut short by `stop`; given by tests."""
        import httpx

        self._endpoint, self._asking, self._budget, self._stop = endpoint, asking, budget, stop
        self._pause = pause or stop.wait
        self._refused = refused_by(endpoint.url, endpoint.model)
        self._http = httpx.Client(timeout=httpx.Timeout(asking.seconds, connect=CONNECTS))

    def close(self) -> None:
        self._http.close()

    def ask(self, conversation: Conversation, begin: Callable[[Cost], Any] = lambda most: None) -> Reply:
        """Try until there is an answer, or no attempt is left. Raises nothing of its own: see `Reply.over`.

        begin: is told before each attempt what it takes at most.
        """
        began, spent, is_of_question = time.monotonic(), _Spent(begin), False
        try:
            text, was_cut, counted = self._attempts(conversation, spent)
            return Reply(text, "", spent.cost, time.monotonic() - began, was_cut, not counted)
        except _Failed as failed:
            problem, over, error = failed.problem, failed.over, None
            is_of_question = failed.problem.code == "judge.refused_once" and not failed.passing
        except UserError as refused:
            problem, over, error = refused.problem, "refused", refused
        except _Abandoned:
            problem, over, error = Problem("judge.stopped", "It was stopped before it was answered."), "stopped", None
        why, seconds = self._without_key(str(problem)), time.monotonic() - began
        return Reply("", why, spent.cost, seconds, over=over, error=error, is_of_question=is_of_question)

    def _attempts(self, conversation: Conversation, spent: "_Spent") -> tuple[str, bool, bool]:
        """(text, whether it was cut off, whether its tokens were counted). Raises _Failed, UserError, _Abandoned."""
        left, pause = self._asking.attempts, FIRST_PAUSE
        while True:
            body = self._body(conversation)
            try:
                return self._attempt(body, conversation, spent)
            except _Failed as failed:
                failure = failed
            if self._learns_from(failure, body):
                continue
            left -= 1
            if left <= 0 or not failure.passing:
                raise failure
            self._wait(failure.wait if failure.wait is not None else pause * random.uniform(0.8, 1.2))
            pause *= 2

    # ---- one attempt

    def _attempt(self, body: Mapping[str, Any], conversation: Conversation, spent: "_Spent") -> tuple[str, bool, bool]:
        taken = self._budget.take(most_tokens_of(conversation), self._asking.longest)
        if taken is None:
            raise _Failed(Problem("judge.no_budget", "No budget is left for it."), passing=False, over="budget")
        real = Cost(1, tokens_of(conversation))  # of an attempt that breaks off, what it has read
        try:
            spent.begin(taken)
            answer = self._post(body)
            real, counted = _cost_of(answer, conversation)
            return (*self._text_of(answer), counted)
        finally:
            self._budget.settle(taken, real)
            spent.cost += real

    def _body(self, conversation: Conversation) -> dict[str, Any]:
        messages = [{"role": turn["role"], "content": _plain(turn["content"])} for turn in conversation]
        body: dict[str, Any] = {"model": self._endpoint.model, "messages": messages, "stream": False}
        if self._asking.temperature is not None:
            body["temperature"] = self._asking.temperature
        return self._refused.without(body | {"max_tokens": self._asking.longest})

    def _post(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The object it answers with. Raises _Failed, UserError, _Abandoned."""
        import httpx

        key = self._endpoint.key
        headers = {"authorization": f"Bearer {key.get_secret_value()}"} if key else {}
        url = f"{self._endpoint.url.rstrip('/')}/chat/completions"
        deadline = time.monotonic() + self._asking.seconds
        try:
            with self._http.stream("POST", url, json=body, headers=headers) as answer:
                content = self._read(answer, deadline)
                return self._understood(answer.status_code, answer.headers, content)
        except httpx.HTTPError as error:
            why = Problem("judge.unreachable", "The endpoint does not answer ({why}).", why=type(error).__name__)
            raise _Failed(why) from error
        except (httpx.InvalidURL, UnicodeError) as error:
            raise UserError(
                "judge.bad_endpoint",
                "The address or the key of {name} cannot be sent. Look at both in QLORA_APP_ENDPOINTS.",
                name=self._endpoint.name,
            ) from error

    def _read(self, answer: Any, deadline: float) -> bytes:
        content = bytearray()
        for piece in answer.iter_bytes():
            content += piece
            if self._stop.is_set():
                raise _Abandoned
            if time.monotonic() > deadline:
                raise _Failed(Problem("judge.too_slow", "The endpoint did not come to an end of its answer."))
            if len(content) > LARGEST_ANSWER:
                raise _Failed(Problem("judge.endless", "The endpoint answers with more than a judgment can be."))
        return bytes(content)

    def _understood(self, status: int, headers: Mapping[str, str], content: bytes) -> dict[str, Any]:
        said = _object(content)
        if status != 200:
            raise self._refusal(status, headers, said, content)
        kind = headers.get("content-type", "")
        if kind and "json" not in kind:
            form = kind.split(";")[0].strip()[:60]
            raise _Failed(Problem("judge.no_json", "The endpoint answers with {form} where JSON is due.", form=form))
        if said is None:
            raise _Failed(Problem("judge.broken_json", "The endpoint's JSON is broken off, or none."))
        if said.get("error"):
            raise _Failed(Problem("judge.error_said", "The endpoint says: {why}", why=self._why(said, content)))
        return said

    def _text_of(self, answer: Mapping[str, Any]) -> tuple[str, bool]:
        """(what was written, whether it was cut off). Raises _Failed where there is no text."""
        choices = answer.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else None
        message = choice.get("message") if isinstance(choice, dict) else None
        if not isinstance(choice, dict) or not isinstance(message, dict):
            raise _Failed(Problem("judge.no_choice", "The endpoint answers without a choice."))
        text = _plain(message.get("content"))
        was_cut = choice.get("finish_reason") == "length"
        if not text.strip():  # models that think may leave it empty and write elsewhere
            text = _plain(message.get("reasoning_content")) or _plain(message.get("reasoning"))
        if not text.strip():
            raise _Failed(Problem("judge.no_text", "The endpoint answers with an empty text."), passing=not was_cut)
        return self._without_key(text), was_cut

    # ---- refusals

    def _refusal(self, status: int, headers: Mapping[str, str], said: Any, content: bytes) -> Exception:
        why = self._why(said, content)
        if status in WHOLE_REFUSALS or 300 <= status < 400:
            return UserError(
                "judge.refused",
                "{name} refuses ({status}): {why} Look at its address, model and key in QLORA_APP_ENDPOINTS; Resume "
                "goes on where this ended.",
                name=self._endpoint.name,
                status=status,
                why=why,
            )
        problem = Problem("judge.refused_once", "The endpoint refuses ({status}): {why}", status=status, why=why)
        is_passing = status in PASSING or status >= 500
        return _Failed(problem, is_passing, _asked_wait(headers))

    def _learns_from(self, failure: _Failed, body: Mapping[str, Any]) -> bool:
        """Did it refuse to be told something that can be left out?"""
        is_of_this = failure.problem.code == "judge.refused_once" and not failure.passing
        return is_of_this and self._refused.learn(str(failure.problem), body)

    def _wait(self, seconds: float) -> None:
        if seconds > LONGEST_WAIT:
            raise UserError(
                "judge.asks_to_wait",
                "{name} lets nobody in for another {seconds:,.0f} seconds. Resume goes on where this ended.",
                name=self._endpoint.name,
                seconds=seconds,
            )
        self._pause(seconds)
        if self._stop.is_set():
            raise _Abandoned

    def _why(self, said: Any, content: bytes) -> str:
        error = said.get("error") if isinstance(said, dict) else None
        if isinstance(error, dict):
            error = error.get("message") or error
        text = str(error) if error else content[: 4 * LONGEST_REASON].decode("utf-8", "replace")
        return " ".join(self._without_key(text).split())[:LONGEST_REASON]

    def _without_key(self, text: str) -> str:
        """Some say it again, and it is to stand in no file."""
        key = self._endpoint.key
        return text.replace(key.get_secret_value(), "…") if key else text


def _object(content: bytes) -> dict[str, Any] | None:
    try:
        said = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return said if isinstance(said, dict) else None


def _plain(content: Any) -> str:
    """A text, or the texts of its parts. What no file can hold is replaced."""
    if isinstance(content, list):
        content = "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content.encode("utf-8", "replace").decode("utf-8") if isinstance(content, str) else ""


def _cost_of(answer: Mapping[str, Any], conversation: Conversation) -> tuple[Cost, bool]:
    """(what a call took, whether the endpoint counted it)."""
    usage = answer.get("usage")
    counted = usage if isinstance(usage, dict) else {}
    read, written = _count(counted.get("prompt_tokens")), _count(counted.get("completion_tokens"))
    choices = answer.get("choices")
    if read and written is not None and (written or not choices):  # a question of no tokens was not counted
        return Cost(1, read, written), True
    return Cost(1, tokens_of(conversation), text_tokens(json.dumps(choices)) if choices else 0), False


def _count(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value < LARGEST_ANSWER else None


def _asked_wait(headers: Mapping[str, str]) -> float | None:
    """Seconds from `retry-after`, which may be a date too; None where nothing usable stands there."""
    import email.utils

    told = headers.get("retry-after", "").strip()
    try:
        seconds = float(told)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(told).timestamp() - time.time()
        except (ValueError, TypeError, OverflowError):
            return None
    return max(0.0, seconds) if seconds == seconds else None
