"""Under "Use it": what was made of a run goes to the Hugging Face Hub. Its files are listed first; then a job sends
them, and what was refused stands at its field.
"""

import tempfile
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from ...errors import Problem, UserError
from ...formatting import size
from ...jobs import JobStore
from ...kinds.publish import (
    PublishSpec,
    What,
    account,
    check,
    check_hub,
    check_room,
    files_of,
    publish_job,
    spec_of,
    suggested,
)
from ...runs import Run, address_of
from ..context import AppContext
from ..events import FAST, LAST, QUIET, Answer, Given
from ..guard import changes, owner_reads, reads
from ..job_card import JobCard, address_in, newest
from ..language import problem_in
from ..theme import plain
from ..translate import translate, visitors_language

WHAT: list[tuple[str, What]] = [
    ("Adapter (PEFT)", "adapter"),
    ("Merged model", "merged"),
    ("One file (GGUF)", "gguf"),
    ("Chat demo (Space)", "space"),
]
# Where a job of its own failed, and the field that is to be changed; all others are about the token or the network.
FIELD_OF = {
    "hub.repository_is_public": "repository",
    "hub.others_are_there": "repository",
    "hub.changed_meanwhile": "repository",
    "hub.not_what_was_sent": "repository",
    "publish.holds_secret": "what",
    "publish.holds_setting": "what",
    "publish.names_folder": "what",
    "publish.not_made": "what",
    "publish.base_not_on_hub": "what",
}


MOST_DRAFTS = 50  # runs


class PublishPart:
    """Its components and what they do."""

    def __init__(self, page: AppContext) -> None:
        self.page = page
        self.job = JobCard(page)

    def build(self) -> None:
        """Folded: the Hub is asked who one is when it is opened."""
        with gr.Accordion(
            "Publish on the Hugging Face Hub", open=False, visible=self.page.may_change, elem_id="publish"
        ) as fold:
            self.fold = fold
            self.token_said = plain("", elem_id="publish-token")
            self.what = gr.Radio(WHAT, value="adapter", label="What", elem_id="publish-what")
            self.what_said = plain("")
            self.repository = gr.Textbox(
                label="Repository",
                info="owner/name on the Hub; it is made where there is none.",
                max_lines=1,
                elem_id="publish-repository",
            )
            self.repository_said = plain("")
            self.private = gr.Checkbox(True, label="Private", info="Only you can see it there.")
            self.listed = plain("", elem_id="publish-files")
            with gr.Row(elem_classes="files"):
                self.look = gr.Button("List the files", size="sm", min_width=140)
                self.send = gr.Button("Publish", variant="primary", size="sm", min_width=140, visible=False)
            self.progress = self.job.build(elem_id="publish-job")
            self.sent = plain("", elem_id="publish-sent")
        # {run: [what, repository, private]}: what was typed and is not sent yet, also after the page was loaded again
        self.drafts = gr.BrowserState({}, storage_key="guanaco-publish", secret="guanaco")

    @property
    def _said(self) -> list[Any]:
        """What stands at the fields, and what is to be sent."""
        return [self.token_said, self.what_said, self.repository_said, self.listed, self.send]

    def wire(self, card: gr.HTML) -> None:
        """`card`: which run is opened."""
        self.card = card
        view = [self.what, self.repository, self.private, *self._said, self.progress, self.sent]
        card.change(self.turned, {card, self.drafts}, view, **FAST)
        given = {card, self.drafts, self.what, self.repository, self.private}
        fields = [self.what, self.repository, self.private]
        self.fold.expand(self.opened, given, [*fields, *self._said], **QUIET)
        self.what.input(self.chosen, given, [self.repository, self.drafts, *self._said], **FAST)
        last = FAST | LAST  # of all letters, not only of the first
        gr.on([self.repository.input, self.private.input], self.edited, given, [self.drafts, *self._said], **last)
        gr.on([self.look.click, self.repository.submit], self.list_files, given, self._said, **QUIET)
        self.send.click(self.publish, given, [self.progress, self.sent, self.drafts, *self._said], **QUIET)
        self.progress.done(self.finished, None, self.sent, **QUIET)
        self.progress.failed(self.refused, None, self._said, **FAST)
        self.job.wire()

    # ---- handlers

    @reads
    def turned(self, given: Given) -> Answer:
        """Another run is opened: as somebody left the form for it, else as it was last published, else as nothing was
        chosen yet. Visitors see none of it.
        """
        if not self.page.may_change:
            return {}
        run = self.page.find(given[self.card])
        job = newest(JobStore(run.exports).list(), "publish") if run else None
        spec = _draft(given[self.drafts], given[self.card]) or (spec_of(job) if job else None) or PublishSpec()
        answer: Answer = {self.what: spec.what, self.repository: spec.repository, self.private: spec.private}
        answer |= {self.progress: address_of(job) if job else "", self.sent: _sent(job.result() if job else None)}
        return answer | self._nothing_said()

    @owner_reads
    def opened(self, given: Given) -> Answer:
        """Whose token it is: a name is suggested where none stands yet. What the browser kept may not have been there
        when the run was opened.
        """
        if given[self.repository]:
            return {}
        draft = _draft(given[self.drafts], given[self.card])
        if draft and draft.repository:
            return {self.what: draft.what, self.repository: draft.repository, self.private: draft.private}
        try:
            return {self.repository: suggested(self._run(given), given[self.what], account(self.page.settings).name)}
        except UserError as error:
            return self._nothing_said() | self._at_fields(error)

    @owner_reads
    def chosen(self, given: Given) -> Answer:
        """Something else is to be sent: to a place of its own, unless somebody typed one."""
        run, (owner, _, _) = self._run(given), str(given[self.repository]).partition("/")
        suggestions = [suggested(run, what, owner) for _, what in WHAT]
        if not owner or given[self.repository] not in suggestions:
            return self._nothing_said() | self._kept(given)
        name = suggested(run, given[self.what], owner)
        return self._nothing_said() | self._kept(given | {self.repository: name}) | {self.repository: name}

    @owner_reads
    def edited(self, given: Given) -> Answer:
        """What was listed is of before; what is typed stays, whichever run is looked at meanwhile."""
        return self._nothing_said() | self._kept(given)

    def _kept(self, given: Given) -> Answer:
        typed = [given[self.what], given[self.repository], given[self.private]]
        others = {run: draft for run, draft in _drafts(given[self.drafts]).items() if run != given[self.card]}
        return {self.drafts: dict([*others.items(), (given[self.card], typed)][-MOST_DRAFTS:])}

    @owner_reads
    def list_files(self, given: Given) -> Answer:
        """What would be sent, name by name; nothing is."""
        run, spec = self._run(given), self._spec(given)
        try:
            check(run, spec, self.page.settings)
            is_private = check_hub(spec, self.page.settings)
            with tempfile.TemporaryDirectory() as folder:
                files = files_of(run, spec, Path(folder) / "sent", self.page.settings)
                sizes = {name: path.stat().st_size for name, path in files.items()}
            check_room(spec, sizes, self.page.settings)
        except UserError as error:
            return self._nothing_said() | self._at_fields(error)
        words = translate(_files(sizes, spec, is_private))
        return self._nothing_said() | {self.listed: words, self.send: gr.Button(visible=True)}

    @changes
    def publish(self, given: Given) -> Answer:
        """A job sends it, whether or not somebody goes on looking."""
        try:
            self.page.make_room()
            job = publish_job(self._run(given), self._spec(given), self.page.settings)
        except UserError as error:
            return self._nothing_said() | self._at_fields(error)
        self.page.start(job)
        drafts = {run: draft for run, draft in _drafts(given[self.drafts]).items() if run != given[self.card]}
        return self._nothing_said() | {self.progress: address_of(job), self.sent: "", self.drafts: drafts}

    @owner_reads
    def finished(self, event: gr.EventData) -> Answer:
        """Where it is now."""
        return {self.sent: _sent(self.page.jobs.get(address_in(event)).result())}

    @owner_reads
    def refused(self, event: gr.EventData) -> Answer:
        """What the Hub said while it was sent, at the field that is to be changed."""
        sentence = self.page.jobs.get(address_in(event)).status().sentence
        field = FIELD_OF.get(getattr(sentence, "code", ""))
        if field is None or not isinstance(sentence, Problem):
            return {}
        return self._at_fields(UserError.of(sentence, {field: sentence}))

    def _run(self, given: Given) -> Run:
        return self.page.store.get(given[self.card])

    def _spec(self, given: Given) -> PublishSpec:
        name = str(given[self.repository] or "").strip()
        return PublishSpec(repository=name, what=given[self.what], private=bool(given[self.private]))

    def _nothing_said(self) -> Answer:
        said: Answer = dict.fromkeys([self.token_said, self.what_said, self.repository_said, self.listed], "")
        return said | {self.send: gr.Button(visible=False)}

    def _at_fields(self, error: UserError) -> Answer:
        """Each refusal below its field; one of none above all."""
        places = {"what": self.what_said, "repository": self.repository_said}
        problems = error.problems or {"": error.problem}
        return {places.get(name, self.token_said): _warning(problem) for name, problem in problems.items()}


