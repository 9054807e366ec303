"""Under the data, where it is in doubt how it is to be learned or read: what was guessed, each guess to be taken with a
click.
"""

from html import escape
from typing import Any

import gradio as gr

from ...errors import UserError
from ...preflight import examples_of
from ...training_data import DatasetChoice
from ...training_data.first_rows import FirstRows
from ...training_data.formats.columns import AskColumns, ColumnMap, Guess
from ...training_data.read.reading import LABELS, Doubt
from ..context import AppContext
from ..events import FAST, LAST, QUIET, Answer, Given
from ..guard import reads
from ..theme import on_click, plain
from .column_form import ColumnForm
from .data_words import row_words
from .form_values import COLUMNS, DATA_SETTINGS, EVERY, FIELDS, data_of, default_of, title
from .recipe_form import RecipeForm

IS = {  # what a column is, by the setting that names it
    "prompt": "asks",
    "input": "is what the question is about",
    "answer": "answers",
    "label": "is the label",
    "options": "holds the options",
    "system": "is the system text",
    "messages": "holds whole conversations",
    "answers_by": "answers",
}
ALONE = "is learned as plain text"
MOST_VALUES = 8  # of one doubt


class DataAsk:
    """Its component and what it does. What is taken stands in the controls of the recipe, and nowhere else."""

    def __init__(self, page: AppContext, controls: RecipeForm, columns: ColumnForm) -> None:
        self.page = page
        self.controls = controls
        self.columns = columns

    # ---- components

    def build(self) -> None:
        self.panel = plain(js_on_load=on_click("take", "answer"), elem_id="data-ask")

    @property
    def settings(self) -> list[str]:
        """The settings that an answer fills in: which column is what, and how the file is read."""
        named = [name for name in self.controls.controls if name.startswith(COLUMNS)]
        return [*named, *[DATA_SETTINGS + field for field in _fields_of_doubts() if DATA_SETTINGS + field in FIELDS]]

    @property
    def outputs(self) -> list[Any]:
        """What `take` fills."""
        return [self.panel, *[self.controls.controls[name] for name in self.settings]]

    def wire(self) -> Any:
        """The event after which the data is read anew. What a person says another way is asked no longer."""
        said = [self.controls.controls[name].input for name in self.settings]
        gr.on(said, self.offer, self.controls.data_inputs, self.panel, **QUIET, **LAST)
        return self.panel.take(self.take, self.controls.data_inputs, self.outputs, **FAST)

    def offer_after(self, event: Any) -> Any:
        """What is in doubt is asked anew after an event; that is one too."""
        return event.then(self.offer, self.controls.data_inputs, self.panel, **FAST)

    # ---- handlers

    @reads
    def offer(self, given: Given) -> Answer:
        """What is to be asked of the data, with the guesses; nothing where nothing is in doubt."""
        return {self.panel: self._words(data_of(self.controls.values(given)))}

    @reads
    def take(self, given: Given, event: gr.EventData) -> Answer:
        """A guess is taken, one of those that were offered: it stands in the settings."""
        choice = data_of(self.controls.values(given))
        answer = str((event._data or {}).get("answer", ""))
        field, is_doubt, value = answer.partition("=")
        if is_doubt:
            return self._taken_doubt(choice, field, value)
        guesses = self._asked(choice).guesses
        if not answer.isdecimal() or int(answer) >= len(guesses):
            raise _gone()
        guess = guesses[int(answer)]
        names = [name for name in self.settings if name.startswith(COLUMNS)]
        named = {
            self.controls.controls[name]: guess.get(name.removeprefix(COLUMNS), default_of(name)) for name in names
        }
        return {self.panel: "", **named}

    def _taken_doubt(self, choice: DatasetChoice, field: str, value: str) -> Answer:
        offered = {(doubt.field, one) for doubt in self._doubts(choice) for one, _ in doubt.values}
        if (field, value) not in offered:
            raise _gone()
        return {self.panel: "", self.controls.controls[DATA_SETTINGS + field]: value}

    # ---- what is asked

    def _asked(self, choice: DatasetChoice) -> AskColumns:
        """Raises UserError where the data asks nothing."""
        try:
            examples_of(choice, self.page.settings.data)
        except AskColumns as error:
            return error
        raise _gone()

    def _doubts(self, choice: DatasetChoice) -> list[Doubt]:
        """How the file is read, as far as that was guessed and nobody has said it."""
        if not self.page.may_show(choice):
            return []
        try:
            doubts = [*getattr(self._asked(choice), "doubts", ())]
        except UserError:
            doubts = []
        doubts += [one for one in self._first(choice).doubts if one.field not in [known.field for known in doubts]]
        return [one for one in doubts if _is_open(choice, one.field)]

    def _first(self, choice: DatasetChoice) -> FirstRows:
        try:
            return self.columns.rows(choice)
        except (UserError, OSError):  # the line under the data says why
            return FirstRows([], [])

    # ---- words

    def _words(self, choice: DatasetChoice) -> str:
        if choice.source == "starter" or not choice.id or not self.page.may_change:
            return ""
        try:
            guesses = list(self._asked(choice).guesses)
        except UserError:
            guesses = []
        rows = self._first(choice)
        doubts = "".join(_doubt_words(one) for one in self._doubts(choice))
        listed = "".join(_guess_words(number, guess, rows, choice.turns) for number, guess in enumerate(guesses))
        if listed:
            listed = (
                f'<p class="asked">How is this data to be learned?</p><ul class="guesses">{listed}</ul>'
                '<p class="quiet">If none of these is right, say it under "Columns of your data".</p>'
            )
        return f'<div class="asks">{doubts}{listed}</div>' if doubts or listed else ""


