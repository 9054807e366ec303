"""Guanaco Workshop: point-and-click fine-tuning of language models, with the proof that it worked."""

import os

__version__ = "0.1.0"

# Read when torch is first loaded, which every module of this package does later. Idle OpenMP threads otherwise spin: two busy
# processes on the same cores (a training and a chat) then slow each other down five-fold instead of two-fold.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
