"""The kind `merge`: several adapters of one base become one, a run of its own that is measured against each of them."""

import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from ..errors import Problem, UserError, with_code
from ..export.exporter import checksum_of, telling, versions
from ..export.fidelity import of_model, questions_for, reference
from ..inference.loaded import LoadedBase, give_memory_back
from ..inference.session import ChatSession
from ..jobs import Job, JobSpec, JobStore, JobWriter, failures
from ..jobs.job import Needs
from ..methods import LoraMethod
from ..methods.combining import Combination
from ..methods.fitting import CONFIG, check_saved
from ..other_adapters.reading import method_of
from ..recipe import Recipe
from ..runs import Run, RunStore
from ..runs.exports import Fidelity
from ..runs.merges import MERGE, Merge, Parent, Part, merge_of
from ..runs.proof import Proof
from ..runs.since import weights_of
from ..settings import Settings
from ..storage.files import write_json
from ..storage.reading import read_json
from ..training_data import DatasetChoice
from .adapter_import import NO_DATA
from .merge_checks import Checked, checked

TAG = "merged"


class MergeSpec(JobSpec):
    """Which adapters, and how."""

    kind: Literal["merge"] = "merge"
    needs: Needs = "torch"
    parts: tuple[Part, ...]
    how: Combination = Combination()
    name: str = ""
    questions: int = Field(100, ge=0, le=10_000)  # held-out ones of each that are asked


def merge_spec(parts: Sequence[Part], how: Mapping[str, Any], name: str = "", questions: int = 100) -> MergeSpec:
    """Of what somebody typed. how: settings of a Combination. Raises UserError for values that it does not take."""
    try:
        return MergeSpec(parts=tuple(parts), how=Combination(**how), name=name, questions=questions)
    except ValidationError as error:
        raise UserError.of_all(_of_values(error)) from None


def equal_parts(runs: Sequence[str], weights: Sequence[float] | None = None) -> list[Part]:
    """Each run with its weight; without weights they are equal and make 1 together. Raises UserError where there are
    not as many weights as runs, or one is too large.
    """
    given = list(weights) if weights else [1 / max(1, len(runs))] * len(runs)
    if len(given) != len(runs):
        raise UserError.at(
            "weights",
            "merge.weights_count",
            "There are {runs} runs and {weights} weights. Give one weight for each.",
            runs=len(runs),
            weights=len(given),
        )
    try:
        return [Part(run=run, weight=weight) for run, weight in zip(runs, given, strict=True)]
    except ValidationError as error:
        raise UserError.of_all(_of_values(error, "weights")) from None


def _of_values(error: ValidationError, field: str = "how") -> dict[str, Problem]:
    """{field, or how.SETTING: what is wrong with its value}"""
    return {
        ".".join([field, *(map(str, one["loc"]) if field == "how" else ())]): Problem(
            "merge.wrong_value",
            "{setting}: {value} does not fit. {why}.",
            setting=str(one["loc"][-1]),
            value=str(one["input"])[:40],
            why=one["msg"],
        )
        for one in error.errors()
    }


def merge_job(spec: MergeSpec, settings: Settings, store: RunStore | None = None) -> Job:
    """A new job that merges so. It is not started here. store: says why a run cannot be merged that is seen and not
    one's own. Raises UserError with all that speaks against it.
    """
    checked(spec.parts, spec.how, store or RunStore(settings.runs))
    return JobStore(settings.jobs).create(spec.name or "merged", spec)


def merged(job: Job) -> str | None:
    """The id of the run that came of it; None before it is done."""
    return (job.result() or {}).get("run")


def merge_made(job: Job) -> Merge:
    """What it made, when it is done."""
    return Merge.from_json(job.result())


def work(job: Job, out: JobWriter, settings: Settings) -> None:
    """Always from the beginning: half of it is not kept."""
    store = RunStore(settings.runs)
    run = store.made_by(job) or _made(job, out, settings, store)
    made = merge_of(run) or Merge()
    out.write("result", {"run": run.id, **made.to_json()})  # no stop is heard any more: the run is there
    total = out.status.total or 1  # none where an earlier worker made it
    out.say(made.words, step=total, total=total)
    out.end("done", made.words)
    shutil.rmtree(job.folder / "adapter", ignore_errors=True)


def stopped(job: Job) -> str:
    return "Stopped. Nothing was merged; Resume begins again."


def explain(error: BaseException, job: Job) -> Problem:
    return failures.explain(error)


# ---- what is made


def _made(job: Job, out: JobWriter, settings: Settings, store: RunStore) -> Run:
    began = time.monotonic()
    spec, adapter = job.spec(MergeSpec), job.folder / "adapter"
    shutil.rmtree(adapter, ignore_errors=True)
    with out.leaving():
        found = checked(spec.parts, spec.how, store)
        out.say("Loading the model.", state="starting")
        base = _base(found)
        out.say("Merging.")
        session = _saved(found, base, adapter)
        measured = [
            _measured(index, found, base, session, spec.questions, out, settings) for index in range(len(spec.parts))
        ]
    made = _told(found, measured, _method(adapter, found).rank, began)
    return _kept(job, found, made, adapter, store)


