"""The page: what stands where, and which handler answers what. What the handlers do is in the tabs."""

import json
import os
from html import escape
from typing import Any

import gradio as gr

from .chat.tab import ChatTab
from .context import AppContext
from .endpoints import Endpoints
from .events import FAST, REMEMBER, Answer, Given
from .frame.bar import TITLE, Bar
from .frame.made import MadeTab, best_run
from .gradio_page import Page
from .guard import only_marked, reads, refusal_of
from .kept import keep
from .language import LANGUAGES
from .runs.run_card import RunCards
from .runs.tab import RunsTab
from .theme import plain
from .train.tab import TrainTab
from .translate import translate

# Chats do not wait for each other. Blocks.queue() could say so too, but it makes the whole server anew for it (a third
# of a second).
os.environ.setdefault("GRADIO_DEFAULT_CONCURRENCY_LIMIT", "none")
# Nobody looks at the figures of Gradio's queue, and it makes them anew after every event.
os.environ.setdefault("GRADIO_ANALYTICS_MAX_EVENTS", "100")
os.environ.setdefault("GRADIO_ANALYTICS_CACHE_FREQUENCY", "1000000")
OTHER_APP = (
    "Another Guanaco Workshop looks after this folder of runs. It starts what you start here; both pages show the same."
)
TABS = ("train", "runs", "chat")
# Gradio names every language of a browser as the page's; a screen reader is to pronounce what stands there.
READY = f"""() => {{ const first = navigator.language.toLowerCase().split('-')[0];
  document.documentElement.lang = {json.dumps(list(LANGUAGES))}.includes(first) ? first : 'en'; guanacoIsReady(); }}
  """


class PageBuilder:
    """Everything on the page, wired."""

    def __init__(self, page: AppContext) -> None:
        self.page = page = page.as_seen()
        cards = RunCards(page)
        self.bar = Bar(page)
        self.train = TrainTab(page, cards) if page.may_change else MadeTab(page, cards)
        self.runs, self.chat = RunsTab(page, cards), ChatTab(page)
        self.endpoints = Endpoints(page, self.chat.line)

    def build(self) -> gr.Blocks:
        with Page(title=TITLE, analytics_enabled=False, delete_cache=(3600, 86400)) as demo:
            self.bar.build()
            self.banner = plain(visible=False)
            with gr.Tabs(selected="train", elem_id="tabs", overflow_behavior="wrap") as self.tabs:
                with gr.Tab("Train" if self.page.may_change else "How this was made", id="train") as self.train_tab:
                    self.train.build()
                with gr.Tab("Runs", id="runs") as self.runs_tab:
                    self.runs.build()
                with gr.Tab("Chat", id="chat") as self.chat_tab:
                    self.chat.build()
            self._wire(demo)
            self.endpoints.build()
        only_marked(demo, self.page.may_change)
        return demo

    def _wire(self, demo: gr.Blocks) -> None:
        self.bar.wire()
        self.runs.wire()
        self.chat.wire((self.train.card, *self.runs.leading_to_chat), self.tabs)
        self.train_tab.select(None, js=REMEMBER % "train")
        self.runs.wire_tab(self.runs_tab)
        self.train.card.open(self.open_run, None, [self.tabs, *self.runs.view], **FAST)
        ended = self.bar.bar.open(self.open_run, None, [self.tabs, *self.runs.view], **FAST)
        ended.then(**self.runs.remember)
        self.chat.wire_tab(self.chat_tab, trained=self.train.card)
        outputs = [self.banner, self.tabs, *self.train.view, *self.runs.view, *self.chat.view]
        if isinstance(self.train, TrainTab):
            kept = self.train.form.touched
            restored = demo.load(self.restore_form, {kept}, outputs, js="guanacoKeptForm", **FAST)
            typed = [*self.train.kept_fields, *self.runs.adapter.kept, self.chat.tries.box]
            restored = keep(typed, self.train.form.suggested, restored)
            self._wire_form(self.train, restored)
        else:
            restored = demo.load(self.restore, None, outputs, **FAST)
            self.train.wire()
        restored.then(None, js=READY)

    def _wire_form(self, form: TrainTab, restored: Any) -> None:
        """What only those have who may train."""
        form.wire(self.tabs)
        for card in (form.card, *self.runs.leading_to_chat):
            if hasattr(card, "again"):  # Gradio knows the events of a script by their names in it
                form.wire_again(card)
        form.wire_votes(self.chat.room)
        form.other_data(restored)

    @reads
    def restore(self, request: gr.Request) -> Answer:
        """Any visit, also a second one or after a restart: everything is read from the run folders and the address."""
        asked = dict(request.query_params)
        tab = asked["tab"] if asked.get("tab") in TABS else self._first_tab()
        found = self.page.find(asked.get("run"))
        shown = self.page.shown_run() if self.page.may_change else best_run(self.page)
        best = shown.id if shown and not self.page.may_change else None
        talks_to = asked.get("run", best)
        return {
            self.banner: self._banner(),
            self.tabs: gr.Tabs(selected=tab),
            **self.train.showing(shown),
            **(self.runs.restored(asked, found) if tab == "runs" else self.runs.listed()),
            **(self.chat.shown(talks_to, is_wanted=talks_to is not None) if tab == "chat" else {}),
        }

    @reads
    def restore_form(self, given: Given, request: gr.Request) -> Answer:
        """The same, and the form as it stood in this tab of the browser."""
        kept = self.train.kept(given) if isinstance(self.train, TrainTab) else {}
        return self.restore(request) | kept

    def _first_tab(self) -> str:
        """Visitors of a demonstration came to talk."""
        return "train" if self.page.may_change else "chat"

    @reads
    def open_run(self, event: gr.EventData) -> Answer:
        """The page of the run of a card, turned to what its button is about."""
        return {self.tabs: gr.Tabs(selected="runs"), **self.runs.opened_by(event)}

    def _banner(self) -> Any:
        text = ""
        if not self.page.may_change:
            text = refusal_of(self.page)
        elif not self.page.supervisor.leads:
            text = OTHER_APP
        return gr.update(value=f'<p class="banner">{escape(translate(text))}</p>', visible=bool(text))


def build(page: AppContext) -> gr.Blocks:
    return PageBuilder(page).build()
