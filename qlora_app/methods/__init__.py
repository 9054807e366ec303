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

# The families whose tiny models every claim is tried on: model_type, and what people call it.
FAMILIES = {"llama": "LLaMA", "mistral": "Mistral", "qwen2": "Qwen2", "qwen3": "Qwen3", "gemma": "Gemma", "gemma2": "Gemma 2",
            "gemma3_text": "Gemma 3", "phi3": "Phi-3", "gpt2": "GPT-2", "t5": "T5", "bert": "BERT", "roberta": "RoBERTa",
            "deberta-v2": "DeBERTa"}


def claims() -> list[tuple[type[MethodChoices], str, str]]:
    """Every (method, family, precision) that is said to work: attached, trained, saved and read back to the same outputs."""
    return [(method, family, precision) for method in METHODS for family in method.families or FAMILIES for precision in method.precisions]


__all__ = ["FAMILIES", "METHODS", "Ia3Method", "LoraMethod", "Matrix", "MethodChoices", "claims", "marks", "update"]
