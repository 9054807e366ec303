"""What a person can choose: groups of settings, each declared once; form, command line and file are made from it."""

from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field
from pydantic.fields import FieldInfo


class Choices(BaseModel):
    """A group of settings a person can change: frozen, and a misspelt name is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def setting(default: Any, title: str, description: str, *, labels: dict[str, str] | None = None, recorded: bool = False,
            **bounds: Any) -> Any:
    """Declare one setting: its default, the words beside it, its bounds (ge, gt, le, lt), names for its options.

    A recorded one is written when a run starts, and no form asks for it.
    """
    return Field(default, title=title, description=description, json_schema_extra={"labels": labels or {}, "recorded": recorded}, **bounds)


def is_recorded(field: FieldInfo) -> bool:
    return bool((field.json_schema_extra or {}).get("recorded"))


def leaves(section: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Every single setting below a group, as ("training.learning_rate", its declaration)."""
    for name, field in section.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Choices):
            yield from leaves(field.annotation, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", field


def options(field: FieldInfo) -> list[tuple[str, str]] | None:
    """[(words, value)] of a setting with fixed options; None for any other."""
    if get_origin(field.annotation) is not Literal:
        return None
    labels = (field.json_schema_extra or {}).get("labels", {})
    return [(labels.get(value, value), value) for value in get_args(field.annotation)]


def bounds(field: FieldInfo) -> tuple[float | None, float | None]:
    """(lowest, highest) value of a number; None where there is no bound."""
    def bound(*names: str) -> float | None:
        return next((getattr(rule, n) for rule in field.metadata for n in names if hasattr(rule, n)), None)
    return bound("ge", "gt"), bound("le", "lt")
