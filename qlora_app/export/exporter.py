"""What every exporter is to the rest of the app: one file, a class with its settings, what speaks against it, and what
it makes.
"""

import time
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, ClassVar

from ..base_models.loading import folder_of
from ..base_models.recognition import facts_of_folder
from ..choices import Choices
from ..errors import Problem, UserError
from ..jobs import JobWriter
from ..runs import Run
from ..runs.exports import Export, Fidelity
from ..runs.proof import Proof
from ..runs.since import OTHER_WEIGHTS, changed_words
from ..settings import Settings
from ..storage.digests import sha256_of
from ..storage.files import write_json
from ..storage.reading import read_json

RECORDED = ("torch", "transformers", "peft", "bitsandbytes", "gguf", "xllamacpp")
OF_THIS_MACHINE = {"is_local", "local_files_only", "name_or_path", "_name_or_path", "base_model_name_or_path"}


class Exporter(Choices):
    """Makes files of a run's finished adapter. A subclass has a `name: Literal[...]`, settings, a title, `write`."""

    title: ClassVar[str]  # what it makes, in words: "GGUF"
    about: ClassVar[str] = ""  # what that is for, in a sentence
    takes_adapter: ClassVar[bool] = False  # do its files go along as they are, and unmeasured?
    asked: ClassVar[str] = "dtype"  # the setting that the page asks for, where it has one
    offered: ClassVar[dict[Any, str]] = {}  # {value of that: words}, where it has no fixed options
    is_offered: ClassVar[bool] = True  # does the page offer it, with its usual settings?

    @classmethod
    def is_offered_for(cls, run: Run) -> bool:
        """Does the page of this run offer it?"""
        return cls.is_offered

    def problems(self, run: Run) -> dict[str, Problem]:
        """What cannot work, before anything is loaded: {setting: why, and what would}."""
        return {}

    def write(self, run: Run, folder: Path, out: JobWriter, settings: Settings) -> Export:
        """Into a folder that is empty. Says how far it is, and measures what it made. Raises UserError and Stopped."""
        raise NotImplementedError

    def made(
        self,
        run: Run,
        folder: Path,
        began: float,
        measured: Fidelity | None = None,
        notes: Sequence[str] = (),
        dtype: str = "",
    ) -> Export:
        """What lies in the folder now, and how far it is from the adapter, which is written beside it.

        began: as time.monotonic() said it then. dtype: of the weights, where it is not the one that was chosen.
        """
        without_places(folder)
        files, checksums = listed(folder)
        made = Export(
            format=self.called_by_name(),
            dtype=dtype or str(dict(self).get("dtype", "")),
            files=files,
            checksums=checksums,
            adapter=checksum_of(run),
            notes=tuple(notes),
            fidelity=measured or Fidelity(),
            seconds=round(time.monotonic() - began, 1),
            versions=versions(),
        )
        return made if measured is None else made.with_report(folder)

    @classmethod
    def called_by_name(cls) -> str:
        """Its name: what a command line and a recipe call it."""
        return str(cls.model_fields["name"].default)

    def called(self) -> str:
        """What its job is called."""
        return self.called_by_name()

    def check(self, run: Run) -> None:
        """Raises UserError where something speaks against it."""
        if run.newest_adapter() != run.adapter:
            raise UserError(
                "export.not_finished",
                "{run} has not finished: only a finished adapter can be exported. Let it end, or stop it; then try "
                "again.",
                run=run.id,
            )
        if self.takes_adapter and changed_words(run, Proof.from_json(run.proof())) == OTHER_WEIGHTS:
            raise UserError(
                "export.adapter_changed",
                "The adapter of {run} was written anew after it was measured, so none of its figures is true of it. "
                "Put back the file that was trained.",
                run=run.id,
            )
        if problems := self.problems(run):
            raise UserError.of_all(problems)


def without_places(folder: Path) -> None:
    """Take out of the settings of tokenizers and models what transformers wrote of where they lay."""
    for path in (*folder.rglob("tokenizer_config.json"), *folder.rglob("config.json")):
        config = read_json(path)
        if isinstance(config, dict) and config.keys() & OF_THIS_MACHINE:
            write_json(path, {key: value for key, value in config.items() if key not in OF_THIS_MACHINE})


def checksum_of(run: Run) -> str:
    """Of the adapter's weights."""
    return sha256_of(run.adapter / "adapter_model.safetensors")


def longest(run: Run) -> int:
    """Tokens of a row that it learned with."""
    context = facts_of_folder(folder_of(run.base_model())).context
    return min(run.recipe().training.max_length, context or run.recipe().training.max_length)


def versions() -> dict[str, str]:
    """Of the libraries that take part, as far as they are installed."""
    found = {}
    for name in RECORDED:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def telling(out: JobWriter, doing: str) -> Callable[[int, int], None]:
    """Hears how many of how many are done. Raises Stopped when somebody asked for an end."""
    return lambda done, of: out.progress(done, of, f"{doing}: {done:,} of {of:,}.")


def listed(folder: Path) -> tuple[dict[str, int], dict[str, str]]:
    """({name: bytes}, {name: SHA-256}) of what lies in a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    names = {path.relative_to(folder).as_posix(): path for path in files}
    return {name: path.stat().st_size for name, path in names.items()}, {
        name: sha256_of(path) for name, path in names.items()
    }
