"""Conversations on the server, for those who have logged in: they follow a person to another browser. Each is a file of
that person's folder; who has not logged in keeps them in the browser, see shelf.js.
"""

import hashlib
import json
import re
import threading
from pathlib import Path
from typing import Any

from ...errors import UserError
from ...settings import Settings
from ...storage.disk import said
from ...storage.files import FOLDER_ID, replace_file
from ..audit import who_asks
from ..guard import owners, told_owners

LARGEST = 4_000_000  # bytes of a conversation
MOST = 2000  # conversations of a person
MOST_BYTES = 64_000_000  # of them together
AT_ONCE = 4_000_000  # bytes told in one answer
KEY = re.compile(rf"({FOLDER_ID.pattern}):([1-9]\d{{0,6}})", re.ASCII)  # run and number


class KeptOfEach:
    """The conversations of everybody who sees a page and has logged in: each has their own."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._people: dict[str, Kept] = {}

    def functions(self) -> list[Any]:
        """What the script of the chat calls."""
        return [told_owners(self.kept), owners(self.keep)]

    def kept(self, asked: Any) -> dict[str, Any]:
        """As Kept."""
        return self._own().kept(asked)

    def keep(self, asked: Any) -> dict[str, Any]:
        """As Kept."""
        return self._own().keep(asked)

    def _own(self) -> "Kept":
        name = who_asks().user or self._settings.user or ""
        if name not in self._people:
            self._people[name] = Kept.of(self._settings.home, name)
        return self._people[name]


class Kept:
    """The conversations of one person. A version says what a file holds, so that one window sees what another wrote."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._alone = threading.Lock()

    @classmethod
    def of(cls, home: Path, name: str) -> "Kept":
        """Those of somebody, by the name they log in with."""
        readable = re.sub(r"[^a-z0-9]+", "-", name.casefold())[:40].strip("-")
        digest = hashlib.sha256(name.encode()).hexdigest()[:12]
        return cls(home / "conversations" / f"{digest}-{readable}".strip("-"))

    def kept(self, asked: Any) -> dict[str, Any]:
        """{"have": {key: version}} -> {"talks": {key: {"text", "version"}}, "keys": [key], "more": bool, "who": mark}:
        what is new or another one, everything that there is, and a mark of whose it is.
        """
        have = asked.get("have") if isinstance(asked, dict) else None
        have = have if isinstance(have, dict) else {}
        found: dict[str, dict[str, str]] = {}
        size, files = 0, self._files()
        for key, file in files.items():
            text = self._read(file)
            version = _version(text)
            if text is None or have.get(key) == version:
                continue
            if size > AT_ONCE:
                return {"talks": found, "keys": list(files), "more": True, "who": self.folder.name}
            found[key] = {"text": text, "version": version}
            size += len(text)
        return {"talks": found, "keys": list(files), "more": False, "who": self.folder.name}

    def keep(self, asked: Any) -> dict[str, Any]:
        """{"key", "text", "version"} -> {"version"}. text: null removes it; version: the one it takes the place of, ""
        of none. Where another one is there by now, nothing is written: {"theirs": its text, "version"}.
        """
        asked = asked if isinstance(asked, dict) else {}
        key, text = asked.get("key"), asked.get("text")
        if not isinstance(key, str) or not KEY.fullmatch(key) or not _is_conversation(text, key):
            return {"problem": "That is no conversation."}
        file = self.folder / f"{key.replace(':', '.')}.json"
        with self._alone:
            there = self._read(file)
            if _version(there) not in (asked.get("version"), _version(text)):
                return {"theirs": there, "version": _version(there)}
            try:
                self._write(file, text)
            except UserError as error:
                return {"problem": str(error)}
        return {"version": _version(text)}

    # ---- files

    def _files(self) -> dict[str, Path]:
        """Newest first, by key."""
        if not self.folder.is_dir():
            return {}
        named = {file.name.removesuffix(".json").replace(".", ":", 1): file for file in self.folder.glob("*.json")}
        mine = {key: file for key, file in named.items() if KEY.fullmatch(key) and not file.is_symlink()}
        return dict(sorted(mine.items(), key=lambda one: -one[1].stat().st_mtime_ns))

    def _read(self, file: Path) -> str | None:
        try:
            return file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return None

    def _write(self, file: Path, text: str | None) -> None:
        if text is None:
            file.unlink(missing_ok=True)
            return
        others = [one.stat().st_size for one in self._files().values() if one != file]
        if len(others) >= MOST or sum(others) + len(text.encode()) > MOST_BYTES:
            raise UserError(
                "chat.kept_full",
                "There is no room for more conversations: {count:,} are kept. Export and delete some in Chats.",
                count=len(others),
            )
        with said(self.folder.parent.parent):
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            replace_file(file, text, lasting=False, private=True)


def _version(text: str | None) -> str:
    return "" if text is None else hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]


def _is_conversation(text: Any, key: str) -> bool:
    """Is it one of that run and number, or nothing?"""
    if text is None:
        return True
    if not isinstance(text, str) or len(text.encode("utf-8", "replace")) > LARGEST:
        return False
    try:
        talk = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return (
        isinstance(talk, dict)
        and f"{talk.get('run')}:{talk.get('number')}" == key
        and isinstance(talk.get("turns"), list)
    )
