"""Chat: the base model and the adapter answer the same message side by side."""

import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from html import escape
from typing import Any

import gradio as gr
from gradio.components import Component

from ...choices import options
from ...errors import UserError
from ...inference.session import ChatSession, Decoding
from ...messages import Conversation
from ...runs import Run
from ...runs.recipes import recipe_of
from ..context import AppContext
from ..door.admission import ANSWERING, MOST_ANSWERS, MOST_WARMED, WARMING
from ..events import FAST, QUIET, REMEMBER, Answer, Given
from ..guard import in_words, reads
from ..language import Written
from ..runs.card_parts import title_of
from ..runs.run_card import NOTHING_HERE, run_id
from ..theme import on_click, plain
from ..translate import translate
from .chips import chips, example_questions
from .history import NOTHING_YET, SILENT, History, answered, conversation, said, text_of
from .line import Line, Newest, NobodyListensError, waiting_words
from .try_it import TryIt

LISTED = 100  # newest runs in the picker
LONGEST_MESSAGE = 8000
NOTHING = """<div class="welcome"><h2>Nobody to talk to yet</h2><p>Train a model first: go to <b>Train</b> and press
<b>Start training</b>. You can talk to it as soon as its first checkpoint is saved.</p></div>"""
# A tab's children are put on the page when it is first shown, so wait for the box.
FOCUS = """() => { let n = 0; const go = () => { const box = document.querySelector('#ask textarea');
  box && box.offsetParent ? box.focus() : n++ < 40 && setTimeout(go, 50); }; go(); }"""
THINKING = options(Decoding.model_fields["thinking"]) or []  # [(words, value)]


# All of them are let in: they wait in the line of this tab, which says how many are before one.
IN_LINE: dict[str, Any] = QUIET | {"concurrency_id": ANSWERING, "concurrency_limit": MOST_ANSWERS}
LOADING: dict[str, Any] = QUIET | {"concurrency_id": WARMING, "concurrency_limit": MOST_WARMED}


@dataclass(frozen=True)
class Talk:
    """What was said so far, to whom, and how it is asked."""

    run: str  # its id
    base: History
    tuned: History
    system: str
    decoding: Decoding


