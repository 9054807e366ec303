"""Sweeps from a terminal: several runs that differ in some settings, started, followed and ranked."""

import argparse
import json
import time
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..differs import in_words
from ..errors import UserError
from ..formatting import loss_figure
from ..jobs import ENDED
from ..launch.prices import price_of_all
from ..launch.queue import working
from ..overrides import PROGRAM, recipe_from
from ..recipe import Recipe
from ..runs import RunStore
from ..settings import Settings
from ..sweep import Halving, Plan, RankedRun, Sweep, Sweeps, checked, plan_of
from ..sweep.plan import words_of
from ..sweep.values import LOOKS_LIKE_A_RANGE
from .command import DONE, INTERRUPTED, NOT_DONE, add_command, add_recipe, count, stdout

LOOK_EVERY = 0.5  # seconds
NEVER_SEVERAL = ("name", "note", "dataset.")  # a comma in these is a comma


def add_sweep(commands: Any) -> None:
    parser = add_command(commands, "sweep", sweep_command)
    add_recipe(parser)
    parser.add_argument("--sample", metavar="N", type=count, default=0, help="draw N of the combinations at random")
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="of the drawing; the same gives the same runs")
    parser.add_argument(
        "--halving", metavar="SHARE", type=float, nargs="?", const=0.5, help="share of the runs that goes on (0.5)"
    )
    parser.add_argument(
        "--at", metavar="SHARES", default="0.25,0.5", help="at which shares of its steps a run is judged (0.25,0.5)"
    )
    parser.add_argument("--dry-run", action="store_true", help="show the runs and start none")
    parser.add_argument("--no-watch", action="store_true", help="put them in line for the page and return at once")


def add_sweeps(commands: Any) -> None:
    parser = add_command(commands, "sweeps", sweeps_command)
    parser.add_argument("sweep", metavar="SWEEP", nargs="?", help="its name, the beginning of one, or `latest`")
    parser.add_argument("--stop", action="store_true", help="its waiting runs leave the queue, the others are saved")


def sweep_command(given: argparse.Namespace, settings: Settings) -> int:
    """Train every combination of several values (training.learning_rate=1e-4,3e-4 method.rank="8..64 step 8")."""
    settings.make_home()
    several = {name: text for name, text in map(_parted, given.changes) if _is_several(name, text)}
    single = [one for one in given.changes if _parted(one)[0] not in several]
    plan = checked(plan_of(recipe_from(given.recipe, single, settings), several, given.sample, given.seed), settings)
    if given.dry_run:
        _show_plan(plan, given.json)
        return DONE
    store = RunStore(settings.runs)
    halving = _halving(given)
    if price := price_of_all([member.recipe.launch for member in plan.members], settings):
        given.screen.print(Text(price), soft_wrap=True)
    sweep = Sweeps(settings.sweeps, store).start(plan, halving)
    given.screen.print(Text(f"{sweep.id}: {len(plan.members)} runs wait in the queue."), soft_wrap=True)
    if not given.no_watch and not _watched(sweep, settings, store, given.screen):
        return INTERRUPTED
    return _report(sweep, given.json)


def sweeps_command(given: argparse.Namespace, settings: Settings) -> int:
    """List the sweeps, or the runs of one, the best first."""
    sweeps = Sweeps(settings.sweeps, RunStore(settings.runs))
    if given.sweep:
        sweep = _find(given.sweep, sweeps)
        if given.stop:
            sweep.stop()
        return _report(sweep, given.json, is_asked=True)
    rows = [_as_row(sweep, sweep.ranked()) for sweep in sweeps.list()]
    if given.json:
        print(json.dumps(rows, ensure_ascii=False))
    elif not rows:
        print(f"No sweeps yet in {settings.sweeps}. The first one: {PROGRAM} sweep starter method.rank=8,16")
    else:
        table = Table("sweep", "runs", "ended", "best", box=None, pad_edge=False)
        for row in rows:
            table.add_row(row["sweep"], str(row["runs"]), str(row["ended"]), row["wrong"] or row["best"] or "")
        stdout().print(table)
    return DONE


