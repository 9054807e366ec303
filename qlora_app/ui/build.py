"""The page: what stands where, and which handler answers what. What the handlers do is in the tabs."""

import json
import os
from html import escape
from typing import Any

import gradio as gr

from .chat_tab import FOCUS, ChatTab
from .context import AppContext
from .data_view import MAX_LENGTH
from .guard import DEMONSTRATION, reads
from .language import LANGUAGES
from .recipe_form import BATCH_SIZE, METHOD
from .run_card import RunCards, recipe_of
from .runs_tab import SAVE, RunsTab
from .theme import plain
from .train_tab import TrainTab
from .translate import translate

# Chats do not wait for each other. Blocks.queue() could say so too, but it makes the whole server anew for it (a third
# of a second).
os.environ.setdefault("GRADIO_DEFAULT_CONCURRENCY_LIMIT", "none")
TITLE = "Guanaco Workshop"
QUIET = {"show_progress": "hidden", "api_visibility": "private"}
FAST = QUIET | {"queue": False}
OTHER_APP = (
    "Another Guanaco Workshop looks after this folder of runs. It starts what you start here; both pages show the same."
)
# The address tells which tab and which run one looks at, so that a reload or a shared link shows them again (Train
# always shows the run that is being trained, else the newest). A tab also
# says that it was chosen while the page is still being built, when the address has not been read yet.
# Gradio names every language of a browser as the page's; a screen reader is to pronounce what stands there.
READY = f"""() => {{ const first = navigator.language.toLowerCase().split('-')[0];
  document.documentElement.lang = {json.dumps(list(LANGUAGES))}.includes(first) ? first : 'en'; window.guanacoReady =
  true; }}
  """
REMEMBER = """(run) => { if (!window.guanacoReady) return;
  const q = new URLSearchParams(location.search); q.set('tab', '%s');
  run && typeof run === 'string' ? q.set('run', run) : q.delete('run'); history.replaceState(null, '', '?' + q); }"""
TO_CARD = "() => { if (innerWidth < 700) setTimeout(() => scrollTo({top: 0, behavior: 'smooth'}), 300); }"


