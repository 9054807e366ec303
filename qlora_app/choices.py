"""What a person can choose: groups of settings, each declared once; form, command line and file are made from it."""

import re
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag
from pydantic.fields import FieldInfo


class Choices(BaseModel):
    """A group of settings a person can change: frozen, and a misspelt name is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def setting(
    default: Any,
    title: str,
    description: str,
    *,
    labels: dict[str, str] | None = None,
    recorded: bool = False,
    **bounds: Any,
) -> Any:
    """Declare one setting: its default, the words beside it, its bounds (ge, gt, le, lt), names for its options.

    A recorded one is written when a run starts, and no form asks for it.
    """
    return Field(
        default,
        title=title,
        description=description,
        json_schema_extra={"labels": labels or {}, "recorded": recorded},
        **bounds,
    )


def is_recorded(field: FieldInfo) -> bool:
    return bool((field.json_schema_extra or {}).get("recorded"))


def one_of_kinds(kinds: Sequence[type[Choices]]) -> Any:
    """The type of a group that is one of several kinds, told apart by their `name: Literal[...]`; the first where none
    is given.
    """
    names = [_kind(kind) for kind in kinds]

    def named(values: Any) -> str:
        name = values.get("name", names[0]) if isinstance(values, dict) else getattr(values, "name", names[0])
        return name if isinstance(name, str) else "?"

    wrong = Discriminator(
        named, custom_error_type="unknown_kind", custom_error_message=f"Input should be {_either(names)}"
    )
    return Annotated[Union[tuple(Annotated[kind, Tag(name)] for kind, name in zip(kinds, names, strict=True))], wrong]  # noqa: UP007


def kinds_of(field: FieldInfo) -> dict[str, type[Choices]]:
    """{name: settings} of a group made by `one_of_kinds`; empty for any other field."""
    if not any(isinstance(rule, Discriminator) for rule in field.metadata):
        return {}
    members = (get_args(member)[0] for member in get_args(field.annotation))
    return {_kind(member): member for member in members}


def iter_settings(section: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Every single setting below a group, as ("training.learning_rate", its declaration).

    Of a group that is one of several kinds: its name ("method.name"), then each kind's settings as "method[lora].rank".
    """
    for name, field in section.model_fields.items():
        if kinds := kinds_of(field):
            yield f"{prefix}{name}.name", _which(kinds)
            for kind, settings in kinds.items():
                yield from (
                    (leaf, f)
                    for leaf, f in iter_settings(settings, f"{prefix}{name}[{kind}].")
                    if not leaf.endswith("].name")
                )
        elif isinstance(field.annotation, type) and issubclass(field.annotation, Choices):
            yield from iter_settings(field.annotation, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", field


def dotted_name(leaf: str) -> str:
    """A leaf's name as recipes and commands write it: "method[lora].rank" -> "method.rank"."""
    return re.sub(r"\[\w+\]", "", leaf)


def variant_of(leaf: str) -> str:
    """The kind a leaf belongs to: "method[lora].rank" -> "lora"; empty for one that is always there."""
    found = re.search(r"\[(\w+)\]", leaf)
    return found[1] if found else ""


def value_at(choices: Any, leaf: str, otherwise: Any = None) -> Any:
    """The value of a leaf; `otherwise` where another kind of its group is chosen."""
    for part in leaf.split("."):
        group, _, kind = part.partition("[")
        choices = getattr(choices, group)
        if kind and choices.name != kind[:-1]:
            return otherwise
    return choices


def merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """`below` with every setting that `above` names replaced, group by group; of a group of another kind nothing of it
    stays.
    """
    result = dict(below)
    for name, value in above.items():
        there = result.get(name)
        if isinstance(value, dict) and isinstance(there, dict):
            changes_kind = "name" in value and "name" in there and value["name"] != there["name"]
            result[name] = value if changes_kind else merged(there, value)
        else:
            result[name] = value
    return result


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


def _kind(settings: type[Choices]) -> str:
    return settings.model_fields["name"].default


def _which(kinds: dict[str, type[Choices]]) -> FieldInfo:
    """The setting that says which kind: the words of the first, the options of all."""
    fields = [settings.model_fields["name"] for settings in kinds.values()]
    labels = {name: words for field in fields for name, words in (field.json_schema_extra or {})["labels"].items()}
    made = setting(fields[0].default, fields[0].title, fields[0].description, labels=labels)
    made.annotation = Literal[tuple(kinds)]
    return made


def _either(names: list[str]) -> str:
    return " or ".join(filter(None, [", ".join(repr(n) for n in names[:-1]), repr(names[-1])]))
