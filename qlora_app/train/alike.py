"""What all machines of a training must have alike."""

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from ..base_models import fingerprint, folder_of
from ..errors import UserError
from ..hardware import accelerators
from ..recipe import Recipe
from ..settings import Settings
from ..storage.digests import source_of
from ..training_data import load_examples

LIBRARIES = ("torch", "transformers", "peft", "accelerate", "bitsandbytes")
SHOWN = 12  # characters of a checksum


def made_of(recipe: Recipe, settings: Settings) -> dict[str, str]:
    """{what: which} as it is on this machine. Raises UserError where base or data are missing."""
    return {
        "Guanaco Workshop": source_of(Path(__file__).parents[1])[:SHOWN],
        **{name: version(name) for name in LIBRARIES},
        "device": "GPU" if accelerators() else "CPU",
        "base model": fingerprint(folder_of(recipe.base_model))[:SHOWN],
        "data": load_examples(recipe.dataset, settings.data).fingerprint[:SHOWN],
    }


def check_alike(name: str, there: Mapping[str, str], here: Mapping[str, str]) -> None:
    """Raises UserError with whatever the machine of this name has otherwise."""
    others = [f"{what} {there.get(what, '-')} (here {here[what]})" for what in here if there.get(what) != here[what]]
    if others:
        raise UserError(
            "nodes.differ",
            "The node {name} has not what this machine has: {what}. Nothing was trained. Make them alike, and press "
            "Resume.",
            name=name,
            what=", ".join(others),
        )
