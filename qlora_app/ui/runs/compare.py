"""Several runs beside each other: their scores and whether the best is better by more than chance, their curves in one
picture, the settings that differ, the answers to the same questions. Every word that a person or a model wrote is
escaped here.
"""

import json
import tempfile
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any
from uuid import uuid4

import gradio as gr

from ...formatting import duration, loss_figure
from ...runs import Run
from ...runs.comparison import MOST_COMPARED, Standing, differing_settings, standings
from ...runs.held_out_answers import HeldOutAnswer, held_out_answers, in_common
from ...runs.metric_files import write_metrics
from ...runs.overlay import AxisName, SeriesName, points_of
from ...runs.recipes import recipe_of
from ...runs.rows import SampleRow
from ..context import AppContext, for_visitors
from ..events import QUIET, Answer, Given
from ..guard import owner_reads, served, told_owners
from ..language import texts_in
from ..theme import plain
from .card_parts import NO_FIGURE, title_of
from .merge_form import MergeForm, merge_form
from .table import texts_of
from .written import by_question, right_mark, written

FOLDER = Path(__file__).parent
SCRIPTS = ("words.js", "chart_scales.js", "chart_smoothing.js", "overlay.js", "merge_form.js", "compare.js")
MOST_QUESTIONS = 40
SERIES: dict[SeriesName, str] = {
    "held_out": "Held-out loss",
    "loss": "Training loss",
    "learning_rate": "Learning rate",
    "grad_norm": "Gradient norm",
    "tokens_per_second": "Tokens/s",
    "memory_mb": "Memory",
}
AXES: dict[AxisName, str] = {"step": "Steps", "seconds": "Time", "tokens": "Tokens"}
# On a phone, where heads have no room, each cell says its own.
STANDINGS = ("Run", "Held-out loss", "Training loss", "Right", "Against the best", "Steps", "Time", "Tokens")
FILES = (
    '<span class="does deeds"><button type="button" class="main" data-do="evaluate">Evaluate these…</button>'
    '<button type="button" data-do="merging">Merge these…</button>'
    '<button type="button" data-do="csv">Metrics as CSV</button>'
    '<button type="button" data-do="parquet">Metrics as Parquet</button></span>'
)
SAVE = """() => setTimeout(() => (document.querySelector('#metrics-ready a, a#metrics-ready, #metrics-ready button, '
 + 'button#metrics-ready')).click(), 150)"""


class Comparison:
    """Its components; the value of `component` is the page as HTML, "" for none."""

    def __init__(self, page: AppContext) -> None:
        self.page = page
        self.merging = MergeForm(page)
        self._temporary = tempfile.TemporaryDirectory(prefix="guanaco-metrics-")

    def build(self) -> gr.HTML:
        """The page, and the file that a browser fetches."""
        script = "".join((FOLDER / name).read_text(encoding="utf-8") for name in SCRIPTS)
        texts = json.dumps(texts_in(script + json.dumps([*SERIES.values(), *AXES.values()])), ensure_ascii=False)
        known = f"const SERIES = {json.dumps(SERIES)};"
        self.merging.build()
        self.component = plain(
            js_on_load=f"const TEXTS = {texts};\n{known}\n{script}",
            server_functions=[served(self.curves), told_owners(self.merging.merge_check)],
            elem_id="comparison",
        )
        self.file = gr.DownloadButton("Save", visible="hidden", elem_id="metrics-ready")
        return self.component

    def wire(self, compared: gr.Textbox) -> None:
        """`compared`: the ids that are compared, with commas between."""
        self.compared = compared
        self.merging.wire()
        self.component.merge(self.merging.merge, None, self.merging.card, **QUIET)
        for made in (
            self.component.csv(self.metrics_csv, {compared}, self.file, **QUIET),
            self.component.parquet(self.metrics_parquet, {compared}, self.file, **QUIET),
        ):
            made.success(None, js=SAVE)

    def curves(self, asked: Any) -> dict[str, Any]:
        """{runs, series, by} -> {lines: [{run, x, y, low, high}]}. Anybody may call this with anything."""
        given = asked if isinstance(asked, dict) else {}
        series: SeriesName = next((one for one in SERIES if one == given.get("series")), "held_out")
        by: AxisName = next((one for one in AXES if one == given.get("by")), "step")
        runs = self._runs(texts_of(given.get("runs")))
        return {"series": series, "by": by, "lines": [{"run": run.id, **points_of(run, series, by)} for run in runs]}

    @owner_reads
    def metrics_csv(self, given: Given) -> Answer:
        """The metrics of all runs that are compared, as one CSV."""
        return self._metrics(given, "metrics.csv")

    @owner_reads
    def metrics_parquet(self, given: Given) -> Answer:
        """The same as Parquet."""
        return self._metrics(given, "metrics.parquet")

    def _metrics(self, given: Given, name: str) -> Answer:
        file = Path(self._temporary.name) / uuid4().hex / name  # two may ask at once
        file.parent.mkdir()
        write_metrics(self._runs(str(given[self.compared]).split(",")), file)
        return {self.file: str(file)}

    def _runs(self, ids: Sequence[str]) -> list[Run]:
        return [run for run in map(self.page.find, dict.fromkeys(ids[:MOST_COMPARED])) if run is not None]


