"""Where the measurements of a run go beside its folder: to TensorBoard, Trackio or Weights & Biases, which are
installed by whoever wants them.
"""

import importlib.util
from typing import Literal

from .choices import Choices, setting
from .errors import Problem

TITLES = {"none": "Nowhere else", "tensorboard": "TensorBoard", "trackio": "Trackio", "wandb": "Weights & Biases"}


class Reporting(Choices):
    """What is told other programs; the fields are named as transformers' `report_to` and `project`."""

    report_to: Literal["none", "tensorboard", "trackio", "wandb"] = setting(
        "none",
        "Report to",
        "TensorBoard and Trackio keep the measurements on this machine. Weights & Biases sends them, the settings and "
        "what machine this is to wandb.ai, never data or answers; without its API key it keeps them here too.",
        labels=TITLES,
        part="saving",
    )
    project: str = setting(
        "guanaco-workshop",
        "Project",
        "The name under which Trackio and Weights & Biases keep runs.",
        part="saving",
        min_length=1,
    )

    @property
    def title(self) -> str:
        return TITLES[self.report_to]

    def problems(self) -> dict[str, Problem]:
        """What speaks against it here, by setting."""
        if self.report_to == "none" or _is_installed(self.report_to):
            return {}
        missing = Problem(
            "reporting.not_installed",
            "{title} is not installed here. Install it with `pip install {package}`, then start the page anew; or "
            "report nowhere else.",
            title=self.title,
            package=self.report_to,
        )
        return {"reporting.report_to": missing}


def _is_installed(package: str) -> bool:
    """A folder of that name, as wandb leaves one wherever it was run, is no package: nothing stands behind it."""
    found = importlib.util.find_spec(package)
    return found is not None and found.origin is not None
