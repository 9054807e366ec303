"""Chat: the base model and the adapter answer the same message, one row a message.

The conversation lives in the browser (conversation.js), which sends along what the models are to know of it; here it is
answered. Which run is talked to is the value of the room.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any

import gradio as gr

from ...errors import UserError
from ...inference.sides import Side
from ...runs import Run
from ...runs.recipes import recipe_of
from ..context import AppContext
from ..door.admission import ANSWERING, MOST_ANSWERS, MOST_WARMED, WARMING
from ..events import FAST, QUIET, Answer, Given
from ..guard import in_words, reads
from ..runs.card_skeleton import NOTHING_HERE
from ..runs.run_card import run_id
from ..theme import on_click, plain
from ..translate import translate
from .answering import Answering, Talk
from .fill import Fill
from .heads import Heads
from .history import Asking
from .how import How, kept
from .kept import KeptOfEach
from .line import Line, Newest, NobodyListensError
from .news import news
from .partners import Partners
from .room import SHOWN, UNUSED, over, room
from .try_it import TryIt
from .voting import Voting
from .why import Asked, Reasons

NOTHING = """<div class="welcome"><h2>Nobody to talk to yet</h2><p>Train a model first. You can talk to it as soon as
its first checkpoint is saved.</p><p><button type="button" class="go" data-to="train">Go to Train</button></p></div>"""
GONE = "The run of this link is not here. This is the newest one."

# All of them are let in: they wait in the line of this tab, which says how many are before one. A question may follow
# on one that was stopped and is not quite over.
IN_LINE: dict[str, Any] = QUIET | {
    "concurrency_id": ANSWERING,
    "concurrency_limit": MOST_ANSWERS,
    "trigger_mode": "multiple",
}
LOADING: dict[str, Any] = QUIET | {"concurrency_id": WARMING, "concurrency_limit": MOST_WARMED}


class ChatTab:
    """Its components and what they do."""

    def __init__(self, page: AppContext) -> None:
        self.page = page
        self.line = Line(page.visitors)
        self.loading = Line(page.visitors, at_once=1)
        self.partners = Partners(page)
        self.answering = Answering(page, self.line)
        self.reasons = Reasons(page, self.line, self.answering)
        self.tries = TryIt(page, self.line)
        self.how = How()
        self._loading = Newest()

    # ---- components

    def build(self) -> None:
        self.wanted = gr.State(None)  # the run whose card leads here
        nothing = NOTHING if self.page.may_change else NOTHING_HERE
        self.empty = plain(nothing, elem_classes="sheet", js_on_load=on_click("train", "to"))
        with gr.Column(visible=False, elem_id="chat") as self.all:
            has_own = self.page.may_change and (self.page.has_login or self.page.settings.login is not None)
            functions = [
                *Fill(self.page, self.answering).functions(),
                *Voting(self.page).functions(),
                *self.answering.blind.functions(),
                *(KeptOfEach(self.page.settings).functions() if has_own else []),
            ]
            self.room = room(self.partners, Heads(self.page, self.partners), functions, "room")
            with gr.Column(elem_id="how-asked"):
                self.how.build()
            self.tries.build()

    def wire(self, cards: Iterable[gr.HTML], tabs: gr.Tabs) -> None:
        """`cards`: runs' cards that lead here. `tabs`: where this tab is one of."""
        self.tabs = tabs
        asked = self.room.ask(self.ask, {self.room, *self.how.components}, self.room, **IN_LINE)
        asked.then(None, js=over())
        # None of these cancels the event of an answer, which would end the next one too: the answer ends by itself.
        self.room.stop(self.stopped, None, None, **FAST)
        self.room.why(self.why, {self.room}, self.room, **IN_LINE)
        self.room.recall(self.recall, None, self.how.components, **FAST)
        self._then_load(self.room.choose(self.choose, None, [self.room, *self.panels], **FAST))
        for card in cards:
            card.chat(self.open, None, [tabs, self.wanted], **FAST)
        self.empty.train(self.to_train, None, tabs, **FAST)
        self.tries.wire(self.room, IN_LINE)

    def wire_tab(self, tab: gr.Tab, trained: gr.HTML) -> None:
        """`trained`: the card of the run that the Train tab shows."""
        self.trained = trained
        shown = [*self.view, self.wanted]
        chosen = tab.select(self.refresh, {self.wanted, self.room, trained}, shown, js=UNUSED, **FAST)
        self._then_load(chosen)

    def _then_load(self, event: Any) -> None:
        """Show the chat first, then load its model, with the cursor in the box meanwhile."""
        event.success(None, js=SHOWN)
        event.success(self.warm_up, {self.room}, [self.room, self.how.thinking], **LOADING)

    @property
    def view(self) -> list[Any]:
        """What `shown` fills."""
        return [self.empty, self.all, self.room, *self.panels]

    @property
    def panels(self) -> list[Any]:
        """What is another one for each run."""
        return [self.how.system, *self.tries.view]

    # ---- answers

    def shown(self, wanted: str | None, is_wanted: bool = True) -> Answer:
        """The room with a run: the wanted one, else the newest that has saved something. `is_wanted`: a person chose
        it, so that it stays.
        """
        asked = self.page.find(wanted)
        run = asked if asked and asked.newest_adapter() else self.partners.newest()
        if run is None:
            return {self.empty: gr.HTML(visible=True), self.all: gr.Column(visible=False)}
        said = translate(GONE) if wanted and run is not asked else ""
        return {
            self.empty: gr.HTML(visible=False),
            self.all: gr.Column(visible=True),
            **self._with(run, is_wanted and run is asked, **({"link": said} if is_wanted else {})),
        }

    def _with(self, run: Run, is_wanted: bool, **said: str) -> Answer:
        facts = self.partners.facts(run) | {"isWanted": is_wanted}
        return {
            self.room: gr.update(value=run.id, partner=json.dumps(facts), note="", **said),
            self.how.system: self._trained_system(run),
            **self.tries.shown(run),
        }

    def _gone(self, id: str) -> Answer:
        """Nobody is asked: the room is in use with no run."""
        partner: dict[str, Any] = {"run": id, **dict.fromkeys(("title", "differs", "base", "when"), "")}
        told = json.dumps(partner | {"chips": [], "endpoints": [], "isChat": True, "isWanted": True, "isGone": True})
        return {
            self.room: gr.update(value="", partner=told, note="", link=""),
            self.how.system: "",
            **self.tries.hidden(),
        }

    def _trained_system(self, run: Run) -> str:
        """The system text of its examples, for those who may see them."""
        recipe = recipe_of(run)
        system = run.trained_with().get("system", "") if recipe and self.page.may_show(recipe.dataset) else ""
        return system if isinstance(system, str) else ""

    # ---- handlers: who one talks to

    @reads
    def open(self, event: gr.EventData, request: gr.Request) -> Answer:
        """From a run's card to the tab, which then talks to that run; what is being answered there by another one
        ends.
        """
        run = self.page.store.get(run_id(event))
        self.answering.stop(request)
        return {self.tabs: gr.Tabs(selected="chat"), self.wanted: run.id}

    @reads
    def to_train(self) -> Any:
        """There is nobody to talk to: a model is trained first."""
        return gr.Tabs(selected="train")

    @reads
    def refresh(self, given: Given) -> Answer:
        """The tab was chosen: talk to the run one comes from, else go on as one was, else take the run of the Train
        tab. The room says which run it is in use with, or none.
        """
        wanted, in_use = given[self.wanted], given[self.room]
        if wanted:
            return self.shown(wanted) | {self.wanted: None}
        if in_use and self.page.find(in_use):
            return {}
        return self.shown(given[self.trained], is_wanted=False)

    @reads
    def choose(self, event: gr.EventData, request: gr.Request) -> Answer:
        """Another run; of one that is not here any more, what was said can be read."""
        self.answering.stop(request)
        id = run_id(event)
        run = self.page.find(id)
        return self._with(run, is_wanted=True, link="") if run else self._gone(id)

    @reads
    def warm_up(self, given: Given, request: gr.Request) -> Iterator[Answer]:
        """Load the model while the person is still thinking of a question; only then it is known whether it can
        reason.
        """
        run = self.page.find(given[self.room])
        if run is None:
            return
        stop = self._loading.begin(request)
        place = self.loading.enter(request)
        try:
            for _ in self.loading.wait(place, stop.is_set):
                yield self._noted(translate("Another model is being loaded before this one."))
            for words in self.answering.until_there([Side(run=run.id)], stop, request):
                yield self._noted(words)
            loaded = self._loaded(run)
        except NobodyListensError:
            return
        finally:
            self.loading.leave(place)
            is_newest = self._loading.end(request, stop)
        if is_newest:
            yield loaded

    def _loaded(self, run: Run) -> Answer:
        """What is known of a model once it is there, or why it is not."""
        try:
            session = self.page.sessions.get(run)
        except UserError as error:
            return self._noted(translate(in_words(error, self.page.may_change)))
        can_reason = session.task.is_chat and session.template.has_thinking
        return self._noted("") | {self.how.thinking: gr.Radio(visible=can_reason)}

    def _noted(self, text: str) -> Answer:
        return {self.room: gr.update(note=text)}

    # ---- handlers: the conversation

    @reads
    def ask(self, given: Given, event: gr.EventData, request: gr.Request) -> Iterator[Answer]:
        """A message to every column."""
        asking = Asking.of(event._data)
        try:
            system, decoding = self.how.read(given)
        except UserError as error:
            yield {self.room: gr.update(news=news(asking.name, "failed", translate(error.problem)))}
            return
        talk = Talk(asking, given[self.room], system, decoding)
        how = json.dumps({"asking": asking.name, "values": kept(system, decoding)})
        for told in self.answering.answer(talk, request):
            yield {self.room: gr.update(news=told, how=how)}

    @reads
    def why(self, given: Given, event: gr.EventData, request: gr.Request) -> Iterator[Answer]:
        """What adapter and base gave the words of an answer."""
        for told in self.reasons.told(Asked.of(event._data, given[self.room]), request):
            yield {self.room: gr.update(why=told)}

    @reads
    def recall(self, event: gr.EventData) -> Answer:
        """An earlier conversation is shown: it goes on as it was asked."""
        return self.how.recalled(event._data if isinstance(event._data, dict) else {})

    @reads
    def stopped(self, event: gr.EventData, request: gr.Request) -> None:
        """What was said so far stays; a question that came since goes on."""
        self.answering.stop(request, str((event._data or {}).get("asking", "")))
