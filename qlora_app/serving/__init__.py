"""An OpenAI-compatible endpoint for the runs of this machine: beside the page, and by `serve` without one."""

from .app import Endpoint
from .homes import Home, Limits
from .keys import ApiKeys
from .models import ServedModels

__all__ = ["ApiKeys", "Endpoint", "Home", "Limits", "ServedModels"]
