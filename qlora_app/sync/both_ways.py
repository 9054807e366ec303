"""Runs here and at a target made the same: what is newer on one side goes to the other, and what is newer on both is
said and left alone.
"""

import contextlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from ..errors import UserError
from ..runs import Run, RunStore
from ..settings import Settings
from ..storage.files import FOLDER_ID
from ..storage.gone import gone, keep_notes
from .carry import WORKER, Carried, fetched, sent, staying, tidied
from .snapshot import Snapshot, snapshot_of
from .target import Target

Outcome = Literal["sent", "fetched", "same"]


@dataclass
class Synced:
    """Names of runs by what was done, and why of those that were left alone."""

    sent: list[str] = field(default_factory=list)
    fetched: list[str] = field(default_factory=list)
    same: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    data_sent: list[str] = field(default_factory=list)
    data_fetched: list[str] = field(default_factory=list)
    left: dict[str, str] = field(default_factory=dict)


def run_at(target: Target, folder_of_runs: RunStore, id: str) -> Carried:
    return Carried(folder_of_runs.root / id, target, f"runs/{id}")


def data_of(run: Run, target: Target, settings: Settings) -> Carried | None:
    """The uploaded data that a run learns from; None where it has other data."""
    data = run.read_recipe().recipe.dataset
    if data.source != "file" or data.id.startswith(("/", ".", "~")):
        return None
    return Carried(settings.data, target, f"data/{data.id}", only=data.id)


def sync(
    what: str, target: Target, settings: Settings, delete: bool = False, say: Callable[[str], None] = lambda _: None
) -> Synced:
    """`what`: the name of a run, or all. delete: what a person deleted here is deleted there too. Raises UserError
    where the target cannot be used; of one run that cannot be carried the others are told in the result.
    """
    store, done = RunStore(settings.runs), Synced()
    settings.make_home()
    settings.runs.mkdir(parents=True, exist_ok=True)
    keep_notes(settings.runs)  # from now on what is deleted is known to be
    deleted = {note.name for note in gone(settings.runs)}
    there: dict[str, list[str]] = defaultdict(list)  # {run: its files there}
    for name in target.names("runs") if what == "all" else ():
        there[name.partition("/")[0]].append(name.partition("/")[2])
    ids = sorted({id for id in {*there, *store.ids()} if FOLDER_ID.fullmatch(id)}) if what == "all" else [what]
    for id in ids:
        if id in deleted and not (store.root / id).exists():
            if delete and id in there:
                target.remove([f"runs/{id}/{name}" for name in sorted(target.names(f"runs/{id}"))])
                done.deleted.append(id)
            continue
        say(id)
        try:
            is_same = not delete and _is_same(run_at(target, store, id), there.get(id, []))
            outcome: Outcome = "same" if is_same else _sync_run(store, id, target, settings, delete, done)
            {"sent": done.sent, "fetched": done.fetched, "same": done.same}[outcome].append(id)
        except UserError as error:
            if error.code in ("sync.unreachable", "sync.denied", "sync.full") or what != "all":
                raise
            done.left[id] = str(error)
    return done


def _sync_run(store: RunStore, id: str, target: Target, settings: Settings, delete: bool, done: Synced) -> Outcome:
    run = store.at(id)
    engine = run.launch_file.engine()
    if engine is not None and engine.is_there and engine.store:
        raise _at_work_elsewhere(id)
    outcome = _both_ways(run_at(target, store, id), run, delete)
    data = data_of(run, target, settings)
    if data is not None and outcome == "sent" and send_data(data):
        done.data_sent.append(data.only)
    if data is not None and outcome == "fetched" and not (data.folder / data.only).exists() and (known := data.there()):
        fetched(data, known)
        done.data_fetched.append(data.only)
    return outcome


def send_data(data: Carried) -> bool:
    """Data goes only with a run that is sent from here: a run that came may name any file of this machine's. False
    where it is not here, or there as it is.
    """
    if not (data.folder / data.only).exists():
        return False
    there = data.there()
    here = snapshot_of(data.folder, data.seen(), only=data.only)
    if there is not None and there.id == here.id and not data.lacks(there):
        return False
    sent(data, data.newest() + 1, after=there.manifest if there else "")
    return True


