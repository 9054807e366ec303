"""What was made of a run onto the Hub, in a terminal."""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any, get_args

from rich.text import Text

from ..formatting import size
from ..kinds.publish import PublishSpec, What, check, check_hub, check_room, files_of, publish_job
from ..settings import Settings
from .command import DONE, INTERRUPTED, add_command, add_no_watch, add_run, find_run, stdout
from .jobs import report, start_if_idle, watched


def add_publish(commands: Any) -> None:
    parser = add_command(commands, "publish", publish_command)
    add_run(parser)
    parser.add_argument("repository", metavar="REPO", help="owner/name on the Hub; made where there is none")
    parser.add_argument("--what", choices=get_args(What), default="adapter", help="an export is made first by `export`")
    parser.add_argument("--public", action="store_true", help="everybody may see it; else only you")
    parser.add_argument("--yes", action="store_true", help="send it; without, the files are only listed")
    add_no_watch(parser)


def publish_command(given: argparse.Namespace, settings: Settings) -> int:
    """Send a finished adapter, or what was exported of it, to the Hub: first only the list of files."""
    run = find_run(given.run, settings, with_adapter=True)
    spec = PublishSpec(repository=given.repository, what=given.what, private=not given.public)
    if not given.yes:
        check(run, spec, settings)
        is_private = check_hub(spec, settings)
        if is_private is not None:  # what is there stays as it is
            spec = spec.model_copy(update={"private": is_private})
        with tempfile.TemporaryDirectory() as folder:
            files = files_of(run, spec, Path(folder) / "sent", settings)
            sizes = {name: path.stat().st_size for name, path in files.items()}
        check_room(spec, sizes, settings)
        return _listed(given, spec, sizes)
    job = publish_job(run, spec, settings)
    start_if_idle(job, run.folder.parent, given.screen)
    if given.no_watch:
        return report(given, job, job.status())
    ended = watched(job, given.screen)
    if ended is None:
        return INTERRUPTED
    if ended.state != "done":
        return report(given, job, ended)
    told = job.result() or {}
    stdout().print(
        Text(json.dumps(told) if given.json else f"{told.get('url')} at {told.get('commit')}"), soft_wrap=True
    )
    return DONE


def _listed(given: argparse.Namespace, spec: PublishSpec, files: dict[str, int]) -> int:
    if given.json:
        print(json.dumps({"repository": spec.repository, "private": spec.private, "files": files}))
        return DONE
    out = stdout()
    for name, count in files.items():
        out.print(Text(f"{size(count):>10}  {name}"), soft_wrap=True)
    who = "only you can see" if spec.private else "everybody can see"
    out.print(
        Text(f"{size(sum(files.values()))} would go to {spec.repository}, which {who}. Nothing was sent: add --yes.")
    )
    return DONE
