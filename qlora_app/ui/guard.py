"""Who may do what, in one place.

Every handler of the page carries one of two marks. `changes` asks first whether this page may change anything; `reads`
may be used by every visitor. (Hiding a button protects nothing: Gradio runs the handler of a hidden one for anybody.)
Both turn a UserError into a message on the page. `RequestGuard` decides before that which requests come in at all: not
those of other web sites, no files into a demonstration, no long guessing of passwords.
"""

import functools
import inspect
import logging
import time
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any
from urllib.parse import urlsplit

import gradio as gr

from ..errors import Problem, UserError
from ..settings import PREFIX, Settings

DEMONSTRATION = Problem(
    "page.demonstration",
    "This is a demonstration: look at the runs and talk to their models. Nothing can be trained, "
    "uploaded or deleted here; run your own copy for that. If this one is yours, set {prefix}USER and "
    "{prefix}PASSWORD and log in.",
    prefix=PREFIX,
)
UNEXPECTED = Problem(
    "page.unexpected",
    "Something unexpected happened. What you typed is still here; the details are in the terminal of the app.",
)
WHY_NOT = "Training is switched off: this is a demonstration, open to everybody."
HERE = ("127.0.0.1", "localhost", "::1")
# Where a Hugging Face Space is shown inside a frame.
HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"content-security-policy", b"frame-ancestors 'self' https://huggingface.co https://*.hf.space"),
]

log = logging.getLogger(__name__)


def reads(handler: Callable) -> Callable:
    """A handler that changes nothing. Every visitor may use it."""
    return _marked(handler, changing=False)


def changes(handler: Callable) -> Callable:
    """A method that changes something: it runs only where `self.page.may_change`."""
    return _marked(handler, changing=True)


def _marked(handler: Callable, changing: bool) -> Callable:
    def allow(owner: Any) -> None:
        if changing and not owner.page.may_change:
            raise UserError.of(DEMONSTRATION)

    @functools.wraps(handler)
    def once(self: Any, *values: Any) -> Any:
        try:
            allow(self)
            return _or_nothing(handler(self, *values))
        except Exception as error:  # the last place before the person: nothing may pass it but a sentence
            raise _shown(error) from error

    @functools.wraps(handler)
    def stream(self: Any, *values: Any) -> Iterator[Any]:
        try:
            allow(self)
            for answer in handler(self, *values):
                yield _or_nothing(answer)
        except Exception as error:  # as above
            raise _shown(error) from error

    wrapper = stream if inspect.isgeneratorfunction(handler) else once
    wrapper.changes = changing  # type: ignore[attr-defined]
    return wrapper


def _or_nothing(answer: Any) -> Any:
    """Gradio takes an empty dict for a value; a handler means by it that nothing changes."""
    return gr.skip() if answer == {} else answer


def in_words(error: Exception) -> Problem:
    """What the person is told. Anything but a UserError is a mistake in the app: its details go to the terminal."""
    if isinstance(error, UserError):
        return error.problem
    log.error("A handler of the page failed", exc_info=error)
    return UNEXPECTED


def _shown(error: Exception) -> gr.Error:
    return (
        error
        if isinstance(error, gr.Error)
        else gr.Error(in_words(error), title="That did not work", print_exception=False)
    )


class RequestGuard:
    """ASGI middleware: answers what may not come in with a refusal, lets the rest pass, and adds careful headers."""

    def __init__(self, app: Callable, settings: Settings, own_name: str = "") -> None:
        self.app = app
        self.settings = settings
        self.own_name = own_name  # the public host name, where a proxy stands in front and may send another one
        self.guesses = LoginLimiter()

    async def __call__(self, scope: MutableMapping[str, Any], receive: Callable, send: Callable) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        is_login, who = scope["path"].rstrip("/") == "/login", (scope.get("client") or ("",))[0]
        headers: dict[bytes, str] = {}
        for name, value in scope[
            "headers"
        ]:  # one sent twice counts with all its values: who reads it next may take either
            headers[name] = (
                f"{headers[name]}, {value.decode('latin-1')}" if name in headers else value.decode("latin-1")
            )
        problem = self._refusal(headers)
        status = 403
        if not problem and is_login and self.guesses.too_many(who):
            problem, status = "Too many wrong passwords. Wait a minute, then try again.", 429
        if problem:
            await send(
                {
                    "type": "http.response.start",
                    "status": status,
                    "headers": [(b"content-type", b"text/plain"), *HEADERS],
                }
            )
            await send({"type": "http.response.body", "body": problem.encode()})
            return

        async def watched(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *HEADERS]
                if is_login and message["status"] == 400:
                    self.guesses.add(who)
            await send(message)

        await self.app(scope, receive, watched)

    def _refusal(self, headers: dict[bytes, str]) -> str:
        """Why a request is refused, "" if it is not.

        A page for this machine answers to no other host name: a foreign one can be made to point at 127.0.0.1, and
        would then count as the same origin. Files come as multipart requests, at several addresses of Gradio's, which
        keeps them on the disk before any handler is asked.
        """
        host, origin = headers.get(b"host", ""), headers.get(b"origin")
        if self.settings.is_local and urlsplit(f"//{host}").hostname not in HERE:
            return f"This page answers to 127.0.0.1 and localhost, not to {host}."
        if origin is not None and urlsplit(origin).netloc not in (host, self.own_name or host):
            return "This page takes no requests from other web sites."
        if self.settings.is_demonstration and "multipart" in headers.get(b"content-type", "").lower():
            return DEMONSTRATION
        return ""


class LoginLimiter:
    """Wrong passwords of the last minute, by address."""

    ALLOWED, SECONDS = 5, 60.0

    def __init__(self) -> None:
        self._wrong: dict[str, list[float]] = {}

    def too_many(self, who: str) -> bool:
        return len(self._recent(who)) >= self.ALLOWED

    def add(self, who: str) -> None:
        if len(self._wrong) > 10_000:
            self._wrong.clear()
        self._wrong[who] = [*self._recent(who), time.monotonic()]

    def _recent(self, who: str) -> list[float]:
        return [when for when in self._wrong.get(who, []) if time.monotonic() - when < self.SECONDS]
