"""Who may do what, in one place.

Every handler of the page carries one of two marks. `changes` asks first whether this page may change anything; `reads`
may be used by every visitor. (Hiding a button protects nothing: Gradio runs the handler of a hidden one for anybody.)
Both turn a UserError into a message on the page. `SameOrigin` keeps other web sites from speaking for the person.
"""

import functools
import inspect
import logging
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any
from urllib.parse import urlsplit

import gradio as gr

from ..errors import UserError

DEMONSTRATION = ("This is a demonstration: everything here can be looked at and talked to, but not changed. "
                 "Copy it, or run it on your own machine, to train.")
HERE = ("127.0.0.1", "localhost", "::1")
# Where a Hugging Face Space is shown inside a frame.
HEADERS = [(b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"same-origin"),
           (b"content-security-policy", b"frame-ancestors 'self' https://huggingface.co https://*.hf.space")]

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
            raise UserError(DEMONSTRATION)

    @functools.wraps(handler)
    def once(self: Any, *values: Any) -> Any:
        try:
            allow(self)
            return handler(self, *values)
        except Exception as error:  # the last place before the person: nothing may pass it but a sentence
            raise _shown(error) from error

    @functools.wraps(handler)
    def stream(self: Any, *values: Any) -> Iterator[Any]:
        try:
            allow(self)
            yield from handler(self, *values)
        except Exception as error:  # as above
            raise _shown(error) from error

    wrapper = stream if inspect.isgeneratorfunction(handler) else once
    wrapper.changes = changing  # type: ignore[attr-defined]
    return wrapper


def in_words(error: Exception) -> str:
    """What the person is told. Anything but a UserError is a mistake in the app: its details go to the terminal."""
    if isinstance(error, UserError):
        return str(error)
    log.error("A handler of the page failed", exc_info=error)
    return "Something unexpected happened. What you typed is still here; the details are in the terminal of the app."


def _shown(error: Exception) -> gr.Error:
    return error if isinstance(error, gr.Error) else gr.Error(in_words(error), title="That did not work", print_exception=False)


class SameOrigin:
    """ASGI middleware: refuses what another web site sends on behalf of the person's browser, and adds careful headers.

    On a page without a login, bound to this machine, it also refuses any other host name (a foreign name can be made to
    point at 127.0.0.1, and would then count as the same origin).
    """

    def __init__(self, app: Callable, local_only: bool) -> None:
        self.app = app
        self.local_only = local_only

    async def __call__(self, scope: MutableMapping[str, Any], receive: Callable, send: Callable) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        if problem := self._refusal(headers):
            await send({"type": "http.response.start", "status": 403, "headers": [(b"content-type", b"text/plain"), *HEADERS]})
            await send({"type": "http.response.body", "body": problem.encode()})
            return

        async def with_headers(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *HEADERS]
            await send(message)

        await self.app(scope, receive, with_headers)

    def _refusal(self, headers: dict[bytes, str]) -> str:
        host, origin = headers.get(b"host", ""), headers.get(b"origin")
        if self.local_only and urlsplit(f"//{host}").hostname not in HERE:
            return f"This page answers to 127.0.0.1 and localhost, not to {host}."
        if origin is not None and urlsplit(origin).netloc != host:
            return "This page takes no requests from other web sites."
        return ""
