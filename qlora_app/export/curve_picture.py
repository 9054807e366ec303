"""The loss of a run as a picture for its card on the Hub, with what it shows in words."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..formatting import loss_figure
from ..runs import Run

SIZE = (900, 360)  # pixels
FINE = 2  # drawn so many times as large: then lines are smooth
LEFT, TOP, RIGHT, BOTTOM = 70, 24, 24, 48  # what stands around the lines
INK, GREY, TRAINED, HELD_OUT = "#1f2328", "#d0d7de", "#0f766e", "#b45309"
LINES = 4  # across

Points = Sequence[tuple[int, float]]  # (step, nats a token)


def draw_curve(run: Run, file: Path) -> str:
    """Write a PNG; answers what it shows, "" where a run has no loss to draw, as one that was made elsewhere."""
    rows = run.metrics()[0]
    trained, held_out = _points(rows, "loss"), _points(rows, "held_out_loss")
    if len(trained) < 2:
        return ""
    _draw(trained, held_out, file)
    words = f"Loss over {trained[-1][0]:,} steps: of training from {_from_to(trained)}"
    return f"{words}; of held-out examples from {_from_to(held_out)}" if len(held_out) > 1 else words


def _points(rows: Sequence[Any], name: str) -> list[tuple[int, float]]:
    found = [(row["step"], row.get(name)) for row in rows]
    return sorted((step, loss) for step, loss in found if isinstance(loss, int | float) and math.isfinite(loss))


def _from_to(points: Points) -> str:
    return f"{loss_figure(points[0][1])} to {loss_figure(points[-1][1])}"


def _draw(trained: Points, held_out: Points, file: Path) -> None:
    from PIL import Image, ImageDraw, ImageFont

    width, height = SIZE
    steps, most = max(1, trained[-1][0]), max(loss for _, loss in [*trained, *held_out]) or 1.0
    picture = Image.new("RGB", (width * FINE, height * FINE), "white")
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(13 * FINE)

    def at(step: float, loss: float) -> tuple[float, float]:
        across = LEFT + step / steps * (width - LEFT - RIGHT)
        down = height - BOTTOM - loss / most * (height - TOP - BOTTOM)
        return across * FINE, down * FINE

    for part in range(LINES + 1):
        loss = most * part / LINES
        x, y = at(0, loss)
        pen.line([(x, y), at(steps, loss)], fill=GREY, width=FINE)
        pen.text((x - 8 * FINE, y), loss_figure(loss), fill=INK, font=font, anchor="rm")
        pen.text(at(steps * part / LINES, -most / 14), f"{steps * part // LINES:,}", fill=INK, font=font, anchor="mm")
    for points, colour in ((trained, TRAINED), (held_out, HELD_OUT)):
        if len(points) > 1:
            pen.line([at(*point) for point in points], fill=colour, width=2 * FINE, joint="curve")
    legend = [("training", TRAINED)] + ([("held out", HELD_OUT)] if len(held_out) > 1 else [])
    for place, (word, colour) in enumerate(legend):
        pen.text(((width - RIGHT) * FINE, (TOP + 8 + 18 * place) * FINE), word, fill=colour, font=font, anchor="rm")
    pen.text((width / 2 * FINE, (height - 12) * FINE), "step", fill=INK, font=font, anchor="mm")
    picture.resize(SIZE, Image.Resampling.LANCZOS).save(file, optimize=True)
