"""What the door sends: the answers of those behind it with careful headers, or its own in their place."""

from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

# Where a Hugging Face Space is shown inside a frame.
HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"content-security-policy", b"frame-ancestors 'self' https://huggingface.co https://*.hf.space"),
]

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Answer:
    """`send`, with headers of ours. With `withheld` nothing is sent before `release`."""

    def __init__(self, send: Send, cookies: Sequence[bytes], in_frame: bool, is_secure: bool) -> None:
        self.send, self.cookies = send, list(cookies)
        self.in_frame, self.is_secure = in_frame, is_secure
        self.has_begun, self.withheld = False, False
        self.status = 0
        self._kept: list[MutableMapping[str, Any]] = []

    async def __call__(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        if self.withheld:
            self._kept.append(message)
        else:
            await self._pass_on(message)

    async def release(self) -> None:
        """Send what was withheld."""
        self.withheld = False
        for message in self._kept:
            await self._pass_on(message)

    async def page(self, status: int, html: str) -> None:
        """Our own answer, instead of what was withheld."""
        headers = [(b"content-type", b"text/html; charset=utf-8"), (b"cache-control", b"no-store")]
        await self.whole(status, html.encode(), headers)

    def body(self) -> bytes:
        """What was withheld, without its headers."""
        return b"".join(message.get("body", b"") for message in self._kept)

    async def whole(self, status: int, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
        """An answer in one piece, instead of what was withheld."""
        self.withheld = False
        headers = [*headers, (b"content-length", str(len(body)).encode())]
        await self._pass_on({"type": "http.response.start", "status": status, "headers": headers})
        await self._pass_on({"type": "http.response.body", "body": body})

    async def lead_on(self, place: str) -> None:
        """Go there, with the cookies of what was withheld."""
        self.withheld = False
        start = next(one for one in self._kept if one["type"] == "http.response.start")
        cookies = [one for one in start.get("headers", []) if one[0].lower() == b"set-cookie"]
        headers = [*cookies, (b"location", place.encode()), (b"content-length", b"0")]
        await self._pass_on({"type": "http.response.start", "status": 303, "headers": headers})
        await self._pass_on({"type": "http.response.body", "body": b""})

    async def _pass_on(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.has_begun = True
            given = [
                (name, self._careful(value) if name.lower() == b"set-cookie" else value)
                for name, value in message.get("headers", [])
            ]
            ours = [(b"set-cookie", one) for one in self.cookies]
            message = {**message, "headers": [one for one in given if one[1]] + ours + HEADERS}
        await self.send(message)

    def _careful(self, cookie: bytes) -> bytes:
        """Gradio sets its login twice: for other sites' frames, and for connections without encryption. Kept is the
        one that is needed here ("" for none).
        """
        is_for_frames = b"samesite=none" in cookie.lower()
        if not cookie.startswith(b"access-token") or b"max-age=0" in cookie.lower():
            return cookie
        if is_for_frames:
            return cookie if self.in_frame else b""
        if self.in_frame:
            return b""
        bare = b"; ".join(part for part in cookie.split(b"; ") if not part.lower().startswith(b"samesite"))
        return bare + b"; SameSite=Lax" + (b"; Secure" if self.is_secure else b"")


def cookie(name: str, value: str, answer: Answer, lives: int) -> bytes:
    return set_cookie(name, value, answer.is_secure, answer.in_frame, lives)


def set_cookie(name: str, value: str, secure: bool, in_frame: bool, lives: int) -> bytes:
    where = "SameSite=None; Secure; Partitioned" if in_frame else "SameSite=Lax" + ("; Secure" if secure else "")
    return f"{name}={value}; Path=/; Max-Age={lives}; HttpOnly; {where}".encode()
