"""Which adapter of a loaded model computes: one, none, or for each row of a batch another."""

import contextlib
from typing import TYPE_CHECKING, Any

from .rows import BASE

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel

_MIXED = "__mixed__"


class ActiveAdapters:
    """Switches a model between its adapters. Only the thread that computes asks it."""

    def __init__(self, model: "PreTrainedModel | PeftModel") -> None:
        self.model: Any = model
        self.mixable: set[str] = set()  # adapters that may stand in one batch with others, and with the base
        self._now: str | None = None
        self._set = _set_in(model)  # the one that PEFT was told last
        self._names: list[str] = []
        self._undo = contextlib.ExitStack()

    def changed(self, model: Any) -> None:
        """The model holds other adapters now."""
        self.rest()
        self.model, self._set = model, _set_in(model)

    def group(self, adapter: str) -> str:
        """Rows of one group may stand in one batch."""
        if self.mixable and (adapter == BASE or adapter in self.mixable):
            return _MIXED
        return adapter

    def is_in_front(self, name: str) -> bool:
        """Does it stand in front of every text, so that nothing may come between?"""
        return name != BASE and is_prompt_learning(self.model)

    def use(self, names: list[str]) -> None:
        """The rows of the next forward pass are answered by these, each by its own."""
        if len(set(names)) > 1:
            self._mix(names)
        elif names[0] != self._now:
            self.rest()
            self._use_one(names[0])
            self._now = names[0]

    def rest(self) -> None:
        """As the model was opened: its adapters switched on."""
        self._undo.close()
        self._now = None

    def _use_one(self, name: str) -> None:
        """The plain way through PEFT, which takes much less time than the one that tells rows apart."""
        if name != BASE:
            if _is_of_peft(self.model) and self._set != name:
                self.model.set_adapter(name, inference_mode=True)
                self._set = name
            return
        if not hasattr(self.model, "disable_adapter"):
            return
        if _has_layers(self.model):
            self.model.base_model.disable_adapter_layers()
            self._undo.callback(self.model.base_model.enable_adapter_layers)
        else:
            self._undo.enter_context(self.model.disable_adapter())

    def _mix(self, names: list[str]) -> None:
        """PEFT's hooks hold the list itself: they are put in place once, and the list is changed. Putting them in place
        walks through all modules.
        """
        if self._now != _MIXED:
            self.rest()
            self._names = list(names)
            self._undo.enter_context(self.model.base_model._enable_peft_forward_hooks(adapter_names=self._names))
            self._now = _MIXED
        self._names[:] = names


def _set_in(model: Any) -> str | None:
    """The adapter that is switched on as the model was opened. To set it once more would unmerge QA-LoRA, which answers
    with the merged codes that it was measured with.
    """
    if not _is_of_peft(model):
        return None
    active = model.active_adapters
    return active[0] if len(active) == 1 else None


def _is_of_peft(model: Any) -> bool:
    return hasattr(model, "peft_config") and hasattr(model, "active_adapter")


def is_prompt_learning(model: Any) -> bool:
    """Is what was learned put in front of every text?"""
    return bool(getattr(getattr(model, "active_peft_config", None), "is_prompt_learning", False))


def _has_layers(model: Any) -> bool:
    """Are its adapters layers of PEFT that can be switched off one by one?"""
    return _is_of_peft(model) and not is_prompt_learning(model) and hasattr(model.base_model, "disable_adapter_layers")


def within(model: Any) -> Any:
    """The model of transformers that computes, adapters inside: PEFT's own way in costs at each token."""
    if _is_of_peft(model) and not is_prompt_learning(model):
        return model.get_base_model()
    return model
