"""The first tab of a demonstration: how the model that one talks to was made. Nothing on it can be changed."""

import functools
from html import escape
from pathlib import Path

import gradio as gr
from gradio.components import Component

from ...differs import differs_words, figure
from ...errors import UserError
from ...evaluate import Figure
from ...foreign import FOREIGN
from ...formatting import count_of, duration
from ...preflight import examples_of
from ...recipe import Recipe
from ...runs import Run
from ...runs.effect import Colour
from ...runs.proof import Proof
from ...runs.recipes import recipe_of
from ...runs.verdict import verdict
from ...space import is_space
from ...storage.reading import read_json
from ..context import AppContext, for_visitors
from ..events import Answer
from ..runs.card_parts import title_of
from ..runs.run_card import RunCards, run_card
from ..theme import plain

LOOKED_AT = 100  # newest runs, of which the best is shown
COLOURS: tuple[Colour, ...] = ("bad", "fair", "good")
Rank = tuple[float, ...]  # which of COLOURS, the share of right answers that is sure
BAD: Rank = (0, 1.0)
NOT_SAID = "The owner keeps the recipe of this run."
COPY = (
    "Download the app and start it with <code>make run</code>: everything is set, and the model that is built in needs "
    "no GPU. Your own data goes in with one click."
)
COPY_OF_SPACE = (
    "Open the menu of this Space and choose <b>Duplicate this Space</b>. In the settings of your copy, give it a user "
    "and a password as secrets; then you can train there."
)


def best_run(page: AppContext) -> Run | None:
    """The run that visitors are to meet first: of those with the best verdict the one that surely answers most held-out
    questions rightly, and of equals the newest; a bad one only where there is no other. None where no model can be
    talked to yet.
    """
    runs = [page.store.at(id) for id in page.store.ids()[:LOOKED_AT]]
    ranks = {run.id: _rank_of(run) for run in runs}
    proven = [run for run in runs if ranks[run.id]]
    best = max(proven, key=lambda run: ranks[run.id], default=None)  # the first of equals
    if best and ranks[best.id] > BAD:
        return best
    return next((run for run in runs if not ranks[run.id] and run.newest_adapter()), best)


def _rank_of(run: Run) -> Rank:
    """Empty where it is not proven."""
    try:
        return _rank(run.adapter / "proof.json", (run.adapter / "proof.json").stat().st_mtime_ns)
    except OSError:
        return ()


@functools.lru_cache(maxsize=2 * LOOKED_AT)
def _rank(file: Path, written: int) -> Rank:
    """Of one proof, read once for all visits; `written` only tells when it is to be read again."""
    proof = Proof.from_json(read_json(file))
    held_out = proof.heldout
    right = round((held_out.exact_match.after or 0.0) * held_out.questions)
    answers = [1.0] * right + [0.0] * (held_out.questions - right)
    colour = verdict(proof, FOREIGN if proof.data.foreign else "").colour
    return (COLOURS.index(colour), Figure.mean_of(answers).low)


class MadeTab:
    """Its card and its words. It stands where its owner has the form."""

    def __init__(self, page: AppContext, cards: RunCards) -> None:
        self.page = page
        self.cards = cards

    def build(self) -> None:
        """The recipe on the left, the run on the right."""
        with gr.Row(equal_height=False, elem_classes="halves"):
            with gr.Column(scale=4, min_width=300, elem_classes="recipe", elem_id="recipe"):
                self.recipe = plain(elem_id="made")
            with gr.Column(scale=8, min_width=300, elem_classes="stage"):
                self.card = run_card(self.cards, elem_id="live")

    def wire(self) -> None:
        """The card's own buttons."""
        self.cards.wire(self.card)

    @property
    def view(self) -> list[Component]:
        """What `showing` fills."""
        return [self.card, self.recipe]

    def showing(self, run: Run | None) -> Answer:
        """The tab with a run, or with none yet."""
        return {self.card: run.id if run else "", self.recipe: self._words(run) + _own_copy()}

    def _words(self, run: Run | None) -> str:
        if run is None:
            return ""
        recipe = recipe_of(run)
        name = f'<h2 translate="no">{escape(title_of(run))}</h2>'
        if recipe is None or not self.page.may_open(run):
            return f'{name}<p class="quiet">{NOT_SAID}</p>'
        return f"{name}<dl>{self._lines(for_visitors(recipe), run)}</dl>"

    def _lines(self, recipe: Recipe, run: Run) -> str:
        status, training = run.status(), recipe.training
        time = f" · {duration(status.seconds)}" if status.seconds else ""
        lines = [
            ("Base model", f'<span translate="no">{escape(recipe.base_model.title)}</span>'),
            ("Data", f"{escape(recipe.dataset.title)}{self._rows(recipe)}"),
            ("Method", f'<span translate="no">{escape(recipe.method.title())}</span>'),
            ("Steps", f"{status.step:,} · {figure(training.epochs)} epochs{time}"),
            ("Learning rate", f"{figure(training.learning_rate)}"),
            ("Batch size", f"{training.batch_size}"),
        ]
        if differing := differs_words(recipe):
            lines.append(("Not as recommended", f'<span translate="no">{escape(differing)}</span>'))
        return "".join(f"<div><dt>{name}</dt><dd>{words}</dd></div>" for name, words in lines)

    def _rows(self, recipe: Recipe) -> str:
        try:
            examples = examples_of(recipe.dataset, self.page.settings.data)
        except (UserError, OSError):
            return ""
        learned, held_out = len(examples.train), len(examples.held_out)
        return f"<small>{count_of(learned, 'row')} to learn from, {held_out:,} held out</small>"


def _own_copy() -> str:
    how = COPY_OF_SPACE if is_space() else COPY
    return f"<h3>Make your own copy</h3><p>{how}</p>"
