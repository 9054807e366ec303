"""The fine-tuning methods a recipe can name. Adding one: a new file here, and one more member of `METHODS`."""

from .ia3 import Ia3Method
from .lora import LoraMethod
from .method import Matrix, MethodChoices, marks, update

METHODS: tuple[type[MethodChoices], ...] = (LoraMethod, Ia3Method)  # the first is what a recipe means that names none

__all__ = ["METHODS", "Ia3Method", "LoraMethod", "Matrix", "MethodChoices", "marks", "update"]
