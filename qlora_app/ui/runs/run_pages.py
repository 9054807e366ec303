"""What stands on the pages of one run, as HTML: its samples, how to use it, its settings, its log. Every word
that a person or a model wrote is escaped here.
"""

from collections.abc import Callable
from datetime import datetime
from html import escape
from typing import Any

from ...choices import dotted_name, iter_settings, options, value_at
from ...differs import differs, figure, recommended
from ...errors import UserError
from ...formatting import duration, size
from ...jobs import ACTIVE
from ...methods.fitting import CONFIG
from ...recipe import Recipe
from ...runs import Run
from ...runs.labels import labels_of
from ...runs.merges import merge_of
from ...runs.proof import Proof
from ...runs.recipes import recipe_of
from ...runs.reported import reported
from ...runs.rows import SampleRow
from ...storage.reading import LARGEST_YAML, read_bytes, read_json
from ..context import for_visitors
from ..translate import translate
from .card_asked import asked_one
from .card_parts import STATES, title_of
from .merged_part import merged_part
from .written import by_question, right_mark, written

KNOWN_OF_ELSEWHERE = ("base_model.", "method.", "task.")  # settings of an adapter that was made elsewhere
MADE_ELSEWHERE = (
    '<p class="quiet">This adapter was made elsewhere. What it is, is known; how it was trained is not.</p>'
)
LONGEST_LOG = 60_000  # bytes shown; the file has all
NOT_SHOWN = (
    '<p class="quiet">This run learned from uploaded data. Its recipe, its files and its examples are not shown to '
    "visitors; they can talk to it.</p>"
)


# ---- the head


def head_page(run: Run, may_change: bool) -> str:
    """Name, state, when and how long, note and tags, and what can be done."""
    status, labels = run.status(), labels_of(run)
    began = datetime.fromtimestamp(run.created_at())
    dot = "live" if status.is_active else status.state
    spent = f", {duration(status.seconds)}" if status.seconds else ""
    pencil = '<button type="button" class="pencil" data-do="rename" aria-label="Rename" title="Rename">✎</button>'
    note = labels.note_or(run.read_recipe().recipe.note)
    return (
        '<div class="line"><button type="button" class="back" data-do="back">← Runs</button>'
        f'<h2 translate="no">{escape(title_of(run))}</h2>{pencil if may_change else ""}'
        f'<span class="how"><span class="dot {escape(dot)}"></span>{STATES[status.state]}</span>'
        f'<span class="how">{began:%b} {began.day}, {began:%H:%M}{spent}</span>'
        f"{_head_buttons(run, may_change, labels.is_archived)}</div>"
        f"{_note_line(note, labels.tags) + _reported_line(run) if may_change else ''}"
    )


def _head_buttons(run: Run, may_change: bool, is_archived: bool) -> str:
    buttons = []
    if run.newest_adapter() is not None:
        buttons.append('<button type="button" class="main" data-do="chat">Chat</button>')
    if may_change:
        buttons.append('<button type="button" data-do="again">Train again…</button>')
        archive, words = ("unarchive", "Put back in the list") if is_archived else ("archive", "Archive")
        buttons.append(f'<button type="button" data-do="{archive}">{words}</button>')
        buttons.append('<button type="button" class="red" data-do="losing">Delete…</button>')
    return f'<span class="does deeds">{"".join(buttons)}</span>'


def _note_line(note: str, tags: tuple[str, ...]) -> str:
    chips = "".join(
        f'<button type="button" class="tag" data-drop="{escape(tag)}" translate="no">{escape(tag)} ✕</button>'
        for tag in tags
    )
    words = f'<span class="note" translate="no">{escape(note)}</span>' if note else '<span class="quiet">No note</span>'
    return (
        f'<div class="labels">{words}<button type="button" class="pencil" data-do="note" aria-label="Change the note" '
        f'title="Change the note">✎</button>{chips}'
        '<button type="button" class="link" data-do="tag">+ Tag</button></div>'
    )


