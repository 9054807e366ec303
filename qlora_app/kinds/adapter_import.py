"""The kind `adapter`: an adapter that was made elsewhere becomes a run, with which one can chat as with any other."""

import os
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from ..base_models import ModelChoice, folder_of, load_tokenizer
from ..base_models.download import fetch
from ..base_models.hub import remote
from ..errors import Problem, UserError
from ..export.fidelity import GENERAL, LONGEST
from ..export.gguf_lora_reading import peft_of_gguf, read_lora
from ..formatting import size
from ..hub import PATIENCE, HubUnavailable, Repository, fetch_files
from ..hub import explain as explain_of_hub
from ..hub.repository import files_of
from ..inference.session import ChatSession
from ..jobs import Job, JobSpec, JobStore, JobWriter, failures
from ..jobs.job import Needs
from ..messages import Conversation
from ..methods.fitting import CONFIG, WEIGHTS
from ..other_adapters.forms import MLX, PICKLE, TOKENIZER, as_peft, form_in, gguf_in, is_gguf
from ..other_adapters.reading import Described, base_missing, base_named, base_of, describe, is_here
from ..other_adapters.unpacking import unpacked
from ..recipe import Recipe
from ..runs import Run, RunStore
from ..runs.proof import Distance, HeldOut, Proof
from ..runs.since import weights_of
from ..settings import Settings
from ..storage.files import write_json
from ..storage.outside import check_own
from ..storage.reading import is_regular
from ..tasks import TASKS
from ..tasks.trial import check_tried
from ..training_data import DatasetChoice

TAG = "imported"
BROUGHT = "brought.zip"  # in the job's folder; what it holds is told by its beginning
NO_DATA = "not known"  # a name that no file of the data folder has
STEPS = 5


class AdapterSpec(JobSpec):
    """Which adapter, and what it is for where its files do not say so."""

    kind: Literal["adapter"] = "adapter"
    needs: Needs = "torch"
    source: Literal["folder", "file", "hub"]
    id: str  # a folder of this machine; the name of a file that was brought; owner/name on the Hub
    revision: str = ""
    base: ModelChoice | None = None
    precision: Literal["", "nf4", "fp4", "int8", "bf16", "fp32"] = ""  # of the base; empty: unquantized
    downloads: bool = False  # its base, where that is not on this machine
    name: str = ""


def spec_for(what: str, base: str = "", precision: str = "", name: str = "", *, downloads: bool = False) -> AdapterSpec:
    """Of what somebody typed: a folder or a zip of this machine, or owner/name on the Hub. base: as `base_named`.
    Raises UserError where it is none of them.
    """
    place = Path(what.strip()).expanduser()
    more = {"base": base_named(base), "precision": precision, "downloads": downloads, "name": name}
    if place.is_dir() or place.is_file():
        check_own(place)
    if place.is_dir():
        return AdapterSpec(source="folder", id=str(place.resolve()), **more)
    if place.is_file():
        return AdapterSpec(source="file", id=place.name, **more)
    if what.count("/") == 1 and not Repository(what.strip()).problems("owner/adapter"):
        return AdapterSpec(source="hub", id=what.strip(), **more)
    raise UserError(
        "import.nothing_there",
        "{what} is no folder and no file of this machine, and no owner/name on the Hub.",
        what=repr(what[:200]),
    )


def adapter_job(store: JobStore, spec: AdapterSpec, file: Path | None = None) -> Job:
    """A new job for an adapter. A file is linked or copied into it: a page throws away what was uploaded to it. It is
    not started here.
    """

    def bring(job: Job) -> None:
        if file is not None:
            linked_or_copied(file, job.folder / BROUGHT)

    return store.create(spec.name or Path(spec.id).stem, spec, bring)


def linked_or_copied(file: Path, target: Path) -> None:
    try:
        os.link(file, target)
    except OSError:  # on another disk, or one without links
        shutil.copyfile(file, target)


def imported(job: Job) -> str | None:
    """The id of the run that came of it; None before it is done."""
    return (job.result() or {}).get("run")


def work(job: Job, out: JobWriter, settings: Settings) -> None:
    """Always from the beginning, but for what was downloaded."""
    store = RunStore(settings.runs)
    run = store.made_by(job) or _made(job, out, settings, store)
    out.write("result", {"run": run.id})  # no stop is heard any more: the run is there
    out.say("Imported. It stands among the runs.", step=STEPS, total=STEPS)
    out.end("done", "Imported. It stands among the runs.")
    for name in ("adapter", "unpacked"):
        shutil.rmtree(job.folder / name, ignore_errors=True)


def stopped(job: Job) -> str:
    return "Stopped. Nothing was imported; Resume begins again."


def explain(error: BaseException, job: Job) -> Problem:
    return failures.explain(error)


def _made(job: Job, out: JobWriter, settings: Settings, store: RunStore) -> Run:
    spec, adapter = job.spec(AdapterSpec), job.folder / "adapter"
    shutil.rmtree(adapter, ignore_errors=True)
    out.progress(0, STEPS, "Looking at the adapter.")
    place = _place(job, spec, out, settings)
    form = form_in(place)
    as_peft(form, adapter)
    lora = read_lora(gguf_in(form.folder)) if form.kind == "gguf" else None
    out.progress(1, STEPS, "Looking at its base.")
    base = spec.base or base_of(adapter, settings.models)
    if not is_here(base):
        _bring_base(base, spec.downloads, out, settings)
    if lora is not None:
        peft_of_gguf(lora, base, adapter)
    described = describe(adapter, base, spec.precision)
    with out.leaving():
        if not any(is_regular(adapter / name) for name in ("tokenizer.json", "tokenizer_config.json")):
            load_tokenizer(described.base).save_pretrained(str(adapter))
        check_tried(adapter)
        out.progress(2, STEPS, "Loading the model.")
        session = ChatSession.open(
            described.base, described.method, adapter, TASKS[described.task.name](described.task)
        )
        out.progress(3, STEPS, "Measuring what it changes.")
        distance = distance_of(session)
    out.progress(4, STEPS, "Keeping it.")
    return _kept(job, described, session, adapter, distance, store)


