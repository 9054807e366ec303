"""The Hugging Face Hub, for models and for data: files onto this machine, and every
way of not getting them as a sentence.

A token is given to each call by whoever has the settings; one that lies elsewhere on the machine is never sent.
"""

import os

os.environ.setdefault(
    "HF_HUB_DISABLE_TELEMETRY", "1"
)  # before its library is imported: the Hub is told nothing about this machine

from .download import fetch_files
from .errors import HubUnavailable, explain, giving_it
from .publishing import Account, Pushed, account_of, check_alone, is_public, is_there, push
from .repository import (
    COMMIT,
    PATIENCE,
    RemoteFile,
    Repository,
    ask,
    licence_of,
)

__all__ = [
    "COMMIT",
    "PATIENCE",
    "Account",
    "HubUnavailable",
    "Pushed",
    "RemoteFile",
    "Repository",
    "account_of",
    "ask",
    "check_alone",
    "explain",
    "fetch_files",
    "giving_it",
    "is_public",
    "is_there",
    "licence_of",
    "push",
]
