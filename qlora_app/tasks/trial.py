"""A model folder's tokenizer and chat template, tried in a process of their own before this one opens them.

Both are programs, of a kind: a template may loop for ever or write two billion characters, a pattern of a tokenizer may
take hours over a line of blanks. The trial has limits of time and memory; what passes it is opened here, what does not
is refused with a sentence. One process imports what is needed and forks for each trial, so that one takes a moment.
"""

import contextlib
import json
import os
import resource
import select
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from ..base_models.config import LARGEST, program_in, read_config
from ..errors import Problem, UserError
from ..starter import BASE
from ..storage.reading import NotAFile, open_regular

SECONDS = 8  # of a processor, for a trial; those of published models take less than one
PATIENCE = 40  # seconds by the clock: a machine that is busy gives a trial little of its processors
GETTING_READY = 90.0  # seconds until the process has imported everything, on a machine that is busy
MEMORY = 3_000_000_000  # bytes beside what the process has when it begins
MOST_WRITTEN = 1_000_000  # characters a template may write for a few short turns
LONGEST_ANSWER = 10_000  # bytes of what the trial says
FILES = ("tokenizer", "vocab", "merges", "special_tokens", "added_tokens", "chat_template", "spiece", "spm", "config")
RUNS = ("a", "A", "0", " ", ".", "\n", "é", "字", "ab", " a")  # what patterns are slow over, repeated
REPEATED = 3000
PACKAGE_PARENT = str(Path(__file__).parents[2])

_tried: dict[Path, tuple[Any, Problem | None]] = {}  # {folder: (stamp of its files, what was found)}
_lock = threading.Lock()
LOST = {  # why nothing could be found out
    "ended": Problem("model.trial_gone", "the program that tries it ended"),
    "busy": Problem("model.machine_busy", "the machine is too busy"),
    "no time": Problem("model.no_time", "it had no time, or was ended by the system"),
}


def check_tried(folder: Path) -> None:
    """Raises UserError where the tokenizer or the template of a folder cannot be opened, or does not come to an end.

    Tried once as long as its files stay as they are. The starter is not tried.
    """
    folder = folder.expanduser()
    if folder == BASE:
        return
    with _lock:
        try:
            stamp = _stamp(folder)
        except OSError as error:
            raise UserError.of(_not_opened(folder, error.strerror or str(error))) from error
        known = _tried.get(folder)
        if known is None or known[0] != stamp:
            known = _tried[folder] = (stamp, _problem_of(folder))
        problem = known[1]
        if problem and problem.code == "model.not_tried":  # it may be tried the next time
            del _tried[folder]
    if problem:
        raise UserError.of(problem)


def _stamp(folder: Path) -> list[tuple[str, int, int, int]]:
    """What changes when one of the files is written again."""
    found = []
    for file in sorted(folder.iterdir()):
        if file.name.startswith(FILES):
            with contextlib.suppress(OSError):
                seen = file.stat()
                found.append((file.name, seen.st_size, seen.st_mtime_ns, seen.st_ino))
    return found


def _problem_of(folder: Path) -> Problem | None:
    try:
        _check_files(folder)
        said = _Process.of_this().answer(str(folder))
    except UserError as error:
        return error.problem
    except NotAFile as error:
        return _not_opened(folder, str(error.problem))
    except (OSError, ValueError) as error:
        return _not_tried(folder, str(error)[:200])
    if "lost" in said:
        return _not_tried(folder, LOST[said["lost"]])
    if said.get("ok"):
        return None
    if said.get("ended"):
        return Problem(
            "model.trial_ended",
            "The tokenizer or the chat template of {name} does not come to an end: in {seconds} seconds and "
            "{memory:.0f} GB of memory it was not done with a few lines. Do not use this model.",
            name=folder.name,
            seconds=SECONDS,
            memory=MEMORY / 1e9,
        )
    if "written" in said:
        return Problem(
            "model.template_writes_much",
            "The chat template of {name} writes {written:,} characters for a few short turns. Do not use this model.",
            name=folder.name,
            written=said["written"],
        )
    return _not_opened(folder, str(said.get("problem", "")))


def _not_opened(folder: Path, reason: str) -> Problem:
    return Problem(
        "model.trial_failed",
        "The tokenizer of {name} cannot be opened ({reason}). Download the model again.",
        name=folder.name,
        reason=reason,
    )


def _not_tried(folder: Path, reason: str) -> Problem:
    return Problem(
        "model.not_tried",
        "The tokenizer of {name} could not be tried ({reason}). End other programs, then try again.",
        name=folder.name,
        reason=reason,
    )