def _reported_line(run: Run) -> str:
    """Where its measurements can be looked at too: a link, or the command for it."""
    found = reported(run)
    if found is None:
        return ""
    place = f'<code translate="no">{escape(found.command)}</code>'
    if found.url:
        place = f'<a href="{escape(found.url)}" target="_blank" rel="noopener" translate="no">{escape(found.url)}</a>'
    return f'<div class="labels reported"><span class="quiet" translate="no">{escape(found.to)}</span>{place}</div>'


# ---- samples


def samples_page(run: Run, may_change: bool, language: str) -> str:
    """Every sample question with the answer of each step, and for its owner what was asked while it trained."""
    samples = "".join(_sample(question, rows) for question, rows in by_question(run.samples()).items())
    rows = run.asked() if may_change else []
    asked = "".join(asked_one(row, language) for row in rows)
    if asked:
        asked = f'<section class="asked"><h3>Asked while it trained</h3>{asked}</section>'
    return f"{samples}{asked}" or '<p class="quiet">This run was asked no sample questions.</p>'


def _sample(question: str, rows: list[SampleRow]) -> str:
    expected = str(rows[-1].get("expected") or "")
    lines = "".join(_sample_line(row, expected) for row in rows)
    wanted = f"<tr><th scope='row'>Expected</th><td>{written(expected)}</td><td></td></tr>" if expected else ""
    return (
        f'<section class="asked"><h3 translate="no">{escape(question)}</h3>'
        f'<table class="answers"><tbody>{lines}{wanted}</tbody></table></section>'
    )


def _sample_line(row: SampleRow, expected: str) -> str:
    step = row.get("step", 0)
    when = f"Step {step:,}" if isinstance(step, int) and step else "Before training"
    answer = str(row.get("answer") or "")
    return f"<tr><th scope='row'>{when}</th><td>{written(answer)}</td><td>{right_mark(answer, expected)}</td></tr>"


# ---- use it


# ---- settings


def settings_page(run: Run, may_change: bool, find: Callable[[str], Run | None] = lambda id: None) -> str:
    """The recipe in words: first what differs from the recommended one, then all, then the file. find: another run that
    whoever looks at this one sees.
    """
    read = run.read_recipe()
    text = recipe_text(run, may_change)
    file = f'<details><summary>Recipe</summary><pre tabindex="0" translate="no">{escape(text)}</pre></details>'
    if read.problem:
        problem = f'<p class="warning">{escape(translate(read.problem))}</p>' if may_change else ""
        return problem + file
    recipe = read.recipe if may_change else for_visitors(read.recipe)
    files = _files_page(run) if may_change else ""
    if made := merge_of(run):
        return f"{merged_part(made, may_change, find)}{_of_elsewhere(run, recipe)}{files}"
    if Proof.from_json(run.proof()).imported:
        return f"{MADE_ELSEWHERE}{_of_elsewhere(run, recipe)}{files}"
    return f"{_different(recipe, _learned_from(run))}{_all_settings(recipe)}{file}{files}"


def _of_elsewhere(run: Run, recipe: Recipe) -> str:
    """Of an adapter that was not trained here: what its files say, as they say it."""
    config = read_json(run.adapter / CONFIG) or {}
    said = {"method.rank": config.get("r"), "method.alpha": config.get("lora_alpha")}
    said |= {"method.dropout": config.get("lora_dropout")}
    rows = []
    for leaf, field in iter_settings(Recipe):
        name = dotted_name(leaf)
        value = value_at(recipe, leaf, ...)
        value = value if value is ... else said.get(name, value)
        if name.startswith(KNOWN_OF_ELSEWHERE) and field.title and value not in (..., None, "", []):
            rows.append(f"<tr><th scope='row'>{escape(field.title)}</th><td>{value_words(field, value)}</td></tr>")
    return f'<table class="settings all"><tbody>{"".join(rows)}</tbody></table>'


def _learned_from(run: Run) -> int | None:
    """How many examples; None where its proof does not say it."""
    return Proof.from_json(run.proof()).data.trained or None


