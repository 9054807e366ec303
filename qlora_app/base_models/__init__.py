"""Base models: which can be trained, what is known of them, how they come here and how they are opened."""

from .choice import ModelChoice
from .loading import load_model, load_tokenizer
from .recognition import Facts, describe_folder, local_models

__all__ = ["Facts", "ModelChoice", "describe_folder", "load_model", "load_tokenizer", "local_models"]
