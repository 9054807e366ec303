"""The process of `apart`: it is sent a tokenizer, then texts, and answers with what the tokenizer makes of them.

It is run by its path and imports nothing of the house, so that it is there in a moment. Each message is its length in
eight bytes, and itself.
"""

import contextlib
import json
import os
import resource
import select
import sys
import time
from pathlib import Path
from typing import Any

PACE = 20_000  # characters a second; published tokenizers cut a hundred times as many
LOADING = 8.0  # seconds of a processor
MEMORY = 3_000_000_000  # bytes beside what the process has when it begins
IDLE = 60.0  # seconds by the clock without a text
MOST_TIMES, MOST_BESIDE = 16, 1000  # tokens for each character, and beside that for each text
LONGEST_TIMES, LONGEST_BESIDE = 200, 100_000  # characters for each token, and beside that


def main(seconds: float) -> None:
    """seconds: of a processor that it may be behind PACE."""
    in_use = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (in_use + MEMORY, in_use + MEMORY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    from tokenizers import Tokenizer

    _end_after(LOADING)
    tokenizer = Tokenizer.from_str(_read().decode())
    behind = 0.0
    while select.select([0], [], [], IDLE)[0] and (message := _read()):
        asked = json.loads(message)
        tokenizer.encode_special_tokens = asked["letters"]
        allowed, began = _length(asked["given"]) / PACE, time.process_time()
        _end_after(seconds - behind + allowed)
        answer = _answer(tokenizer, asked)
        behind = max(0.0, behind + time.process_time() - began - allowed)
        if behind > seconds:
            os._exit(1)
        for one in answer:
            _write(one)
    os._exit(0)


def check_opening(folder: str) -> None:
    """Open the tokenizer of a folder. What is wrong with it otherwise, whoever opens it hears too."""
    from transformers import AutoTokenizer

    _end_after(LOADING)
    with contextlib.suppress(Exception):
        AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)


def _end_after(seconds: float) -> None:
    """The system ends this process once it has used a processor for so many seconds more."""
    until = int(time.process_time() + seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (until, resource.RLIM_INFINITY))


def _answer(tokenizer: Any, asked: dict[str, Any]) -> list[bytes]:
    """A header, and each answer. The header says how many these are, or why there are none."""
    given, is_text = asked["given"], asked["what"] == "encode_batch"
    if is_text:
        given = [
            tuple(one) if isinstance(one, list) and not asked["options"]["is_pretokenized"] else one for one in given
        ]
    try:
        made = getattr(tokenizer, asked["what"])(given, **asked["options"])
    except BaseException as error:  # a panic of the library is no Exception
        return [json.dumps({"error": f"{type(error).__name__}: {str(error)[:200]}"}).encode()]
    longest = max(map(_length, given), default=0)
    most = len(given) * (MOST_TIMES * longest + MOST_BESIDE)
    if not is_text:
        most = LONGEST_TIMES * _length(given) + LONGEST_BESIDE
    if sum(map(len, made)) > most:
        os._exit(1)
    answers = [one.__getstate__() if is_text else one.encode() for one in made]
    return [json.dumps({"count": len(answers)}).encode(), *answers]


def _length(given: Any) -> int:
    """Characters of texts, or how many tokens."""
    if isinstance(given, list | tuple):
        return sum(map(_length, given))
    return len(given) if isinstance(given, str) else 1


def _read() -> bytes:
    """A message; nothing where there is none any more."""
    return _bytes(int.from_bytes(_bytes(8), "big"))


def _bytes(size: int) -> bytes:
    """From the pipe itself: what a buffer holds no `select` sees."""
    content = bytearray()
    while len(content) < size and (part := os.read(0, size - len(content))):
        content += part
    return bytes(content)


def _write(message: bytes) -> None:
    sys.stdout.buffer.write(len(message).to_bytes(8, "big") + message)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    if len(sys.argv) > 2:
        check_opening(sys.argv[2])
    else:
        main(float(sys.argv[1]))
