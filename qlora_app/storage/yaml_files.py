"""YAML files of settings, read whole or refused with a reason."""

from pathlib import Path
from typing import Any

from ..errors import UserError
from .reading import LARGEST_YAML, parse_yaml, read_text


def read_yaml(path: Path) -> dict[str, Any]:
    """The nested settings of a recipe file, unchecked. Raises UserError naming the file."""
    try:
        text = read_text(path)
    except (OSError, UnicodeDecodeError) as error:
        raise UserError("recipe.not_readable", "{path} cannot be read: {error}.", path=path, error=error) from error
    if len(text) > LARGEST_YAML:
        raise UserError(
            "recipe.too_long",
            "{path} has {characters:,} characters; a recipe has less than 65,536.",
            path=path,
            characters=len(text),
        )
    try:
        values = parse_yaml(text)
    except ValueError as error:
        raise UserError("recipe.no_yaml", "{path} is not valid YAML: {error}", path=path, error=error) from error
    if not isinstance(values, dict):
        raise UserError(
            "recipe.empty", "{path} holds no settings. A recipe looks like `training: {{epochs: 2}}`.", path=path
        )
    return values
