"""The kind `download`: a base model or a dataset of the Hub onto this machine."""

from typing import Any, Literal

from ..base_models import ModelChoice
from ..base_models.download import fetch
from ..errors import Problem, UserError
from ..formatting import size
from ..jobs import Job, JobSpec, JobStore, JobWriter, failures
from ..jobs.job import Needs
from ..settings import Settings
from ..training_data import DatasetChoice
from ..training_data.sources.hub import fetch_data


class DownloadSpec(JobSpec):
    """What is downloaded: one of the two."""

    kind: Literal["download"] = "download"
    needs: Needs = "little"
    base_model: ModelChoice | None = None
    dataset: DatasetChoice | None = None


def download_job(store: JobStore, wanted: ModelChoice | DatasetChoice) -> Job:
    """The job that downloads this: one that is not done yet, else a new one. It is not started here."""
    spec = DownloadSpec(base_model=wanted) if isinstance(wanted, ModelChoice) else DownloadSpec(dataset=wanted)
    for job in store.list():
        if _is_asked_the_same(job, spec) and job.status().state != "done":
            return job
    return store.create(wanted.id, spec)


def work(job: Job, out: JobWriter, settings: Settings) -> None:
    """What has arrived before is not asked for again."""
    spec = job.spec(DownloadSpec)
    if spec.base_model is not None:
        out.say("Looking at the base model.", state="starting")
        folder, warning = fetch(spec.base_model, settings.token, _telling(out, spec.base_model), out.is_asked_to_stop)
        made: dict[str, Any] = {"base_model": spec.base_model.id, "commit": folder.name}
    elif spec.dataset is not None:
        out.say("Looking at the data.", state="starting")
        wanted, told = spec.dataset, _telling(out, spec.dataset)
        pinned, warning = fetch_data(wanted, settings.data, settings.token, told, out.is_asked_to_stop)
        made = {"dataset": pinned.model_dump(mode="json")}
    else:
        raise UserError("download.of_nothing", "{job} does not say what is to be downloaded.", job=job.id)
    out.check()
    out.write("result", made)
    warnings = [warning] if warning else []
    total = out.status.total or 1
    out.say("Downloaded.", warnings=warnings, step=total, total=total)
    out.end("done", "Downloaded.")


def stopped(job: Job) -> str:
    return "Stopped while downloading. What has arrived is kept; Resume goes on there."


def explain(error: BaseException, job: Job) -> Problem:
    return failures.explain(error)


def _is_asked_the_same(job: Job, spec: DownloadSpec) -> bool:
    try:
        return job.spec(DownloadSpec) == spec
    except UserError:
        return False


def _telling(out: JobWriter, wanted: ModelChoice | DatasetChoice) -> Any:
    """Hears how many bytes of how many are there."""

    def on_progress(arrived: int, total: int) -> None:
        out.progress(arrived, total, f"Downloading {wanted.id}: {size(arrived)} of {size(total)}.")

    return on_progress
