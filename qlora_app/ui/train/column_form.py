"""Columns of your data: which column is what, with the first rows as they would be learned. Opens by itself where
nobody could know.
"""

from html import escape
from typing import Any

import gradio as gr

from ...errors import UserError
from ...messages import Conversation, flatten
from ...preflight import examples_of
from ...training_data import DatasetChoice
from ...training_data.first_rows import FirstRows, first_rows
from ...training_data.formats.columns import AskColumns, AskWho
from ...training_data.sources.examples import files_of
from ..context import AppContext
from ..events import LAST, QUIET, Answer, Given
from ..guard import reads
from ..theme import plain
from ..translate import translate
from .form_values import ANSWERS_BY, COLUMNS, data_of
from .recipe_form import RecipeForm

TEMPLATE = COLUMNS + "template"
SILENCE = COLUMNS + "silence_hours"
MOST_PEOPLE = 100  # to choose from; any name can be typed
SHOWN = 3  # rows
LONGEST_CELL, LONGEST_TEXT = 60, 300  # characters
NO_COLUMNS = "Data that has no columns is read as it is."
STARTER = "The starter's datasets are read as they are. Choose data of your own to say which of its columns is what."


class ColumnForm:
    """Its components and what they do. What is chosen is the recipe's `dataset.columns`, and stands nowhere else."""

    def __init__(self, page: AppContext, controls: RecipeForm) -> None:
        self.page = page
        self.controls = controls

    # ---- components

    def build(self) -> None:
        with gr.Accordion("Columns of your data", open=False, elem_id="columns") as self.fold:
            self.table = plain(elem_id="columns-table")
            self.lists: dict[str, gr.Dropdown] = {}
            for pair in (("prompt", "answer"), ("input", "system"), ("label", "options"), ("messages",)):
                with gr.Row(elem_classes="pairs"):
                    self.lists |= {COLUMNS + name: self.controls.build_list(COLUMNS + name) for name in pair}
            with gr.Row(elem_classes="pairs"):
                self.who = self.controls.build_list(ANSWERS_BY)
                self.controls.build_one(SILENCE)
            self.template = self.controls.build_one(TEMPLATE, lines=2, max_lines=6, placeholder="{title}\n{body}")
            self.preview = plain(elem_id="columns-preview")

    def wire(self) -> None:
        """Naming another column shows what is learned then."""
        named = [control.input for control in (*self.lists.values(), self.template)]
        gr.on(named, self.show, self.controls.inputs, self.preview, **QUIET, **LAST)

    def offer_after(self, event: Any) -> Any:
        """The columns are offered anew after an event; that is one too."""
        outputs = [self.fold, self.table, self.preview, self.who, *self.lists.values()]
        return event.then(self.offer, self.controls.inputs, outputs, **QUIET)

    # ---- handlers

    @reads
    def offer(self, given: Given) -> Answer:
        """The columns the data has, to choose from; opened where the data cannot be read without a choice."""
        choice = data_of(self.controls.values(given))
        rows, words = self._first(choice)
        names = [("", ""), *((name, name) for name in rows.columns)]
        answer: Answer = {self.table: words, self.preview: self._preview_words(choice, rows)}
        answer |= {control: gr.update(choices=names) for control in self.lists.values()}
        question = self._question(choice)
        if question is not None:
            answer[self.fold] = gr.Accordion(open=True)
        if isinstance(question, AskWho):  # known until other data is chosen, which is asked for anew
            answer[self.who] = gr.update(choices=_people(question))
        return answer

    @reads
    def show(self, given: Given) -> Answer:
        """The first rows as they would be learned with what is chosen now."""
        choice = data_of(self.controls.values(given))
        return {self.preview: self._preview_words(choice, self._first(choice)[0])}

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

    def _first(self, choice: DatasetChoice) -> tuple[FirstRows, str]:
        """(the first rows, they as a table, or why there are none)"""
        if choice.source == "starter":
            return FirstRows([], []), _quiet(STARTER)
        try:
            rows = self.rows(choice)
        except UserError as error:
            return FirstRows([], []), _quiet(translate(error.problem))
        except OSError:  # the line under the data says why
            return FirstRows([], []), ""
        return rows, _table(rows) if rows.columns else _quiet(NO_COLUMNS)

    # ---- words

    def _preview_words(self, choice: DatasetChoice, rows: FirstRows) -> str:
        if not choice.columns.given or not rows.rows:
            return ""
        try:
            choice.columns.check(choice.title, rows.columns)
        except UserError as error:
            listed = "".join(f"<p>{escape(text)}</p>" for text in translate(error.problem).split("\n"))
            return f'<div class="warning" role="status">{listed}</div>'
        shown = "".join(
            row_words(number, one)
            for number, one in enumerate(rows.learned(choice.columns, choice.turns, SHOWN), start=1)
        )
        return f'<h4 class="section">The first rows as they are learned</h4>{shown}'


def _people(question: AskWho) -> list[tuple[str, str]]:
    """Whoever could answer with the number of their messages, the likeliest first."""
    names = sorted(question.people, key=lambda name: name != question.guess)
    return [("", ""), *((f"{name} ({question.people[name]:,})", name) for name in names[:MOST_PEOPLE])]


def _table(rows: FirstRows) -> str:
    """The first cells of every column, so that one sees what is in it."""
    outer = [name for name in rows.columns if name.strip().lower() in rows.rows[0]]
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in outer)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(_cell(row.get(name.strip().lower())))}</td>" for name in outer) + "</tr>"
        for row in rows.rows[:SHOWN]
    )
    return (
        '<div class="first-rows" role="region" tabindex="0" aria-label="The first rows">'
        f'<table translate="no"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def _cell(value: Any) -> str:
    text = "" if value is None else str(value)
    return text if len(text) <= LONGEST_CELL else f"{text[:LONGEST_CELL]}…"


def row_words(number: int, made: Conversation | str) -> str:
    """One row as a conversation, what carries loss underlined as under the microscope; or why it is left out."""
    if isinstance(made, str):
        return f'<p class="warning">Row {number} is left out: {escape(made)}</p>'
    turns = "".join(
        f"<dt>{escape(turn['role'])}</dt><dd>{_turn_words(turn['content'], _is_learned(turn))}</dd>"
        for turn in flatten(made)[:6]
    )
    if options := made[-1].get("options"):
        turns += f"<dt>options</dt><dd>{escape(' | '.join(options)[:LONGEST_TEXT])}</dd>"
    return f'<dl class="turns" translate="no">{turns}</dl>'


def _is_learned(turn: Any) -> bool:
    return turn.get("train", turn["role"] in ("assistant", "text"))


def _turn_words(text: str, learned: bool) -> str:
    shown = escape(text[:LONGEST_TEXT]) + ("…" if len(text) > LONGEST_TEXT else "")
    return f'<span class="part trained">{shown}</span>' if learned else shown


def _quiet(text: str) -> str:
    return f'<p class="quiet">{escape(text)}</p>'
