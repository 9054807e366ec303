"""A finished adapter for other programs. Adding a way: a new file here, and one more member of `EXPORTERS`."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from ..errors import UserError
from .adapter import AdapterExporter
from .exporter import Exporter
from .gguf_exporter import GgufExporter
from .gguf_lora import GgufLoraExporter
from .lora import LoraExporter
from .merged import MergedExporter
from .ollama import OllamaExporter
from .script import ScriptExporter
from .space import SpaceExporter

EXPORTERS: dict[str, type[Exporter]] = {
    kind.model_fields["name"].default: kind
    for kind in (
        GgufExporter,
        MergedExporter,
        AdapterExporter,
        LoraExporter,
        GgufLoraExporter,
        OllamaExporter,
        ScriptExporter,
        SpaceExporter,
    )
}


def exporter_of(name: str, choices: Mapping[str, Any]) -> Exporter:
    """The exporter of that name with settings of it. Raises UserError for one it does not have, or a value it does not
    take.
    """
    kind = EXPORTERS[name]
    try:
        return kind.model_validate(choices)
    except ValidationError as error:
        wrong = error.errors()[0]
        setting = str(wrong["loc"][0])
        if setting not in kind.model_fields:
            raise UserError(
                "export.not_its_setting",
                "{setting} is no setting of {name}. Leave it out; it is one of: {formats}.",
                name=kind.title,
                setting=setting,
                formats=", ".join(name for name, one in EXPORTERS.items() if setting in one.model_fields),
            ) from None
        raise UserError(
            "export.wrong_setting",
            "{name} takes no such {setting}: {value}. {why}.",
            name=kind.title,
            setting=setting,
            value=str(choices.get(setting)),
            why=wrong["msg"],
        ) from None


__all__ = [
    "EXPORTERS",
    "AdapterExporter",
    "Exporter",
    "GgufExporter",
    "GgufLoraExporter",
    "LoraExporter",
    "MergedExporter",
    "OllamaExporter",
    "ScriptExporter",
    "SpaceExporter",
    "exporter_of",
]
