"""What is said of the data, as HTML: on its face a few rows with the learned part marked, on its card how many there
are, and what speaks against a start.
"""

import re
from collections.abc import Callable
from html import escape
from pathlib import Path

from ...errors import UserError
from ...formatting import count_of
from ...messages import Conversation, Message, flatten
from ...preflight import examples_of
from ...recipe import Recipe
from ...training_data import DatasetChoice, Examples, NotHere
from ...training_data.formats.columns import AskColumns
from ..context import PRIVATE
from ..translate import translate

SHOWN_ROWS = 3
MOST_TURNS = 6  # of one row
LONGEST_TEXT = 300  # characters of a turn, where several rows are seen; of one alone
LONGEST_ALONE = 2000
MOST_COMPARED = 20_000  # rows, when the longest is looked for
SAYS = {"user": "asks", "assistant": "answers", "system": "system", "text": "text"}

FOR_A_TERMINAL = re.compile(r" \(dataset\.[a-z_.]+=[^)]*\)")

MayShow = Callable[[DatasetChoice], bool]


def coded(text: str) -> str:
    """A sentence in the visitor's language, escaped; what stands between backticks is set as code, and how a terminal
    says it left out.
    """
    said = FOR_A_TERMINAL.sub("", translate(text))
    return re.sub(r"`([^`]+)`", r'<code translate="no">\1</code>', escape(said))


def quiet(text: str) -> str:
    """A remark; what it is made of is already escaped."""
    return f'<p class="quiet">{text}</p>' if text else ""


def face_words(choice: DatasetChoice, data_folder: Path, may_show: MayShow, at: int = 0, alone: bool = False) -> str:
    """What will be learned from: how much, a few rows from `at` on (or that one alone), what is odd."""
    if not choice.id:
        return quiet("Choose data on the left, or drop files there.")
    if not may_show(choice):
        return quiet(escape(translate(PRIVATE)))
    try:
        examples = examples_of(choice, data_folder)
    except NotHere as error:
        return quiet(coded(error.problem))
    except AskColumns as error:
        return f'<h3 class="section">Which column is what?</h3><p class="quiet">{coded(error.problem)}</p>'
    except UserError as error:
        return f'<div class="alert" role="alert"><p>{coded(error.problem)}</p></div>'
    at = max(0, min(at, len(examples.train) - 1))
    rows = _rows(examples, at, 1 if alone else SHOWN_ROWS, LONGEST_ALONE if alone else LONGEST_TEXT)
    because = "" if choice.source == "starter" else quiet(f"{coded(examples.because)}.")
    return (
        f'<div class="learned-from"><h3 class="section">What it will learn from</h3>'
        f'<p class="counts">{counts_words(examples)}</p></div>{because}{few_words(examples)}'
        f"{rows}{_steps(examples, at, alone)}{_odd_words(examples)}"
    )


def card_words(choice: DatasetChoice, data_folder: Path, may_show: MayShow) -> str:
    """In a line: how much there is to learn from, and a way to look at it."""
    if not choice.id or not may_show(choice):
        return ""
    try:
        examples = examples_of(choice, data_folder)
    except NotHere:
        return quiet("Not on this machine yet: the run downloads it.")
    except AskColumns:
        return '<p class="amber">It is not clear yet how this is to be learned. <button data-see>Say it</button></p>'
    except UserError:
        return '<p class="warning">Nothing can be learned from this as it is. <button data-see>Why?</button></p>'
    return f'<p class="quiet counts">{counts_words(examples)} <button type="button" data-see>Look at it</button></p>'


def counts_words(examples: Examples) -> str:
    """How many rows are what."""
    parts = [f"{count_of(len(examples.train), 'row')} to learn from", f"{len(examples.held_out):,} held out"]
    if examples.left_out:
        parts.append(f"{len(examples.left_out):,} left out")
    return " · ".join(parts)


def few_words(examples: Examples) -> str:
    """What hurts later if it is not said now: few rows, few held out."""
    listed = "".join(f"<p>{escape(text)}</p>" for text in examples.few)
    return f'<div class="amber" role="note">{listed}</div>' if listed else ""


def waits_words(choice: DatasetChoice, data_folder: Path) -> str:
    """Why a run cannot start with these data; empty where it can, as far as they are here."""
    if not choice.id:
        return "Choose data first."
    try:
        examples_of(choice, data_folder)
    except NotHere:
        return ""
    except AskColumns:
        return "Start waits: say under Data how the data is to be learned."
    except UserError:
        return "Start waits: nothing can be learned from this data as it is. Choose other data."
    return ""


def refusal_words(problem: str, name: str = "") -> str:
    """What was brought and not taken stays said, with the file's name, until other data is chosen."""
    named = f'<p><b translate="no">{escape(name)}</b></p>' if name else ""
    return f'<div class="alert" role="alert">{named}<p>{coded(problem)}</p><p>No data is chosen now.</p></div>'


def reading_words(names: str) -> str:
    """Files that are still being read, and will be what is learned from."""
    return f'<p class="quiet" data-reading><span>Reading</span> <b translate="no">{escape(names)}</b></p>'


def first_rows_words(conversations: list[Conversation]) -> str:
    """Rows of a file that is still being read."""
    shown = "".join(row_words(one) for one in conversations)
    return f'<h3 class="section">The first rows</h3>{shown}' if shown else ""


