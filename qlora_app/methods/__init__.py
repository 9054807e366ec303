"""The fine-tuning methods a recipe can name. Adding one: a new file here, and one more member of `METHODS`."""

from .adalora import AdaloraMethod
from .adamix import AdaMixMethod
from .from_peft import (
    HraMethod,
    LohaMethod,
    LokrMethod,
    MissMethod,
    OftMethod,
    PrefixMethod,
    PromptMethod,
    VeraMethod,
)
from .ia3 import Ia3Method
from .lora import LoraMethod
from .meft import MeftMethod
from .method import (
    MethodChoices,
    changed_layers,
    parameter_checksums,
)
from .qalora import QaLoraMethod

METHODS: tuple[type[MethodChoices], ...] = (  # the first is what a recipe means that names none
    LoraMethod,
    AdaloraMethod,
    QaLoraMethod,
    AdaMixMethod,
    Ia3Method,
    MeftMethod,
    VeraMethod,
    MissMethod,
    OftMethod,
    HraMethod,
    LohaMethod,
    LokrMethod,
    PrefixMethod,
    PromptMethod,
)

__all__ = [
    "METHODS",
    "AdaMixMethod",
    "Ia3Method",
    "LoraMethod",
    "MeftMethod",
    "MethodChoices",
    "QaLoraMethod",
    "changed_layers",
    "parameter_checksums",
]
