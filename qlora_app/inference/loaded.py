"""A base in memory with the adapters that stand on it, and the thread that computes with them."""

import gc
import itertools
import threading
import weakref
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base_models import ModelChoice, load_model
from ..base_models.apart import check_opening, keep_apart
from ..base_models.loading import import_everything
from ..errors import UserError
from ..jobs.failures import is_out_of_memory
from ..methods import MethodChoices
from ..methods.combining import EXACT, Combination, combine
from ..methods.fitting import check_numbers, check_saved, in_words
from ..storage.digests import sha256_of
from ..tasks import Task
from .engine import Engine
from .llama_cpp import LlamaCpp

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

FIRST = "default"  # PEFT's name of the first adapter
Sum = tuple[tuple[tuple[str, float], ...], Combination]  # of which adapters, each with its weight, and how
MOST_SUMS = 4  # weighted sums of adapters that stay, those that were asked last


class LoadedBase:
    """The base, its engine, and the names under which adapters stand on it."""

    def __init__(self, model: "PreTrainedModel | PeftModel") -> None:
        model.eval()
        self.engine = Engine(model)
        self.fast: dict[str, LlamaCpp] = {}  # by name of an adapter: the same model elsewhere, and sooner
        self._numbers = itertools.count(2)
        self._names: dict[tuple[str, str], str] = {}  # {(folder, checksum): name}
        self._sums: OrderedDict[Sum, str] = OrderedDict()  # the one asked last at the end
        self._users: dict[str, weakref.WeakSet[Any]] = {}
        self._changing = threading.Lock()

    @classmethod
    def open(cls, choice: ModelChoice, task: Task, quantize: bool = True) -> "LoadedBase":
        """Raises UserError where the base cannot be opened."""
        import_everything()
        return cls(load_model(choice, task.auto_class, task.labels, quantize=quantize))

    @property
    def is_busy(self) -> bool:
        """Is there anything that is computed with it or has to be?"""
        return self.engine.is_busy or any(fast.is_busy for fast in self.fast.values())

    @property
    def used(self) -> float:
        """When it last had something to do, as time.monotonic() says it."""
        return max([self.engine.used, *(fast.used for fast in self.fast.values())])

    @property
    def model(self) -> Any:
        return self.engine.model

    def stand(self, method: MethodChoices, folder: Path) -> str:
        """The name under which the adapter of a folder answers; it is put beside the others where it is not there yet.

        Raises UserError where something in the folder is not right, or no other can stand beside the one that is there.
        """
        key = (str(folder), checksum(folder))
        with self._changing:
            if key not in self._names:
                self.engine.alone(self._let_go_of_unused)
                name = f"adapter{next(self._numbers)}" if self._names else FIRST
                self.engine.alone(lambda: self._add(method, folder, name))
                self._names[key] = name
            return self._names[key]

    def checksum_of(self, name: str) -> str:
        """SHA-256 of the weights of the adapter of that name, as they were opened; "" of the base."""
        return next((checksum for (_, checksum), known in list(self._names.items()) if known == name), "")

    def sum_of(self, parts: Sequence[tuple[str, float]], how: Combination = EXACT) -> str:
        """The name under which a weighted sum of adapters that stand here answers. parts: (name, weight); a weight of 1
        is the adapter as it was trained. Each must be of a method that `can_be_weighted`. how: another combination than
        their sum.

        It is another adapter for the engine, so that what is remembered of one sum is not used for another. Raises
        UserError where they do not fit.
        """
        key = (tuple(parts), how)
        with self._changing:
            if key not in self._sums:
                name = f"adapter{next(self._numbers)}"
                self.engine.alone(lambda: self._sum(parts, name, how))
                self._sums[key] = name
            self._sums.move_to_end(key)
            self.engine.alone(self._let_go_of_unused)
            return self._sums[key]

    def hold(self, name: str, user: Any) -> None:
        """The adapter of that name stays for as long as somebody holds this user of it."""
        self._users.setdefault(name, weakref.WeakSet()).add(user)

    def _add(self, method: MethodChoices, folder: Path, name: str) -> None:
        model = self.model
        self.engine.active.changed(model)
        try:
            if self._names:
                method.load_beside(model, folder, name)
            else:
                model = method.load(model, folder)
            check_numbers(model, name)
        except Exception:
            if self._names and name in getattr(model, "peft_config", {}):
                model.delete_adapter(name)
            raise
        finally:
            self.engine.active.changed(model.eval())
        if method.supports_mixed_batch:
            self.engine.active.mixable.add(name)

    def _sum(self, parts: Sequence[tuple[str, float]], name: str, how: Combination) -> None:
        model = self.model
        self.engine.active.changed(model)
        try:
            combine(model, parts, name, how)
        except ValueError as error:
            raise UserError(
                "adapter.no_sum", "These adapters cannot be mixed: {why}. Choose others.", why=str(error).rstrip(".")
            ) from error
        finally:
            self.engine.active.changed(model.eval())
        if self.engine.active.mixable.issuperset(part for part, _ in parts):
            self.engine.active.mixable.add(name)

    def _let_go_of_unused(self) -> None:
        """Adapters that nobody holds any more. The first one carries the others, and stays."""
        asked = self.engine.adapters_in_use()

        def is_unused(name: str) -> bool:
            return name != FIRST and name not in asked and not self._users.get(name)

        for key, name in list(self._names.items()):
            if is_unused(name):
                del self._names[key]
                self._let_go(name)
        for parts, name in list(self._sums.items())[:-MOST_SUMS]:
            if is_unused(name):
                del self._sums[parts]
                self._let_go(name)

    def _let_go(self, name: str) -> None:
        self.fast.pop(name, None)
        self._users.pop(name, None)
        self.model.delete_adapter(name)
        self.engine.active.mixable.discard(name)
        self.engine.active.changed(self.model)
        self.engine.prefixes.forget(name)

    def close(self) -> None:
        """Give back what is remembered of conversations, and let the thread go. Who holds it may go on asking; what
        llama.cpp is writing is written to its end.
        """
        self.engine.prefixes.forget()
        self.engine.rest()
        self.fast.clear()