def _gone() -> UserError:
    return UserError(
        "dataset.no_such_guess", 'This guess is no longer there. Say under "Columns of your data" which column is what.'
    )


def _fields_of_doubts() -> list[str]:
    """Settings of the data that say how it is read."""
    return [name.removeprefix(DATA_SETTINGS) for name in FIELDS if _says_how(name)]


def _says_how(name: str) -> bool:
    return name.startswith(DATA_SETTINGS) and name.removeprefix(DATA_SETTINGS) in DatasetChoice.model_fields


def _is_open(choice: DatasetChoice, field: str) -> bool:
    """Has nobody said it yet?"""
    setting = EVERY.get(DATA_SETTINGS + field)
    return setting is not None and getattr(choice, field) == setting.default


def _guess_words(number: int, guess: Guess, rows: FirstRows, turns: str) -> str:
    """Which column is what, the first row as it is learned then, and a button that takes it."""
    named = " · ".join(
        f'<b translate="no">{escape(column)}</b> <span>{_is(setting, guess)}</span>'
        for setting, column in guess.items()
    )
    learned = rows.learned(ColumnMap(**guess), turns, 1)
    shown = "".join(row_words(one) for one in learned if not isinstance(one, str))
    return (
        f'<li><p id="guess-{number}">{named}</p>{shown}<button type="button" data-answer="{number}" '
        f'aria-describedby="guess-{number}">Learn it like this</button></li>'
    )


def _is(setting: str, guess: Guess) -> str:
    return ALONE if list(guess) == ["answer"] else IS[setting]


def _doubt_words(doubt: Doubt) -> str:
    """A setting that was guessed, and what else it can be, each with what the file holds then."""
    labels = LABELS.get(doubt.field, {})
    buttons = "".join(
        f'<li><button type="button" data-answer="{escape(f"{doubt.field}={value}")}">'
        f"{_value_words(value, labels)}</button> {_taken(value == doubt.guess)}"
        f'<span class="holds" translate="no">{escape(holds[:160])}</span></li>'
        for value, holds in doubt.values[:MOST_VALUES]
    )
    name = DATA_SETTINGS + doubt.field
    words = title(name) if name in FIELDS else doubt.field
    asked = f"<span>{escape(words)}</span>: <span>what is right?</span>"
    return f'<p class="asked">{asked}</p><ul class="doubts">{buttons}</ul>'


def _value_words(value: str, labels: dict[str, str]) -> str:
    if value in labels:
        return f"<span>{escape(labels[value])}</span>"
    return f'<span translate="no">{escape(value)}</span>'


def _taken(is_guess: bool) -> str:
    return '<i class="quiet">taken so far</i> ' if is_guess else ""
