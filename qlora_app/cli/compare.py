"""Runs beside each other, in a terminal."""

import argparse
import json
from pathlib import Path
from typing import Any

from rich.table import Table

from ..chance import Share
from ..errors import UserError
from ..formatting import duration, loss_figure
from ..runs import Run
from ..runs.comparison import MOST_COMPARED, DifferingSetting, Standing, differing_settings, standings
from ..runs.metric_files import write_metrics
from ..runs.recipes import recipe_of
from ..settings import Settings
from .command import DONE, add_command, complete_runs, find_run, stdout


def add_compare(commands: Any) -> None:
    parser = add_command(commands, "compare", compare_command)
    words = "the names of two to eight runs, or the beginnings of them"
    complete_runs(parser.add_argument("runs", metavar="RUN", nargs="+", help=words))
    words = "also write every line of their metrics into a .csv or .parquet file"
    parser.add_argument("--metrics", metavar="FILE", type=Path, help=words)


def compare_command(given: argparse.Namespace, settings: Settings) -> int:
    """Set runs beside each other: losses, scores, whether they differ by more than chance, the settings that differ."""
    runs = list({run.id: run for run in (find_run(name, settings) for name in given.runs)}.values())
    if not 2 <= len(runs) <= MOST_COMPARED:
        raise UserError(
            "compare.how_many",
            "Two to {most} runs are compared at once; these are {count}.",
            most=MOST_COMPARED,
            count=len(runs),
        )
    if given.metrics is not None:
        write_metrics(runs, given.metrics)
    told, differing = standings(runs), _differing(runs)
    if given.json:
        settings_ = {one.name: dict(zip((run.id for run in runs), one.values, strict=True)) for one in differing}
        print(json.dumps({"runs": [one.to_json() for one in told], "settings": settings_}, ensure_ascii=False))
    else:
        _show(told, differing)
    return DONE


def _differing(runs: list[Run]) -> list[DifferingSetting]:
    """Of no run where the recipe of one cannot be read."""
    recipes = [recipe for run in runs if (recipe := recipe_of(run)) is not None]
    return differing_settings(recipes) if len(recipes) == len(runs) else []


def _show(told: list[Standing], differing: list[DifferingSetting]) -> None:
    table = Table("run", "held-out loss", "loss", "right", "steps", "time", "tokens", box=None, pad_edge=False)
    for one in told:
        table.add_row(
            one.run.title,
            _loss(one.held_out_loss),
            _loss(one.loss),
            _share(one.share),
            f"{one.steps:,}",
            duration(one.seconds) if one.seconds else "",
            f"{one.tokens:,}" if one.tokens else "",
        )
    stdout().print(table)
    print()
    for one in told:
        if one.against:
            print(f"{one.run.title}: {one.against}")
    if differing:
        table = Table("setting", *(one.run.title for one in told), box=None, pad_edge=False)
        for setting in differing:
            table.add_row(setting.title, *setting.words)
        print()
        stdout().print(table)


def _loss(loss: float | None) -> str:
    return "" if loss is None else loss_figure(loss)


def _share(share: Share | None) -> str:
    if share is None:
        return ""
    low, high = share.interval
    return f"{share.right:,} of {share.questions:,} ({low:.0%} to {high:.0%})"
