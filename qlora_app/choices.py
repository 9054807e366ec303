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
    part: str = "",
    tasks: Sequence[str] = (),
    **bounds: Any,
) -> Any:
    """Declare one setting: its default, the words beside it, its bounds (ge, gt, le, lt), names for its options.

    A recorded one is written when a run starts, and no form asks for it. `part`: where in a form it stands, if not
    with the others of its group. `tasks`: the only ones that make use of it.
    """
    extra: dict[str, Any] = {"labels": labels or {}, "recorded": recorded, "part": part, "tasks": tuple(tasks)}
    return Field(default, title=title, description=description, json_schema_extra=extra, **bounds)


def is_recorded(field: FieldInfo) -> bool:
    return bool(_extra(field).get("recorded"))


def part_of(field: FieldInfo) -> str:
    """The part of a form that a setting asks for; empty for that of its group."""
    return str(_extra(field).get("part", ""))


def tasks_of(field: FieldInfo) -> tuple[str, ...]:
    """The only tasks that make use of a setting; none where every task does."""
    return tuple(_extra(field).get("tasks", ()))


def one_of_kinds(kinds: Sequence[type[Choices]]) -> Any:
    """The type of a group that is one of several kinds, told apart by their `name: Literal[...]`.

    The first where none is given.
    """
    names = [_kind(kind) for kind in kinds]

    def name_of(values: Any) -> str:
        if isinstance(values, dict):
            name = values.get("name", names[0])
        else:
            name = getattr(values, "name", names[0])
        if not isinstance(name, str):
            return "?"
        return name

    discriminator = Discriminator(
        name_of, custom_error_type="unknown_kind", custom_error_message=f"Input should be {_either(names)}"
    )
    tagged = tuple(Annotated[kind, Tag(name)] for kind, name in zip(kinds, names, strict=True))
    return Annotated[Union[tagged], discriminator]  # noqa: UP007


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
        kinds = kinds_of(field)
        if kinds:
            yield f"{prefix}{name}.name", _kind_setting(kinds)
            for kind, settings in kinds.items():
                leaves = iter_settings(settings, f"{prefix}{name}[{kind}].")
                yield from (leaf for leaf in leaves if not leaf[0].endswith("].name"))
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
    if not found:
        return ""
    return found[1]


def value_at(choices: Any, leaf: str, otherwise: Any = None) -> Any:
    """The value of a leaf; `otherwise` where another kind of its group is chosen."""
    for part in leaf.split("."):
        group, _, kind = part.partition("[")
        choices = getattr(choices, group)
        if kind and choices.name != kind[:-1]:
            return otherwise
    return choices


def merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """`below` with every setting that `above` names replaced, group by group.

    Of a group of another kind nothing of it stays.
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
    labels = _extra(field).get("labels", {})
    return [(labels.get(value, value), value) for value in get_args(field.annotation)]


def bounds(field: FieldInfo) -> tuple[float | None, float | None]:
    """(lowest, highest) value of a number; None where there is no bound."""

    return _bound(field, "ge", "gt"), _bound(field, "le", "lt")


def _bound(field: FieldInfo, *names: str) -> float | None:
    for rule in field.metadata:
        for name in names:
            if hasattr(rule, name):
                bound: float = getattr(rule, name)
                return bound
    return None


def _extra(field: FieldInfo) -> dict[str, Any]:
    """What `setting` wrote beside a declaration: its `labels`, and whether it is `recorded`."""
    extra = field.json_schema_extra
    if not isinstance(extra, dict):
        return {}
    return extra


def _kind(settings: type[Choices]) -> str:
    name: str = settings.model_fields["name"].default
    return name


def _kind_setting(kinds: dict[str, type[Choices]]) -> FieldInfo:
    """The setting that says which kind: the words of the first, the options of all."""
    fields = [settings.model_fields["name"] for settings in kinds.values()]
    labels: dict[str, str] = {}
    for field in fields:
        labels.update(_extra(field)["labels"])
    first = fields[0]
    made: FieldInfo = setting(first.default, first.title or "", first.description or "", labels=labels)
    made.annotation = Literal[tuple(kinds)]  # type: ignore[assignment]
    return made


def _either(names: list[str]) -> str:
    return " or ".join(filter(None, [", ".join(repr(n) for n in names[:-1]), repr(names[-1])]))
