"""Guanaco Workshop: point-and-click fine-tuning of language models, with the proof that it worked."""

import os

__version__ = "0.1.0"

# Read when torch is first loaded, which every module of this package does later. Idle OpenMP threads otherwise spin: two busy
# processes on the same cores (a training and a chat) then slow each other down five-fold instead of two-fold.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# For processes that train: glibc gives each larger tensor back to the system and takes it again, page by page, in the next
# operation. Read when a process starts, so it goes into the environment of those that are started.
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": "1073741824", "MALLOC_TRIM_THRESHOLD_": "1073741824", "MALLOC_TOP_PAD_": "67108864"}
