"""In place of the chat, for a run that learned another task: a box for a text, and what base and adapter make of it,
side by side.
"""

from collections.abc import Iterator
from html import escape
from typing import Any

import gradio as gr

from ...inference.session import ChatSession
from ...runs import Run
from ...tasks import Candidate
from ..context import AppContext
from ..events import FAST, Answer, Given
from ..guard import reads
from ..kept import KEEPS
from ..theme import on_click, plain
from ..translate import translate
from .chips import chips
from .line import Line, NobodyListensError, waiting_words

LONGEST_TEXT = 8000  # characters
EXAMPLES = 4
SHOWN = 8  # candidates
SIDES = ("Before (base model)", "After (your adapter)")


class TryIt:
    """Its components and what they do."""

    def __init__(self, page: AppContext, line: Line) -> None:
        self.page = page
        self.line = line

    # ---- components

    def build(self) -> None:
        with gr.Column(visible=False, elem_id="try-it") as self.panel:
            self.box = gr.Textbox(
                label="Text",
                lines=3,
                max_lines=10,
                max_length=LONGEST_TEXT,
                interactive=True,
                elem_id="try-text",
                elem_classes=KEEPS,
            )
            self.go = gr.Button("Try it", variant="primary", elem_id="try-go")
            self.chips = plain(js_on_load=on_click("pick", "question"), elem_id="try-chips")
            self.result = plain(elem_id="tried")

    @property
    def view(self) -> list[Any]:
        """What `shown` fills."""
        return [self.panel, self.box, self.chips, self.result]

    def wire(self, picker: gr.HTML, answering: dict[str, Any]) -> None:
        """`picker`: its value is the run that is asked. `answering`: how events are called that need a model."""
        self.picker = picker
        inputs = {self.box, picker}
        self.go.click(self.try_out, inputs, self.result, **answering)
        picked = self.chips.pick(self.pick, None, self.box, **FAST)
        picked.success(self.try_out, inputs, self.result, **answering)

    def shown(self, run: Run) -> Answer:
        """The panel for a run that does not chat: what it wants, and held-out texts to try."""
        wanted = run.task().input_label
        if not wanted:
            return self.hidden()
        rows = run.samples() if self.page.may_open(run) else []
        texts = list(dict.fromkeys(str(row.get("question", "")) for row in rows))[:EXAMPLES]
        return {
            self.panel: gr.Column(visible=True),
            self.box: gr.Textbox(label=translate(wanted)),
            self.chips: chips([text for text in texts if text], "Example texts"),
            self.result: "",
        }

    def hidden(self) -> Answer:
        """Where there is nothing to try."""
        return {self.panel: gr.Column(visible=False), self.result: ""}

    # ---- handlers

    @reads
    def pick(self, event: gr.EventData) -> Answer:
        """An example is put into the box."""
        return {self.box: str((event._data or {}).get("question", ""))[:LONGEST_TEXT]}

    @reads
    def try_out(self, given: Given, request: gr.Request) -> Iterator[Answer]:
        """What both make of it; the text stays in its box."""
        text = (given[self.box] or "").strip()[:LONGEST_TEXT]
        run = self.page.store.get(given[self.picker])
        run.task().check_asked(text)
        place = self.line.enter(request)
        try:
            for before in self.line.wait(place, lambda: False):
                yield {self.result: f'<p class="quiet" role="status">{waiting_words(before)}</p>'}
            yield {self.result: '<p class="quiet" role="status">Thinking…</p>'}
            yield {self.result: pictures(self.page.sessions.get(run), text)}
        except NobodyListensError:
            yield {self.result: ""}
        finally:
            self.line.leave(place)


def pictures(session: ChatSession, text: str) -> str:
    """Base and adapter side by side: bars with their words, or the texts they answer."""
    if session.task.has_candidates:
        both = [session.weigh(text, base, SHOWN) for base in (True, False)]
        parts, first = [_bars(found) for found in both], both[1][0]
        summary = (
            f'<p class="score"><span>Your adapter says</span> <b translate="no">{escape(first.text)}</b> '
            f"<span>({first.probability:.0%})</span></p>"
        )
    else:
        answers = [session.respond(text, base) for base in (True, False)]
        parts, summary = [f'<p class="answer" translate="no">{escape(one) or "…"}</p>' for one in answers], ""
    sides = "".join(
        f'<section><h3 class="section">{words}</h3>{part}</section>' for words, part in zip(SIDES, parts, strict=True)
    )
    return f'<div role="status">{summary}<div class="tried">{sides}</div></div>'


def _bars(found: list[Candidate]) -> str:
    rows = "".join(
        f'<li><span class="name" translate="no">{escape(one.text)}</span>'
        f'<span class="bar" aria-hidden="true"><i style="width:{100 * one.probability:.1f}%"></i></span>'
        f'<span class="share">{one.probability:.1%}</span></li>'
        for one in found
    )
    return f'<ol class="bars">{rows}</ol>'
