"""Fields of a request that an endpoint refuses, such as a temperature that a model which reasons does not take: they
are not told again.
"""

import re
import threading
from collections.abc import Mapping
from typing import Any

UNREADABLE = (400, 422)  # the status of a request that is refused for what stands in it
RENAMED = {"max_tokens": "max_completion_tokens"}
MAY_GO = (
    "temperature",
    "top_p",
    "seed",
    "repetition_penalty",
    "top_k",
    "min_p",
    "max_completion_tokens",
    "stream_options",
)


class RefusedFields:
    """What one endpoint has refused so far. Several threads may ask it at once."""

    def __init__(self) -> None:
        self._names: set[str] = set()
        self._lock = threading.Lock()

    def without(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The request as this endpoint takes it."""
        with self._lock:
            refused = set(self._names)
        named = {RENAMED[name] if name in refused and name in RENAMED else name: value for name, value in body.items()}
        return {name: value for name, value in named.items() if name in RENAMED or name not in refused}

    def learn(self, why: str, body: Mapping[str, Any]) -> bool:
        """Does what it says name a field of this request that can be left out? Then it is, from now on."""
        names = {name for name in (*RENAMED, *MAY_GO) if name in body and re.search(rf"\b{name}\b", why)}
        with self._lock:
            self._names |= names
        return bool(names)


_known: dict[tuple[str, str], RefusedFields] = {}


def refused_by(url: str, model: str) -> RefusedFields:
    """Of the model at an address, as long as this program runs."""
    return _known.setdefault((url, model), RefusedFields())
