"""What a shell offers after the tabulator key: commands, runs, presets, settings and their values."""

import argparse
from typing import Any

from ..choices import dotted_name, iter_settings
from ..overrides import possible_values
from ..presets import Presets
from ..recipe import Recipe
from ..runs import AllJobs, RunStore, address_of
from ..settings import Settings


def complete(parser: argparse.ArgumentParser) -> None:
    """Answer the shell and end this process."""
    import argcomplete

    argcomplete.autocomplete(parser)


def run_names(**_: Any) -> list[str]:
    return ["latest", *(run.id for run in RunStore(Settings.from_environment().runs).list())]


def job_names(**_: Any) -> list[str]:
    settings = Settings.from_environment()
    return ["latest", *map(address_of, AllJobs.of(settings).list())]


def presets_and_files(prefix: str, **_: Any) -> list[str]:
    from argcomplete.completers import FilesCompleter

    return [*Presets(Settings.from_environment().presets).names(), *FilesCompleter(("yaml", "yml"))(prefix)]


def settings_and_values(prefix: str, **_: Any) -> list[str]:
    """`training.sch` -> `training.scheduler=`, and `training.scheduler=` -> its options."""
    from argcomplete.completers import FilesCompleter

    name, equals, begun = prefix.partition("=")
    if not equals:
        return list(dict.fromkeys(f"{dotted_name(leaf)}=" for leaf, _ in iter_settings(Recipe)))
    values = possible_values(name)
    if name in ("dataset.id", "dataset.held_out_from", "base_model.id"):
        values += FilesCompleter()(begun)
    return [f"{name}={value}" for value in values]
