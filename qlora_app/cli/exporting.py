"""A finished run's adapter made into files for other programs, in a terminal."""

import argparse
import json
from typing import Any

from rich.text import Text

from ..export import EXPORTERS, exporter_of
from ..formatting import size
from ..jobs import Job
from ..kinds.export import export_job
from ..runs.exports import FILES, Export, made_by
from ..settings import Settings
from .command import DONE, INTERRUPTED, NOT_DONE, add_command, add_no_watch, add_run, find_run, stdout
from .jobs import report, start_if_idle, watched

SETTINGS = ("dtype", "onto", "rank", "tolerance", "questions")  # of exporters, as far as they have them


def add_export(commands: Any) -> None:
    parser = add_command(commands, "export", export_command)
    add_run(parser)
    parser.add_argument("format", metavar="FORMAT", choices=EXPORTERS, help=" | ".join(EXPORTERS))
    parser.add_argument(
        "--dtype", metavar="TYPE", help="of the weights: Q8_0, Q4_K_M, F16 ... of a GGUF; auto, fp16, bf16, fp32"
    )
    parser.add_argument(
        "--onto", metavar="BASE", help="trained (default): the rounded base; original: its weights before that"
    )
    words = "of plain LoRA (lora); 0, the default: the smallest that is near enough"
    parser.add_argument("--rank", metavar="N", type=int, help=words)
    words = "most that it may lose of what was changed, as a share of its Frobenius norm (default 0.01)"
    parser.add_argument("--tolerance", metavar="X", type=float, help=words)
    words = "held-out questions that adapter and export are both asked (default 200)"
    parser.add_argument("--questions", metavar="N", type=int, help=words)
    add_no_watch(parser)


def export_command(given: argparse.Namespace, settings: Settings) -> int:
    """Make files of a finished adapter for other programs, and measure how far they are from what was trained."""
    run = find_run(given.run, settings, with_adapter=True)
    chosen = {name: value for name in SETTINGS if (value := getattr(given, name)) is not None}
    job = export_job(run, exporter_of(given.format, chosen))
    if job.status().state != "done":
        start_if_idle(job, run.folder.parent, given.screen)
        if given.no_watch:
            return report(given, job, job.status())
        ended = watched(job, given.screen)
        if ended is None:
            return INTERRUPTED
        if ended.state != "done":
            return report(given, job, ended)
    made = made_by(job)
    assert made is not None, "it is done"
    if given.json:
        print(json.dumps({"run": run.id, "folder": str(job.folder / FILES), **made.to_json()}, ensure_ascii=False))
    else:
        _show(job, made)
    return NOT_DONE if made.fidelity.level == "red" else DONE


def _show(job: Job, made: Export) -> None:
    out, measured = stdout(), made.fidelity
    out.print(Text(f"{size(made.size)} in {job.folder / FILES}"), soft_wrap=True)
    out.print(Text(measured.words), soft_wrap=True)
    if measured.chances:
        out.print(Text(measured.chances), soft_wrap=True)
    for note in made.notes:
        out.print(Text(note), soft_wrap=True)
    for one in measured.differing[:5]:
        lines = f"\n  asked    {one.question}\n  adapter  {one.trained}\n  export   {one.exported}"
        out.print(Text(lines), soft_wrap=True)
