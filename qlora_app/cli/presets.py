"""The presets as a list in a terminal."""

import json
from typing import Any

from rich.console import Console
from rich.table import Table

from ..hardware_fit import (
    asks_for,
    by_size,
    fit,
    here_in_words,
    smallest_card,
)
from ..presets import Presets


def list_presets(presets: Presets, as_json: bool, out: Console) -> None:
    """With what each asks for and whether it fits here; for scripts one list of JSON."""
    usable, broken = presets.all()
    rows: list[dict[str, Any]] = []
    for name in by_size(usable):
        recipe = usable[name]
        rows.append(
            {
                "preset": name,
                "name": recipe.title,
                "note": recipe.note,
                "base_model": recipe.base_model.id or "starter",
                "own": presets.is_own(name),
                "gpu_gb": smallest_card(recipe),
                "here": fit(recipe)[0],
            }
        )
    if as_json:
        mistakes = [{"preset": name, "mistake": text} for name, text in broken.items()]
        print(json.dumps(rows + mistakes, ensure_ascii=False))
        return
    table = Table("preset", "asks for", "this machine", "what it is for", box=None, pad_edge=False)
    for row in rows:
        recipe = usable[row["preset"]]
        table.add_row(row["preset"], asks_for(recipe), here_in_words(recipe), recipe.note or recipe.title)
    for name, text in broken.items():
        table.add_row(name, "", "broken", text)
    out.print(table)