def _is_same(carried: Carried, listed: Sequence[str]) -> bool:
    """Has nothing changed on either side, by what one question told of all runs? Nothing more is asked then."""
    if not carried.is_as_seen(listed) or carried.bringing() or not carried.folder.exists():
        return False
    seen = carried.seen()
    return _with_what_stays(snapshot_of(carried.folder, seen), seen).id == seen.id


def _both_ways(carried: Carried, run: Run, delete: bool) -> Outcome:
    there, seen = carried.there(), carried.seen()
    is_here = (carried.folder / carried.only).exists()
    if not is_here and there is None:
        raise UserError(
            "sync.nowhere",
            "{place} is neither here nor at {url}. `sync all` shows what is.",
            place=carried.place,
            url=carried.target.url,
        )
    if there is None:
        return _send(carried, run, None, delete)
    if not is_here:
        return _fetch(carried, run, there)
    here = snapshot_of(carried.folder, seen, only=carried.only)
    if (coming := carried.bringing()) and _is_part_of(here, coming, seen):  # it was cut off when half of it was here
        return _fetch(carried, run, there)
    here_changed, there_changed = _with_what_stays(here, seen).id != seen.id, there.id != seen.id
    lacks = carried.lacks(there)
    if not lacks and (here.id == there.id or not (here_changed or there_changed or delete)):
        if here.id == there.id:
            carried.note(there)
        return "same"
    if here.id == there.id or not there_changed:
        return _send(carried, run, there, delete)
    if not here_changed or _is_part_of(here, there):
        return _fetch(carried, run, there)
    if _is_part_of(there, here):
        return _send(carried, run, there, delete)
    raise UserError(
        "sync.both_changed",
        "{place} was changed here and at {url} since both were the same, so neither is overwritten. Copy or rename "
        "the folder here, then sync again to have the other.",
        place=carried.place,
        url=carried.target.url,
    )


def _with_what_stays(here: Snapshot, other: Snapshot) -> Snapshot:
    return replace(here, files=dict(staying(other, here)) | dict(here.files))


def _is_part_of(one: Snapshot, *others: Snapshot) -> bool:
    """Is each of its files in one of the others, as it is?"""
    return all(
        any((known := other.files.get(name)) and known.parts == kept.parts for other in others)
        for name, kept in one.files.items()
    )


def _send(carried: Carried, run: Run, there: Snapshot | None, delete: bool) -> Outcome:
    """Raises UserError where a worker elsewhere writes that copy: only who sent it knows whether it has ended."""
    engine = run.launch_file.engine()
    if there is not None and there.by == WORKER and (engine is None or engine.attempt != there.attempt):
        raise _at_work_elsewhere(carried.folder.name)
    known, newest = run.launch_file.attempt(), there.attempt if there else -1
    made = sent(carried, max(known, newest + 1), after=there.manifest if there else "", keep=None if delete else there)
    if delete:
        tidied(carried, next(name for name in carried.manifests() if carried.read(name) == made))
    return "sent"


def _at_work_elsewhere(id: str) -> UserError:
    return UserError(
        "sync.at_work_elsewhere",
        "{id} is worked on elsewhere, by a worker that writes its copy itself. Sync it when that has ended, from the "
        "machine that sent it.",
        id=id,
    )


def _fetch(carried: Carried, run: Run, there: Snapshot) -> Outcome:
    """Not into a folder that somebody works on."""
    try:
        fetched(carried, there, run.hold if run.folder.exists() else contextlib.nullcontext)
    except BlockingIOError as error:
        raise UserError(
            "sync.at_work",
            "{place} is worked on here, so nothing is fetched into it. Stop it first.",
            place=carried.place,
        ) from error
    if (run.folder / "status.json").exists():  # a worker was at it
        run.launch_file.write_attempt(max(there.attempt, run.launch_file.attempt()))
    return "fetched"
