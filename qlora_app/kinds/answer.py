"""The kind `answer`: a file of questions, answered by a run's model. Such a job lies in the folder of its run."""

import re
import shutil
from pathlib import Path
from typing import Literal

from ..answers import answer_file
from ..errors import Problem, UserError
from ..inference.pool import ModelPool
from ..jobs import Job, JobSpec, JobStore, JobWriter, failures
from ..jobs.job import Needs
from ..runs import Run
from ..settings import Settings
from ..storage.digests import sha256_of
from ..training_data import DatasetChoice

LONGEST_NAME = 60  # characters


class AnswerSpec(JobSpec):
    """Which questions are answered, and how."""

    kind: Literal["answer"] = "answer"
    needs: Needs = "torch"
    file: str
    digest: str  # sha256 of the file
    column: str = ""  # the one that asks; empty where the format says it
    base: bool = False  # let the base answer, without the adapter
    max_new_tokens: int = 256
    read_as: DatasetChoice | None = None  # None: as the run's own data were


def spec_for(file: Path, **choices: object) -> AnswerSpec:
    """What is to be done with a file; `choices` by the names of AnswerSpec. Raises UserError where there is none."""
    if not file.is_file():
        raise UserError("file.not_there", "There is no file {file}.", file=file)
    return AnswerSpec.model_validate({"file": _plain_name(file), "digest": sha256_of(file), **choices})


def answer_job(run: Run, file: Path, spec: AnswerSpec) -> Job:
    """The job that answers `file`: one that does so already, has done so with the newest adapter, or can go on; else a
    new one, with a copy of the file. It is not started here.
    """
    store = JobStore(run.answers)
    for job in store.list():
        if _is_asked_the_same(job, spec) and _is_of_use(job, run):
            return job

    def copy(job: Job) -> None:
        _questions(job, spec).parent.mkdir()
        shutil.copyfile(file, _questions(job, spec))

    return store.create(spec.file, spec, copy)


def run_of(job: Job) -> Run:
    """The run whose model answers."""
    return Run(job.folder.parent.parent)


def answers_in(job: Job) -> Path | None:
    """The file of its answers; None before it is done."""
    made = (job.result() or {}).get("file")
    answers = job.folder / str(made)
    return answers if made and answers.is_file() else None


def earlier_answers(run: Run, spec: AnswerSpec) -> Path | None:
    """A file of answers that an earlier version left for the newest adapter; None where there is none."""
    adapter = run.newest_adapter()
    if adapter is None:
        return None
    left = run.answers / f"{spec.digest[:12]}-{adapter.name}-{spec.file}.answers.jsonl"
    return left if left.is_file() else None


def work(job: Job, out: JobWriter, settings: Settings) -> None:
    """Load the model, answer what is not answered yet."""
    spec, run = job.spec(AnswerSpec), run_of(job)
    target = job.folder / f"{spec.file}.answers.jsonl"
    out.say("Loading the model.", state="starting")
    with out.leaving():
        session = ModelPool().get(run)
    counts = answer_file(
        run,
        session,
        _questions(job, spec),
        target,
        settings,
        column=spec.column,
        base=spec.base,
        max_new_tokens=spec.max_new_tokens,
        told=spec.read_as,
        on_progress=lambda done, of: out.progress(done, of, f"{done:,} of {of:,} questions answered"),
    )
    adapter = session.adapter.name if session.adapter else ""
    out.write("result", {"file": target.name, "adapter": adapter, **counts})
    out.end("done", "All questions are answered.")


def stopped(job: Job) -> str:
    return "Stopped. The answers so far are kept; Resume goes on there."


def explain(error: BaseException, job: Job) -> Problem:
    return failures.explain(error)


def _is_asked_the_same(job: Job, spec: AnswerSpec) -> bool:
    try:
        return job.spec(AnswerSpec) == spec and sha256_of(_questions(job, spec)) == spec.digest
    except (UserError, OSError):
        return False


def _is_of_use(job: Job, run: Run) -> bool:
    """Unless it is done, and by another adapter than the one that is there now."""
    if job.status().state != "done":
        return True
    adapter, made = run.newest_adapter(), job.result() or {}
    return adapter is not None and made.get("adapter") == adapter.name and answers_in(job) is not None


def _questions(job: Job, spec: AnswerSpec) -> Path:
    """The copy of the file: the one that was chosen may be gone by the time it is read."""
    return job.folder / "questions" / spec.file


def _plain_name(file: Path) -> str:
    return re.sub(r"[^\w.-]+", "_", file.name)[-LONGEST_NAME:].lstrip(".")
