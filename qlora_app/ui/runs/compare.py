"""Several runs beside each other: their curves in one picture, the settings that differ, the answers to the same
questions. Every word that a person or a model wrote is escaped here.
"""

from collections.abc import Sequence
from html import escape
from typing import Any

from ...choices import dotted_name, iter_settings, value_at
from ...differs import in_words
from ...formatting import loss_figure
from ...recipe import Recipe
from ...runs import Run
from ...runs.proof import Proof
from ...runs.recipes import recipe_of
from ...runs.rows import SampleRow
from ..context import AppContext, for_visitors
from .card_parts import NO_FIGURE, title_of
from .written import by_question, right_mark, written

MOST_COMPARED = 12
IN_COLOUR = 3  # the others are grey
MOST_QUESTIONS = 12
MOST_POINTS = 200
WIDTH, HEIGHT = 1000.0, 300.0  # of the picture, which is stretched to its place
Curve = list[tuple[float, float]]


def compare_words(page: AppContext, ids: Sequence[str]) -> str:
    """The page that compares these runs; those that are gone are left out."""
    runs = [run for run in map(page.find, dict.fromkeys(ids[:MOST_COMPARED])) if run is not None]
    back = '<button type="button" class="back" data-do="back">← Runs</button>'
    head = f'<div class="line">{back}<h2>{f"{len(runs)} runs compared" if len(runs) > 1 else "Compare"}</h2></div>'
    if len(runs) < 2:
        return f'{head}<p class="quiet">Choose two runs or more in the list. Those of this link are gone.</p>'
    open_ones = [run for run in runs if page.may_open(run)]
    return (
        f'{head}<div class="compared">{_figures(runs)}{_curves(runs)}{_settings(page, open_ones)}'
        f"{_questions(open_ones)}</div>"
    )


def _key(number: int) -> str:
    return f"c{number + 1}" if number < IN_COLOUR else "grey"


def _name(number: int, run: Run) -> str:
    return (
        f'<button type="button" class="link" data-run="{escape(run.id)}" translate="no"><i class="line-key '
        f'{_key(number)}" aria-hidden="true"></i>{escape(title_of(run))}</button>'
    )


def _figures(runs: Sequence[Run]) -> str:
    rows = ""
    for number, run in enumerate(runs):
        status, heldout = run.status(), Proof.from_json(run.proof()).heldout
        held_out = status.held_out_loss if heldout.loss.after is None else heldout.loss.after
        shown = [
            _figure(held_out, loss_figure),
            _figure(status.loss, loss_figure),
            _figure(heldout.exact_match.after, "{:.0%}".format),
            f"{status.step:,}",
        ]
        cells = "".join(f"<td>{one}</td>" for one in shown)
        rows += f'<tr><th scope="row">{_name(number, run)}</th>{cells}</tr>'
    heads = ("Run", "Held-out loss", "Training loss", "Right", "Steps")
    return _table(heads, rows, "figures")


def _figure(value: float | None, say: Any) -> str:
    return NO_FIGURE if value is None else str(say(value))


# ---- curves


def _curves(runs: Sequence[Run]) -> str:
    read = [run.curve() for run in runs]
    held_out: list[Curve] = [[(float(step), float(loss)) for step, loss in one.held_out] for one in read]
    points = [one.points(MOST_POINTS) for one in read]
    training: list[Curve] = [list(zip(one["x"], one["y"], strict=True)) for one in points]
    has_held_out = any(len(one) > 1 for one in held_out)
    first, second = ("checked", "") if has_held_out else ("", "checked")
    return (
        '<fieldset class="which"><legend class="only-read">Curve</legend>'
        f'<label><input type="radio" name="which-curve" value="held" {first}> Held-out loss</label>'
        f'<label><input type="radio" name="which-curve" value="train" {second}> Training loss</label></fieldset>'
        f"{_picture(held_out, runs, 'held')}{_picture(training, runs, 'train')}"
    )


