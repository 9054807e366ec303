"""lm-eval in a process of its own, since it sets seeds, logging and the network's switch for a whole process.

It is told what to do in a line of JSON, and says in lines of JSON how far it is ({says}), what it found out ({result}),
and what is wrong ({problem}). It ends with whoever started it.
"""

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from typing_extensions import Self

from ...errors import Problem, UserError, sentence_of
from ..contenders import Check

PACKAGE_PARENT = str(Path(__file__).parents[3])
LOOK_EVERY = 0.5  # seconds: did somebody ask for an end?


class HarnessProcess:
    """As the worker sees it; a context, at whose end the process is gone."""

    def __init__(self, asked: dict[str, Any]) -> None:
        quiet = {
            "TQDM_DISABLE": "1",
            "DISABLE_MULTIPROC": "1",
        }  # no bars in the log, no forks of a model
        self._process = subprocess.Popen(
            [sys.executable, "-m", f"{__package__}.inside"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=PACKAGE_PARENT,
            env=os.environ | quiet,
        )
        assert self._process.stdin is not None
        self._process.stdin.write(f"{json.dumps(asked)}\n".encode())
        self._process.stdin.flush()
        self._lines: queue.Queue[bytes] = queue.Queue()
        threading.Thread(target=self._read, name="lm-eval", daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    @property
    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def lines(self, check: Check) -> Iterator[dict[str, Any]]:
        """Until it ends. Raises UserError for what is wrong, and what `check` raises."""
        while True:
            check()
            try:
                line = self._lines.get(timeout=LOOK_EVERY)
            except queue.Empty:
                continue
            if not line:
                break
            said = json.loads(line)
            if "problem" in said:
                raise _error(said["problem"])
            yield said
        if self._process.wait() != 0:
            raise UserError(
                "evaluate.lm_eval_ended",
                "lm-eval ended in the middle (exit code {code}). The job's log says more. Resume goes on there.",
                code=self._process.returncode,
            )

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put(b"")


def _error(said: dict[str, Any]) -> UserError:
    problem = sentence_of(said)
    if isinstance(problem, Problem):
        return UserError.of(problem)
    return UserError("evaluate.failed", "{why}", why=problem)
