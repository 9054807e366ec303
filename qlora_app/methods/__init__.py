"""The fine-tuning methods a recipe can name. Adding one: a new file here, and one more member of `METHODS`."""

from .adalora import AdaloraMethod
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
from .method import Matrix, MethodChoices, marks, update

METHODS: tuple[type[MethodChoices], ...] = (  # the first is what a recipe means that names none
    LoraMethod, AdaloraMethod, Ia3Method, VeraMethod, MissMethod, OftMethod, HraMethod, LohaMethod, LokrMethod, PrefixMethod,
    PromptMethod)

__all__ = ["METHODS", "Ia3Method", "LoraMethod", "Matrix", "MethodChoices", "marks", "update"]
