"""The keys that programs show. One is seen when it is made and never again: the file keeps its hash."""

import hashlib
import secrets
import threading
import time
from collections import deque
from dataclasses import asdict, dataclass
from pathlib import Path

from ..errors import UserError
from ..storage.disk import said
from ..storage.files import write_json
from ..storage.reading import read_json
from ..storage.typed import filled

FILE = "api_keys.json"
BEGINNING = "gw-"  # of every key, so that one that has leaked is recognised
SHOWN = 8  # its first letters, by which it is told apart
LONGEST_NAME = 60
A_MINUTE = 60.0
MOST = 100  # keys of a home: all are looked at for each request


@dataclass(frozen=True)
class ApiKey:
    """What is known of a key. per_minute: the most requests; 0 for any number."""

    name: str = ""
    begins: str = ""
    hash: str = ""
    made: float = 0.0  # seconds since the epoch
    per_minute: int = 0


class ApiKeys:
    """Those of one home. They are read from the file at each request, so that one that is revoked opens nothing."""

    def __init__(self, home: Path) -> None:
        self.path = home / FILE
        self._changing = threading.Lock()
        self._asked: dict[str, deque[float]] = {}  # {hash: when it asked within the last minute}

    def all(self) -> list[ApiKey]:
        """Oldest first."""
        stored = (read_json(self.path) or {}).get("keys")
        rows = stored if isinstance(stored, list) else []
        return [filled(ApiKey, row) for row in rows if isinstance(row, dict) and isinstance(row.get("hash"), str)]

    @property
    def are_asked_for(self) -> bool:
        """Has one ever been made? Where all were revoked, and where the file cannot be read, nothing is open."""
        return self.path.exists()

    def make(self, name: str, per_minute: int = 0) -> str:
        """The key itself. Raises UserError for a name that is taken or empty."""
        name = name.strip()
        if not name or len(name) > LONGEST_NAME:
            raise UserError(
                "keys.name",
                "A key needs a name of 1 to {most} letters, such as that of the program.",
                most=LONGEST_NAME,
            )
        with self._changing:
            known = self.all()
            if any(one.name == name for one in known):
                raise UserError(
                    "keys.taken", "There is a key {name} already. Revoke it, or take another name.", name=name
                )
            if len(known) >= MOST:
                raise UserError("keys.too_many", "There are {most} keys already. Revoke one first.", most=MOST)
            key = BEGINNING + secrets.token_urlsafe(32)
            self._write([*known, ApiKey(name, key[:SHOWN], _hash(key), time.time(), per_minute)])
        return key

    def revoke(self, name: str) -> None:
        """From now on it opens nothing. Raises UserError where there is none of that name."""
        with self._changing:
            known = self.all()
            kept = [one for one in known if one.name != name]
            if len(kept) == len(known):
                raise UserError("keys.unknown", "There is no key {name}.", name=name)
            self._write(kept)

    def find(self, key: str) -> ApiKey | None:
        """The key that a program shows."""
        asked = _hash(key)
        found = None
        for one in self.all():
            if secrets.compare_digest(one.hash, asked):
                found = one
        return found

    def may_ask(self, key: ApiKey) -> bool:
        """Count a request: has it asked less often than it may?"""
        if not key.per_minute:
            return True
        now = time.monotonic()
        with self._changing:
            times = self._asked.setdefault(key.hash, deque())
            while times and now - times[0] > A_MINUTE:
                times.popleft()
            if len(times) >= key.per_minute:
                return False
            times.append(now)
            return True

    def _write(self, keys: list[ApiKey]) -> None:
        with said(self.path.parent):
            write_json(self.path, {"keys": [asdict(one) for one in keys]})
            self.path.chmod(0o600)


def _hash(key: str) -> str:
    """Of 256 random bits: nothing that a slow hash would protect better."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
