"""A config.json that somebody wrote: what it says is believed only where it makes sense, and nothing in it may ask for
a program of its author.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..storage.reading import NotAFile, read_text
from .shapes import EXPERTS, FORWARD, HEAD_SIZE, HEADS, HIDDEN, LAYERS, POSITIONS, VOCABULARY, shapes_of

LARGEST = 70_000_000  # bytes of a JSON that is read; a tokenizer of a quarter of a million tokens has 35 million
# Of those that every look at a model reads: those of published models have a few thousand, with many labels 500,000.
LARGEST_CONFIG = 2_000_000
CONFIGS = ("config.json", "generation_config.json", "adapter_config.json", "special_tokens_map.json")
NUMBERS = {*EXPERTS, *FORWARD, *HEAD_SIZE, *HEADS, *HIDDEN, *LAYERS, *POSITIONS, *VOCABULARY}
NUMBERS |= {"seq_length", "num_key_value_heads", "moe_intermediate_size", "position_buckets", "type_vocab_size"}
TEXTS = ("model_type", "dtype", "torch_dtype")
LARGEST_SIZE = 1 << 32  # of anything in a model
MOST_LAYERS = 10_000
MOST_TIMES = 10  # as many parameters as the weights have: sizes read from a config are rough for unusual families
_PROGRAM = re.compile(r"[\w.-]+/[\w.-]+--[\w.]+")  # "owner/name--module.Class"


def read_config(path: Path) -> Any:
    """What a file of JSON holds. Raises UserError for one that is none, no file that can be read, or far too large."""
    import json

    try:
        return json.loads(read_text(path, LARGEST_CONFIG if path.name in CONFIGS else LARGEST))
    except NotAFile as error:
        raise UserError(
            "model.file_not_read",
            "{path} cannot be read: {reason}. Download the model again.",
            path=path,
            reason=error.problem,
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(
            "model.broken_json",
            "{path} is not valid JSON ({error}). Download the model again.",
            path=path,
            error=str(error)[:80],
        ) from error


def check_sense(name: str, config: dict[str, Any]) -> None:
    """Raises UserError for a setting that no model can have."""
    for setting, value in config.items():
        if setting in NUMBERS and not _is_size(value, MOST_LAYERS if setting in LAYERS else LARGEST_SIZE):
            raise _odd(name, setting, value)
        if setting in TEXTS and not isinstance(value, str | None):
            raise _odd(name, setting, value)
    named = config.get("architectures")
    if named is not None and not isinstance(named, list):
        raise _odd(name, "architectures", named)


def check_size(name: str, config: dict[str, Any], parameters: int | None) -> None:
    """Raises UserError for a config whose model would be far larger than all weights there are: whoever opens it would
    make thousands of layers, or tables of billions of rows, before the first weight is read.
    """
    shapes = shapes_of(config)
    if not parameters or shapes is None or shapes.parameters <= MOST_TIMES * parameters:
        return
    raise UserError(
        "model.larger_than_weights",
        "The config.json of {name} describes a model of {said:,} parameters, and its weights have {parameters:,}. "
        "Download the model again.",
        name=name,
        said=shapes.parameters,
        parameters=parameters,
    )


def _is_size(value: Any, most: int) -> bool:
    """A number from 0 on, nothing, or several of them, as models have them whose layers differ."""
    if isinstance(value, list):
        return len(value) <= MOST_LAYERS and not any(isinstance(one, list) or not _is_size(one, most) for one in value)
    return value is None or (isinstance(value, int) and not isinstance(value, bool) and 0 <= value < most)


def _odd(name: str, setting: str, value: Any) -> UserError:
    return UserError(
        "model.odd_config",
        "The config.json of {name} gives {value} as {setting}, which no model has. Download the model again.",
        name=name,
        setting=setting,
        value=repr(value)[:60],
    )


def program_in(config: Any) -> str:
    """What in a config asks for a program of its author, at any depth, as "setting: value"; "" where nothing does."""
    for setting, value in _settings(config):
        if setting in ("auto_map", "custom_pipelines") and value:
            named = next(iter(value.values()), value) if isinstance(value, dict) else value
            return f"{setting}: {str(named)[:80]}"
        if setting == "trust_remote_code" and value:
            return setting
        if setting.endswith("_implementation") and isinstance(value, str) and not value.replace("_", "").isalnum():
            return f"{setting}: {value[:80]}"  # a slash names a repository of kernels on the Hub
        if isinstance(value, str) and _PROGRAM.fullmatch(value[:300]):
            return f"{setting}: {value[:80]}"
    return ""


def _settings(config: Any) -> Iterator[tuple[str, Any]]:
    """(name, value) of every setting, those of groups and of lists inside it too."""
    waiting = [config]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            yield from ((str(name), value) for name, value in one.items())
            waiting.extend(value for value in one.values() if isinstance(value, dict | list))
        elif isinstance(one, list):
            waiting.extend(value for value in one if isinstance(value, dict | list))