def _parted(change: str) -> tuple[str, str]:
    name, _, text = change.partition("=")
    return name, text


def _is_several(name: str, text: str) -> bool:
    return not name.startswith(NEVER_SEVERAL) and ("," in text or bool(LOOKS_LIKE_A_RANGE.match(text)))


def _halving(given: argparse.Namespace) -> Halving | None:
    if given.halving is None:
        return None
    try:
        when = tuple(float(share) for share in given.at.split(","))
        return Halving(keep=given.halving, when=when)
    except ValueError as error:  # pydantic's are such errors too
        raise UserError(
            "sweep.no_share",
            "--halving and --at take shares between 0 and 1, for example --halving 0.5 --at 0.25,0.5",
        ) from error


def _show_plan(plan: Plan, as_json: bool) -> None:
    if as_json:
        print(json.dumps([one.values for one in plan.members], ensure_ascii=False))
        return
    of = "" if plan.possible in (None, len(plan.members)) else f" of {plan.possible:,}"
    print(f"{len(plan.members):,}{of} runs:")
    for member in plan.members:
        print(f"  {words_of(member)}")


def _watched(sweep: Sweep, settings: Settings, store: RunStore, screen: Console) -> bool:
    """Say of each run when it has ended; False where Ctrl-C ended the watching."""
    said: set[str] = set()
    try:
        with working(settings, store):
            while True:
                is_over = sweep.has_ended()
                for run in sweep.runs():
                    status = run.status()
                    if status.has_ended and run.id not in said:
                        said.add(run.id)
                        screen.print(Text(f"{len(said)}/{len(sweep.members())} {run.id}: {status.sentence}"))
                if is_over:
                    return True
                time.sleep(LOOK_EVERY)
    except KeyboardInterrupt:
        words = (
            f"\n{sweep.id}: what trains goes on; what waits goes on when the page is open. "
            f"Stop all: {PROGRAM} sweeps {sweep.id} --stop"
        )
        screen.print(Text(words), soft_wrap=True)
        return False


def _report(sweep: Sweep, as_json: bool, is_asked: bool = False) -> int:
    """Its runs, the best first. Exit code 1 where all have ended and none was measured."""
    runs = sweep.ranked()
    if as_json:
        print(json.dumps({**_as_row(sweep, runs), "ranked": [one.to_json() for one in runs]}, ensure_ascii=False))
    else:
        stdout().print(_table(sweep, runs))
        if wrong := sweep.damage():
            print(wrong)
    has_failed = sweep.has_ended() and not any(one.place for one in runs)
    return NOT_DONE if has_failed and not is_asked else DONE


def _table(sweep: Sweep, runs: list[RankedRun]) -> Table:
    recipe, _ = Recipe.as_far_as_readable(sweep.spec().recipe)
    table = Table("", "run", "differs", "state", "right", "held out", box=None, pad_edge=False)
    for one in runs:
        row = one.row
        differs = " · ".join(in_words(recipe, name, value) for name, value in one.values.items())
        state: str = "deleted" if row is None else row.state
        if one.stopped:
            state = f"stopped at {one.stopped.when:.0%}"
        right = f"{row.score:.0%}" if row and row.score is not None else ""
        held_out = loss_figure(row.held_out) if row and row.held_out is not None else ""
        table.add_row(str(one.place or ""), one.run, differs, state, right, held_out)
    return table


def _as_row(sweep: Sweep, runs: list[RankedRun]) -> dict[str, Any]:
    ended = [one for one in runs if one.row is None or one.row.state in ENDED]
    best = runs[0].run if runs and runs[0].place else None
    row = {"sweep": sweep.id, "name": sweep.name, "values": sweep.spec().values, "wrong": sweep.damage()}
    return row | {"runs": len(runs), "ended": len(ended), "best": best}


def _find(name: str, sweeps: Sweeps) -> Sweep:
    every = sweeps.list()
    if name == "latest" and every:
        return every[0]
    found = [sweep for sweep in every if sweep.id.startswith(name)]
    return found[0] if len(found) == 1 else sweeps.get(name)