class ChatTab:
    """Its components and what they do. The conversation itself lives in the two columns, in the person's browser."""

    def __init__(self, page: AppContext) -> None:
        self.page = page
        self.line = Line(page.visitors)
        self.tries = TryIt(page, self.line)
        self._answering, self._loading = Newest(), Newest()

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
                        THINKING,
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

    def wire(self, cards: Iterable[gr.HTML], tabs: gr.Tabs) -> None:
        """`cards`: runs' cards that lead here. `tabs`: where this tab is one of."""
        self.tabs = tabs
        asked = {self.picker, self.base, self.tuned, self.system, self.thinking}
        answers = [
            gr.on([self.box.submit, self.send.click], self.ask, {self.box, *asked}, self.talk, **IN_LINE),
            self.chips.ask(self.ask_example, asked, self.talk, **IN_LINE),
            self.retry.click(self.ask_again, asked, self.talk, **IN_LINE),
        ]
        ends: dict[str, Any] = {"cancels": answers, **FAST}
        idle = [self.note, self.send, self.stop]
        self.stop.click(self.stopped, None, idle, **ends)
        self.clear.click(self.cleared, None, [self.base, self.tuned, *idle], **ends)
        talk = [self.base, self.tuned, self.chips, *idle, *self.panels]
        self._then_load(self.picker.input(self.choose, {self.picker}, talk, **ends))
        for card in cards:
            card.chat(self.open, None, [tabs, self.wanted, *idle], **ends)
        self.tries.wire(self.picker, IN_LINE)

    def wire_tab(self, tab: gr.Tab, trained: gr.HTML) -> None:
        """`trained`: the card of the run that the Train tab shows."""
        self.trained = trained
        talking = {self.wanted, self.picker, self.tuned, trained}
        shown = [*self.view, self.base, self.tuned, self.wanted]
        self._then_load(tab.select(self.refresh, talking, shown, **FAST))

    def _then_load(self, event: Any) -> None:
        """Show the chat first, then load its model, with the cursor in the box meanwhile."""
        event.success(None, self.picker, js=REMEMBER % "chat")
        event.success(None, js=FOCUS)
        event.success(self.warm_up, {self.picker}, [self.note, self.thinking], **LOADING)

    @property
    def talk(self) -> list[Component]:
        """What an answer fills."""
        return [self.base, self.tuned, self.box, self.note, self.send, self.stop]

    @property
    def view(self) -> list[Any]:
        """What `shown` fills."""
        return [self.empty, self.all, self.picker, self.chips, self.note, *self.panels]

    @property
    def panels(self) -> list[Any]:
        """The chat, or the box of another task."""
        return [self.talking, self.system, *self.tries.view]

    # ---- answers

    def shown(self, wanted: str | None) -> Answer:
        """The picker with every run that has an adapter, the wanted one chosen, and its example questions."""
        runs = [run for run in self.page.store.list()[:LISTED] if run.newest_adapter()]
        if not runs:
            return {self.empty: gr.HTML(visible=True), self.all: gr.Column(visible=False)}
        run = next((run for run in runs if run.id == wanted), runs[0])
        return {
            self.empty: gr.HTML(visible=False),
            self.all: gr.Column(visible=True),
            self.picker: gr.update(choices=[(_in_a_list(one), one.id) for one in runs], value=run.id),
            self.chips: self.chip_words(run),
            self.note: "",
            **self._panels(run),
        }

    def _panels(self, run: Run) -> Answer:
        chat = {self.talking: gr.Column(visible=run.task().is_chat), self.system: self._trained_system(run)}
        return chat | self.tries.shown(run)

    def _trained_system(self, run: Run) -> str:
        """The system text of its examples, for those who may see them."""
        recipe = recipe_of(run)
        system = run.trained_with().get("system", "") if recipe and self.page.may_show(recipe.dataset) else ""
        return system if isinstance(system, str) else ""

    def _buttons(self, busy: bool) -> Answer:
        """Ask while nothing is being answered, Stop while something is."""
        return {self.send: gr.Button(visible=not busy), self.stop: gr.Button(visible=busy)}

    def _idle(self) -> Answer:
        return {self.note: "", **self._buttons(busy=False)}

    # ---- handlers: who one talks to

    @reads
    def open(self, event: gr.EventData, request: gr.Request) -> Answer:
        """From a run's card to the tab, which then talks to that run; what is being answered there by another one
        ends.
        """
        run = self.page.store.get(run_id(event))
        self._stop(request)
        return {self.tabs: gr.Tabs(selected="chat"), self.wanted: run.id, **self._idle()}

    @reads
    def refresh(self, given: Given) -> Answer:
        """The tab was chosen: talk to the run one comes from, else go on with a conversation, else take the run of the
        Train tab.
        """
        wanted, chosen = given[self.wanted], given[self.picker]
        otherwise = chosen if given[self.tuned] else given[self.trained]
        answer = self.shown(wanted or otherwise) | {self.wanted: None}
        if wanted and wanted != chosen:  # another adapter, so a new conversation
            answer |= {self.base: [], self.tuned: []}
        return answer

    @reads
    def choose(self, given: Given, request: gr.Request) -> Answer:
        """Another run: another adapter, so a new conversation."""
        self._stop(request)
        run = self.page.store.get(given[self.picker])
        return {self.base: [], self.tuned: [], self.chips: self.chip_words(run)} | self._idle() | self._panels(run)

    @reads
    def warm_up(self, given: Given, request: gr.Request) -> Iterator[Answer]:
        """Load the model while the person is still thinking of a question; only then it is known whether it can
        reason.
        """
        chosen = given[self.picker]
        if not chosen:
            yield {self.note: ""}
            return
        run = self.page.store.get(chosen)
        stop = self._loading.begin(request)
        place = self.line.enter(request)
        try:
            for before in self.line.wait(place, stop.is_set):
                yield {self.note: _note(waiting_words(before))}
            yield {self.note: _note("Loading the model…")}
            loaded = self._loaded(run)
        except NobodyListensError:
            return
        finally:
            self.line.leave(place)
            is_newest = self._loading.end(request, stop)
        if is_newest:
            yield loaded

    def _loaded(self, run: Run) -> Answer:
        """What is known of a model once it is there, or why it is not."""
        try:
            session = self.page.sessions.get(run)
        except UserError as error:
            return {self.note: _note(translate(in_words(error, self.page.may_change)))}
        can_reason = session.task.is_chat and session.template.has_thinking
        return {self.note: "", self.thinking: gr.Radio(visible=can_reason)}

    # ---- handlers: the conversation

    @reads
    def ask(self, given: Given, request: gr.Request) -> Iterator[Answer]:
        """The message to both; the box is emptied only when an answer begins."""
        yield from self._answer((given[self.box] or "").strip(), self._talk(given), request, typed=True)

    @reads
    def ask_example(self, given: Given, event: gr.EventData, request: gr.Request) -> Iterator[Answer]:
        """One of the examples to both."""
        question = str(event._data.get("question", ""))[:LONGEST_MESSAGE]
        yield from self._answer(question, self._talk(given), request)

    @reads
    def ask_again(self, given: Given, request: gr.Request) -> Iterator[Answer]:
        """The last message once more, its answers replaced."""
        talk = self._talk(given)
        last = max((i for i, one in enumerate(talk.tuned) if one["role"] == "user"), default=None)
        if last is None:
            raise UserError(
                "chat.nothing_to_ask_again",
                "There is no message yet to ask again. Write one, or choose one of the examples.",
            )
        before = replace(talk, base=talk.base[:last], tuned=talk.tuned[:last])
        yield from self._answer(text_of(talk.tuned[last]), before, request)

    def _talk(self, given: Given) -> Talk:
        thinking = given[self.thinking]
        return Talk(
            run=given[self.picker],
            base=given[self.base] or [],
            tuned=given[self.tuned] or [],
            system=given[self.system] or "",
            decoding=Decoding(thinking=thinking if thinking in dict(THINKING).values() else "auto"),
        )

    def _answer(self, message: str, talk: Talk, request: gr.Request, typed: bool = False) -> Iterator[Answer]:
        """`typed`: it came from the box, which is emptied."""
        if not message:
            raise UserError("chat.no_message", "Write a message first.")
        stop = self._answering.begin(request)
        before, after = answered(talk.base), answered(talk.tuned)
        columns: Answer = {self.base: before, self.tuned: after}
        place = self.line.enter(request)
        try:
            busy = columns | self._buttons(busy=True)
            for ahead in self.line.wait(place, stop.is_set):
                yield busy | {self.note: _note(waiting_words(ahead))}
            yield busy | {self.note: _note("Loading the model…")}
            yield from self._both(message, replace(talk, base=before, tuned=after), stop, typed, request)
        except NobodyListensError:
            yield columns | ({self.box: message} if typed else {}) | self._idle()
        except Exception as error:  # whatever it is, the message must go back into the box
            back: Answer = {self.box: message} if typed else {}
            yield (
                columns
                | back
                | {self.note: _note(translate(in_words(error, self.page.may_change)))}
                | self._buttons(busy=False)
            )
        finally:
            stop.set()
            self.line.leave(place)
            self._answering.end(request, stop)

    def _both(
        self, message: str, talk: Talk, stop: threading.Event, typed: bool, request: gr.Request
    ) -> Iterator[Answer]:
        """What both say, while they say it and somebody listens."""
        run = self.page.store.get(talk.run)
        session = self.page.sessions.get(run)
        asked = {"role": "user", "content": message}
        before, after = [*talk.base, asked], [*talk.tuned, asked]
        emptied: Answer = {self.box: ""} if typed else {}
        yield {self.base: before, self.tuned: after, self.note: _note("Thinking…")} | emptied
        first = self._first_turn(run, session, talk.system)
        for_base, for_adapter = ([*first, *conversation(column)] for column in (before, after))
        left_out = session.prompt(for_adapter, talk.decoding).note
        note = {self.note: _note(left_out) if left_out else ""}
        base = tuned = ""
        for base, tuned in session.reply(for_base, for_adapter, talk.decoding, stop):
            if not self.page.visitors.hears(request.session_hash):
                stop.set()
            yield {self.base: [*before, said(base)], self.tuned: [*after, said(tuned)]} | note
        silent = NOTHING_YET if stop.is_set() else translate(SILENT)
        columns = {self.base: [*before, said(base, silent)], self.tuned: [*after, said(tuned, silent)]}
        yield columns | note | self._buttons(busy=False)

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
        self._answering.stop(request)

    @reads
    def stopped(self, request: gr.Request) -> Answer:
        """What was said so far stays."""
        self._stop(request)
        return self._idle()

    @reads
    def cleared(self, request: gr.Request) -> Answer:
        """A new conversation."""
        self._stop(request)
        return {self.base: [], self.tuned: [], **self._idle()}

    # ---- words

    def chip_words(self, run: Run) -> str:
        """Example questions as buttons: the starter dataset's own, else held-out questions of the person's file."""
        return chips(self.questions(run), "Example questions")

    def questions(self, run: Run) -> list[str]:
        return example_questions(self.page, run)


def _note(text: str) -> str:
    return f'<p class="quiet" role="status">{escape(text)}</p>'


def _in_a_list(run: Run) -> str:
    started = datetime.fromtimestamp(run.created_at())
    return Written(f"{title_of(run)[:28]}, {translate(f'{started:%b} {started.day}, {started:%H:%M}')}")
