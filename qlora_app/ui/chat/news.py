"""What the script of the page is told of a question that is being answered."""

import json
from typing import Any


def news(
    name: str, state: str, note: str = "", answers: dict[int, dict[str, Any]] | None = None, blind: str = ""
) -> str:
    """Of the question of that name: what is put into its row, by the number of the column. blind: the id under which
    two answers are judged that stand there in no order.
    """
    told: dict[str, Any] = {"asking": name, "state": state, "note": note}
    if answers:
        told["answers"] = answers
    if blind:
        told["blind"] = blind
    return json.dumps(told)