def compare_words(page: AppContext, ids: Sequence[str], left_out: int = 0) -> str:
    """The page that compares these runs; those that are gone are left out. left_out: how many more were chosen."""
    runs = [run for run in map(page.find, dict.fromkeys(ids[:MOST_COMPARED])) if run is not None]
    back = '<button type="button" class="back" data-do="back">← Runs</button>'
    if len(runs) < 2:
        head = f'<div class="line">{back}<h2>Compare</h2></div>'
        return f'{head}<p class="quiet">Choose two runs or more in the list. Those of this link are gone.</p>'
    files, form = (FILES, merge_form(runs)) if page.may_change else ("", "")
    head = f'<div class="line">{back}<h2>{len(runs)} runs compared</h2>{files}</div>'
    more = '<p class="quiet">At most 8 runs are compared; these are the first.</p>' if left_out else ""
    open_ones = [run for run in runs if page.may_open(run)]
    ids_there = escape(json.dumps([run.id for run in runs]))
    return (
        f'{head}{more}{form}<div class="compared" data-runs="{ids_there}">{_standings(standings(runs))}{_chart()}'
        f"{_settings(page, open_ones)}{_answers(open_ones)}</div>"
    )


# ---- how they stand


def _standings(told: Sequence[Standing]) -> str:
    rows = ""
    for number, one in enumerate(told):
        shown = {
            "Held-out loss": _figure(one.held_out_loss, loss_figure),
            "Training loss": _figure(one.loss, loss_figure),
            "Right": _share(one),
            "Against the best": escape(one.against) or NO_FIGURE,
            "Steps": f"{one.steps:,}",
            "Time": _figure(one.seconds, duration),
            "Tokens": _figure(one.tokens, "{:,}".format),
        }
        cells = "".join(f"<td><small>{head}</small> {words}</td>" for head, words in shown.items())
        rows += f'<tr><th scope="row">{_name(number, one.run)}</th>{cells}</tr>'
    return _table(STANDINGS, rows, "standings")


def _name(number: int, run: Run) -> str:
    return (
        f'<button type="button" class="link" data-run="{escape(run.id)}" translate="no"><i class="line-key '
        f'c{number + 1}" aria-hidden="true"></i>{escape(title_of(run))}</button>'
    )


def _figure(value: float | None, say: Any) -> str:
    return NO_FIGURE if value is None else str(say(value))


def _share(one: Standing) -> str:
    """The share, and a bar with its interval, so that one sees how far they overlap."""
    share = one.share
    if share is None:
        return NO_FIGURE
    low, high = share.interval
    told = f"{share.right:,} of {share.questions:,}; 95 % interval: {low:.0%} to {high:.0%}"
    bar = f'<i style="left:{low:.1%};width:{high - low:.1%}"></i><b style="left:{share.value:.1%}"></b>'
    return f'<span title="{told}"><b class="share">{share.value:.0%}</b><span class="interval">{bar}</span></span>'


# ---- curves


def _chart() -> str:
    series = "".join(
        f'<button type="button" data-series="{name}" aria-pressed="false">{words}</button>'
        for name, words in SERIES.items()
    )
    axes = "".join(f'<option value="{name}">{words}</option>' for name, words in AXES.items())
    return (
        f'<figure class="overlay"><div class="switches" role="group" aria-label="Curve">{series}</div>'
        f'<div class="overlay-tools"><label>By <select name="by">{axes}</select></label>'
        '<label><input type="checkbox" name="log"> log scale</label>'
        '<label>Smoothing <input type="range" name="smoothing" min="0" max="10" step="1" value="3"></label></div>'
        '<div class="plot"></div><p class="quiet read" role="status"></p></figure>'
    )


# ---- settings and answers


def _settings(page: AppContext, runs: Sequence[Run]) -> str:
    readable = [(run, recipe) for run in runs if (recipe := recipe_of(run)) is not None]
    recipes = [recipe if page.may_change else for_visitors(recipe) for _, recipe in readable]
    if len(recipes) < 2:
        return ""
    rows = ""
    for one in differing_settings(recipes):
        cells = "".join(f'<td translate="no">{escape(words) or NO_FIGURE}</td>' for words in one.words)
        rows += f'<tr><th scope="row">{escape(one.title)}</th>{cells}</tr>'
    if not rows:
        return '<h3>Settings</h3><p class="quiet">All settings are the same.</p>'
    heads = ["Setting", *(_named(run) for run, _ in readable)]
    return f"<h3>Settings that differ</h3>{_table(heads, rows, 'settings')}"


def _is_telling(answers: Sequence[HeldOutAnswer]) -> bool:
    """Was one question answered right by some only?"""
    return len({answer.is_right for answer in answers}) > 1


def _answers(runs: Sequence[Run]) -> str:
    """Held-out questions that not all answered alike, those first that only some got right; of runs that did not keep
    them the sample questions.
    """
    kept = [answers for run in runs if (answers := held_out_answers(run))]
    common = in_common(kept) if len(kept) == len(runs) else []
    if not common:
        return _samples(runs)
    telling = [one for one in common if _is_telling(one)]
    wordings = [one for one in common if not _is_telling(one) and len({answer.after for answer in one}) > 1]
    shown = [*telling, *wordings][:MOST_QUESTIONS]
    told = f"Of {len(common):,} questions {len(telling):,} were answered right by some of the runs only."
    head = f'<h3>The same questions</h3><p class="quiet">{told}</p>'
    if not shown:
        return head
    heads = ["Question", *map(_named, runs), "Expected"]
    return head + _table(heads, "".join(map(_answer_row, shown)), "tested")


def _answer_row(answers: Sequence[HeldOutAnswer]) -> str:
    first = answers[0]
    cells = "".join(f"<td>{written(one.after)} {right_mark(one.after, one.expected)}</td>" for one in answers)
    return f'<tr><th scope="row">{written(first.question)}</th>{cells}<td>{written(first.expected)}</td></tr>'


def _samples(runs: Sequence[Run]) -> str:
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
    return f'<div class="scrolls" tabindex="0" role="region" aria-label="Comparison">{table}</div>'
