"""What is said to work: every method, family and precision that a test
trains, saves and reads back. The table of docs/methods.md is this one.
"""

from ..base_models.families import TRIED
from . import METHODS
from .method import MethodChoices

# The families whose tiny models every claim is tried on: {model_type: what people call it}.
FAMILIES = {model_type: family.title for model_type, family in TRIED.items()}


def claims() -> list[tuple[type[MethodChoices], str, str]]:
    """Every (method, family, precision) that is said to work:
    attached, trained, saved and read back to the same outputs.
    """
    return [
        (method, family, precision)
        for method in METHODS
        for family in method.families or FAMILIES
        for precision in method.precisions
    ]


def table() -> list[str]:
    """The claims as rows of the table in docs/methods.md."""
    return [
        f"| {method.title()} (`{method.model_fields['name'].default}`) | {', '.join(method.precisions)} | "
        f"{_families(method)} |"
        for method in METHODS
    ]


def _families(method: type[MethodChoices]) -> str:
    here = [words for family, words in FAMILIES.items() if family in (method.families or FAMILIES)]
    missing = [words for words in FAMILIES.values() if words not in here]
    if len(missing) > len(here):
        return ", ".join(here)
    return f"all but {', '.join(missing)}" if missing else "all"
