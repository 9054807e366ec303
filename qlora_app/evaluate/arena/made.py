"""Arenas are made of an evaluation's answers, found by name, and opened by a link that nobody can guess."""

import hmac
import json
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from ...errors import UserError
from ...jobs import Job, JobSpec, JobStore, Status
from ...settings import Settings
from ...storage.files import replace_file, write_json
from ...storage.reading import read_json
from .arena import ANSWERS, Arena
from .questions import ArenaQuestion, questions_in

ROWS = "rows.jsonl"  # of an evaluation: a question a line, with all answers
LINK = "link.json"
OPEN, CLOSED = "Open for votes.", "Closed: its link opens nothing any more."
CHAT, OF_CHAT = "chat", "Answers that were judged blind in the chat."
SHORTEST_NAME = 3  # characters of a model's name that could be recognised in that of the arena


class ArenaSpec(JobSpec):
    """What was put into it. Nothing of it is told to raters."""

    kind: Literal["arena"] = "arena"
    source: str  # the evaluation, or the file, that the answers are from
    models: tuple[str, ...] = ()  # none of one whose questions are asked while it is open
    questions: int = Field(0, ge=0)


@dataclass(frozen=True)
class Link:
    """Who may rate. token: what the link has behind its question mark, "" once it is closed; key: signs raters."""

    token: str
    key: str

    def opens(self, token: str) -> bool:
        return bool(self.token) and hmac.compare_digest(self.token.encode(), token.encode())


def create_arena(settings: Settings, source: str, name: str = "arena") -> Arena:
    """A new one, open for votes. source: the name of an evaluation, or a file like its rows.jsonl. name: is in its
    link, so it must tell no model. Raises UserError.
    """
    questions = questions_in(_rows_of(settings, source))
    models = tuple(sorted({model for one in questions for model in one.answers}))
    told = next((model for model in models if _tells(name, model)), None)
    if told is not None:
        raise UserError(
            "arena.name_tells",
            "Raters see the name of the arena, and {name} tells {model}. Give it another one.",
            name=name,
            model=told,
        )

    def fill(job: Job) -> None:
        replace_file(job.folder / ANSWERS, _lines(questions), private=True)
        _write_link(job.folder, Link(secrets.token_urlsafe(18), secrets.token_urlsafe(32)))
        write_json(job.folder / "status.json", asdict(Status("done", sentence=OPEN)))

    spec = ArenaSpec(source=source, models=models, questions=len(questions))
    return Arena(JobStore(settings.evaluations).create(name, spec, fill).folder)


def chat_arena(settings: Settings) -> Arena:
    """Where the answers are that were judged blind in the chat; made with the first. Its link is closed."""
    known = next((one for one in arenas(settings) if spec_of(one).source == CHAT), None)
    if known is not None:
        return known

    def fill(job: Job) -> None:
        _write_link(job.folder, Link("", secrets.token_urlsafe(32)))
        write_json(job.folder / "status.json", asdict(Status("done", sentence=OF_CHAT)))

    return Arena(JobStore(settings.evaluations).create("chat", ArenaSpec(source=CHAT), fill).folder)


def arenas(settings: Settings) -> list[Arena]:
    """Newest first."""
    return [Arena(job.folder) for job in JobStore(settings.evaluations).list() if job.kind == "arena"]


def arena_named(settings: Settings, name: str) -> Arena:
    """Of that name, or the only one whose name begins so; `latest` is the newest. Raises UserError."""
    every = arenas(settings)
    if name == "latest" and every:
        return every[0]
    found = [one for one in every if one.id == name] or [one for one in every if one.id.startswith(name)]
    if len(found) != 1 or not name:
        raise UserError(
            "arena.not_there",
            "There is no arena {name!r}, or more than one that begins so. There are: {known}.",
            name=name,
            known=", ".join(one.id for one in every) or "none",
        )
    return found[0]


def spec_of(arena: Arena) -> ArenaSpec:
    """Raises UserError where it cannot be read."""
    return Job(arena.folder).spec(ArenaSpec)


def link_of(arena: Arena) -> Link:
    """One that opens nothing where its file is lost."""
    kept: dict[str, Any] = read_json(arena.folder / LINK) or {}
    return Link(str(kept.get("token", "")), str(kept.get("key", "")))


def set_open(arena: Arena, is_open: bool) -> None:
    """With another link where it was closed. Votes stay."""
    before = link_of(arena)
    if is_open == bool(before.token):
        return
    _write_link(arena.folder, Link(secrets.token_urlsafe(18) if is_open else "", before.key))
    write_json(arena.folder / "status.json", asdict(Status("done", sentence=OPEN if is_open else CLOSED)))


def path_of(arena: Arena) -> str:
    """What stands behind the address of the page in its link; "" where it is closed."""
    link = link_of(arena)
    return f"/arena/{arena.id}?token={link.token}" if link.token else ""


def _rows_of(settings: Settings, source: str) -> Path:
    if Path(source).suffix:
        return Path(source)
    return JobStore(settings.evaluations).get(source).folder / ROWS


def _tells(name: str, model: str) -> bool:
    """Is a part of a model's name in that of the arena?"""
    words = "".join(sign if sign.isalnum() else " " for sign in model.lower()).split()
    known = [word for word in words if len(word) >= SHORTEST_NAME and not word.isdecimal()]
    return any(word in name.lower() for word in known)


def _lines(questions: list[ArenaQuestion]) -> str:
    return "".join(json.dumps(one.to_json(), ensure_ascii=False) + "\n" for one in questions)


def _write_link(folder: Path, link: Link) -> None:
    replace_file(folder / LINK, json.dumps(asdict(link)), private=True)
