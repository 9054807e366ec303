"""Arenas, in a terminal: made, looked at, closed, and their votes taken along."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..settings import Settings
from ..storage.files import replace_file
from .command import DONE, add_command

DEEDS = ("list", "create", "show", "export", "close", "open")


def add_arena(commands: Any) -> None:
    parser = add_command(commands, "arena", arena_command)
    words = "list all; create one; show how it stands; export its votes; close its link, or open another one"
    parser.add_argument("deed", choices=DEEDS, nargs="?", default="list", help=words)
    words = (
        "the arena, or the beginning of its name, or `latest`; to create one the evaluation whose answers are shown, "
        "or a file like its rows.jsonl"
    )
    parser.add_argument("which", metavar="NAME", nargs="?", default="latest", help=words)
    parser.add_argument("--name", default="arena", help="of a new arena; raters see it, so it must tell no model")
    words = "what is exported: votes, as `ratings` reads them, or preferences, pairs to train on"
    parser.add_argument("--as", dest="form", choices=("votes", "preferences"), default="votes", help=words)
    parser.add_argument("--out", metavar="FILE", type=Path, help="where the rows go, instead of stdout")


def arena_command(given: argparse.Namespace, settings: Settings) -> int:
    """Let people judge answers without knowing whose they are: on a page of its own, by a link."""
    from ..evaluate import arena as room  # numpy is imported with it

    if given.deed == "list":
        _tell_all(given, [_facts(one, settings) for one in room.arenas(settings)])
        return DONE
    if given.deed == "create":
        if given.which == "latest":
            raise UserError("arena.which_answers", "Name the evaluation whose answers are shown: arena create NAME.")
        made = room.create_arena(settings, given.which, given.name)
        _tell(given, _facts(made, settings))
        return DONE
    arena = room.arena_named(settings, given.which)
    if given.deed == "export":
        _export(given, arena)
        return DONE
    if given.deed in ("close", "open"):
        room.set_open(arena, given.deed == "open")
        _tell(given, _facts(arena, settings))
        return DONE
    standing = room.standing_of(arena)
    if given.json:
        print(json.dumps(_facts(arena, settings) | standing.to_json(), ensure_ascii=False))
        return DONE
    _tell(given, _facts(arena, settings))
    print(f"{standing.votes:,} votes of {standing.raters:,} raters. {standing.words}")
    if standing.ratings:
        from .rating import show_ratings

        show_ratings(standing.ratings)
    return DONE


def _facts(arena: Any, settings: Settings) -> dict[str, Any]:
    from ..evaluate.arena import path_of

    path = path_of(arena)
    return {
        "arena": arena.id,
        "link": f"{settings.address}{path}" if path else "",
        "models": sorted({model for one in arena.questions.values() for model in one.answers}),
        "questions": len(arena.questions),
        "folder": str(arena.folder),
    }


def _tell_all(given: argparse.Namespace, every: list[dict[str, Any]]) -> None:
    if given.json:
        print(json.dumps({"arenas": every}, ensure_ascii=False))
        return
    if not every:
        print("No arenas yet. `arena create EVALUATION` makes one of an evaluation's answers.")
    for facts in every:
        _say(facts)


def _tell(given: argparse.Namespace, facts: dict[str, Any]) -> None:
    if given.json:
        print(json.dumps(facts, ensure_ascii=False))
    else:
        _say(facts)


def _say(facts: dict[str, Any]) -> None:
    link = facts["link"] or "closed"
    print(f"{facts['arena']}: {facts['questions']:,} questions, {len(facts['models'])} models, {link}")


def _export(given: argparse.Namespace, arena: Any) -> None:
    from ..evaluate.arena import preferences_of, rows_of

    rows = list(rows_of(arena) if given.form == "votes" else preferences_of(arena))
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    if given.out is None:
        sys.stdout.write(text)
        return
    replace_file(given.out, text)
    if given.json:
        print(json.dumps({"arena": arena.id, "rows": len(rows), "file": str(given.out)}, ensure_ascii=False))
    else:
        print(f"{len(rows):,} rows are in {given.out}.")