def _picture(curves: Sequence[Curve], runs: Sequence[Run], kind: str) -> str:
    values = [loss for curve in curves for _, loss in curve]
    if not values:
        return f'<div class="overlay {kind}"><p class="quiet">Nothing was measured.</p></div>'
    low, high = min(values), max(values)
    longest = max(step for curve in curves for step, _ in curve) or 1.0
    lines = "".join(
        f'<path class="{_key(number)}" d="{_path(curve, low, high, longest)}"/>'
        for number, curve in reversed(list(enumerate(curves)))
        if curve
    )
    told = "; ".join(
        f"{title_of(run)}: {loss_figure(curve[0][1])} → {loss_figure(curve[-1][1])}"
        for run, curve in zip(runs, curves, strict=True)
        if curve
    )
    middle = (low + high) / 2
    marks = "".join(f"<span>{loss_figure(value)}</span>" for value in (high, middle, low))
    return (
        f'<div class="overlay {kind}"><div class="marks" aria-hidden="true">{marks}</div>'
        f'<svg viewBox="0 0 {WIDTH:.0f} {HEIGHT:.0f}" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(told)}">'
        f'<path class="grid" d="M0 1H{WIDTH}M0 {HEIGHT / 2}H{WIDTH}M0 {HEIGHT - 1}H{WIDTH}"/>{lines}</svg>'
        f'<div class="x-axis"><span>0</span><span>{longest:,.0f} steps</span></div></div>'
    )


def _path(curve: Curve, low: float, high: float, longest: float) -> str:
    span = (high - low) or 1.0
    places = [
        f"{step / longest * WIDTH:.1f} {HEIGHT - 4 - (loss - low) / span * (HEIGHT - 8):.1f}" for step, loss in curve
    ]
    return "M" + "L".join(places) + ("h0.1" if len(places) == 1 else "")


# ---- settings and answers


def _settings(page: AppContext, runs: Sequence[Run]) -> str:
    readable = [(run, recipe) for run in runs if (recipe := recipe_of(run)) is not None]
    recipes = [(run, recipe if page.may_change else for_visitors(recipe)) for run, recipe in readable]
    if len(recipes) < 2:
        return ""
    rows = ""
    for leaf, field in iter_settings(Recipe):
        values = [value_at(recipe, leaf, None) for _, recipe in recipes]
        name = dotted_name(leaf)
        if name in ("name", "note") or all(value == values[0] for value in values):
            continue
        cells = "".join(
            f"<td>{_setting(recipe, name, value)}</td>" for (_, recipe), value in zip(recipes, values, strict=True)
        )
        rows += f'<tr><th scope="row">{escape(field.title or name)}</th>{cells}</tr>'
    if not rows:
        return '<h3>Settings</h3><p class="quiet">All settings are the same.</p>'
    heads = ["Setting", *(_named(run) for run, _ in recipes)]
    return f"<h3>Settings that differ</h3>{_table(heads, rows, 'settings')}"


def _setting(recipe: Recipe, name: str, value: Any) -> str:
    if value is None:
        return NO_FIGURE
    words = in_words(recipe, name, value)
    return f'<span translate="no">{escape(words or NO_FIGURE)}</span>'


def _questions(runs: Sequence[Run]) -> str:
    asked = [by_question(run.samples()) for run in runs]
    shared = [question for question in (asked[0] if asked else {}) if all(question in one for one in asked)]
    if not shared:
        return '<h3>Answers</h3><p class="quiet">No sample question was asked of all of them.</p>'
    rows = ""
    for question in shared[:MOST_QUESTIONS]:
        expected = str(asked[0][question][-1].get("expected") or "")
        cells = "".join(f"<td>{_answer(one[question], expected)}</td>" for one in asked)
        rows += f'<tr><th scope="row">{written(question)}</th>{cells}<td>{written(expected)}</td></tr>'
    heads = ["Question", *map(_named, runs), "Expected"]
    return f"<h3>The same questions</h3>{_table(heads, rows, 'tested')}"


def _answer(rows: Sequence[SampleRow], expected: str) -> str:
    """The newest that the run gave itself; what was asked before its first step is the base's."""
    own = [row for row in rows if row.get("step")]
    if not own:
        return NO_FIGURE
    answer = str(own[-1].get("answer") or "")
    return f"{written(answer)} {right_mark(answer, expected)}"


def _named(run: Run) -> str:
    return f'<span translate="no">{escape(title_of(run))}</span>'


def _table(heads: Sequence[str], rows: str, kind: str) -> str:
    columns = "".join(f'<th scope="col">{head}</th>' for head in heads)
    table = f'<table class="{kind}"><thead><tr>{columns}</tr></thead><tbody>{rows}</tbody></table>'
    return f'<div class="scrolls">{table}</div>'
