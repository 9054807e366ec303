"""About how long a training with a model takes on this machine, with the data that is chosen. No Gradio."""

from pathlib import Path

from ...base_models.shapes import Shapes
from ...effort import epochs_meant, pace_among, pace_of, paces, work_of
from ...errors import UserError
from ...hardware import Machine
from ...preflight import examples_of
from ...recipe import Recipe
from ...runs import RunStore
from ...training_data import DatasetChoice, Examples
from .form_state import BALANCED


class ModelTimes:
    """For the data that is chosen on the form, with a balanced effort."""

    def __init__(self, store: RunStore, data: DatasetChoice, data_folder: Path, machine: Machine) -> None:
        self.store = store
        self.data = data
        self.data_folder = data_folder
        self.machine = machine
        self.examples: Examples | None = None
        self.measured: list[tuple[Recipe, float]] = []
        try:
            self.examples = examples_of(data, data_folder)
            self.measured = list(paces(store, data_folder))
        except (UserError, OSError):  # of data that cannot be read nothing is known
            self.examples = None

    def seconds(self, recipe: Recipe, shapes: Shapes | None) -> float | None:
        """How long a training with the recipe's model and method takes; None where it is not known."""
        if self.examples is None:
            return None
        counted = shapes if self.machine.kind == "cpu" else None
        pace = pace_of(recipe, pace_among(recipe, self.measured), self.store, counted)
        return pace * work_of(recipe, self.examples, self._epochs(recipe)) if pace else None

    def _epochs(self, recipe: Recipe) -> float:
        of_these_data = recipe.model_copy(update={"dataset": self.data})
        return epochs_meant(of_these_data, self.data_folder)[BALANCED]
