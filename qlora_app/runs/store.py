"""All runs below one folder."""

import builtins
import contextlib
import os
import re
import shutil
import time
from datetime import datetime
from pathlib import Path

from ..errors import UserError
from ..recipe import Recipe
from .run import Run

RUN_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,79}")


class RunStore:
    """All runs below one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def create(self, recipe: Recipe) -> Run:
        """A new folder holding the recipe. Nothing starts until somebody asks the run to."""
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        name = recipe.name or f"{recipe.base_model.title.split()[-1]}-{recipe.dataset.title}"
        stem = f"{datetime.now():%Y-%m-%d-%H%M}-{_slug(name)}"
        for number in range(1, 1000):
            folder = self.root / (stem if number == 1 else f"{stem}-{number}")
            try:
                folder.mkdir(mode=0o700)
                break
            except FileExistsError:
                continue
        else:
            raise UserError(
                "run.name_used_up", "There are 999 runs called {name}. Give this one another name.", name=stem
            )
        recipe.save(folder / "recipe.yaml")
        now = (
            time.time_ns()
        )  # the file system's own clock ticks every few milliseconds: too coarse to tell which came first
        os.utime(folder / "recipe.yaml", ns=(now, now))
        return Run(folder)

    def get(self, run_id: str) -> Run:
        """Raises UserError for an id that names no run (and for anything that is not an id)."""
        if not RUN_ID.fullmatch(run_id or "") or not (self.root / run_id / "recipe.yaml").is_file():
            raise UserError("run.not_there", "There is no run {id!r}. It may have been deleted.", id=run_id)
        return Run(self.root / run_id)

    def list(self) -> builtins.list[Run]:
        """Newest first."""
        if not self.root.is_dir():
            return []
        found = []
        for folder in (Path(entry.path) for entry in os.scandir(self.root) if RUN_ID.fullmatch(entry.name)):
            with contextlib.suppress(OSError):  # no run, one that is just being deleted, or somebody else's
                found.append(((folder / "recipe.yaml").stat().st_mtime_ns, folder))
        return [Run(folder) for _, folder in sorted(found, reverse=True)]

    def delete(self, run_id: str) -> None:
        """Raises UserError while the run is being trained."""
        run = self.get(run_id)
        if run.is_alive():
            raise UserError("run.being_trained", "{id} is being trained. Stop it first.", id=run_id)
        shutil.rmtree(run.folder)


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:40] or "run"
