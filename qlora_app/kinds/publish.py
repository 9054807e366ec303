"""The kind `publish`: what was made of a run onto the Hub. Such a job lies in the folder of its run."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from .. import starter
from ..choices import setting
from ..errors import Problem, UserError
from ..export import AdapterExporter
from ..export.hub_card import Terms
from ..export.public_names import public_id, public_title
from ..export.published import check_says_nothing, to_publish
from ..formatting import size
from ..hub import Account, Repository, account_of, ask, check_alone, giving_it, is_public, is_there, licence_of, push
from ..jobs import Job, JobSpec, JobStore, JobWriter, failures
from ..jobs.job import Needs
from ..methods.fitting import check_saved
from ..runs import Run
from ..runs.proof import Proof
from ..settings import Settings
from .export import newest_export, run_of

What = Literal["adapter", "merged", "gguf", "space"]


class PublishSpec(JobSpec):
    """What goes where."""

    kind: Literal["publish"] = "publish"
    needs: Needs = "little"
    repository: str = setting("", "Repository", "owner/name on the Hub; it is made where there is none.")
    what: What = setting("adapter", "What", "The adapter, or the newest export of that kind.")
    private: bool = setting(True, "Private", "Only you can see it there.")

    @property
    def place(self) -> Repository:
        """Where it goes."""
        return Repository(self.repository, kind="space" if self.what == "space" else "model")


def publish_job(run: Run, spec: PublishSpec, settings: Settings) -> Job:
    """The job that publishes so: one that is not done yet, else a new one. It is not started here. Raises UserError
    where something speaks against it.
    """
    check(run, spec, settings)
    store = JobStore(run.exports)
    for job in store.list():
        if job.kind == "publish" and spec_of(job) == spec and job.status().state != "done":
            return job
    return store.create(f"publish-{spec.what}", spec)


def spec_of(job: Job) -> PublishSpec | None:
    """What a job of this kind sends; None where its folder is damaged."""
    try:
        return job.spec(PublishSpec)
    except UserError:
        return None


def check(run: Run, spec: PublishSpec, settings: Settings) -> None:
    """Raises UserError where it cannot be published so, with the setting that is wrong; nobody is asked."""
    if problem := spec.place.problems("you/your-model").get("id"):
        raise UserError.of(problem, {"repository": problem})
    if "/" not in spec.repository:
        raise UserError.at(
            "repository",
            "publish.no_owner",
            "{id} names no owner. A repository looks like owner/name.",
            id=spec.repository,
        )
    _token(settings)
    if run.newest_adapter() != run.adapter:
        raise UserError.at(
            "what", "publish.not_finished", "{run} has not finished. Let it end, then publish it.", run=run.id
        )
    _source(run, spec.what)


def check_hub(spec: PublishSpec, settings: Settings) -> bool | None:
    """Is what is there of that name private? It stays so. None: there is nothing yet. Only asks. Raises UserError where
    the Hub would not take it.
    """
    account, owner = account_of(_token(settings)), spec.repository.partition("/")[0]
    if account.role == "read":
        raise UserError.at(
            "token",
            "publish.token_reads",
            "The token of {name} may only read. Make one on the Hub that may write, {give}.",
            give=giving_it(),
            name=account.name,
        )
    if not account.may_write_to(owner):
        raise UserError.at(
            "repository",
            "publish.not_your_name",
            "The token is of {name}, who may not write to {owner}. Begin the name with {name}/.",
            name=account.name,
            owner=owner,
        )
    is_private = is_there(spec.place, _token(settings))
    if spec.private and is_private is False:
        raise UserError.of(problem := is_public(spec.place).problem, {"repository": problem})
    return is_private


def check_room(spec: PublishSpec, names: Iterable[str], settings: Settings) -> None:
    """Raises UserError where what lies there would be read as a part of files with these names. Only asks."""
    try:
        check_alone(spec.place, names, _token(settings))
    except UserError as error:
        raise UserError.of(error.problem, {"repository": error.problem}) from None


def suggested(run: Run, what: What, owner: str) -> str:
    """A name of a repository: the run's own, as far as the Hub takes its letters. What differs gets one of its own."""
    name = re.sub(r"[^\w.]+|_{2,}|\.{2,}", "-", public_title(run), flags=re.ASCII)
    name = re.sub(r"-{2,}|\.{2,}|[.-]{2,}", "-", name).strip("-._")[:60].strip("-._")
    ends = {"adapter": "", "merged": "-merged", "gguf": "-GGUF", "space": "-chat"}
    return f"{owner}/{name or 'adapter'}{ends[what]}"


