"""Every choice of one run."""

from .recipe import EFFORTS, NO_SUCH_SETTING, Recipe, epochs_for, read_yaml, wrong_settings
from .training import Training

__all__ = ["EFFORTS", "NO_SUCH_SETTING", "Recipe", "Training", "epochs_for", "read_yaml", "wrong_settings"]
