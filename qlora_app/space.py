"""What a Hugging Face Space is told by, and what it keeps; and whether a folder may hold what must not be lost."""

import fcntl
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

STORAGE = Path("/data")  # where Hugging Face mounts the persistent storage of a Space, if it has any
# A Space is reached through Hugging Face's proxies only, and these have addresses of a private network.
PRIVATE_NETWORKS = "10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,100.64.0.0/10,fd00::/8"


def is_space(environment: Mapping[str, str] = os.environ) -> bool:
    return "SPACE_ID" in environment


def space_name(environment: Mapping[str, str] = os.environ) -> str:
    """Of the Space that this runs on; "" elsewhere."""
    return environment.get("SPACE_ID", "")


def has_zero_gpu(environment: Mapping[str, str] = os.environ) -> bool:
    """A GPU that a Space has only for the seconds of a call: no training fits into those."""
    return bool(environment.get("SPACES_ZERO_GPU"))


def reached_directly(environment: Mapping[str, str] = os.environ) -> str:
    """The value of NO_PROXY: what it was, and this machine, since Gradio calls its own page when it starts and no proxy
    knows that one.
    """
    given = environment.get("no_proxy") or environment.get("NO_PROXY")
    return ",".join(filter(None, [given, "localhost", "127.0.0.1", "::1"]))


def persistent_storage(environment: Mapping[str, str] = os.environ) -> Path | None:
    """Where a Space keeps what must outlive its restarts; None elsewhere, and on a Space that has nothing of the
    kind.
    """
    return STORAGE if is_space(environment) and keeps_runs(STORAGE) else None


def keeps_runs(folder: Path) -> bool:
    """Can files be written there, and do their locks hold? A run's proof of life is a lock, and some mounted drives
    grant every one.
    """
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".try-") as first, open(first.name, "rb") as second:
            fcntl.flock(first, fcntl.LOCK_EX | fcntl.LOCK_NB)
            try:
                fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
    except OSError:
        pass
    return False
