"""Runs kept at a url too."""

import argparse
import json
from dataclasses import asdict
from typing import Any

from rich.text import Text

from ..errors import UserError
from ..settings import Settings
from ..storage.files import FOLDER_ID
from ..sync import Target
from ..sync.both_ways import sync
from .command import DONE, NOT_DONE, add_command, find_run, stdout


def add_sync(commands: Any) -> None:
    parser = add_command(commands, "sync", sync_command)
    parser.add_argument("what", metavar="RUN|all", help="a run's name, the beginning of one, `latest`, or all")
    parser.add_argument("url", metavar="URL", nargs="?", help="a folder, s3://bucket/folder, hf://buckets/you/bucket")
    parser.add_argument("--delete", action="store_true", help="what was deleted here is deleted there too")


def sync_command(given: argparse.Namespace, settings: Settings) -> int:
    """Make runs here and at a url the same: what is newer on one side goes to the other, nothing else changes."""
    url = given.url or settings.sync
    if not url:
        raise UserError(
            "sync.no_url", "Where to? Name a folder or a url, such as s3://bucket/runs, or set QLORA_APP_SYNC to it."
        )
    target = Target(url, settings.token)
    what = given.what if given.what == "all" else _named(given.what, settings)
    done = sync(what, target, settings, given.delete, lambda id: given.screen.print(Text(id)))
    if given.json:
        print(json.dumps(asdict(done)))
        return NOT_DONE if done.left else DONE
    counts = f"{len(done.sent)} runs sent, {len(done.fetched)} fetched, {len(done.same)} were the same"
    stdout().print(counts + (f", {len(done.deleted)} deleted there." if done.deleted else "."))
    for why in done.left.values():
        given.screen.print(Text(why), soft_wrap=True)
    return NOT_DONE if done.left else DONE


def _named(name: str, settings: Settings) -> str:
    """The id of a run that is here, or that may be at the url only."""
    try:
        return find_run(name, settings).id
    except UserError as error:
        if error.code != "run.none_begins" or not FOLDER_ID.fullmatch(name):
            raise
        return name
