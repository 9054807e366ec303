"""The fine-tuning methods a recipe can name. Adding one: a new file here, and one more member of `METHODS`."""

from .adamix import AdaMixMethod
from .ia3 import Ia3Method
from .lora import LoraMethod
from .meft import MeftMethod
from .method import Matrix, MethodChoices, marks, update
from .qalora import QaLoraMethod

# The first is what a recipe means that names none.
METHODS: tuple[type[MethodChoices], ...] = (LoraMethod, Ia3Method, QaLoraMethod, AdaMixMethod, MeftMethod)

__all__ = ["METHODS", "AdaMixMethod", "Ia3Method", "LoraMethod", "Matrix", "MeftMethod", "MethodChoices", "QaLoraMethod", "marks", "update"]
