"""An adapter that was made elsewhere, from a terminal."""

import argparse
import json
from pathlib import Path
from typing import Any

from ..jobs import JobStore
from ..kinds.adapter_import import adapter_job, imported, spec_for
from ..overrides import PROGRAM
from ..settings import Settings
from .command import DONE, INTERRUPTED, NOT_DONE, add_command
from .jobs import report, start, watched


def add_import(commands: Any) -> None:
    parser = add_command(commands, "import", import_command)
    words = "a folder or a zip with the files of PEFT or mlx, or owner/name on the Hub"
    parser.add_argument("adapter", metavar="ADAPTER", help=words)
    words = "the base it is for, where its files do not say it: a folder, owner/name of the Hub, or starter"
    parser.add_argument("--base", metavar="MODEL", default="", help=words)
    words = "how the base is held: nf4, fp4, int8, bf16 or fp32 (default: unquantized)"
    parser.add_argument("--precision", choices=("nf4", "fp4", "int8", "bf16", "fp32"), default="", help=words)
    words = "download its base where it is not on this machine (without it the command says how much that is)"
    parser.add_argument("--download", action="store_true", help=words)
    parser.add_argument("--name", default="", help="what the run is to be called")


def import_command(given: argparse.Namespace, settings: Settings) -> int:
    """Check an adapter that was made elsewhere, measure what it does, and keep it as a run to chat with."""
    settings.make_home()
    spec = spec_for(given.adapter, given.base, given.precision, given.name, downloads=given.download)
    file = Path(given.adapter).expanduser() if spec.source == "file" else None
    job = adapter_job(JobStore(settings.jobs), spec, file)
    start(job, given.screen)
    status = watched(job, given.screen)
    if status is None:
        return INTERRUPTED
    run = imported(job)
    if status.state != "done" or run is None:
        report(given, job, status)
        return NOT_DONE
    if given.json:
        print(json.dumps({"run": run, "job": job.id}))
    else:
        print(f"{run} stands among the runs. Chat with it: {PROGRAM} chat {run} --base")
    return DONE