# ---- where it lies


def _place(job: Job, spec: AdapterSpec, out: JobWriter, settings: Settings) -> Path:
    if spec.source == "file":
        target = job.folder / "unpacked"
        shutil.rmtree(target, ignore_errors=True)
        return _unpacked(job.folder / BROUGHT, target)
    if spec.source == "hub":
        return _downloaded(spec, out, settings)
    folder = check_own(Path(spec.id).expanduser())
    if not folder.is_dir():
        raise UserError("import.no_folder", "There is no folder {folder}.", folder=spec.id)
    return folder


def _unpacked(file: Path, target: Path) -> Path:
    """The folder of what was brought: a zip, or a GGUF, which stands for itself."""
    if not is_gguf(file):
        return unpacked(file, target)
    target.mkdir()
    linked_or_copied(file, target / "adapter.gguf")
    return target


def _downloaded(spec: AdapterSpec, out: JobWriter, settings: Settings) -> Path:
    """Its own files only, in the Hub's cache."""
    from huggingface_hub import HfApi

    repository = Repository(spec.id, spec.revision)
    if problems := repository.problems("owner/adapter"):
        raise UserError.of(next(iter(problems.values())))
    try:
        info = HfApi(token=settings.token or False).model_info(
            spec.id, revision=spec.revision or None, files_metadata=True, timeout=PATIENCE
        )
    except Exception as error:  # whatever the network does, the person gets a sentence
        raise explain_of_hub(error, repository, bool(settings.token)) from error
    files = files_of(info)
    wanted = [name for name in (CONFIG, WEIGHTS, MLX, *TOKENIZER) if name in files]
    if WEIGHTS not in files and PICKLE in files:
        wanted.append(PICKLE)
    if CONFIG not in files:
        raise UserError(
            "import.none_on_hub",
            "{id} has no {file} on the Hub, so it is no adapter that can be imported.",
            id=spec.id,
            file=CONFIG,
        )

    def tell(arrived: int, total: int) -> None:
        out.progress(0, STEPS, f"Downloading {spec.id}: {size(arrived)} of {size(total)}.")

    chosen = tuple(files[name] for name in wanted)
    return fetch_files(repository, info.sha or "", chosen, settings.token, tell, out.is_asked_to_stop)


def _bring_base(base: ModelChoice, may_download: bool, out: JobWriter, settings: Settings) -> None:
    """Onto this machine. Raises UserError, with how much it is, where nobody said that it may be."""

    def tell(arrived: int, total: int) -> None:
        out.progress(1, STEPS, f"Downloading {base.id}: {size(arrived)} of {size(total)}.")

    if may_download:
        fetch(base, settings.token, tell, out.is_asked_to_stop)
        out.check()
        return
    try:
        missing = size(remote(base, settings.token).facts.missing or 0)
    except HubUnavailable:
        missing = ""
    raise UserError.of(base_missing(base.id, missing))


# ---- what it does


def distance_of(session: ChatSession) -> Distance:
    """How far its answers to a few questions are from what its base makes of them."""
    talks: list[Conversation] = [[{"role": "user", "content": text}] for text in GENERAL]
    answers = session.answers(talks, max_new_tokens=LONGEST)
    batches = []
    collate = session.task.collator(session.tokenizer, packing=False)
    for talk, answer in zip(talks, answers, strict=True):
        whole: Conversation = [*talk, {"role": "assistant", "content": answer.text or "a", "train": True}]
        encoded = session.task.encode(session.tokenizer, whole, 10_000)
        batches.append(collate([{"input_ids": encoded.input_ids, "labels": encoded.labels}]))
    nats, labels = session.alone(lambda: session.task.distance(session.model, batches, 10_000))
    return Distance(float(f"{nats:.4g}"), labels)


def _kept(
    job: Job, described: Described, session: ChatSession, adapter: Path, distance: Distance, store: RunStore
) -> Run:
    """The run, whole at once."""
    spec = job.spec(AdapterSpec)
    recipe = Recipe(
        name=spec.name or Path(spec.id).stem,
        note=spec.id,
        base_model=described.base,
        dataset=DatasetChoice(source="file", id=NO_DATA),
        task=described.task,
        method=described.method,
    )
    proof = Proof(
        heldout=HeldOut(distance=distance),
        imported=spec.id,
        weights=weights_of(adapter),
        versions={name: version(name) for name in ("torch", "transformers", "peft")},
    )

    def fill(run: Run) -> None:
        recipe.save(run.folder / run.spec_file)
        shutil.copytree(adapter, run.adapter)
        write_json(run.adapter / "proof.json", proof.to_json())
        write_json(run.folder / "labels.json", {"tags": [TAG]})
        with run.hold() as out:
            out.write_base(_commit(described.base))
            out.write_task(session.task, run.began(), "auto", None)
            out.end("done", "Imported.")

    return store.create(recipe, fill, job)


def _commit(base: ModelChoice) -> str:
    return folder_of(base).name if base.source == "hub" else ""
