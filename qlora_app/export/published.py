"""What leaves this machine says nothing of it: no folders, no account, no notes."""

import json
from pathlib import Path

from ..storage.files import write_json

OF_THIS_MACHINE = ("is_local", "local_files_only", "name_or_path")


def without_places(folder: Path) -> None:
    """Take out of a tokenizer's settings what transformers wrote of where it lay."""
    file = folder / "tokenizer_config.json"
    if not file.is_file():
        return
    config = json.loads(file.read_text(encoding="utf-8"))
    write_json(file, {name: value for name, value in config.items() if name not in OF_THIS_MACHINE})
