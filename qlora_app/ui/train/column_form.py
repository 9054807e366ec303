"""Columns of your data: a table whose heads say which column is what, beside the first rows as they would be learned.
Opens by itself where nobody could know.
"""

from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from ...errors import UserError
from ...messages import Conversation
from ...preflight import examples_of
from ...training_data import DatasetChoice
from ...training_data.first_rows import FirstRows, first_rows
from ...training_data.formats.columns import AskColumns, AskWho
from ...training_data.formats.paths import EACH, FIRST, value_at
from ...training_data.formats.row_view import Reading
from ...training_data.formats.turns import Columns, RowError
from ...training_data.sources.examples import files_of
from ..context import AppContext
from ..events import FAST, LAST, QUIET, Answer, Given
from ..guard import reads
from ..theme import plain
from ..translate import translate
from .data_words import coded, row_words
from .form_values import ANSWERS_BY, COLUMNS, data_of
from .recipe_form import RecipeForm

HEADS = (Path(__file__).parent / "column_heads.js").read_text(encoding="utf-8")
TEMPLATE = COLUMNS + "template"
SILENCE = COLUMNS + "silence_hours"
NOT_USED, AS_RECOGNISED = "not used", "as recognised"  # a column that nobody named
ASKED_FOR = {"prompt": "asks", "answer": "answers", "system": "system", "label": "label"}
MORE = {"input": "input", "options": "options", "messages": "whole conversation"}
ROLES = (*ASKED_FOR, *MORE)
INSTEAD = {  # what cannot be beside what
    "answer": ("label", "messages"),
    "label": ("answer", "messages"),
    "prompt": ("template", "messages"),
    "messages": ("prompt", "answer", "label", "input", "options", "template"),
}
MOST_PEOPLE = 100  # to choose from; any name can be typed
SHOWN = 3  # rows
LONGEST_CELL = 60  # characters


class ColumnForm:
    """Its components and what they do. What is chosen is the recipe's `dataset.columns`, and stands nowhere else."""

    def __init__(self, page: AppContext, controls: RecipeForm) -> None:
        self.page = page
        self.controls = controls

    # ---- components

    def build(self) -> None:
        with gr.Accordion("Columns of your data", open=False, visible=False, elem_id="columns") as self.fold:
            with gr.Row(elem_classes="heads"):
                self.table = plain(js_on_load=HEADS, elem_id="columns-table")
                self.preview = plain(elem_id="columns-preview")
            # What the heads say stands here, unseen: where every setting of the recipe stands.
            with gr.Column(elem_classes="columns-kept"):
                self.lists = {COLUMNS + name: self.controls.build_list(COLUMNS + name) for name in ROLES}
            with gr.Accordion(
                "More: a composed question, who answers", open=False, elem_id="columns-more"
            ) as self.more:
                self.template = self.controls.build_one(TEMPLATE, lines=2, max_lines=6, placeholder="{title}\n{body}")
                with gr.Row(elem_classes="pairs"):
                    self.who = self.controls.build_list(ANSWERS_BY)
                    self.controls.build_one(SILENCE)

    def wire(self) -> Any:
        """Naming another column shows what is learned then. Answers the event after which the data is read anew."""
        named = [control.input for control in (*self.lists.values(), self.template)]
        gr.on(named, self.show, self.controls.data_inputs, self.preview, **QUIET, **LAST)
        outputs = [self.template, *self.lists.values()]
        return self.table.mean(self.mean, self.controls.data_inputs, outputs, **FAST)

    def offer_after(self, event: Any) -> Any:
        """The columns are offered anew after an event; that is one too."""
        outputs = [self.fold, self.more, self.table, self.preview, self.who, *self.lists.values()]
        return event.then(self.offer, self.controls.data_inputs, outputs, **QUIET)

    # ---- handlers

    @reads
    def offer(self, given: Given) -> Answer:
        """The columns the data has, each with what it is; opened where the data cannot be read without that."""
        choice = data_of(self.controls.values(given))
        rows = self._first(choice)
        question = self._question(choice)
        is_there = bool(rows.columns) or question is not None
        is_named = question is not None or bool(choice.columns.given)
        answer: Answer = {
            self.fold: gr.Accordion(visible=is_there),
            self.table: _table(rows, choice, NOT_USED if is_named else AS_RECOGNISED),
            self.preview: self._preview_words(choice, rows),
        }
        names = [("", ""), *((name, name) for name in rows.columns)]
        answer |= {control: gr.update(choices=names) for control in self.lists.values()}
        if question is not None or not is_there:
            answer[self.fold] = gr.Accordion(visible=is_there, open=is_there)
        if isinstance(question, AskWho):  # known until other data is chosen, which is asked for anew
            answer |= {self.who: gr.update(choices=_people(question)), self.more: gr.Accordion(open=True)}
        return answer

    @reads
    def show(self, given: Given) -> Answer:
        """The first rows as they would be learned with what is chosen now."""
        choice = data_of(self.controls.values(given))
        return {self.preview: self._preview_words(choice, self._first(choice))}

    @reads
    def mean(self, given: Given, event: gr.EventData) -> Answer:
        """A head says what its column is; what cannot stand beside it is named no longer."""
        choice = data_of(self.controls.values(given))
        sent = event._data or {}
        column, role = str(sent.get("column", "")), str(sent.get("is", ""))
        if column not in self._first(choice).columns or role not in ("", *ROLES):
            raise UserError("columns.no_such", "There is no such column any longer. Choose the data again.")
        freed = [setting for setting, value in choice.columns.given.items() if _same(value, column)]
        freed += INSTEAD.get(role, ())
        changed = dict.fromkeys(freed, "") | ({role: column} if role else {})
        return {self.controls.controls[COLUMNS + setting]: value for setting, value in changed.items()}

    def asks(self, choice: DatasetChoice) -> bool:
        """Must a person say which column is what, or say it another way?"""
        return self._question(choice) is not None

    def _question(self, choice: DatasetChoice) -> UserError | None:
        try:
            examples_of(choice, self.page.settings.data)
        except UserError as error:
            is_asked = isinstance(error, AskColumns) or any(name.startswith(COLUMNS) for name in error.problems)
            return error if is_asked else None
        return None

    def has(self, choice: DatasetChoice) -> bool:
        """Has the data all columns that are named?"""
        try:
            choice.columns.check(choice.title, self.rows(choice).columns)
        except (UserError, OSError):
            return False
        return True

    def rows(self, choice: DatasetChoice) -> FirstRows:
        """The first rows, none where they are not to be seen. Raises UserError and OSError."""
        if choice.source == "starter" or not choice.id or not self.page.may_change:
            return FirstRows([], [])
        return first_rows(files_of(choice, self.page.settings.data), choice.title, self.page.settings, choice.read_as)

    def _first(self, choice: DatasetChoice) -> FirstRows:
        try:
            return self.rows(choice)
        except (UserError, OSError):  # the face of the data says why
            return FirstRows([], [])

    # ---- words

    def _preview_words(self, choice: DatasetChoice, rows: FirstRows) -> str:
        if not choice.columns.given or not rows.rows:
            return ""
        try:
            choice.columns.check(choice.title, rows.columns)
        except UserError as error:
            listed = "".join(f"<p>{escape(text)}</p>" for text in translate(error.problem).split("\n"))
            return f'<div class="amber" role="status">{listed}</div>'
        learned = rows.learned(choice.columns, choice.turns, SHOWN)
        shown = "".join(learned_words(number, one) for number, one in enumerate(learned, start=1))
        return f'<h4 class="section">As learned</h4>{shown}'