def _base(found: Checked) -> LoadedBase:
    """That of the first, as it learned beside it."""
    first = found.parents[0].run
    return LoadedBase.open(first.base_model(), first.task())


def _beside(base: LoadedBase, run: Run, method: LoraMethod, adapter: Path, like: Run) -> ChatSession:
    """An adapter on a base that may have others, which is opened as that of `like`."""
    return ChatSession.on(base, like.base_model(), method, adapter, run.task())


def _saved(found: Checked, base: LoadedBase, folder: Path) -> ChatSession:
    """Merged, written, and read back from the disk."""
    first = found.parents[0].run
    sessions = [_beside(base, one.run, one.method, one.run.adapter, first) for one in found.parents]
    parts = [(session, one.weight) for session, one in zip(sessions, found.parents, strict=True)]
    how = found.how.model_copy(update={"rank": found.rank}) if found.how.cuts else found.how
    made = ChatSession.sum_of(parts, how)
    made.alone(lambda: made.model.save_pretrained(str(folder), selected_adapters=[made.name]))
    for file in (folder / made.name).iterdir():
        file.replace(folder / file.name)
    (folder / made.name).rmdir()
    sessions[0].tokenizer.save_pretrained(str(folder))
    return _beside(base, first, _method(folder, found), folder, first)


def _method(folder: Path, found: Checked) -> LoraMethod:
    """As its files say it. What makes up for rounding still does."""
    method = method_of(read_json(folder / CONFIG) or {}, check_saved(folder))
    is_bound = any(one.method.needs_its_precision for one in found.parents)
    return method.model_copy(update={"initialisation": "loftq"}) if is_bound else method


# ---- what it answers


def _measured(
    index: int,
    found: Checked,
    base: LoadedBase,
    merged: ChatSession,
    questions: int,
    out: JobWriter,
    settings: Settings,
) -> Fidelity:
    """How far it answers as one of them does, which stands on the base that it learned beside."""
    one, first = found.parents[index], found.parents[0].run
    is_alike = one.run.base_model() == first.base_model()
    if is_alike:
        parent = _beside(base, one.run, one.method, one.run.adapter, first)
    else:
        parent = ChatSession.open(one.run.base_model(), one.method, one.run.adapter, one.run.task())
    asked = questions_for(parent, one.run, settings, questions)
    known = reference(parent, asked, telling(out, f"{one.run.title} answers"))
    del parent
    give_memory_back()
    return of_model(known, merged, telling(out, f"Merged, it answers as {one.run.title} is asked"))


def _told(found: Checked, measured: list[Fidelity], rank: int, began: float) -> Merge:
    first = found.parents[0]
    parents = [
        Parent(
            run=one.run.id,
            title=one.run.title,
            weight=one.weight,
            adapter=checksum_of(one.run),
            rank=max(one.ranks),
            fidelity=fidelity,
        )
        for one, fidelity in zip(found.parents, measured, strict=True)
    ]
    return Merge(
        by=found.how.by,
        how=found.how.model_dump(),
        said=found.how.words,
        parents=tuple(parents),
        base=first.run.base_model().title,
        weights=first.weights,
        precision=first.run.base_model().precision,
        rank=rank,
        notes=tuple(with_code({"sentence": note}) for note in found.notes),
        seconds=round(time.monotonic() - began, 1),
        versions=versions(),
    )


def _kept(job: Job, found: Checked, made: Merge, adapter: Path, store: RunStore) -> Run:
    """The run, whole at once."""
    first = found.parents[0].run
    name = job.spec(MergeSpec).name or " + ".join(one.title for one in made.parents)[:80]
    recipe = Recipe(
        name=name,
        note=made.sum,
        base_model=first.recipe().base_model,
        dataset=_data(found),
        task=first.recipe().task,
        method=_method(adapter, found),
    )
    imported = [one.run.title for one in found.parents if Proof.from_json(one.run.proof()).imported]
    proof = Proof(
        merged=tuple(one.words_of(f"adapter {number}") for number, one in enumerate(made.parents, start=1)),
        merged_lost=max(one.fidelity.lost for one in made.parents),
        imported=", ".join(imported),
        weights=weights_of(adapter),
        base=Proof.from_json(first.proof()).base,
        versions=versions(),
    )
    kept = [name for name in ("base.json", "compute.json", "task.json") if (first.folder / name).is_file()]

    def fill(run: Run) -> None:
        recipe.save(run.folder / run.spec_file)
        shutil.copytree(adapter, run.adapter)
        for name in kept:
            shutil.copyfile(first.folder / name, run.folder / name)
        write_json(run.adapter / "proof.json", proof.to_json())
        write_json(run.folder / "labels.json", {"tags": [TAG]})
        write_json(run.folder / MERGE, made.to_json())
        with run.hold() as out:
            out.end("done", "Merged.")

    return store.create(recipe, fill, job)


def _data(found: Checked) -> DatasetChoice:
    """That of all of them, with the rows that were held out; none where they differ."""
    first, *others = [one.run.recipe().dataset for one in found.parents]
    if all(one == first for one in others):
        return first
    return DatasetChoice(source="file", id=NO_DATA)