class PageBuilder:
    """Everything on the page, wired."""

    def __init__(self, page: AppContext) -> None:
        self.page = page
        cards = RunCards(page)
        self.train, self.runs, self.chat = TrainTab(page, cards), RunsTab(page, cards), ChatTab(page)

    def build(self) -> gr.Blocks:
        with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(3600, 86400)) as demo:
            plain(
                f"<header class='top'><h1>{TITLE}</h1><p>Teach a small language model your style, then talk to "
                f"it.</p></header>"
            )
            self.banner = plain(visible=False)
            with gr.Tabs(selected="train", elem_id="tabs", overflow_behavior="wrap") as self.tabs:
                with gr.Tab("Train", id="train") as self.train_tab:
                    self.train.build()
                with gr.Tab("Runs", id="runs") as self.runs_tab:
                    self.runs.build()
                with gr.Tab("Chat", id="chat") as self.chat_tab:
                    self.chat.build()
            self._wire_form()
            self._wire_cards()
            self._wire_runs()
            self._wire_chat()
            self._wire_page(demo)
        return demo

    def _wire_form(self) -> None:
        tab, controls = self.train, self.train.form.controls
        everything = tab.form.inputs
        chosen = [tab.suggested_for, tab.effort, *everything]
        controls["base_model"].input(tab.choose, chosen, tab.form_outputs, **QUIET)
        self._then_ask(controls["dataset"].input(tab.choose, chosen, tab.form_outputs, **QUIET))
        described = {"fn": tab.described, "inputs": everything, "outputs": [tab.own, tab.command], **FAST}
        tab.effort.input(tab.set_effort, [tab.effort, *everything], controls["training.epochs"], **FAST).then(
            **described
        )
        controls[BATCH_SIZE].input(tab.set_effort, [tab.effort, *everything], controls["training.epochs"], **FAST).then(
            **described
        )
        controls["training.epochs"].input(tab.clear_effort, None, tab.effort, **FAST)
        controls[METHOD].change(tab.form.choose_method, controls[METHOD], tab.form.of_the_method, **FAST)
        controls[METHOD].input(tab.method_changed, chosen, tab.of_another_method, **FAST)
        self._wire_presets(everything)
        self._wire_models(everything)
        self._wire_data(described)
        self._wire_own_data(chosen)
        tab.reset.click(tab.back_to_suggested, everything, tab.form_outputs, **QUIET)
        started = tab.start.click(tab.start_run, everything, [tab.alert, tab.card, tab.fold], **FAST)
        self._then_ask(started.then(**described))
        started.success(None, js=TO_CARD)
        by_hand = [
            control.input
            for name, control in controls.items()
            if name not in ("base_model", METHOD) and not name.startswith("dataset")
        ]
        gr.on(by_hand, **described, trigger_mode="always_last")

    def _wire_models(self, everything: list[Any]) -> None:
        tab, finder, model = self.train, self.train.finder, self.train.form.controls["base_model"]
        model.change(finder.open, model, finder.panel, **FAST)
        gr.on(
            [finder.go.click, finder.words.submit],
            finder.find,
            [finder.words, tab.form.controls["task.name"]],
            finder.hits,
            **QUIET,
        )
        picked = finder.hits.pick(finder.pick, None, model, **FAST)
        picked.success(tab.choose, [tab.suggested_for, tab.effort, *everything], tab.form_outputs, **QUIET)
        gr.on(
            [one.change for one in finder.that_matter],
            finder.describe,
            everything,
            finder.line,
            trigger_mode="always_last",
            **QUIET,
        )

    def _wire_own_data(self, chosen: list[Any]) -> None:
        tab, finder, columns = self.train, self.train.data_finder, self.train.columns
        controls, everything = tab.form.controls, tab.form.inputs
        for uploaded in (tab.upload, finder.files):
            imported = uploaded.upload(tab.importer.take, uploaded, [tab.importer.line, tab.importer.id], **QUIET)
            self._then_ask(imported.success(tab.take_upload, [tab.importer.id, *chosen], tab.form_outputs, **QUIET))
        self._then_ask(finder.take.click(tab.take_text, [finder.text, *chosen], tab.form_outputs, **QUIET))
        gr.on([finder.go.click, finder.words.submit], finder.find, finder.words, finder.hits, **QUIET)
        picked = finder.hits.pick(finder.pick, None, controls["dataset"], **FAST)
        self._then_ask(picked.success(tab.choose, chosen, tab.form_outputs, **QUIET))
        fetched = finder.get.click(finder.fetch, everything, finder.progress, **QUIET)
        self._then_ask(fetched.success(tab.choose, chosen, tab.form_outputs, **QUIET))
        last = QUIET | {"trigger_mode": "always_last"}
        parts = [*finder.lists, finder.held_out]
        part = gr.on([one.input for one in parts], finder.describe, everything, finder.outputs, **last)
        part.then(tab.data_changed, chosen, tab.read_anew, **QUIET).then(
            columns.offer, everything, columns.outputs, **QUIET
        )
        gr.on([controls[name].input for name in columns.names], columns.show, everything, columns.preview, **last)
        how = [
            control.input for name, control in controls.items() if name.startswith("dataset.") and control not in parts
        ]
        gr.on(how, tab.data_changed, chosen, tab.read_anew, **last)

    def _then_ask(self, event: Any) -> None:
        """Other data may be on the form: say what it is, and open the place for what only the person knows."""
        tab, everything = self.train, self.train.form.inputs
        described = event.then(tab.data_finder.describe, everything, tab.data_finder.outputs, **QUIET)
        offered = described.then(tab.columns.offer, everything, tab.columns.outputs, **QUIET)
        offered.then(tab.view.open_to_ask, [tab.view.seen, *everything], [tab.view.fold, tab.view.seen], **QUIET)

    def _wire_data(self, described: dict[str, Any]) -> None:
        view = self.train.view
        computing = QUIET | {"concurrency_id": "data", "concurrency_limit": 4}
        asked = [view.seen, *view.that_matter]
        view.fold.expand(view.open, view.that_matter, view.shown, **computing)
        view.fold.collapse(view.close, None, view.seen, **FAST)
        gr.on(
            [one.change for one in view.that_matter],
            view.refresh,
            asked,
            view.shown,
            trigger_mode="always_last",
            **computing,
        )
        for part in (view.jumps, view.mask):
            part.look(view.look, asked, [view.seen, view.mask], **FAST)
        view.facts.take(view.take, None, self.train.form.controls[MAX_LENGTH], **FAST).then(**described)

    def _wire_presets(self, everything: list[Any]) -> None:
        tab, shelf = self.train, self.train.shelf
        shelf.fold.expand(shelf.refresh, None, shelf.list, **FAST)
        for shown in (shelf.list, shelf.notice):
            self._then_ask(shown.take(shelf.choose, everything, shelf.taken, **QUIET))
        self._then_ask(shelf.file.upload(shelf.take_file, [shelf.file, *everything], shelf.taken, **QUIET))
        saving = {
            "fn": shelf.save_form,
            "inputs": [shelf.name, *everything],
            "outputs": [shelf.list, shelf.name, shelf.notice, tab.alert, tab.fold],
        }
        gr.on([shelf.save.click, shelf.name.submit], **saving, **QUIET)

    def _wire_cards(self) -> None:
        for card in (self.train.card, self.runs.card):
            card.stop(self.train.stop_run, None, None, **FAST)
            card.resume(self.train.resume_run, None, None, **FAST)
            card.unqueue(self.train.unqueue_run, None, None, **FAST)

    def _wire_runs(self) -> None:
        tab = self.runs
        remember = REMEMBER % "runs"
        tab.table.open(tab.open, None, tab.view, **FAST).then(None, tab.card, js=remember)
        tab.back.click(tab.show_all, None, tab.view, **FAST).then(None, tab.card, js=remember)
        tab.delete.click(tab.ask_delete, None, tab.sure, **FAST)
        tab.no.click(tab.keep, None, tab.sure, **FAST)
        tab.yes.click(tab.delete_run, tab.card, tab.view, **QUIET)
        answers = tab.answers
        answers.upload.upload(answers.take, [answers.upload, tab.card], [answers.progress, answers.ready], **QUIET)
        for button, make in ((tab.get_adapter, tab.adapter_file), (tab.get_recipe, tab.recipe_file)):
            button.click(make, tab.card, tab.file, **QUIET).success(None, js=SAVE)

    def _wire_chat(self) -> None:
        tab = self.chat
        answering = {
            "show_progress": "hidden",
            "api_visibility": "private",
            "concurrency_id": "model",
            "concurrency_limit": 4,
        }
        history = [tab.picker, tab.base, tab.tuned]
        how = [tab.system, tab.thinking]
        answers = [
            gr.on([tab.box.submit, tab.send.click], tab.ask, [tab.box, *history, *how], tab.talk, **answering),
            tab.chips.ask(tab.ask_example, [*history, *how], tab.talk, **answering),
            tab.retry.click(tab.ask_again, [*history, *how], tab.talk, **answering),
        ]
        idle = [tab.note, tab.send, tab.stop]
        tab.stop.click(tab.stopped, None, idle, cancels=answers, **FAST)
        tab.clear.click(tab.cleared, None, [tab.base, tab.tuned, *idle], cancels=answers, **FAST)
        chosen = tab.picker.input(
            tab.choose, tab.picker, [tab.base, tab.tuned, tab.chips, *idle, *tab.panels], cancels=answers, **FAST
        )
        self._then_load(chosen)
        for card in (self.train.card, self.runs.card):
            card.chat(tab.open, None, [self.tabs, tab.wanted, *idle], cancels=answers, **FAST)
        tries = tab.tries
        tries.go.click(tries.try_out, [tries.box, tab.picker], tries.result, **answering)
        tries.chips.pick(tries.pick, None, tries.box, **FAST).success(
            tries.try_out, [tries.box, tab.picker], tries.result, **answering
        )

    def _then_load(self, event: Any) -> None:
        """Show the chat first, then load its model, with the cursor in the box meanwhile."""
        event.success(None, self.chat.picker, js=REMEMBER % "chat")
        event.success(None, js=FOCUS)
        event.success(
            self.chat.warm_up, self.chat.picker, [self.chat.note, self.chat.thinking], concurrency_id="model", **QUIET
        )

    def _wire_page(self, demo: gr.Blocks) -> None:
        self.train_tab.select(None, js=REMEMBER % "train")
        self.runs_tab.select(self.runs.refresh, self.runs.card, self.runs.view, **FAST).then(
            None, self.runs.card, js=REMEMBER % "runs"
        )
        chat = self.chat
        talking, shown = (
            [chat.wanted, chat.picker, chat.tuned, self.train.card],
            [*chat.view, chat.base, chat.tuned, chat.wanted],
        )
        self._then_load(self.chat_tab.select(chat.refresh, talking, shown, **FAST))
        everything = [*self.train.form_outputs, *self.runs.view, *self.chat.view]
        restored = demo.load(self._restore, None, [self.banner, self.tabs, self.train.card, *everything], **FAST)
        restored.then(None, js=READY)
        self._then_ask(restored)

    @reads
    def _restore(self, request: gr.Request) -> list[Any]:
        """Any visit, also a second one or after a restart: everything is read from the run folders and the address."""
        asked = dict(request.query_params)
        tab = asked.get("tab") if asked.get("tab") in ("train", "runs", "chat") else "train"
        run = self.page.shown_run()
        form = self.train.fill_with((run and recipe_of(run)) or self.train.form.first_recipe())
        opened = self.page.find(asked.get("run")) if tab == "runs" else None
        runs = self.runs.opened(opened) if opened else self.runs.listed()
        return [
            self._banner(),
            gr.Tabs(selected=tab),
            run.id if run else "",
            *form,
            *runs,
            *self.chat.shown(asked.get("run")),
        ]

    def _banner(self) -> Any:
        text = DEMONSTRATION if not self.page.may_change else "" if self.page.supervisor.leads else OTHER_APP
        return gr.update(value=f'<p class="banner">{escape(translate(text))}</p>', visible=bool(text))


def build(page: AppContext) -> gr.Blocks:
    return PageBuilder(page).build()
