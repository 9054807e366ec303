"""Who is evaluated, in one word: a run (`RUN`), a checkpoint of it (`RUN@STEP`), its base (`base:RUN`), an endpoint of
the settings (`endpoint:NAME`), or answers that somebody has already (`file:PATH`; of a file that has those of several,
`file:PATH#NAME`).
"""

from pathlib import Path
from typing import Literal

from pydantic import Field

from ..choices import Choices
from ..errors import UserError
from ..inference.sides import LONGEST_ID, Side, endpoint_of
from ..runs import Run, RunStore
from ..runs.finding import find_run
from ..settings import Settings
from ..storage.outside import check_own


class Contestant(Choices):
    """One that answers. `run` is the run whose adapter, or whose base, that is."""

    who: Literal["run", "base", "endpoint", "file"] = "run"
    run: str = Field("", max_length=LONGEST_ID)
    checkpoint: int | None = Field(None, ge=0)  # a step; None: the newest adapter
    endpoint: str = Field("", max_length=LONGEST_ID)  # the name of one in the settings
    file: str = Field("", max_length=4096)  # as it was named; what is read is the job's copy
    whose: str = Field("", max_length=LONGEST_ID)  # which contestant's, of a file that has answers of several

    @classmethod
    def of(cls, word: str, settings: Settings) -> "Contestant":
        """What a word means, with the whole name of its run. Raises UserError where there is no such one."""
        kind, colon, rest = word.strip().partition(":")
        store = RunStore(settings.runs)
        if colon and kind == "base":
            return cls(who="base", run=find_run(rest, store, with_adapter=True).id)
        if colon and kind == "endpoint":
            endpoint_of(Side(who="endpoint", endpoint=rest), settings.endpoints or ())
            return cls(who="endpoint", endpoint=rest)
        if colon and kind == "file":
            file, whose = file_and_whose(rest) or (_file(rest.rpartition("#")[0] or rest), "")
            return cls(who="file", file=str(file), whose=whose)
        name, at, step = word.strip().partition("@")
        run = find_run(name, store, with_adapter=True)
        if not at:
            return cls(run=run.id)
        return cls(run=run.id, checkpoint=_step(run, step))

    @property
    def word(self) -> str:
        """What `of` reads. It also names the contestant in results."""
        if self.who == "endpoint":
            return f"endpoint:{self.endpoint}"
        if self.who == "file":
            return f"file:{Path(self.file).name}" + (f"#{self.whose}" if self.whose else "")
        if self.who == "base":
            return f"base:{self.run}"
        return self.run if self.checkpoint is None else f"{self.run}@{self.checkpoint}"

    @property
    def is_here(self) -> bool:
        """Is it a model on this machine, which can also say how likely a text is?"""
        return self.who in ("run", "base")


def different(contestants: tuple[Contestant, ...]) -> None:
    """Raises UserError where two are called alike: their answers could not be told apart."""
    words = [one.word for one in contestants]
    twice = next((word for word in words if words.count(word) > 1), None)
    if twice is not None:
        raise UserError("evaluate.twice", "{word} stands there twice. Name each contestant once.", word=twice)


def file_and_whose(word: str) -> tuple[Path, str] | None:
    """Of `PATH` or `PATH#NAME`, either of which may have a # of its own; None where there is no such file."""
    ends = [len(word), *(place for place, letter in enumerate(word) if letter == "#")]
    paths = ((Path(word[:end]).expanduser(), word[end + 1 :]) for end in ends if end)
    return next(((check_own(path).resolve(), whose) for path, whose in paths if path.is_file()), None)


def _file(path: str) -> Path:
    found = check_own(Path(path).expanduser())
    if not found.is_file():
        raise UserError("file.not_there", "There is no file {file}.", file=path)
    return found.resolve()


def _step(run: Run, step: str) -> int:
    if step.isdecimal() and run.adapter_at(int(step)) is not None:
        return int(step)
    raise UserError(
        "run.no_such_checkpoint",
        "{run} has no checkpoint of step {step}. It has: {steps}.",
        run=run.id,
        step=step,
        steps=", ".join(map(str, run.saved_steps())) or "none",
    )
