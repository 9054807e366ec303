"""A tokenizer that works in a process of its own, with limits of time and memory.

The patterns of a tokenizer are programs: over a particular line one may take for ever, in a library that no thread of
this process can end. So a tokenizer that is not made as published ones are (`ordinary`) never meets a text here.
"""

import contextlib
import copy
import json
import os
import select
import subprocess
import sys
import threading
import weakref
from pathlib import Path
from typing import Any

import orjson

from ..errors import UserError
from ..storage.reading import read_bytes
from .config import LARGEST
from .ordinary import are_harmless, is_ordinary

SECONDS = 3.0  # of a processor, beside what the length of a text allows
PATIENCE = 120.0  # seconds by the clock: the process itself counts seconds of a processor
PROGRAM = Path(__file__).with_name("apart_program.py")
_CHANGES = ("add_tokens", "add_special_tokens", "enable_padding", "enable_truncation", "no_padding", "no_truncation")


class Apart:
    """Stands for a `tokenizers.Tokenizer`. What meets a text is done elsewhere, all else by the one that is here.

    Raises UserError for a text with which it is not done in time, and starts anew with the next.
    """

    def __init__(self, here: Any) -> None:
        vars(self).update(_here=here, _process=None, _asking=threading.Lock())

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name in _CHANGES:
            self._end()
        return getattr(self._here, name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._end()
        setattr(self._here, name, value)

    def __deepcopy__(self, memo: dict[int, Any]) -> "Apart":
        return Apart(copy.deepcopy(self._here, memo))

    def __reduce__(self) -> Any:
        return Apart, (self._here,)

    def encode_batch(self, input: Any, add_special_tokens: bool = True, is_pretokenized: bool = False) -> list[Any]:
        from tokenizers import Encoding

        made = []
        options = {"add_special_tokens": add_special_tokens, "is_pretokenized": is_pretokenized}
        for state in self._ask("encode_batch", list(input), options):
            encoding = Encoding()
            encoding.__setstate__(state)
            made.append(encoding)
        return made

    encode_batch_fast = encode_batch

    def encode(
        self, sequence: Any, pair: Any = None, is_pretokenized: bool = False, add_special_tokens: bool = True
    ) -> Any:
        given = sequence if pair is None else (sequence, pair)
        return self.encode_batch([given], add_special_tokens, is_pretokenized)[0]

    def decode_batch(self, sequences: Any, skip_special_tokens: bool = True) -> list[str]:
        given = [[int(id) for id in ids] for ids in sequences]
        return [
            text.decode() for text in self._ask("decode_batch", given, {"skip_special_tokens": skip_special_tokens})
        ]

    def decode(self, ids: Any, skip_special_tokens: bool = True) -> str:
        return self.decode_batch([ids], skip_special_tokens)[0]

    # ---- the process

    def _ask(self, what: str, given: list[Any], options: dict[str, bool]) -> list[bytes]:
        if not given:
            return []
        asked = {"what": what, "given": given, "options": options, "letters": self._here.encode_special_tokens}
        with self._asking:
            for _ in range(2):
                process = self._started()
                try:
                    _send(process, json.dumps(asked).encode())
                    return self._answers(process, given)
                except (BrokenPipeError, EOFError):
                    was_idle = process.wait() == 0  # it ends when nobody asks it
                    self._end()
                if not was_idle:
                    break
        raise UserError(
            "model.tokenizer_takes_long",
            "The model's tokenizer is not done with a text that begins {begins!r}: its own patterns take too long over "
            "it, or make too much of it. Leave that text out, or choose another model.",
            begins=_beginning(given),
        )

    def _answers(self, process: "subprocess.Popen[bytes]", given: list[Any]) -> list[bytes]:
        """Raises EOFError for a process that ended, or is ended now since it does not answer."""
        assert process.stdout is not None
        if not select.select([process.stdout], [], [], PATIENCE)[0]:
            process.kill()
        head = json.loads(_receive(process))
        if "error" in head:
            raise UserError(
                "model.tokenizer_fails",
                "The model's tokenizer fails at a text that begins {begins!r} ({reason}). Leave that text out, or "
                "choose another model.",
                begins=_beginning(given),
                reason=head["error"],
            )
        return [_receive(process) for _ in range(head["count"])]

    def _started(self) -> "subprocess.Popen[bytes]":
        if self._process is None:
            process = subprocess.Popen(
                [sys.executable, "-I", str(PROGRAM), str(SECONDS)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                env={**os.environ, "TOKENIZERS_PARALLELISM": "false"},
            )
            vars(self)["_process"] = process
            vars(self)["_ending"] = weakref.finalize(self, _ended, process)
            with contextlib.suppress(BrokenPipeError):
                _send(process, self._here.to_str().encode())
        return self._process

    def _end(self) -> None:
        if self._process is not None:
            self._ending()
            vars(self)["_process"] = None


def _ended(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        with contextlib.suppress(OSError):
            pipe.close()  # type: ignore[union-attr]


def _beginning(given: list[Any]) -> str:
    return str(max(given, key=lambda one: len(str(one)), default=""))[:80]


def _send(process: "subprocess.Popen[bytes]", content: bytes) -> None:
    assert process.stdin is not None
    process.stdin.write(len(content).to_bytes(8, "big") + content)
    process.stdin.flush()


def _receive(process: "subprocess.Popen[bytes]") -> bytes:
    """Raises EOFError where it ended."""
    return _exactly(process, int.from_bytes(_exactly(process, 8), "big"))


def _exactly(process: "subprocess.Popen[bytes]", size: int) -> bytes:
    content = process.stdout.read(size)  # type: ignore[union-attr]
    if len(content) < size:
        raise EOFError
    return content


def check_opening(folder: Path) -> None:
    """Raises UserError where opening a folder's tokenizer takes too long: its normalizer meets the added tokens then.

    Tried in another process, unless the normalizer is one as published tokenizers have.
    """
    files = [file for file in folder.glob("tokenizer*.json") if file.name != "tokenizer_config.json"]
    if all(map(_has_usual_normalizer, files)):
        return
    program = [sys.executable, "-I", str(PROGRAM), str(SECONDS), str(folder)]
    with contextlib.suppress(subprocess.TimeoutExpired):
        if subprocess.run(program, capture_output=True, timeout=PATIENCE, check=False).returncode == 0:
            return
    raise UserError(
        "model.tokenizer_opens_slowly",
        "The tokenizer of {name} does not come to an end while it is opened. Do not use this model.",
        name=folder.name,
    )


def _has_usual_normalizer(file: Path) -> bool:
    """Also where there is none, or no JSON: then nothing is opened."""
    try:
        known = orjson.loads(read_bytes(file, LARGEST))
        stage = known.get("normalizer")
        return stage is None or are_harmless([stage])
    except (OSError, ValueError):
        return True
    except (AttributeError, KeyError, TypeError):  # of a shape that nobody knows
        return False


def keep_apart(tokenizer: Any) -> None:
    """Of a tokenizer of transformers, what meets texts, unless it is made as published ones are."""
    here = getattr(tokenizer, "_tokenizer", None)
    if here is not None and not is_ordinary(here):
        tokenizer._tokenizer = Apart(here)