def row_words(conversation: Conversation, longest: int = LONGEST_TEXT) -> str:
    """One row as who says what, the learned part marked."""
    turns = flatten(conversation)
    shown = "".join(_turn_words(turn, longest) for turn in turns[:MOST_TURNS])
    more = len(turns) - MOST_TURNS
    if more > 0:
        shown += f'<dt>…</dt><dd class="quiet">{"1 more turn" if more == 1 else f"{more:,} more turns"}</dd>'
    if options := conversation[-1].get("options"):
        shown += f'<dt>options</dt><dd translate="no">{escape(" | ".join(options)[:longest])}</dd>'
    return f'<dl class="turns">{shown}{_judged_words(conversation[-1], longest)}</dl>'


def _judged_words(answer: Message, longest: int) -> str:
    """The answer that was liked less, or whether somebody called this one good."""
    if "rejected" in answer:
        text = answer["rejected"]
        shown = escape(text[:longest]) + ("…" if len(text) > longest else "")
        return f'<dt>rejected</dt><dd translate="no"><del>{shown}</del></dd>'
    if "label" in answer:
        return f"<dt>called</dt><dd>{'good' if answer['label'] else 'bad'}</dd>"
    return ""


def is_learned(turn: Message) -> bool:
    """Is this turn trained on, and not only read?"""
    return bool(turn.get("train", turn["role"] in ("assistant", "text")))


# ---- the sentence before a start


def promise_words(recipe: Recipe, task: str, time: str) -> str:
    """What will be there at the end. `task`: which it is; `time`: "about 2 min", empty where nobody knows."""
    what = PROMISES.get(task, PROMISES["chat"])
    choice = recipe.dataset
    if choice.source == "starter" and recipe.base_model.source == "starter" and task == THEIR_TASK:
        what = OF_THE_STARTER.get(choice.id, what)
    lead = f"After {time}" if time else "When it is done"
    return f'<p class="promise">{lead} {what}</p>'


THEIR_TASK = "chat"  # of the starter's own sets
OF_THE_STARTER = {
    "helper": "it answers these questions instead of going on telling a story, and you can chat with both versions "
    "side by side.",
    "sailor": "it answers like an old sailor instead of going on telling a story, and you can chat with both versions "
    "side by side.",
    "orders": "it turns such sentences into order slips, and you can try both versions side by side.",
}
PROMISES = {
    "chat": "it answers the way your rows do, and you can chat with both versions side by side.",
    "text": "it goes on writing the way your texts do, and you can try both versions side by side.",
    "text_to_text": "it turns texts like these into answers like yours, and you can try both versions side by side.",
    "classification": "it gives texts like these one of your labels, and you can try both versions side by side.",
    "fill_mask": "it fills blanks in texts like yours, and you can try both versions side by side.",
}


# ---- pieces


def _rows(examples: Examples, at: int, count: int, longest: int) -> str:
    places = range(at, min(at + count, len(examples.train)))
    return "".join(_row(place, row_words(examples.train[place], longest)) for place in places)


def _row(place: int, shown: str) -> str:
    """A row with the way to its tokens."""
    button = f'<button type="button" class="link" data-tokens="{place}" aria-label="Tokens of row {place + 1:,}">'
    return f'<div class="row">{shown}{button}tokens</button></div>'


def _turn_words(turn: Message, longest: int) -> str:
    role, text = str(turn["role"]), str(turn["content"])
    shown = escape(text[:longest]) + ("…" if len(text) > longest else "")
    who = escape(SAYS.get(role, role))
    if is_learned(turn):
        return f'<dt>{who}</dt><dd translate="no"><mark>{shown}</mark></dd>'
    return f'<dt>{who}</dt><dd translate="no">{shown}</dd>'


def _steps(examples: Examples, at: int, alone: bool) -> str:
    """Buttons to other rows, and what the mark means."""
    count, step = len(examples.train), 1 if alone else SHOWN_ROWS
    last = min(at + step, count)
    place = f"Row {at + 1:,} of {count:,}" if last == at + 1 else f"Rows {at + 1:,} to {last:,} of {count:,}"
    back, on = (at - step) % count, last % count
    return (
        f'<div class="steps"><button type="button" data-at="{back}" aria-label="Rows before">\u2039</button>'
        f'<button type="button" data-at="{on}" aria-label="Rows after">\u203a</button>'
        '<button type="button" data-at="longest">longest</button>'
        '<button type="button" data-at="shortest">shortest</button>'
        f'<p role="status">{place}</p><p class="legend"><mark>learned</mark> <span>read only</span></p></div>'
    )


def longest_and_shortest(examples: Examples) -> tuple[int, int]:
    """(place of the longest row, of the shortest) by characters: no tokenizer is needed to look at data."""
    some = examples.train[:MOST_COMPARED]
    lengths = [sum(len(turn["content"]) for turn in row) for row in some]
    places = range(len(lengths))
    return max(places, key=lengths.__getitem__), min(places, key=lengths.__getitem__)


def _odd_words(examples: Examples) -> str:
    """What was noticed while the data was read."""
    shown = "".join(f"<li>{coded(text)}</li>" for text in examples.warnings)
    return f'<ul class="warnings">{shown}</ul>' if shown else ""
