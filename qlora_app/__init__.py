"""Guanaco Workshop: point-and-click fine-tuning of language models, with the proof that it worked."""

__version__ = "0.1.0"
