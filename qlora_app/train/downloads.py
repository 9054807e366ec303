"""Base model and data onto this machine, before anything is trained and before the run's clock starts."""

import os
import time
from collections.abc import Callable

from ..base_models.download import fetch
from ..formatting import left, size
from ..recipe import Recipe
from ..runs import RunWriter
from ..settings import Settings
from ..training_data import DatasetChoice
from ..training_data.sources.hub import fetch_data
from .callbacks import MetricsCallback

SAY_EVERY = 0.5  # seconds


def download_inputs(out: RunWriter, recipe: Recipe, reporter: MetricsCallback) -> Recipe:
    """The recipe, its base model and data pinned to the commits that are on this machine now; what is missing is
    downloaded.

    A run that is resumed, or talked to later, finds the same weights, whatever became of the branch, or says that they
    have changed. Raises UserError and Stopped.
    """
    run, began, commit, data = out.run, time.monotonic(), "", recipe.dataset
    if recipe.base_model.source == "hub":
        commit = _download_model(out, reporter)
    if data.source == "hub":
        data = _download_data(out, data, reporter)
    if commit or data.source == "hub":
        reporter.started_at += (
            time.monotonic() - began
        )  # the time to the first loss is that of training, not of the network
        reporter.say("Loading the model.", state="running", downloaded=None)
    _close_the_network()
    if not run.check_base():
        out.write_base(commit)
    return recipe.model_copy(update={"base_model": run.base_model(), "dataset": data})


def _download_model(out: RunWriter, reporter: MetricsCallback) -> str:
    """The commit that is on this machine when it returns"""
    model = out.run.base_model()
    reporter.say("Looking at the base model.", state="starting")
    folder, warning = fetch(
        model, Settings.from_environment().token, _on_progress(model.id, reporter), out.is_asked_to_stop
    )
    reporter.status.warnings.extend(filter(None, [warning]))
    return folder.name


def _download_data(out: RunWriter, data: DatasetChoice, reporter: MetricsCallback) -> DatasetChoice:
    """The data pinned to the commit that is on this machine when it returns"""
    settings = Settings.from_environment()
    reporter.say("Looking at the data.", state="starting")
    pinned, warning = fetch_data(
        data, settings.data, settings.token, _on_progress(data.id, reporter), out.is_asked_to_stop
    )
    reporter.status.warnings.extend(filter(None, [warning]))
    return pinned


def _close_the_network() -> None:
    """Nothing more is needed from the Hub. (PEFT asks it about the base at every checkpoint, and waits where it does
    not answer.)
    """
    from huggingface_hub import constants

    os.environ["HF_HUB_OFFLINE"] = "1"
    constants.HF_HUB_OFFLINE = True


def _on_progress(name: str, reporter: MetricsCallback) -> Callable[[int, int], None]:
    """What the page and the terminal show while it downloads: bytes, pace, time left."""
    began, first, last = time.monotonic(), None, 0.0

    def on_progress(arrived: int, total: int) -> None:
        nonlocal first, last
        now = time.monotonic()
        first = arrived if first is None else first
        if arrived >= total or now - last < SAY_EVERY:
            return
        last = now
        pace = (arrived - first) / max(1e-3, now - began)
        when = f", {size(pace)}/s, {left((total - arrived) / pace)} left" if pace and now - began > 1 else ""
        reporter.say(
            f"Downloading {name}: {size(arrived)} of {size(total)}{when}.", downloaded=round(arrived / total, 4)
        )

    return on_progress
