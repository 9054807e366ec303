"""What the Hugging Face Hub said, remembered; and a search over it: a box and its hits as buttons."""

import time
from collections.abc import Callable
from html import escape
from typing import Any, ClassVar

import gradio as gr
from gradio.components import Component

from ...errors import UserError
from ..context import AppContext
from ..events import QUIET, Answer, Given
from ..guard import reads
from ..theme import on_click, plain
from ..translate import translate
from .form_values import Values
from .recipe_form import RecipeForm

REMEMBERED = 600.0  # seconds, of what the Hub said about a repository
MOST_REMEMBERED = 500  # repositories


class HubMemory:
    """What was asked of the Hub, for everybody who asks again."""

    def __init__(self, page: AppContext) -> None:
        self.page = page
        self._known: dict[tuple[str, str], tuple[float, Any]] = {}

    def known(self, id: str, revision: str) -> Any:
        """What the Hub said about it not long ago; None where nobody asked."""
        when, known = self._known.get((id, revision), (0.0, None))
        return known if time.monotonic() - when < REMEMBERED else None

    def remember(self, id: str, revision: str, known: Any) -> None:
        if len(self._known) > MOST_REMEMBERED:
            self._known.clear()
        self._known[id, revision] = time.monotonic(), known

    def token(self) -> str | None:
        """Visitors of a demonstration do not look into what only its owner may see."""
        return self.page.settings.token if self.page.may_change else None


class HubFinder(HubMemory):
    """The components of the search and what they do. A subclass says what is searched, and what is done with a hit."""

    kind: ClassVar[str]  # of its elements' names, and of what a click on a hit sends
    nothing: ClassVar[str]  # said where nothing is found

    def __init__(self, page: AppContext, controls: RecipeForm) -> None:
        super().__init__(page)
        self.controls = controls

    def build_search(self, prefix: str, label: str, placeholder: str) -> None:
        with gr.Column(visible=False, elem_id=f"{prefix}-search") as self.panel:
            with gr.Row(elem_classes="keep", equal_height=True):
                self.words = gr.Textbox(
                    label=label,
                    placeholder=placeholder,
                    max_lines=1,
                    scale=3,
                    min_width=120,
                    interactive=True,
                    elem_id=f"{prefix}-words",
                )
                self.go = gr.Button("Search", size="sm", min_width=90, elem_id=f"{prefix}-go")
            self.hits = plain(js_on_load=on_click("pick", self.kind), elem_id=f"{prefix}-hits")

    def wire_search(self, also: set[Component]) -> None:
        """`also`: controls of the form that narrow the search."""
        gr.on([self.go.click, self.words.submit], self.find, {self.words, *also}, self.hits, **QUIET)

    def search(self, words: str, token: str | None, chosen: Values) -> list[Any]:
        """Hits with `id` and `summary()`, with what else is `chosen` on the form. Raises UserError where the Hub gives
        no answer.
        """
        raise NotImplementedError

    @reads
    def find(self, given: Given) -> Answer:
        """The list of hits, or why there is none."""
        return {self.hits: self._found(given[self.words] or "", self.controls.values(given))}

    def _found(self, words: str, chosen: Values) -> str:
        try:
            found = self.search(words, self.token(), chosen)
        except UserError as error:
            return f'<p class="warning" role="alert">{escape(translate(error.problem))}</p>'
        rows = "".join(
            f'<li><button type="button" data-{self.kind}="{escape(hit.id)}"><b translate="no">{escape(hit.id)}</b> '
            f"<span>{escape(hit.summary())}</span></button></li>"
            for hit in found
        )
        return f'<ul class="shelf">{rows}</ul>' if rows else f'<p class="quiet" role="status">{self.nothing}</p>'

    def picked(self, event: gr.EventData, choice: Callable[..., Any]) -> Any:
        """A click on a hit as a choice of the Hub; what comes from the browser must be an id."""
        chosen = choice(source="hub", id=str((event._data or {}).get(self.kind, ""))[:200])
        if problems := chosen.problems():
            raise UserError.of(problems["id"])
        return chosen
