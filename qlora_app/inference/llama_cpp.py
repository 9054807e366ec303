"""llama.cpp as an engine: an exported GGUF answers rows as a loaded base does, on a CPU in a fraction of the time.

It is the server of the wheel `xllamacpp`, in this process. Prompts are token ids of our own making, and what ends an
answer is asked of the row, so that a conversation reads the same whichever engine answers.
"""

import importlib.util
import json
import secrets
import threading
import time
import urllib.request
from collections import deque
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..hardware import usable_cores
from ..messages import Conversation
from .engine import MOST_ROWS, MOST_WAITING
from .rows import Row, check_room

NAME = "llama.cpp"
TOKENS = 16_384  # of all rows together that are remembered at once
REMEMBERED_MB = 256  # of conversations that gave way to others
OWN_ORDER = ["penalties", "temperature", "top_k", "top_p", "min_p"]  # in which `sampling` does it


def is_installed() -> bool:
    return importlib.util.find_spec("xllamacpp") is not None


class LlamaCpp:
    """Answers rows of one GGUF, as many at once as `most_rows`; the interface is that of Engine."""

    def __init__(
        self,
        file: Path,
        tokens: int = TOKENS,
        most_rows: int = MOST_ROWS,
        most_waiting: int = MOST_WAITING,
        threads: int = 0,
        adapter: Path | None = None,
    ) -> None:
        """tokens: of all rows together, prompts included; threads: 0 for one a core; adapter: a GGUF of a LoRA for it.

        Raises UserError where it cannot be opened.
        """
        self.file, self._adapter, self._threads = file, adapter, threads or usable_cores()
        self.letters: Letters | None = None  # the tokens of bytes
        self.most_rows, self.most_waiting = most_rows, most_waiting
        self.used = time.monotonic()  # when it last had something to do
        self._tokens = tokens
        self._key = secrets.token_urlsafe()
        self._server = self._open()
        self._changed = threading.Lock()
        self._waiting: deque[Row] = deque()
        self._rows: list[Row] = []

    def _open(self) -> Any:
        import xllamacpp

        how = xllamacpp.CommonParams()
        how.model.path = str(self.file)
        if self._adapter:
            how.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(str(self._adapter), 1.0)]
        how.n_ctx, how.n_parallel, how.kv_unified = self._tokens, self.most_rows, True
        how.cpuparams.n_threads = how.cpuparams_batch.n_threads = self._threads
        how.n_gpu_layers = 0
        how.cache_ram_mib = REMEMBERED_MB
        how.api_keys = [self._key]  # it listens at a port of this machine, for nobody
        how.ui = how.endpoint_slots = how.warmup = False
        how.verbosity = 0
        try:
            return xllamacpp.Server(how)
        except Exception as error:  # the wheel raises whatever its C++ does
            raise UserError(
                "engine.gguf_not_opened",
                "llama.cpp cannot open {name} ({reason}). Export it once more.",
                name=self.file.name,
                reason=str(error).strip().partition("\n")[0][:160] or type(error).__name__,
            ) from error

    # ---- what is asked of it

    @property
    def is_busy(self) -> bool:
        """Is there anything that it computes or has to?"""
        with self._changed:
            return bool(self._rows or self._waiting)

    def takes(self, row: Row) -> bool:
        """Can it answer this one? It tells no chances of tokens, and follows no schema."""
        is_plain = row.asked.logprobs is None and row.asked.grammar is None
        return is_plain and _cost(row) <= self._tokens

    def submit(self, row: Row) -> Row:
        """Its answer begins as soon as there is room. Raises UserError where too many wait."""
        row.engine = NAME
        with self._changed:
            check_room(self._waiting, self.most_waiting)
            self._waiting.append(row)
            self._begin()
        return row

    def encode(self, text: str) -> list[int]:
        """The token ids of a text as the file's own tokenizer cuts it."""
        return list(self._post("/tokenize", {"content": text, "parse_special": True})["tokens"])

    def prompt(self, conversation: Conversation) -> str:
        """A conversation as the file's own chat template writes it, up to the answer."""
        return str(self._post("/apply-template", {"messages": conversation})["prompt"])

    def likeliest_after(self, ids: list[int], most: int, end: int) -> list[tuple[int, float]]:
        """The `most` likeliest next tokens with the natural logarithms of their chances, likeliest first.

        end: a token that ends an answer. It is made to be chosen, after the chances are known: of one that is a part of
        a letter llama.cpp tells none.
        """
        chosen = {"logit_bias": [[end, 1e6]]}
        asked = {"prompt": ids, "max_tokens": 1, "temperature": 0, "logprobs": most, "cache_prompt": True, **chosen}
        made = self._server.handle_completions(asked)
        if "choices" not in made:
            raise RuntimeError(_reason(made))
        told = made["choices"][0]["logprobs"]["content"][0]
        return [(one["id"], one["logprob"]) for one in told["top_logprobs"]]

    def close(self) -> None:
        """Rows that are written end within a token; the memory is given back when the last one has."""
        with self._changed:
            for row in [*self._rows, *self._waiting]:
                row.cancel()

    # ---- a thread for each row that is written

    def _begin(self) -> None:
        """Those who wait, as far as there is room. With `_changed` held."""
        while self._waiting and self._has_room(self._waiting[0]):
            row = self._waiting.popleft()
            self._rows.append(row)
            # Not a daemon: one that is cut off within llama.cpp takes the whole program down. It ends with the program.
            threading.Thread(target=self._answer, args=(row,), name=NAME).start()

    def _has_room(self, row: Row) -> bool:
        taken = sum(map(_cost, self._rows))
        return len(self._rows) < self.most_rows and (not self._rows or taken + _cost(row) <= self._tokens)

    def _answer(self, row: Row) -> None:
        self.used = row.began = time.monotonic()
        try:
            if row.is_cancelled:
                row.end("cancelled")
            else:
                self._server.handle_completions(_request(row), _Hearing(row, self.letters).take)
                row.end("cancelled" if row.is_cancelled else "stop")  # where it has not ended otherwise
        except BaseException as error:  # whoever waits for it hears of it
            row.fail(error)
        finally:
            self.used = time.monotonic()
            with self._changed:
                self._rows.remove(row)
                self._begin()

    def _post(self, path: str, asked: dict[str, Any]) -> dict[str, Any]:
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self._key}"}
        request = urllib.request.Request(self._server.listening_address + path, json.dumps(asked).encode(), headers)
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(request, timeout=60) as answer:
            made: dict[str, Any] = json.load(answer)
        return made


