"""How long a connection may take before it has asked for something, and how many one address may hold open.

Gradio starts the server itself and passes on no setting of it, so its connections are made of another class afterwards.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from ...settings import Network
from .origins import is_within, neighbourhood

SECONDS = 20.0  # from the first byte of a request to the end of its headers
MOST_OF_ONE = 500  # connections of one address that is no proxy
MOST_OF_ALL = 2000  # and at most this share of the files that the system lets the app hold open, so that jobs find some
SHARE = 0.6
ENDS_WITHIN = 2  # seconds that what is being sent has when the server ends


class Held:
    """The open connections of every address."""

    def __init__(self, of_all: int, of_one: int) -> None:
        self.of_all, self.of_one = of_all, of_one
        self._open: dict[str, list[Any]] = {}

    def add(self, address: str, connection: Any, is_proxy: bool) -> list[Any]:
        """A new one. Those that are to be ended for it, itself perhaps: of whoever has most, the newest."""
        mine = self._open.setdefault(address, [])
        mine.append(connection)
        surplus = []
        if len(mine) > self.of_one and not is_proxy:
            surplus.append(self._newest_of(address))
        while sum(map(len, self._open.values())) > self.of_all:
            surplus.append(self._newest_of(max(self._open, key=lambda one: len(self._open[one]))))
        return surplus

    def _newest_of(self, address: str) -> Any:
        newest = self._open[address][-1]
        self.remove(address, newest)
        return newest

    def remove(self, address: str, connection: Any) -> None:
        """It has ended, or is about to."""
        mine = self._open.get(address, [])
        if connection in mine:
            mine.remove(connection)
        if not mine:
            self._open.pop(address, None)


def most_at_once() -> int:
    """How many connections the page takes in all; each is an open file."""
    try:
        import resource  # not on Windows
    except ImportError:
        return MOST_OF_ALL
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST_OF_ALL if soft == resource.RLIM_INFINITY else min(MOST_OF_ALL, int(soft * SHARE))


def be_patient_with(server: Any, proxies: tuple[Network, ...] = ()) -> None:
    """From now on a server's connections end where nothing is asked on them, and so do those beyond what one address
    may hold. `proxies`: of which many people come.
    """
    held = Held(most_at_once(), MOST_OF_ONE)

    class Patient(H11Protocol):
        """A connection that has to ask for something."""

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self.address = neighbourhood(self.client[0]) if self.client else ""
            self.patience: asyncio.TimerHandle | None = self._wait()
            is_proxy = self.client is not None and is_within(self.client[0], proxies)
            for surplus in held.add(self.address, self, is_proxy):
                surplus.transport.abort()

        def connection_lost(self, exc: Exception | None) -> None:
            self._rest()
            held.remove(self.address, self)
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            is_new = self.cycle is None or self.cycle.response_complete
            if is_new and self.patience is None:
                self.patience = self._wait()
            super().data_received(data)
            if self.cycle is not None and not self.cycle.response_complete:
                self._rest()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            self._rest()

        def _wait(self) -> asyncio.TimerHandle:
            return self.loop.call_later(SECONDS, self._give_up)

        def _rest(self) -> None:
            if self.patience is not None:
                self.patience.cancel()
                self.patience = None

        def _give_up(self) -> None:
            self.patience = None
            if self.cycle is None or self.cycle.response_complete:
                self.transport.abort()

    server.config.http_protocol_class = Patient
    server.config.timeout_graceful_shutdown = ENDS_WITHIN
