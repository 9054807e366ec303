"""Base models: which can be trained, what is known of them, how they come here and how they are opened."""

from .choice import ModelChoice
from .hub import (
    Hit,
    kept_folder,
    kept_models,
    look_up,
    search,
)
from .loading import (
    cards_here,
    check_vocabulary,
    facts_here,
    folder_of,
    layers_of,
    load_model,
    load_tokenizer,
    tasks_here,
)
from .recognition import (
    Facts,
    describe_folder,
    facts_of_folder,
    fingerprint,
    local_models,
    models_below,
    rows_missing,
    strange_tokens,
    tasks_of,
)

__all__ = [
    "Facts",
    "Hit",
    "ModelChoice",
    "cards_here",
    "check_vocabulary",
    "describe_folder",
    "facts_here",
    "facts_of",
    "facts_of_folder",
    "fingerprint",
    "folder_of",
    "kept_folder",
    "kept_models",
    "layers_of",
    "load_model",
    "load_tokenizer",
    "local_models",
    "look_up",
    "models_below",
    "rows_missing",
    "search",
    "strange_tokens",
    "tasks_here",
    "tasks_of",
]


def facts_of(choice: ModelChoice, token: str | None = None) -> Facts:
    """What is known of a chosen model, wherever it lies. Raises UserError; no weights are loaded."""
    return look_up(choice, token) if choice.source == "hub" else facts_of_folder(choice.folder)
