"""What a file holds, as a dataclass: of values that nobody checked, those that fit."""

import functools
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Made = TypeVar("Made", bound="DataclassInstance")
_CONFIG = ConfigDict(allow_inf_nan=False)


def filled(kind: type[Made], values: Any) -> Made:
    """Fields that are missing, or do not fit what is declared (its type, or the bounds of an Annotated one), have
    their defaults; unknown names are passed over.
    """
    return kind(**_fitting(kind, values))


def misfits(kind: "type[DataclassInstance]", values: dict[str, Any]) -> list[str]:
    """The names among `values` that `filled` passes over for what they hold."""
    fitting = _fitting(kind, values)
    return [part.name for part in fields(kind) if part.name in values and part.name not in fitting]


def _fitting(kind: "type[DataclassInstance]", values: Any) -> dict[str, Any]:
    known = values if isinstance(values, dict) else {}
    given: dict[str, Any] = {}
    for name, of_type in _types_of(kind).items():
        if name not in known:
            continue
        value = known[name]
        if isinstance(of_type, type) and is_dataclass(of_type):
            given[name] = filled(of_type, value)
            continue
        try:
            given[name] = _adapter(kind, name).validate_python(value)
        except ValidationError:
            continue
    return given


@functools.cache
def _types_of(kind: "type[DataclassInstance]") -> dict[str, Any]:
    hints = get_type_hints(kind, include_extras=True)
    return {part.name: hints[part.name] for part in fields(kind)}


@functools.cache
def _adapter(kind: "type[DataclassInstance]", name: str) -> TypeAdapter[Any]:
    return TypeAdapter(_types_of(kind)[name], config=_CONFIG)
