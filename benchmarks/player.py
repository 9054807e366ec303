"""Many pages that look, played with as little of a processor as may be: what is measured is the server, and both share
a machine.
"""

import asyncio
import json
import statistics
import time
from typing import Any
from urllib.parse import urlsplit

from qlora_app.runs import Run

CARD, BAR = 1.0, 2.0  # seconds between two looks at a run that moves, and at what runs, as the scripts have them
ASKED = "/gradio_api/component_server"
PATIENCE = 120.0  # seconds


class Line:
    """A connection to a server, which is opened again where that ended it."""

    def __init__(self, url: str, address: str = "127.0.0.1") -> None:
        """address: of this machine, from which it asks."""
        parts = urlsplit(url)
        self.host, self.port, self.address = parts.hostname or "", parts.port or 80, address
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def post(self, path: str, body: bytes) -> tuple[int, dict[bytes, bytes], bytes]:
        """(status, headers, content). Raises OSError where there is no answer."""
        head = f"POST {path} HTTP/1.1\r\nhost: {self.host}:{self.port}\r\ncontent-type: application/json\r\n"
        sent = f"{head}content-length: {len(body)}\r\n\r\n".encode() + body
        was_open = self._streams is not None
        try:
            return await asyncio.wait_for(self._asked(sent), PATIENCE)
        except (asyncio.IncompleteReadError, ConnectionError):
            self.close()
            if not was_open:
                raise ConnectionError("the server ended a connection before it answered") from None
        return await asyncio.wait_for(self._asked(sent), PATIENCE)  # the old one was at its end

    async def _asked(self, sent: bytes) -> tuple[int, dict[bytes, bytes], bytes]:
        if self._streams is None:
            at = (self.address, 0)
            self._streams = await asyncio.open_connection(self.host, self.port, local_addr=at)
        reader, writer = self._streams
        writer.write(sent)
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (one.partition(b":") for one in lines if one)}
        content = await reader.readexactly(int(headers.get(b"content-length", b"0")))
        if headers.get(b"connection") == b"close":
            self.close()
        return int(first.split()[1]), headers, content

    def close(self) -> None:
        """The next question opens another one."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


class Looked:
    """What happened while pages looked."""

    def __init__(self) -> None:
        self.seconds: list[float] = []  # of each answer
        self.sizes: list[int] = []
        self.refused = 0  # told that very many look
        self.errors: list[str] = []
        self.pause = 0.0  # seconds between two looks, as the server said last

    @property
    def count(self) -> int:
        return len(self.seconds)


class Page:
    """One that somebody has open: its card and its bar ask as often as their scripts do, and no more often than the
    server says.
    """

    def __init__(self, line: Line, name: str, run: Run, card: int, bar: int, found: Looked) -> None:
        """card, bar: the numbers of the components."""
        self.line, self.name, self.run, self.found = line, name, run, found
        self.card, self.bar = card, bar
        self._busy = asyncio.Lock()

    async def looked_at(self, until: float) -> None:
        """Until then, by the clock of `time.perf_counter`."""
        await asyncio.gather(self._card(until), self._bar(until))
        self.line.close()

    async def _card(self, until: float) -> None:
        seen: Any = {}
        known: Any = {}
        while time.perf_counter() < until:
            asked = {"run": self.run.id, "seen": seen, "chart": known, "log": False, "others": True}
            news = await self._ask(self.card, asked, CARD)
            if news is not None and "chart" in news:  # a run that was deleted has none
                seen, chart = news["seen"], news["chart"]
                known = {"grouping": chart["grouping"], "count": chart["from"] + len(chart["points"]["x"])}

    async def _bar(self, until: float) -> None:
        seen: Any = {}
        while time.perf_counter() < until:
            news = await self._ask(self.bar, {"seen": seen, "open": False, "watched": []}, BAR)
            seen = news["seen"] if news else {}

    async def _ask(self, component: int, asked: dict[str, Any], every: float) -> Any:
        """What is new; None where there was no answer. Ends when it is time to ask again."""
        body = {"component_id": component, "fn_name": "poll", "session_hash": self.name, "data": asked}
        news, began = None, time.perf_counter()
        try:
            async with self._busy:
                sent = time.perf_counter()
                status, headers, content = await self.line.post(
                    "/gradio_api/component_server", json.dumps(body).encode()
                )
            self._count(status, headers, content, time.perf_counter() - sent)
            news = json.loads(content) if status == 200 else None
        except (OSError, ValueError, asyncio.IncompleteReadError) as error:
            self.found.errors.append(f"look: {error!r}")
        wait = max(every, self.found.pause) if news is not None else 2.0
        await asyncio.sleep(max(0.0, wait - (time.perf_counter() - began)))
        return news

    def _count(self, status: int, headers: dict[bytes, bytes], content: bytes, seconds: float) -> None:
        if status == 503:
            self.found.refused += 1
        elif status != 200:
            self.found.errors.append(f"look: {status} {content[:200]!r}")
        else:
            self.found.seconds.append(seconds)
            self.found.sizes.append(len(content))
            self.found.pause = int(headers.get(b"x-pause", b"0")) / 1000


def p95(values: list[float]) -> float:
    """Of a hundred five are above it; nan where there is none."""
    return statistics.quantiles(values, n=20)[-1] if len(values) > 1 else float("nan")
