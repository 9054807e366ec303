"""How much somebody may send, and how slowly: counted before anything reads it, whatever its length was said to be."""

import asyncio
import shutil
import tempfile
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import anyio

from ...settings import Settings

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]

OF_A_FORM = 16_000  # bytes: name and password
OF_A_VISITOR = 2_000_000  # bytes of JSON: a long conversation in both columns
OF_THE_OWNER = 40_000_000  # bytes of JSON: pasted text, each character written as several
AROUND_FILES = 1_000_000  # bytes of an upload beside what is in its files
SPARE = 200_000_000  # bytes of disk that uploads leave free
SECONDS = 30.0  # for a whole body of JSON, and for the next piece of a file
DRAINING, MOST_DRAINED = 5.0, 64_000_000  # seconds and bytes taken after a refusal
SLOWEST = 20_000  # bytes a second of an upload, after its first minute


class TooMuchError(Exception):
    """What was sent passes a limit; `status` says which."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status, self.sentence = status, sentence


TOO_LARGE = (413, "That is more than this page takes at once.")
TOO_SLOW = (408, "That came too slowly. Try again.")
GONE = (400, "The connection ended too early.")


def most(settings: Settings, is_upload: bool, is_login: bool) -> int:
    """How many bytes a request may bring."""
    if is_login:
        return OF_A_FORM
    if is_upload:
        return settings.max_upload_mb * 1_000_000 + AROUND_FILES
    return OF_A_VISITOR if settings.is_demonstration else OF_THE_OWNER


def check_length(headers: dict[bytes, str], limit: int, is_upload: bool) -> None:
    """What its length was said to be. Raises TooMuchError."""
    said = headers.get(b"content-length", "0")
    if not said.isdecimal():
        raise TooMuchError(400, "The length of the request makes no sense.")
    if int(said) > limit:
        raise TooMuchError(*TOO_LARGE)
    if is_upload and int(said) > shutil.disk_usage(tempfile.gettempdir()).free - SPARE:
        raise TooMuchError(507, "The disk of this machine has no room for that file.")


async def whole(receive: Receive, limit: int) -> bytes:
    """A body that is short enough, once all of it is there. Raises TooMuchError."""
    pieces, length = [], 0
    try:
        with anyio.fail_after(SECONDS):
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    raise TooMuchError(*GONE)
                pieces.append(message.get("body", b""))
                length += len(pieces[-1])
                if length > limit:
                    raise TooMuchError(*TOO_LARGE)
                if not message.get("more_body"):
                    return b"".join(pieces)
    except TimeoutError as error:
        raise TooMuchError(*TOO_SLOW) from error


def again(body: bytes, receive: Receive) -> Receive:
    """A body that was read, once more for those behind the door; then whatever comes after it."""
    waiting = [body]

    async def received() -> Message:
        if waiting:
            return {"type": "http.request", "body": waiting.pop(), "more_body": False}
        return await receive()

    return received


def counted(receive: Receive, limit: int) -> Receive:
    """A body that is passed on piece by piece; one that is too long or too slow raises TooMuchError."""
    length, begun = 0, asyncio.get_running_loop().time()

    async def received() -> Message:
        nonlocal length
        try:
            message = await asyncio.wait_for(receive(), SECONDS)
        except asyncio.TimeoutError as error:
            raise TooMuchError(*TOO_SLOW) from error
        length += len(message.get("body", b""))
        if length > limit:
            raise TooMuchError(*TOO_LARGE)
        seconds = asyncio.get_running_loop().time() - begun - 60
        if message.get("more_body") and seconds > 0 and length < seconds * SLOWEST:
            raise TooMuchError(*TOO_SLOW)
        return message

    return received


async def drained(receive: Receive) -> None:
    """Takes what somebody goes on sending after a refusal, for a while: a proxy that cannot send on tells no reason."""
    length = 0
    with anyio.move_on_after(DRAINING):
        while length < MOST_DRAINED:
            message = await receive()
            length += len(message.get("body", b""))
            if message["type"] != "http.request" or not message.get("more_body"):
                return
