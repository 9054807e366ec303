"""Chat: the base model and the adapter answer the same message side by side."""

import threading
from collections.abc import Iterator
from datetime import datetime
from html import escape
from typing import Any

import gradio as gr
from gradio.components import Component

from .. import starter
from ..errors import UserError
from ..inference.session import ChatSession, Decoding
from ..messages import Conversation
from ..preflight import examples_of
from ..runs import Run
from .context import AppContext
from .guard import in_words, reads
from .language import LANGUAGES, Written, spoken
from .run_card import (
    NOTHING_HERE,
    recipe_of,
    run_id,
    title_of,
)
from .theme import on_click, plain
from .translate import translate
from .try_it import TryIt

EXAMPLES = 6
LISTED = 100  # newest runs in the picker
LONGEST_MESSAGE = 8000
NOTHING = """<div class="welcome"><h2>Nobody to talk to yet</h2><p>Train a model first: go to <b>Train</b> and press
<b>Start training</b>. You can talk to it as soon as its first checkpoint is saved.</p></div>"""
# A tab's children are put on the page when it is first shown, so wait for the box.
FOCUS = """() => { let n = 0; const go = () => { const box = document.querySelector('#ask textarea');
  box && box.offsetParent ? box.focus() : n++ < 40 && setTimeout(go, 50); }; go(); }"""
NOTHING_YET = "…"
SILENT = "(It answered nothing.)"
THINKING = Decoding.model_fields["thinking"].json_schema_extra["labels"]
History = list[dict[str, Any]]


