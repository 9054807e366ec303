"""How long a connection may take before it has asked for something, and how many one address may hold open.

Gradio starts the server itself and passes on no setting of it, so its connections are made of another class afterwards.
"""

import asyncio
from collections import Counter
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from ...settings import Network
from .origins import is_within, neighbourhood

SECONDS = 20.0  # from the first byte of a request to the end of its headers
MOST_OF_ONE = 500  # connections of one address that is no proxy


def be_patient_with(server: Any, proxies: tuple[Network, ...] = ()) -> None:
    """From now on a server's connections end where nothing is asked on them, and so do those beyond what one address
    may hold. `proxies`: of which many people come.
    """
    held: Counter[str] = Counter()

    class Patient(H11Protocol):
        """A connection that has to ask for something."""

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self.address = neighbourhood(self.client[0]) if self.client else ""
            held[self.address] += 1
            self.patience: asyncio.TimerHandle | None = self._wait()
            is_proxy = self.client is not None and is_within(self.client[0], proxies)
            if held[self.address] > MOST_OF_ONE and not is_proxy:
                transport.abort()

        def connection_lost(self, exc: Exception | None) -> None:
            self._rest()
            held[self.address] -= 1
            if held[self.address] <= 0:
                del held[self.address]
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