def _check_files(folder: Path) -> None:
    """Raises UserError and OSError for what need not be tried."""
    for file in folder.iterdir():
        if file.name.startswith(FILES):
            open_regular(file, LARGEST).close()
            programs = program_in(read_config(file)) if file.name == "tokenizer_config.json" else ""
            if programs:
                raise UserError(
                    "model.tokenizer_wants_program",
                    "The tokenizer of {name} wants to run a program of its author ({programs}). That is never done "
                    "here; choose another model.",
                    name=folder.name,
                    programs=programs,
                )


# ---- the process that tries, as this one sees it


class _Process:
    """Answers one folder at a time. It ends with whoever started it."""

    _of_this: "_Process | None" = None
    _starting = threading.Lock()

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", __spec__.name if __spec__ else __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd=PACKAGE_PARENT,
            env={**os.environ, "TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": "1"},
        )

    @classmethod
    def of_this(cls) -> "_Process":
        """The one of this process, started where there is none."""
        with cls._starting:
            if cls._of_this is None or cls._of_this.process.poll() is not None:
                cls._of_this = cls()
            return cls._of_this

    def answer(self, folder: str) -> dict[str, Any]:
        """What was found: {"ok"}, {"ended"} or {"problem"}; {"lost"} where nothing could be found out."""
        into, out = self.process.stdin, self.process.stdout
        assert into is not None and out is not None
        try:
            into.write(f"{json.dumps(folder)}\n".encode())
            into.flush()
        except BrokenPipeError:
            return {"lost": "ended"}
        ready, _, _ = select.select([out], [], [], GETTING_READY + PATIENCE)
        line = out.readline(LONGEST_ANSWER) if ready else b""
        try:
            said = json.loads(line)
        except ValueError:
            self.process.kill()
            return {"lost": "ended" if ready else "busy"}
        return said if isinstance(said, dict) else {}


# ---- in that process


def serve() -> None:
    """Try each folder that is named on standard input, in a fork, and say what was found."""
    _try(str(BASE))  # so that every fork has what it needs

    for line in sys.stdin:
        print(json.dumps(_in_a_fork(json.loads(line))), flush=True)


def _in_a_fork(folder: str) -> dict[str, Any]:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        with contextlib.suppress(BaseException):
            _limit()
            os.write(writing, json.dumps(_try(folder)).encode()[:LONGEST_ANSWER])
        os._exit(0)
    os.close(writing)
    try:
        said, is_late = _said(reading)
    finally:
        os.close(reading)
    if is_late:
        os.kill(child, signal.SIGKILL)
    _, status, used = os.wait4(child, 0)
    if said:
        return json.loads(said)
    was_ended_by_others = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    if was_ended_by_others and used.ru_utime + used.ru_stime < SECONDS - 1:
        return {"lost": "no time"}
    return {"ended": True}


def _said(reading: int) -> tuple[bytes, bool]:
    """(what a fork says, whether it was not done in time)"""
    until, said = time.monotonic() + PATIENCE, b""
    while (left := until - time.monotonic()) > 0:
        if not select.select([reading], [], [], left)[0]:
            break
        part = os.read(reading, LONGEST_ANSWER)
        if not part:
            return said, False
        said += part
    return b"", True


def _limit() -> None:
    in_use = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (in_use + MEMORY, in_use + MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _try(folder: str) -> dict[str, Any]:
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        for run in RUNS:
            tokenizer.decode(tokenizer(f"{run * REPEATED}!")["input_ids"][:50])
        written = _longest_written(tokenizer)
    except MemoryError:
        return {"ended": True}
    except Exception as error:  # whatever a file of anybody makes a library raise
        return {"problem": f"{type(error).__name__}: {str(error).strip()[:200]}"}
    if written > MOST_WRITTEN:
        return {"written": written}
    return {"ok": True}


def _longest_written(tokenizer: Any) -> int:
    """The most characters its chat template writes for one of a few short conversations."""
    import jinja2

    from .template.patches import render_template_of

    turns = [{"role": role, "content": "text"} for role in ("system", "user", "assistant", "user")]
    longest = 0
    for messages in ([turns[1]], turns[1:3], turns):
        for opening in (True, False):
            try:
                written = render_template_of(tokenizer, messages, opening)
            except (jinja2.TemplateError, TypeError, ValueError, KeyError) as error:
                if hasattr(error, "is_too_much"):
                    raise MemoryError(str(error)) from error
                continue  # it refuses them, as it may
            longest = max(longest, len(written))
    return longest


if __name__ == "__main__":
    serve()