def _different(recipe: Recipe, examples: int | None) -> str:
    changed = differs(recipe, examples)
    if not changed:
        return '<p class="quiet">Every setting is the recommended one for this model, data and method.</p>'
    usual, rows = recommended(recipe), []
    for leaf, field in iter_settings(Recipe):
        name = dotted_name(leaf)
        if name in changed and value_at(recipe, leaf, ...) is not ...:
            others = value_at(usual, leaf, field.default)
            rows.append(
                f"<tr><th scope='row'>{escape(field.title or name)}</th><td>"
                f"<b>{value_words(field, changed[name])}</b></td>"
                f"<td class='quiet'>{value_words(field, others)}</td></tr>"
            )
    heads = '<th scope="col">Setting</th><th scope="col">This run</th><th scope="col">Recommended</th>'
    return (
        "<h3>Differs from the recommendation</h3>"
        f'<table class="settings"><thead><tr>{heads}</tr></thead><tbody>{"".join(rows)}</tbody></table>'
    )


def _all_settings(recipe: Recipe) -> str:
    rows = []
    for leaf, field in iter_settings(Recipe):
        value = value_at(recipe, leaf, ...)
        if value is ... or not field.title or value in ("", []):
            continue
        rows.append(f"<tr><th scope='row'>{escape(field.title)}</th><td>{value_words(field, value)}</td></tr>")
    return f'<h3>All settings</h3><table class="settings all"><tbody>{"".join(rows)}</tbody></table>'


def value_words(field: Any, value: Any) -> str:
    """A value of a setting as a person reads it, escaped."""
    words = {option: label for label, option in options(field) or []}
    if value in words if isinstance(value, str | int | float) else False:
        return escape(str(words[value]))
    if isinstance(value, bool):
        return "yes" if value else "no"
    shown = figure(value) if isinstance(value, int | float) else str(value)
    return f'<span translate="no">{escape(shown)}</span>'


def recipe_text(run: Run, is_owners: bool) -> str:
    """To its owner as the file has it, so that settings of other versions are seen too."""
    try:
        file = recipe_file(run, is_owners)
    except UserError as error:
        return translate(error.problem)
    return file[:LARGEST_YAML].decode("utf-8", "replace")


def recipe_file(run: Run, is_owners: bool) -> bytes:
    """The recipe as a file; to visitors without what its owner noted down. Raises UserError where it cannot be read."""
    if is_owners:
        try:
            return read_bytes(run.folder / run.spec_file)
        except OSError:
            pass
    elif recipe := recipe_of(run):
        return for_visitors(recipe).to_yaml().encode()
    raise UserError("run.no_recipe_file", "The recipe of this run cannot be read, so there is nothing to download.")


def _files_page(run: Run) -> str:
    files = files_of(run)
    lines = "".join(f'<tr><td translate="no">{escape(name)}</td><td>{size(count)}</td></tr>' for name, count in files)
    return (
        f"<details><summary>Files, {size(sum(count for _, count in files))}</summary>"
        f'<p class="quiet" translate="no">{escape(str(run.folder))}</p><table>{lines}</table></details>'
    )


def files_of(run: Run) -> list[tuple[str, int]]:
    """(name, bytes): the files of the folder itself, then each folder in it as one line, and each checkpoint."""
    alone: dict[str, int] = {}
    folders: dict[str, int] = {}
    for path, count in run.files().items():
        *parents, name = path.split("/")
        if not parents:
            alone[name] = count
            continue
        depth = 2 if parents[0] == run.checkpoints.name else 1
        folder = "/".join(parents[:depth]) + "/"
        folders[folder] = folders.get(folder, 0) + count
    return [*alone.items(), *folders.items()]


# ---- the log


def log_page(run: Run) -> str:
    """The end of what its worker wrote."""
    log = run.log_tail(LONGEST_LOG)
    if not log.strip():
        waits = run.status().state in ("queued", *ACTIVE)
        empty = "Nothing is logged yet." if waits else "The log is empty."
        return f'<p class="quiet">{empty}</p>'
    return f'<pre class="log" tabindex="0" translate="no">{escape(log)}</pre>'