def checksum(folder: Path) -> str:
    """Of the weights of an adapter; "" where there are none, which is said when it is opened."""
    try:
        return sha256_of(folder / "adapter_model.safetensors")
    except OSError:
        return ""


def with_adapter(model: "PreTrainedModel", method: MethodChoices, adapter: Path) -> tuple[Any, Any]:
    """(tokenizer, model) as they were saved together. Raises UserError where something in the folder is not right."""
    base = LoadedBase(model)
    tokenizer = tokenizer_of(adapter)
    put_on(base, method, adapter)
    return tokenizer, base.model


def put_on(base: LoadedBase, method: MethodChoices, adapter: Path) -> str:
    """`stand`, with whatever a library raises in words. Raises UserError."""
    try:
        check_saved(adapter)
        return base.stand(method, adapter)
    except Exception as error:  # the folder is anybody's, and each library has errors of its own
        raise _in_words(error, adapter) from error


def tokenizer_of(adapter: Path) -> "PreTrainedTokenizerBase":
    """The tokenizer that was saved with an adapter. Raises UserError."""
    from transformers import AutoTokenizer

    check_opening(adapter)
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(adapter), trust_remote_code=False, local_files_only=True)
        keep_apart(tokenizer)
    except Exception as error:  # as above
        raise _in_words(error, adapter) from error
    return tokenizer


def give_memory_back() -> None:
    """What is not used any more goes back to the machine and its accelerator."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _in_words(error: Exception, adapter: Path) -> Exception:
    if isinstance(error, UserError) or is_out_of_memory(error):
        return error
    return in_words(error, adapter)