class ChatTab:
    """Its components and what they do. The conversation itself lives in the two columns, in the person's browser."""

    def __init__(self, page: AppContext) -> None:
        self.page = page
        self.tries = TryIt(page)
        self._answering: dict[str, threading.Event] = {}  # by browser session: set to stop what is being answered there

    # ---- components

    def build(self) -> None:
        self.wanted = gr.State(None)  # the run whose card leads here
        self.empty = plain(NOTHING if self.page.may_change else NOTHING_HERE, elem_classes="sheet")
        with gr.Column(visible=False, elem_classes="sheet chat") as self.all:
            with gr.Row(elem_classes="chat-top", equal_height=True):
                self.picker = gr.Dropdown(
                    [], label="Run", interactive=True, filterable=False, elem_id="chat-run", scale=3, min_width=200
                )
                self.note = plain(elem_id="chat-note", scale=4)
            with gr.Column(elem_classes="talking") as self.talking:
                with gr.Row(elem_classes="columns"):
                    look = {
                        "height": 360,
                        "buttons": ["copy"],
                        "feedback_options": None,
                        "min_width": 260,
                        "render_markdown": False,
                        "reasoning_tags": [("<think>", "</think>")],
                    }
                    self.base = gr.Chatbot(
                        label="Before (base model, sampled at 0.7)",
                        placeholder="What the model says without training",
                        elem_id="before",
                        **look,
                    )
                    self.tuned = gr.Chatbot(
                        label="After (your adapter)",
                        placeholder="What it says with your adapter",
                        elem_id="after",
                        **look,
                    )
                self.chips = plain(js_on_load=on_click("ask", "question"), elem_id="chips")
                with gr.Row(elem_classes="asking", equal_height=True):
                    self.box = gr.Textbox(
                        placeholder="Ask both",
                        label="Message",
                        show_label=False,
                        lines=1,
                        max_lines=5,
                        scale=8,
                        min_width=160,
                        elem_id="ask",
                        max_length=LONGEST_MESSAGE,
                        interactive=True,
                    )
                    self.send = gr.Button("Ask", variant="primary", scale=1, min_width=80, elem_id="send")
                    self.stop = gr.Button("Stop", scale=1, min_width=80, elem_id="stop-chat", visible=False)
                with gr.Accordion("How it is asked", open=False, elem_id="how-asked"):
                    self.system = gr.Textbox(
                        label="System text",
                        lines=2,
                        max_lines=6,
                        max_length=LONGEST_MESSAGE,
                        interactive=True,
                        placeholder="None",
                        elem_id="system-text",
                        info="Stands before the conversation. At first it is the one that all examples had.",
                    )
                    self.thinking = gr.Radio(
                        [(label, value) for value, label in THINKING.items()],
                        value="auto",
                        label="Reasoning",
                        visible=False,
                        elem_id="thinking",
                        info="Does the model reason before it answers? As trained: as most examples did.",
                    )
                with gr.Row(elem_classes="after-chat"):
                    self.retry = gr.Button("Ask again", size="sm", min_width=110)
                    self.clear = gr.Button("Clear", size="sm", min_width=110)
            self.tries.build()

    @property
    def talk(self) -> list[Component]:
        """What an answer fills."""
        return [self.base, self.tuned, self.box, self.note, self.send, self.stop]

    @property
    def view(self) -> list[Component]:
        """What `shown` fills."""
        return [self.empty, self.all, self.picker, self.chips, self.note, *self.panels]

    @property
    def panels(self) -> list[Component]:
        """The chat, or the box of another task."""
        return [self.talking, self.system, *self.tries.view]

    def _panels(self, run: Run) -> list[Any]:
        return [gr.Column(visible=run.task().is_chat), self._trained_system(run), *self.tries.shown(run)]

    def _trained_system(self, run: Run) -> str:
        """The system text of its examples, for those who may see them."""
        recipe = recipe_of(run)
        return run.trained_with().get("system", "") if recipe and self.page.may_show(recipe.dataset) else ""

    # ---- handlers: who one talks to

    def shown(self, wanted: str | None) -> list[Any]:
        """The picker with every run that has an adapter, the wanted one chosen, and its example questions."""
        runs = [run for run in self.page.store.list()[:LISTED] if run.newest_adapter()]
        if not runs:
            return [gr.HTML(visible=True), gr.Column(visible=False), *(gr.skip(),) * (3 + len(self.panels))]
        run = next((run for run in runs if run.id == wanted), runs[0])
        return [
            gr.HTML(visible=False),
            gr.Column(visible=True),
            gr.update(choices=[(_in_a_list(r), r.id) for r in runs], value=run.id),
            self.chip_words(run),
            "",
            *self._panels(run),
        ]

    @reads
    def open(self, event: gr.EventData, request: gr.Request) -> tuple[Any, ...]:
        """From a run's card to the tab, which then talks to that run; what is being answered there by another one
        ends.
        """
        run = self.page.store.get(run_id(event))
        self._stop(request)
        return gr.Tabs(selected="chat"), run.id, "", *_buttons(busy=False)

    @reads
    def refresh(self, wanted: str | None, chosen: str | None, said: History, trained: str | None) -> list[Any]:
        """The tab was chosen: talk to the run one comes from, else go on with a conversation, else take the run of the
        Train tab.
        """
        told = (
            [[], []] if wanted and wanted != chosen else [gr.skip(), gr.skip()]
        )  # another adapter, so a new conversation
        return [*self.shown(wanted or (chosen if said else trained)), *told, None]

    @reads
    def choose(self, chosen: str, request: gr.Request) -> list[Any]:
        """Another run: another adapter, so a new conversation."""
        self._stop(request)
        run = self.page.store.get(chosen)
        return [[], [], self.chip_words(run), "", *_buttons(busy=False), *self._panels(run)]

    @reads
    def warm_up(self, chosen: str | None) -> Iterator[tuple[str, Any]]:
        """(note, switch): load the model while the person is still thinking of a question; only then it is known
        whether it can reason.
        """
        if not chosen:
            yield "", gr.skip()
            return
        yield _note("Loading the model…"), gr.skip()
        try:
            session = self.page.sessions.get(self.page.store.get(chosen))
        except UserError as error:
            yield _note(translate(error.problem)), gr.skip()
            return
        yield "", gr.Radio(visible=session.task.is_chat and session.template.has_thinking)

    # ---- handlers: the conversation

    @reads
    def ask(
        self,
        message: str,
        chosen: str,
        base: History,
        tuned: History,
        request: gr.Request,
        system: str = "",
        thinking: str = "auto",
    ) -> Iterator[tuple[Any, ...]]:
        """The message to both; the box is emptied only when an answer begins."""
        yield from self._answer((message or "").strip(), chosen, base or [], tuned or [], request, system, thinking)

    @reads
    def ask_example(
        self,
        chosen: str,
        base: History,
        tuned: History,
        event: gr.EventData,
        request: gr.Request,
        system: str = "",
        thinking: str = "auto",
    ) -> Iterator[tuple[Any, ...]]:
        question = str(event._data.get("question", ""))[:LONGEST_MESSAGE]
        yield from self._answer(question, chosen, base or [], tuned or [], request, system, thinking, typed=False)

    @reads
    def ask_again(
        self, chosen: str, base: History, tuned: History, request: gr.Request, system: str = "", thinking: str = "auto"
    ) -> Iterator[tuple[Any, ...]]:
        """The last message once more, its answers replaced."""
        last = max((i for i, m in enumerate(tuned or []) if m["role"] == "user"), default=None)
        if last is None:
            raise UserError(
                "chat.nothing_to_ask_again",
                "There is no message yet to ask again. Write one, or choose one of the examples.",
            )
        yield from self._answer(
            text_of(tuned[last]), chosen, (base or [])[:last], tuned[:last], request, system, thinking, typed=False
        )

    def _answer(
        self,
        message: str,
        chosen: str,
        base: History,
        tuned: History,
        request: gr.Request,
        system: str,
        thinking: str,
        typed: bool = True,
    ) -> Iterator[tuple[Any, ...]]:
        if not message:
            raise UserError("chat.no_message", "Write a message first.")
        asked, stop = {"role": "user", "content": message}, threading.Event()
        before, after = answered(base), answered(tuned)
        self._answering[request.session_hash] = stop
        try:
            yield before, after, gr.skip(), _note("Loading the model…"), *_buttons(busy=True)
            run = self.page.store.get(chosen)
            session = self.page.sessions.get(run)
            yield (
                [*before, asked],
                [*after, asked],
                "" if typed else gr.skip(),
                _note("Thinking…"),
                gr.skip(),
                gr.skip(),
            )
            decoding = Decoding(thinking=thinking if thinking in THINKING else "auto")
            first = self._first_turn(run, session, system)
            for_base, for_adapter = ([*first, *conversation([*talk, asked])] for talk in (before, after))
            left_out = session.prompt(for_adapter, decoding).note
            note = _note(left_out) if left_out else ""
            base_text = tuned_text = ""
            for base_text, tuned_text in session.reply(for_base, for_adapter, decoding, stop):
                yield (
                    [*before, asked, _said(base_text)],
                    [*after, asked, _said(tuned_text)],
                    gr.skip(),
                    note,
                    gr.skip(),
                    gr.skip(),
                )
            silent = "…" if stop.is_set() else translate(SILENT)
            yield (
                [*before, asked, _said(base_text, silent)],
                [*after, asked, _said(tuned_text, silent)],
                gr.skip(),
                note,
                *_buttons(busy=False),
            )
        except Exception as error:  # whatever it is, the message must go back into the box
            yield (
                before,
                after,
                message if typed else gr.skip(),
                _note(translate(in_words(error))),
                *_buttons(busy=False),
            )
        finally:
            stop.set()
            if self._answering.get(request.session_hash) is stop:
                del self._answering[request.session_hash]

    def _first_turn(self, run: Run, session: ChatSession, system: str) -> Conversation:
        """The system text as a turn; that of the examples for those who may not see it, and so cannot have changed
        it.
        """
        recipe = recipe_of(run)
        is_shown = recipe is not None and self.page.may_show(recipe.dataset)
        text = (system or "").strip() if is_shown else session.template.system
        return [{"role": "system", "content": text}] if text else []

    def _stop(self, request: gr.Request) -> None:
        """Within a token; cancelling the event alone would wait until its generator is asked for the next one."""
        if stop := self._answering.get(request.session_hash):
            stop.set()

    @reads
    def stopped(self, request: gr.Request) -> tuple[Any, ...]:
        self._stop(request)
        return "", *_buttons(busy=False)

    @reads
    def cleared(self, request: gr.Request) -> tuple[Any, ...]:
        self._stop(request)
        return [], [], "", *_buttons(busy=False)

    # ---- words

    def chip_words(self, run: Run) -> str:
        """Example questions as buttons: the starter dataset's own, else held-out questions of the person's file."""
        chips = "".join(
            f'<button type="button" data-question="{escape(q)}" '
            f'translate="no">{escape(q if len(q) <= 90 else q[:88] + "…")}'
            "</button>"
            for q in self.questions(run)
        )
        return f'<div class="chips" role="group" aria-label="Example questions">{chips}</div>' if chips else ""

    def questions(self, run: Run) -> list[str]:
        recipe = recipe_of(run)
        if recipe is None or not self.page.may_show(recipe.dataset):
            return []
        if recipe.dataset.source == "starter":
            return starter.DATASETS[recipe.dataset.id].questions[:EXAMPLES]
        try:
            examples = examples_of(recipe.dataset, self.page.settings.data)
        except UserError:
            return []  # the file is gone; the adapter can be talked to all the same
        first = [
            next((m["content"] for m in c if m["role"] == "user"), "")
            for c in examples.held_out or examples.train[:EXAMPLES]
        ]
        return [q for q in dict.fromkeys(first) if 0 < len(q) <= 400][:EXAMPLES]