def _drafts(kept: Any) -> dict[str, Any]:
    """What the browser kept, which anybody may write."""
    return kept if isinstance(kept, dict) else {}


def _draft(kept: Any, run: str) -> PublishSpec | None:
    """None where nothing was typed for this run."""
    try:
        what, repository, private = _drafts(kept)[run]
        return PublishSpec(what=what, repository=repository, private=private)
    except (KeyError, TypeError, ValueError):
        return None


def _warning(problem: Problem) -> str:
    return f'<p class="warning" role="alert">{escape(problem_in(problem, visitors_language()))}</p>'


def _files(sizes: dict[str, int], spec: PublishSpec, is_private: bool | None) -> str:
    """is_private: what is there of that name, which stays as it is; None: nothing yet."""
    rows = "".join(
        f'<tr><td translate="no">{escape(name)}</td><td>{size(count)}</td></tr>'
        for name, count in sorted(sizes.items(), key=lambda pair: -pair[1])
    )
    will_be = spec.private if is_private is None else is_private
    who = "Only you can see it there." if will_be else "Everybody can see it there."
    there = "<p>It is there already: what is there stays, and these files take the place of those.</p>"
    total = f'<p class="quiet">{size(sum(sizes.values()))} would be sent. {who}</p>'
    return f"<table><tbody>{rows}</tbody></table>{total}{'' if is_private is None else there}"


def _sent(result: dict[str, Any] | None) -> str:
    """The address, as a link; "" before it is there."""
    url = escape(str((result or {}).get("url") or ""))
    if not url.startswith(("https://", "http://")):
        return ""
    return f'<p><a href="{url}" target="_blank" rel="noopener" translate="no">{url}</a></p>'