def account(settings: Settings) -> Account:
    """Whose token it is. Raises UserError where there is none, or nobody knows it."""
    return account_of(_token(settings))


def _token(settings: Settings) -> str:
    if not settings.token:
        raise UserError.at(
            "token",
            "publish.no_token",
            "Publishing needs a token that may write. Make one in the settings of your account on the Hub, {give}.",
            give=giving_it(),
        )
    return settings.token


def files_of(
    run: Run, spec: PublishSpec, folder: Path, settings: Settings, terms: Terms | None = None
) -> dict[str, Path]:
    """{name: file} of what would be sent, made in `folder` where it is rewritten. Raises UserError where it may not."""
    files = to_publish(run, spec.what, _source(run, spec.what), spec.repository, folder, terms or {})
    check_says_nothing(files, run, settings)
    return files


def work(job: Job, out: JobWriter, settings: Settings) -> None:
    """What arrived before is not sent again."""
    spec, run = job.spec(PublishSpec), run_of(job)
    out.say("Looking at what is to be sent.", state="starting")
    check(run, spec, settings)
    files = files_of(run, spec, job.folder / "sent", settings, _terms(run, settings))
    pushed = push(
        spec.place,
        files,
        _token(settings),
        spec.private,
        public_id(run),
        lambda done, total, name: out.progress(done, total, f"Sending {name}: {size(done)} of {size(total)} sent."),
        out.is_asked_to_stop,
    )
    out.write("result", {"url": pushed.url, "commit": pushed.commit, "files": sorted(files), "sent": pushed.sent})
    out.end("done", "Published.")


def stopped(job: Job) -> str:
    return "Stopped. What has arrived stays on the Hub; Resume sends the rest."


def explain(error: BaseException, job: Job) -> Problem:
    return failures.explain(error)


def _source(run: Run, what: What) -> Path | None:
    """The folder of the export; None for the adapter. Raises UserError where there is none yet."""
    method = run.recipe().method
    if what == "adapter" and not method.opens_in_peft:
        raise UserError.at(
            "what",
            "publish.not_plain_peft",
            "PEFT alone does not open an adapter of {method}, so nobody could use it there. Publish the merged model.",
            method=method.title(),
        )
    if what == "adapter":
        AdapterExporter().check(run)
        check_saved(run.adapter)
        return None
    job = newest_export(run, what)
    if job is None or job.status().state != "done":
        raise UserError.at(
            "what",
            "publish.not_made",
            "There is no finished {what} of {run} yet. Export it first.",
            what=what,
            run=run.id,
        )
    return job.folder


def _terms(run: Run, settings: Settings) -> Terms:
    """Of the base, which bind what is made of it; {} where nobody says them."""
    base = run.base_model()
    if Proof.from_json(run.proof()).imported:  # nobody here may say under which terms somebody else's may be had
        return {}
    if base.source != "hub":
        return {"license": starter.LICENCE} if base.source == "starter" else {}
    try:
        told = ask(f"models/{base.id}", settings.token)
    except Exception:  # whatever the network does: a card may be without it
        return {}
    found = {"license": licence_of(told.get("tags"))}
    if found["license"] == "other":  # then its own card says which
        named = {name: (told.get("cardData") or {}).get(name) for name in ("license_name", "license_link")}
        found |= {name: str(value) for name, value in named.items() if value}
    return {name: value for name, value in found.items() if value}
