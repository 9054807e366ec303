"""Which data a run learns from."""

from typing import Literal

from .. import starter
from ..choices import Choices, setting
from .columns import ColumnMap
from .formats import READABLE

SOURCES = {"starter": "Starter (embedded)", "file": "Your own file"}
FORMATS = {"auto": "Recognise it", **READABLE}
TURNS = {"all": "Every answer", "last": "The last answer only", "everything": "Everything, questions too"}


class DatasetChoice(Choices):
    """Which examples to learn from, and which to keep aside to measure with."""

    source: Literal["starter", "file"] = setting(
        "starter", "Where the data is", "Starter datasets are part of this app.", labels=SOURCES)
    id: str = setting("helper", "Dataset", "A starter dataset (helper, sailor, orders) or the name of an uploaded file.")
    format: Literal[tuple(FORMATS)] = setting("auto", "Format", "How a row is read.", labels=FORMATS)
    columns: ColumnMap = ColumnMap()
    turns: Literal[tuple(TURNS)] = setting("all", "Learn from", "Which turns of a conversation are trained on.", labels=TURNS)
    held_out_share: float = setting(
        0.1, "Held-out share", "Part of your file that is never trained on, only measured with. Starter datasets bring their own.",
        ge=0, lt=0.9)
    split_seed: int = setting(0, "Split seed", "The same seed keeps the same rows aside.", ge=0)

    @property
    def title(self) -> str:
        """A short name for lists: the dataset's own, or the file's without the hash in front."""
        return self.id if self.source == "starter" else self.id.partition("-")[2] or self.id

    def problems(self) -> dict[str, str]:
        """What is wrong with this choice, found without opening a file: {setting: sentence}."""
        if self.source == "starter" and self.id not in starter.DATASETS:
            return {"id": f"There is no starter dataset {self.id!r}. Choose one of {', '.join(starter.DATASETS)}."}
        if self.source == "file" and (not self.id or "/" in self.id or "\\" in self.id or self.id.startswith(".")):
            return {"id": f"{self.id!r} is not an uploaded file. Upload one, or choose one from the list."}
        return {}
