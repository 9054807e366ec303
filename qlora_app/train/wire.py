"""Messages between two machines of a training: lines of JSON over TCP.

First each side proves that it knows a word that stands in the run's folder, which only its owner may read, without
sending it. Nothing is encrypted: torch, which carries what is learned, does not either.
"""

import contextlib
import hmac
import json
import secrets
import select
import socket
import threading
import time
from typing import Any

RENDEZVOUS = "rendezvous.json"  # in the run's folder: where the first machine waits, and the word
FIRST, OTHER = "first", "other"  # what the two sides are called
LONGEST = 1 << 20  # bytes of a message
PROVES_WITHIN = 10.0  # seconds
# Seconds after which the system asks a silent machine for a sign, how often, and how many may stay away: one that lost
# its power or its cable is noticed within a minute.
ALIVE = {"TCP_KEEPIDLE": 20, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 4}


class Stranger(ConnectionError):
    """Whoever is there does not know the word."""


class Wire:
    """One side of a connection. Sending is for any thread, receiving for one."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket, self._came, self._sending = connected, b"", threading.Lock()
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in ALIVE.items():
            if hasattr(socket, name):
                connected.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        self.own_address: str = connected.getsockname()[0]
        self.other_address: str = connected.getpeername()[0]

    def send(self, **message: Any) -> None:
        """Raises OSError where the connection is gone."""
        with self._sending:
            self._socket.sendall(json.dumps(message).encode() + b"\n")

    def receive(self, within: float | None = None) -> dict[str, Any] | None:
        """The next message; None where it is not there within so many seconds. Raises OSError where none comes any
        more, or what comes is none.
        """
        until = None if within is None else time.monotonic() + within
        while b"\n" not in self._came:
            left = None if until is None else max(0.0, until - time.monotonic())
            if not select.select([self._socket], [], [], left)[0]:
                return None
            some = self._socket.recv(1 << 16)
            if not some or len(self._came) > LONGEST:
                raise ConnectionError("the other machine has gone")
            self._came += some
        line, _, self._came = self._came.partition(b"\n")
        try:
            message = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ConnectionError("this is no message") from error
        if not isinstance(message, dict):
            raise ConnectionError("this is no message")
        return message

    def prove(self, word: str, mine: str, other: str) -> None:
        """That both know the word. mine, other: what the two sides are called, so that nothing can be sent back for
        an answer. Raises OSError where the other does not know it.
        """
        asked = secrets.token_hex(16)
        self.send(ask=asked)
        heard = self._within()
        self.send(proof=_proof(word, mine, str(heard.get("ask"))))
        proof = str(self._within().get("proof")).encode(errors="replace")
        if not hmac.compare_digest(proof, _proof(word, other, asked).encode()):
            raise Stranger("it does not know the word of the run")

    def _within(self) -> dict[str, Any]:
        message = self.receive(PROVES_WITHIN)
        if message is None:
            raise Stranger("it says nothing")
        return message

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


def _proof(word: str, side: str, asked: str) -> str:
    return hmac.new(word.encode(), f"{side} {asked}".encode(), "sha256").hexdigest()
