"""About how long a training with a model takes on this machine: as measured in a run with it that has ended, else
computed from what the starter takes; not said where neither is known. No Gradio.
"""

from pathlib import Path

from ...base_models import ModelChoice
from ...base_models.shapes import Shapes
from ...effort import STARTER_SECONDS_PER_MILLION, epochs_meant, pace_among, pace_of, paces
from ...errors import UserError
from ...hardware import Machine
from ...hardware_fit import sizes_of
from ...preflight import examples_of
from ...recipe import Recipe
from ...runs import RunStore
from ...training_data import DatasetChoice
from .form_state import BALANCED

# Of the time that each parameter of the starter takes, what one of a larger model does: its products are large enough
# to keep a processor busy (benchmarks/RESULTS.md, tokens).
OF_A_LARGER_ONE = 0.6


class ModelTimes:
    """For the data that is chosen on the form, with a balanced effort."""

    def __init__(self, store: RunStore, data: DatasetChoice, data_folder: Path, machine: Machine) -> None:
        self.data = data
        self.data_folder = data_folder
        self.machine = machine
        try:
            self.characters = examples_of(data, data_folder).characters
            self.measured = list(paces(store, data_folder))
        except (UserError, OSError):  # of data that cannot be read nothing is known
            self.characters, self.measured = 0, []

    def seconds(self, recipe: Recipe, shapes: Shapes | None) -> float | None:
        """How long a training with the recipe's model and method takes; None where it is not known."""
        if not self.characters:
            return None
        pace = pace_of(recipe, pace_among(recipe, self.measured)) or self._computed_pace(shapes)
        return pace * self.characters * self._epochs(recipe) if pace else None

    def _epochs(self, recipe: Recipe) -> float:
        of_these_data = recipe.model_copy(update={"dataset": self.data})
        return epochs_meant(of_these_data, self.data_folder)[BALANCED]

    def _computed_pace(self, shapes: Shapes | None) -> float | None:
        """By the number of parameters, from what the starter takes here. Only on a CPU: a GPU is idle most of the time
        with so small a model.
        """
        if shapes is None or self.machine.kind != "cpu":
            return None
        of_the_starter = [pace for recipe, pace in self.measured if recipe.base_model.source == "starter"]
        pace = min(of_the_starter, default=STARTER_SECONDS_PER_MILLION / 1e6)
        starter = sizes_of(ModelChoice())
        return OF_A_LARGER_ONE * pace * shapes.parameters / starter.parameters if starter else None
