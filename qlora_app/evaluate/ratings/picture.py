"""A leaderboard as a picture: the interval of each model as a bar; and the same in words for those who do not see."""

from collections.abc import Callable, Sequence
from html import escape

from .leaderboard import Standing

Scale = Callable[[float], float]  # points to where they stand
WIDTH, NAMES, ROW, TOP, RIGHT = 720, 240, 30, 16, 70  # in units of the picture
LONGEST_NAME = 32
STEPS = (10, 20, 50, 100, 200, 500, 1000)  # points between two lines of the scale
MOST_LINES = 7
STYLE = (
    ".ratings{font:13px system-ui,sans-serif;color:#1b1b1f;fill:currentColor}"
    ".ratings .scale{stroke:currentColor;opacity:.2}.ratings .bar{stroke:#2a78d6;stroke-width:6;stroke-linecap:round}"
    ".ratings .dot{fill:currentColor}.ratings .unsure{opacity:.45}"
    "@media (prefers-color-scheme:dark){.ratings{color:#ececf1}}"
)


def svg_of(standings: Sequence[Standing]) -> str:
    """An SVG that needs nothing beside it. Models with too few votes stand there paler."""
    low = min((one.low for one in standings), default=900.0)
    high = max((one.high for one in standings), default=1100.0)
    span = max(1.0, high - low)
    bottom = TOP + ROW * len(standings)

    def x(points: float) -> float:
        return round(NAMES + (points - low) / span * (WIDTH - NAMES - RIGHT), 1)

    parts = [_scale(x, low, high, bottom)]
    for place, one in enumerate(standings):
        parts.append(_row(x, one, TOP + ROW * place + ROW // 2))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="ratings" viewBox="0 0 {WIDTH} {bottom + 30}" role="img" '
        f'aria-label="{escape(words_of(standings))}"><title>Ratings with 95 % intervals</title>'
        f"<desc>{escape(words_of(standings))}</desc><style>{STYLE}</style>{''.join(parts)}</svg>"
    )


def words_of(standings: Sequence[Standing]) -> str:
    """The text alternative of the picture."""
    said = [
        f"{one.rank}. {one.model}: {one.rating:.0f}, 95 % interval {one.low:.0f} to {one.high:.0f}"
        + ("" if one.has_enough else ", not enough votes")
        for one in standings
    ]
    return "Ratings of Bradley and Terry, the best first. " + "; ".join(said) + "."


def _row(x: Scale, one: Standing, y: int) -> str:
    name = one.model if len(one.model) <= LONGEST_NAME else one.model[: LONGEST_NAME - 1] + "…"
    unsure = "" if one.has_enough else " unsure"
    return (
        f'<g class="one{unsure}"><text x="{NAMES - 14}" y="{y + 4}" text-anchor="end">{one.rank}. {escape(name)}</text>'
        f'<line class="bar" x1="{x(one.low)}" x2="{x(one.high)}" y1="{y}" y2="{y}"/>'
        f'<circle class="dot" cx="{x(one.rating)}" cy="{y}" r="5"/>'
        f'<text x="{WIDTH - RIGHT + 14}" y="{y + 4}">{one.rating:.0f}</text></g>'
    )


def _scale(x: Scale, low: float, high: float, bottom: int) -> str:
    step = next((one for one in STEPS if (high - low) / one <= MOST_LINES), STEPS[-1])
    first = int(-(-low // step))
    lines = []
    for points in range(first * step, int(high) + 1, step):
        lines.append(
            f'<line class="scale" x1="{x(points)}" x2="{x(points)}" y1="{TOP}" y2="{bottom}"/>'
            f'<text x="{x(points)}" y="{bottom + 20}" text-anchor="middle">{points}</text>'
        )
    return "".join(lines)
