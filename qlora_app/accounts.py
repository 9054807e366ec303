"""Who may log in, and as what: `accounts.yaml` in the home, and the login of the settings, whose owner is the owner.

A member has a home of their own below `members/`, with all that they make. A person's page reads and writes in one home
only, so that what is another's is not found there.
"""

import hashlib
import logging
import os
import re
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import yaml
from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from .errors import Problem, UserError
from .settings import OF_ALL_BEGIN, PREFIX, Settings
from .storage.disk import said
from .storage.files import replace_file
from .storage.outside import confine_process
from .storage.reading import read_mapping

FILE = "accounts.yaml"
ON_HUB = "@huggingface"  # behind the names of those who have logged in there: no name of the Hub has an @
# owner: everything. member: trains in a home of their own. visitor: looks at what is shared, and chats with it.
Role = Literal["owner", "member", "visitor"]
ROLES: tuple[Role, ...] = get_args(Role)
NAME = re.compile(r"[a-z0-9][a-z0-9._@-]{0,59}")  # also what a folder may be called
SHORTEST = 8  # characters of a password
log = logging.getLogger(__name__)
# 19 MiB and two passes, as OWASP has it: 50 ms here, as long as the page stands still for a try.
_HASHER = PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1)
_OF_NOBODY = _HASHER.hash("nobody")
# What other programs take from the environment, and is the owner's.
_OWNERS_ELSEWHERE = ("WANDB_API_KEY", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")


class Person(NamedTuple):
    """Who asks. name: "" for whoever needs no login."""

    name: str
    role: Role

    @property
    def home(self) -> str:
        """Whose page they see: each member has one, all owners share one, and all visitors."""
        return self.name if self.role == "member" else f"/{self.role}"


class Account(NamedTuple):
    """A line of the file. hash: argon2's, which says how it was made."""

    role: Role
    hash: str


class Accounts:
    """Those of an installation. The file is read again when it has changed, so that a command takes effect at once."""

    def __init__(self, settings: Settings) -> None:
        self.path = settings.home / FILE
        self._login = settings.login
        self._settings = settings
        self._lock = threading.Lock()
        self._read_at: tuple[int, int] | None = None
        self._known: dict[str, Account] = {}

    # ---- reading

    @property
    def is_there(self) -> bool:
        """Has anybody ever been given an account? Also where the file is empty by now, or nobody may look at it."""
        try:
            self.path.lstat()
        except FileNotFoundError:
            return False
        except OSError:
            return True
        return True

    def check(self) -> None:
        """Raises UserError for a file that is there and lets nobody in though it says something, or cannot be read."""
        if not self.is_there:
            return
        if not _accounts_in(self.path) and read_mapping(self.path):
            raise UserError(
                "accounts.none_usable",
                "{file} has no account that makes sense. Mend it, or delete it and add accounts anew.",
                file=self.path,
            )

    def all(self) -> dict[str, Account]:
        """{name: account} of the file. Where it cannot be read nobody of it is known. Raises nothing."""
        try:
            now = self.path.stat()
        except OSError:
            return {}
        with self._lock:
            if self._read_at != (now.st_mtime_ns, now.st_ino):
                self._read_at = (now.st_mtime_ns, now.st_ino)
                self._known = self._readable()
            return self._known

    def _readable(self) -> dict[str, Account]:
        """Without one that is called like the login of the settings: its password would open what is the owner's."""
        try:
            found = _accounts_in(self.path)
        except (UserError, OSError):
            log.exception(FILE)
            return {}
        own = self._login[0] if self._login else ""
        if found.pop(own.lower(), None) or found.pop(own, None):
            log.warning("%s: %s", FILE, UserError.of(_taken(own)))
        return found

    def role_of(self, name: str) -> Role | None:
        """None for nobody's name."""
        if self._login and name == self._login[0]:
            return "owner"
        account = self.all().get(name)
        return account.role if account else None

    def is_member(self, name: str) -> bool:
        """Whose home that is: may they come in as a member now, by an account or by what the settings make of those who
        have none?
        """
        role = self.role_of(name)
        if role is not None:
            return role == "member"
        settings = self._settings
        if name.endswith(ON_HUB):
            return "member" in (settings.others, settings.org_writers)
        return bool(settings.login_header) and settings.others == "member"

    def mark_of(self, name: str) -> str:
        """Another one whenever the role or the password of somebody changes; "" for nobody's name."""
        if self._login and name == self._login[0]:
            return "owner"
        account = self.all().get(name)
        return hashlib.sha256(repr(account).encode()).hexdigest() if account else ""

    def lets_in(self, name: str, password: str) -> bool:
        """Is that an account of the file and its password? It takes as long whatever is wrong with them."""
        account = self.all().get(name)
        try:
            is_right = _HASHER.verify(account.hash if account else _OF_NOBODY, password)
        except (Argon2Error, InvalidHashError):
            return False
        return is_right and account is not None

    # ---- changing

    def add(self, name: str, role: Role, password: str) -> None:
        """Raises UserError for a name that cannot be one or is taken, and for a short password."""
        known = _accounts_in(self.path)
        if not NAME.fullmatch(name):
            raise UserError(
                "accounts.name",
                "{name!r} cannot be the name of an account: 1 to 60 small letters and digits, and . _ @ - within.",
                name=name,
            )
        if name in known or (self._login and name == self._login[0].lower()):
            raise UserError.of(_taken(name))
        self._write(known | {name: Account(role, _hashed(password))})

    def change(self, name: str, role: Role | None = None, password: str | None = None) -> None:
        """Its sessions end. Raises UserError where there is none of that name."""
        known = _accounts_in(self.path)
        account = known.get(name)
        if account is None:
            raise self._unknown(name)
        hash = account.hash if password is None else _hashed(password)
        self._write(known | {name: Account(role or account.role, hash)})

    def remove(self, name: str) -> None:
        """Its sessions end; a member's home stays. Raises UserError where there is none of that name."""
        known = _accounts_in(self.path)
        if name not in known:
            raise self._unknown(name)
        self._write({one: account for one, account in known.items() if one != name})

    def _unknown(self, name: str) -> UserError:
        every = ", ".join(_accounts_in(self.path)) or "none"
        return UserError("accounts.unknown", "There is no account {name}. There are: {every}.", name=name, every=every)

    def _write(self, accounts: Mapping[str, Account]) -> None:
        rows = {name: account._asdict() for name, account in sorted(accounts.items())}
        with said(self.path.parent):
            replace_file(self.path, yaml.safe_dump(rows, sort_keys=False), private=True)


def _taken(name: str) -> Problem:
    return Problem("accounts.taken", "There is an account {name} already. Remove it, or take another name.", name=name)


def _hashed(password: str) -> str:
    if len(password) < SHORTEST:
        raise UserError(
            "accounts.short_password",
            "That password has {count} characters. It needs at least {shortest}.",
            count=len(password),
            shortest=SHORTEST,
        )
    return _HASHER.hash(password)


def _accounts_in(path: Path) -> dict[str, Account]:
    """Lines that make no sense are nobody's. Raises UserError for a file that is no YAML."""
    found = {}
    for name, row in (read_mapping(path) if os.path.lexists(path) else {}).items():
        given = row if isinstance(row, dict) else {}
        role, hash = given.get("role"), given.get("hash")
        if NAME.fullmatch(str(name)) and role in ROLES and isinstance(hash, str):
            found[str(name)] = Account(role, hash)
    return found


# ---- the homes of members


def members_in(settings: Settings) -> list[str]:
    """The names of those that have a home."""
    try:
        names = os.listdir(settings.members)
    except OSError:
        return []
    return sorted(name for name in names if NAME.fullmatch(name) and (settings.members / name).is_dir())


def member_at(folder: Path, settings: Settings) -> str:
    """In whose home a job lies; "" for the owner's."""
    try:
        return folder.resolve().relative_to(settings.members.resolve()).parts[0]
    except (ValueError, IndexError):
        return ""


def work_in_home_of(folder: Path) -> Settings:
    """The settings of whoever a job belongs to. From now on this process has no others, and where it is a member's it
    opens no model of somebody else, and knows no secret of the owner's.
    """
    settings = Settings.from_environment()
    member = member_at(folder, settings)
    if not member:
        return settings
    for name in list(os.environ):
        setting = name.removeprefix(PREFIX).lower()
        if name in _OWNERS_ELSEWHERE or (name.startswith(PREFIX) and not setting.startswith(("home", *OF_ALL_BEGIN))):
            del os.environ[name]
    os.environ[f"{PREFIX}MEMBER"] = member
    own = Settings.from_environment()
    confine_process([own.home])
    return own