class _Hearing:
    """Hands the tokens of an answer to its row as they come."""

    def __init__(self, row: Row, letters: "Letters | None") -> None:
        self.row, self.letters = row, letters
        self._heard = 0

    def take(self, piece: dict[str, Any]) -> bool:
        """What llama.cpp says next. True: it may stop."""
        row = self.row
        if row.is_over:
            return True
        if not threading.main_thread().is_alive():
            row.cancel()
        if row.is_cancelled:
            row.end("cancelled")
            return True
        if "choices" not in piece:
            row.fail(RuntimeError(_reason(piece)))
            return True
        row.cached = max(row.cached, int(piece.get("timings", {}).get("cache_n", 0)))
        choice = piece["choices"][0]
        written = (choice.get("logprobs") or {}).get("content") or []
        for id in self._ids(written, piece):
            if not row.is_over:
                row.add(id)
        return row.is_over

    def _ids(self, written: list[dict[str, Any]], piece: dict[str, Any]) -> list[int]:
        """Of a letter that takes several tokens only the last one is told; the others are said by its bytes."""
        ids = [one["id"] for one in written]
        told = int(piece.get("timings", {}).get("predicted_n", 0))
        missing, self._heard = told - self._heard - len(ids), max(told, self._heard)
        if not ids or missing <= 0 or self.letters is None:
            return ids
        text = str(piece["choices"][0].get("text", ""))
        return [*self.letters.before(ids[0], text), *ids]


def _request(row: Row) -> dict[str, Any]:
    how = row.asked.sampling
    asked = {
        "prompt": row.asked.ids,
        "max_tokens": row.asked.room,
        "stream": True,
        "cache_prompt": True,
        "return_progress": True,  # a long prompt too is left when nobody waits for its answer any more
        "timings_per_token": True,
        "logprobs": 1,  # with the chances come the ids
        "post_sampling_probs": True,
        "samplers": OWN_ORDER,
        "temperature": max(0.0, how.temperature),
        "top_k": how.top_k,
        "top_p": how.top_p,
        "min_p": how.min_p,
        "repeat_penalty": how.repetition_penalty,
        "repeat_last_n": _cost(row),  # all of it
    }
    return asked if how.seed is None else asked | {"seed": how.seed % 2**32}


def _cost(row: Row) -> int:
    return len(row.asked.ids) + row.asked.room


def _reason(said: dict[str, Any]) -> str:
    error = said.get("error")
    return str(error.get("message") if isinstance(error, dict) else said)[:300]


class Letters:
    """What single bytes and tokens are to each other, in one tokenizer."""

    def __init__(self, tokenizer: Any, ids: list[int], is_byte_level: bool) -> None:
        """ids: of the tokens of single bytes."""
        self._tokenizer, self._ids, self._is_byte_level = tokenizer, ids, is_byte_level

    @classmethod
    def of(cls, tokenizer: Any) -> "Letters | None":
        """None where it has no token for each byte."""
        vocabulary = tokenizer.get_vocab()
        for name in (_BYTE_LEVEL.__getitem__, "<0x{:02X}>".format):
            ids = [vocabulary.get(name(byte)) for byte in range(256)]
            if None not in ids:
                return cls(tokenizer, ids, name == _BYTE_LEVEL.__getitem__)
        return None

    def before(self, last: int, text: str) -> list[int]:
        """Tokens that say what stands in a text before its last token."""
        whole = text.encode()
        token = self._tokenizer.convert_ids_to_tokens(last)
        length = len(token) if self._is_byte_level or last not in self._ids else 1
        return [self._ids[byte] for byte in whole[: max(0, len(whole) - length)]]


def _byte_level() -> list[str]:
    """The letter that stands for each byte in GPT-2's kind of vocabulary: itself where it can be seen, else one from
    256 on.
    """
    seen = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)}
    hidden = [byte for byte in range(256) if byte not in seen]
    return [chr(byte) if byte in seen else chr(256 + hidden.index(byte)) for byte in range(256)]


_BYTE_LEVEL = _byte_level()
