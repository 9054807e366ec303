"""`python -m qlora_app.train RUN_DIR` trains; `--standby` imports everything first and reads RUN_DIR from its standard
input.

The standby exists because nine tenths of the way from Start to the first loss are imports (about 6 of 7 seconds).
"""

import os
import sys
from pathlib import Path

# The log of a run is read by people: no progress bars of other libraries.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")  # on all cores; unsaid, a line in the log would complain
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")


def main(arguments: list[str]) -> int:
    """Train the run of the first argument. Returns the exit code: 0 done or stopped, 1 failed, 73 already running."""
    if arguments == ["--standby"]:
        from . import worker

        print("READY", flush=True)
        folder = sys.stdin.readline().strip()
        if not folder:  # the app ended without needing this worker
            return 0
        _log_into(Path(folder))
        return worker.main(Path(folder))
    if len(arguments) != 1 or arguments[0].startswith("-"):
        print(__doc__, file=sys.stderr)
        return 2
    from . import worker

    return worker.main(Path(arguments[0]))


def _log_into(folder: Path) -> None:
    """From here on everything printed, also by C libraries, goes to the run's log."""
    log = os.open(folder / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for stream in (1, 2):
        os.dup2(log, stream)
    os.close(log)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