def learned_words(number: int, made: Conversation | str) -> str:
    """A row as it is learned; or why it is left out."""
    if isinstance(made, str):
        return f'<p class="amber">Row {number} is left out: {coded(made)}</p>'
    return row_words(made)


def _people(question: AskWho) -> list[tuple[str, str]]:
    """Whoever could answer with the number of their messages, the likeliest first."""
    names = sorted(question.people, key=lambda name: name != question.guess)
    return [("", ""), *((f"{name} ({question.people[name]:,})", name) for name in names[:MOST_PEOPLE])]


def _table(rows: FirstRows, choice: DatasetChoice, unnamed: str) -> str:
    """Each column with a choice of what it is in its head, and its first cells, so that one sees what is in it.
    unnamed: what is said of a column that nobody named.
    """
    if not rows.columns:
        return ""
    head = "".join(_head(name, choice, unnamed) for name in rows.columns)
    body = "".join(_row(row, rows.columns) for row in _fullest(rows.rows))
    return (
        '<div class="first-rows" role="region" tabindex="0" aria-label="The first rows">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _head(name: str, choice: DatasetChoice, unnamed: str) -> str:
    named = [role for role in ROLES if _same(getattr(choice.columns, role), name)]
    role = named[0] if named else ""
    options = "".join(_option(one, words, role) for one, words in ({"": unnamed} | ASKED_FOR).items())
    more = "".join(_option(one, words, role) for one, words in MORE.items())
    shown = escape(name)
    return (
        f'<th scope="col"><span class="column" translate="no">{shown}</span>'
        f'<select data-column="{shown}" data-is="{role}" aria-label="What is {shown}?">{options}'
        f'<optgroup label="more">{more}</optgroup></select></th>'
    )


def _option(value: str, words: str, chosen: str) -> str:
    return f'<option value="{value}"{" selected" if value == chosen else ""}>{words}</option>'


def _row(row: Columns, names: list[str]) -> str:
    cells = "".join(f"<td>{escape(_cell(row, name))}</td>" for name in names)
    return f'<tr translate="no">{cells}</tr>'


def _fullest(rows: list[Columns]) -> list[Columns]:
    """The first rows in which most columns hold something: what an app wrote before them has empty ones."""
    filled = [sum(value not in (None, "") for value in row.values()) for row in rows]
    most = max(filled, default=0)
    return [row for row, count in zip(rows, filled, strict=True) if count == most][:SHOWN]


def _cell(row: Columns, name: str) -> str:
    try:
        value = value_at(Reading(row), name.replace(EACH, FIRST))
    except RowError:
        value = None
    text = "" if value is None else str(value)
    return text if len(text) <= LONGEST_CELL else f"{text[:LONGEST_CELL]}…"


def _same(named: str, column: str) -> bool:
    return bool(named) and named.strip().lower() == column.strip().lower()