def answered(history: History) -> History:
    """Without a last message that was stopped before its answer began."""
    return history[:-1] if history and history[-1]["role"] == "user" else history


def conversation(history: History) -> Conversation:
    """What the columns hold -> messages; what stands for no answer is none. Gradio shows reasoning as a message of its
    own, with a title and before the answer that it belongs to."""
    silences = {spoken(SILENT, language) for language in ("en", *LANGUAGES)} | {NOTHING_YET}
    turns: Conversation = []
    reasoning = ""
    for message in history:
        text = text_of(message)
        if (message.get("metadata") or {}).get("title"):
            reasoning = f"<think>\n{text.strip()}\n</think>\n\n"
            continue
        if message["role"] == "assistant":
            text = "" if text in silences else text
        elif reasoning:  # it reasoned and answered nothing
            turns.append({"role": "assistant", "content": reasoning})
            reasoning = ""
        turns.append({"role": message["role"], "content": f"{reasoning}{text}"})
        reasoning = ""
    return turns


def text_of(message: dict[str, Any]) -> str:
    """Gradio hands back content as a list of blocks, though it takes a plain string."""
    content = message["content"]
    if isinstance(content, str):
        return content
    return "".join(block.get("text", "") if isinstance(block, dict) else str(block) for block in content)


def _said(text: str, otherwise: str = NOTHING_YET) -> dict[str, Any]:
    return {"role": "assistant", "content": text if text.strip() else otherwise}


def _buttons(busy: bool) -> tuple[gr.Button, gr.Button]:
    """Ask while nothing is being answered, Stop while something is."""
    return gr.Button(visible=not busy), gr.Button(visible=busy)


def _note(text: str) -> str:
    return f'<p class="quiet" role="status">{escape(text)}</p>'


def _in_a_list(run: Run) -> str:
    started = datetime.fromtimestamp((run.folder / "recipe.yaml").stat().st_mtime)
    return Written(f"{title_of(run)[:28]}, {translate(f'{started:%b} {started.day}, {started:%H:%M}')}")
