"""How much somebody may send, and how slowly: counted before anything reads it, whatever its length was said to be."""

import asyncio
import shutil
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import anyio

from ...accounts import Role
from ...settings import Settings

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]

OF_A_FORM = 16_000  # bytes: name and password
OF_A_VISITOR = 2_000_000  # bytes of JSON: a long conversation in both columns
OF_THE_OWNER = 40_000_000  # bytes of JSON: pasted text, each character written as several
AROUND_FILES = 1_000_000  # bytes of an upload beside what is in its files
SPARE = 200_000_000  # bytes of disk that uploads leave free
OF_ADDRESS, OF_ALL = 80_000_000, 240_000_000  # bytes of JSON held at once; short bodies are not counted
OF_ADDRESS_VISITING = 16_000_000
SECONDS = 30.0  # for a whole body of a visitor's, and for the next piece of any other
DRAINING, MOST_DRAINED = 5.0, 64_000_000  # seconds and bytes taken after a refusal
SLOWEST = 20_000  # bytes a second of what the owner sends, after its first minute


class TooMuchError(Exception):
    """What was sent passes a limit; `status` says which."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status, self.sentence = status, sentence


TOO_LARGE = (413, "That is more than this page takes at once.")
BUSY = (429, "Too much is being sent at once. Try again in a moment.")
TOO_SLOW = (408, "That came too slowly. Try again.")
GONE = (400, "The connection ended too early.")


class Received:
    """`receive`, which remembers whether all of the body has come."""

    def __init__(self, receive: Receive) -> None:
        self.receive = receive
        self.is_whole = False

    async def __call__(self) -> Message:
        message = await self.receive()
        self.is_whole = not message.get("more_body")
        return message


class Held:
    """The bytes of all bodies that are held in memory at once."""

    def __init__(self, of_address: int) -> None:
        self.of_address = of_address
        self._bytes: Counter[str] = Counter()

    def add(self, address: str, more: int) -> None:
        """`release` must follow. Raises TooMuchError where there is no room, and then holds nothing more."""
        if self._bytes[address] + more > self.of_address or self._bytes.total() + more > OF_ALL:
            raise TooMuchError(*BUSY)
        self._bytes[address] += more

    def release(self, address: str, held: int) -> None:
        """They are needed no longer."""
        self._bytes[address] -= held
        if self._bytes[address] <= 0:
            del self._bytes[address]


class Body:
    """A body of JSON, held while it is needed: as a context, which lets it go."""

    def __init__(self, held: Held, address: str) -> None:
        self.held, self.address = held, address
        self._counted = 0

    def __enter__(self) -> "Body":
        return self

    def __exit__(self, *_: object) -> None:
        self.held.release(self.address, self._counted)

    async def read(self, receive: Receive, limit: int, is_patient: bool) -> bytes:
        """All of it, where it is short enough. `is_patient`: as slowly as an upload may be. Raises TooMuchError."""
        next_piece, content = counted(receive, limit), bytearray()
        try:
            with anyio.fail_after(None if is_patient else SECONDS):
                while True:
                    message = await next_piece()
                    if message["type"] != "http.request":
                        raise TooMuchError(*GONE)
                    content += message.get("body", b"")
                    self._count(len(content))
                    if not message.get("more_body"):
                        return bytes(content)
        except TimeoutError as error:
            raise TooMuchError(*TOO_SLOW) from error

    def _count(self, length: int) -> None:
        if length > OF_A_FORM:  # so that others who send much keep nobody from a click
            self.held.add(self.address, length - self._counted)
            self._counted = length


def most(settings: Settings, is_upload: bool, is_before_login: bool, role: Role | None) -> int:
    """How many bytes a request may bring."""
    if is_before_login:
        return OF_A_FORM
    if is_upload:
        return upload_mb(settings, role) * 1_000_000 + AROUND_FILES
    return OF_A_VISITOR if role in (None, "visitor") else OF_THE_OWNER


def upload_mb(settings: Settings, role: Role | None) -> int:
    """How much somebody may upload at once."""
    most_of_all = settings.max_upload_mb
    return min(most_of_all, settings.member_upload_mb) if role == "member" else most_of_all


def check_length(headers: dict[bytes, str], limit: int, is_upload: bool) -> None:
    """What its length was said to be. Raises TooMuchError."""
    said = headers.get(b"content-length", "0")
    if not said.isdecimal():
        raise TooMuchError(400, "The length of the request makes no sense.")
    if int(said) > limit:
        raise TooMuchError(*TOO_LARGE)
    if is_upload and int(said) > shutil.disk_usage(tempfile.gettempdir()).free - SPARE:
        raise TooMuchError(507, "The disk of this machine has no room for that file.")


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


async def drained(receive: Received) -> None:
    """Takes what somebody goes on sending after a refusal, for a while: a proxy that cannot send on tells no reason."""
    length = 0
    with anyio.move_on_after(DRAINING):
        while length < MOST_DRAINED and not receive.is_whole:
            message = await receive()
            length += len(message.get("body", b""))
