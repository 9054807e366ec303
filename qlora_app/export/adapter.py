"""The adapter's folder as it is: for PEFT, and for servers that put adapters on a base."""

import shutil
import time
from pathlib import Path
from typing import ClassVar, Literal

from ..choices import setting
from ..jobs import JobWriter
from ..runs import Run
from ..runs.exports import Export
from ..settings import Settings
from ..storage.reading import is_regular
from .exporter import Exporter

TAKEN_ALONG = (".safetensors", ".json", ".jinja", ".md", ".model", ".txt")


class AdapterExporter(Exporter):
    """A copy; nothing is changed, so nothing is measured."""

    title: ClassVar[str] = "Adapter"
    takes_adapter: ClassVar[bool] = True
    is_offered: ClassVar[bool] = False  # the page hands out the adapter itself

    name: Literal["adapter"] = setting("adapter", "Export", "What is made.", labels={"adapter": "Adapter (PEFT)"})

    def write(self, run: Run, folder: Path, out: JobWriter, settings: Settings) -> Export:
        began = time.monotonic()
        wanted = [
            path
            for path in sorted(run.adapter.rglob("*"))
            if path.suffix in TAKEN_ALONG and not path.is_symlink() and is_regular(path)
        ]
        for done, path in enumerate(wanted, start=1):
            target = folder / path.relative_to(run.adapter)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
            out.progress(done, len(wanted), f"Copying {path.name}.")
        return self.made(run, folder, began)
