"""Under the data: what will be learned of each example, token by token, and how long the examples are.

Closed it is one line; it computes when it is opened, and again when what it shows has changed.
"""

import functools
import json
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
from gradio.components import Component

from ...base_models import (
    ModelChoice,
    facts_of_folder,
    folder_of,
    load_tokenizer,
)
from ...errors import UserError
from ...preflight import examples_of, taught_by
from ...recipe import Recipe
from ...tasks import Task, TaskChoice, task_for
from ...tasks.preview import (
    Lengths,
    is_trainable,
    measured,
    tokens_of,
)
from ...tasks.trial import check_tried
from ...training_data import DatasetChoice, Examples, stamp
from ...training_data.formats.columns import AskColumns
from ..context import PRIVATE, AppContext
from ..events import FAST, QUIET, Answer, Given
from ..guard import in_words, reads
from ..theme import on_click, plain
from ..translate import translate
from .data_finder import DataFinder
from .data_pictures import facts_words, fit_words, jump_words, mask_words
from .form import TrainForm
from .form_values import DATA, MAX_LENGTH, MODEL, chosen_model, data_of, read, show
from .recipe_form import RecipeForm
from .words import sentences_words

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

FOLD = "Lengths, tokens, what was left out, held-out data"
MOST_MEASURED = 5000  # examples; of more, so many from all over tell the same
NEWS = 0.7  # seconds between two words about how far the measuring is
QUICKLY, THOROUGHLY = (
    0.2,
    5.0,
)  # seconds Start waits for a tokenizer, and for a set of which no example seems to teach anything
MATTERS = ("base_model", "dataset", "task")  # groups of settings that change what is shown, beside the longest example
# Another example is shown from its start, or where it is cut; asked for among the rows above, it comes into view.
TO_THE_CUT = """watch('value', () => {
  if (document.activeElement?.closest('#data-line')) element.scrollIntoView({block: 'nearest'});
  const tokens = element.querySelector('.tokens'), cut = tokens && tokens.querySelector('.cut');
  if (tokens) tokens.scrollTop = cut ? cut.offsetTop - tokens.clientHeight / 2 : 0;
});"""

Seen = tuple[str, int] | None  # (data, example) that is looked at; None while the fold is closed


@dataclass(frozen=True)
class Subject:
    """What is looked at: the examples, as this model's tokenizer cuts them into tokens."""

    examples: Examples
    tokenizer: "PreTrainedTokenizerBase"
    max_length: int  # tokens, no more than the model reads
    context: int | None  # tokens the model reads
    task: Task
    key: tuple[DatasetChoice, Any, Path, int, TaskChoice]  # the same for the same lengths


class DataView:
    """Its components and what they do."""

    def __init__(
        self, page: AppContext, controls: RecipeForm, check_visitor: Callable[[ModelChoice], None], finder: DataFinder
    ) -> None:
        """`check_visitor` raises UserError for a model that this visitor may not look at."""
        self.page = page
        self.controls = controls
        self.check_visitor = check_visitor
        self.finder = finder
        self._lengths: dict[Any, Lengths] = {}
        self._temporary = tempfile.TemporaryDirectory(prefix="guanaco-workshop-")
        self._loading = ThreadPoolExecutor(1, thread_name_prefix="tokenizer")

    # ---- components

    def build(self) -> None:
        with gr.Accordion(FOLD, open=False, elem_id="data-view") as self.fold:
            self.finder.build_held_out()
            self.jumps = plain(js_on_load=on_click("look", "at"), elem_id="jumps")
            self.mask = plain(js_on_load=on_click("look", "at") + TO_THE_CUT, elem_id="mask")
            self.facts = plain(js_on_load=on_click("take", "length"), elem_id="data-facts")
            self.left_out = gr.DownloadButton(
                "Download the rows left out", size="sm", visible=False, elem_id="left-out"
            )
        self.seen = gr.State(None)

    @property
    def inputs(self) -> set[Component]:
        """The controls on which the pictures depend."""
        control = self.controls.controls
        return {one for name, one in control.items() if name.startswith(MATTERS) or name == MAX_LENGTH}

    @property
    def outputs(self) -> list[Component]:
        """What the pictures fill."""
        return [self.seen, self.jumps, self.mask, self.facts, self.left_out]

    def wire(self, form: TrainForm) -> None:
        """`form`: what a length is taken over to."""
        self.form = form
        computing = QUIET | {"concurrency_id": "data", "concurrency_limit": 4}
        inputs = {self.seen, *self.inputs}
        self.fold.expand(self.open, inputs, self.outputs, **computing)
        self.fold.collapse(self.close, None, self.seen, **FAST)
        form.data.line.tokens(self.show_tokens, inputs, [self.fold, *self.outputs], **computing)
        form.settled.then(self.refresh, inputs, self.outputs, **computing)
        for part in (self.jumps, self.mask):
            part.look(self.look, inputs, [self.seen, self.mask], **FAST)
        self.facts.take(self.take, None, [self.controls.controls[MAX_LENGTH], form.touched], **FAST)

    # ---- handlers

    @reads
    def open(self, given: Given) -> Iterator[Answer]:
        """The first example at once, or the one whose tokens were asked for; then the lengths of all."""
        busy = "Reading the data…" if _is_ready() else "Getting ready, once after the start of the app…"
        seen: Seen = given[self.seen]
        if not seen:
            yield {self.seen: ("", 0), self.jumps: _busy(busy), self.mask: "", self.facts: ""}
        yield from self._tell(seen, given)

    @reads
    def show_tokens(self, given: Given, event: gr.EventData) -> Iterator[Answer]:
        """The tokens of a row that stands among the rows above."""
        seen: Seen = (str(given[self.controls.controls[DATA]]), _number(event, "tokens"))
        yield {self.fold: gr.Accordion(open=True), self.seen: seen}
        yield from self._tell(seen, given)

    @reads
    def refresh(self, given: Given) -> Iterator[Answer]:
        """Something on the form is another one."""
        seen: Seen = given[self.seen]
        if not seen:
            yield {}
            return
        data = str(given[self.controls.controls[DATA]])
        if seen[0] not in ("", data):  # what stands there is of other data
            yield {self.seen: (data, 0), self.jumps: _busy("Reading the data…"), self.mask: "", self.facts: ""}
        yield from self._tell(seen, given)

    @reads
    def close(self) -> Answer:
        """Nothing is computed for a fold that nobody looks into."""
        return {self.seen: None}

    @reads
    def look(self, given: Given, event: gr.EventData) -> Answer:
        """Another example."""
        at = _number(event, "at")
        seen: Seen = given[self.seen]
        subject = self._subject(self._recipe(given))
        return {self.seen: (seen[0] if seen else "", at), self.mask: self._mask(subject, at)}

    @reads
    def take(self, event: gr.EventData) -> Answer:
        """The length that was suggested."""
        return {self.controls.controls[MAX_LENGTH]: _number(event, "length"), **self.form.touch()}

    def _tell(self, seen: Seen, given: Given) -> Iterator[Answer]:
        nothing = {self.seen: ("", 0), self.jumps: "", self.mask: "", self.facts: ""}
        no_file = {self.left_out: gr.DownloadButton(visible=False)}
        if not data_of(self.controls.values(given)).id:  # nothing is chosen, and that is said
            yield nothing | no_file
            return
        try:
            yield from self._told(seen, given)
        except AskColumns:  # the face of the data asks
            yield nothing | no_file
        except Exception as error:  # whatever it is, the fold must not go on saying that it is busy
            yield nothing | no_file | {self.jumps: self._wrong_words(error)}

    def _wrong_words(self, error: Exception) -> str:
        if isinstance(error, UserError) and error.problems and self.page.may_change:
            return sentences_words(error)
        return f'<p class="warning" role="alert">{escape(translate(in_words(error)))}</p>'

    def _told(self, seen: Seen, given: Given) -> Iterator[Answer]:
        data = str(given[self.controls.controls[DATA]])
        subject = self._subject(self._recipe(given))
        at = seen[1] if seen and seen[0] == data else 0
        lengths = self._lengths.get(subject.key)
        first: Answer = {self.seen: (data, at), self.mask: self._mask(subject, at)}
        first[self.left_out] = self._left_out_file(subject.examples)
        if lengths is None:  # what stands there is of other data
            first |= {self.jumps: _busy("Reading the data…"), self.facts: ""}
        yield first
        if lengths is None:
            lengths = yield from self._measured(subject)
        choice = data_of(self.controls.values(given))
        facts = facts_words(subject.examples, lengths, subject.max_length, subject.context)
        facts += fit_words(*taught_by(choice, self.page.settings.data))
        yield {self.jumps: jump_words(lengths, subject.max_length), self.facts: facts}

    def _measured(self, subject: Subject) -> Generator[Answer, None, Lengths]:
        """The lengths of its examples; meanwhile, how far that is."""
        conversations, lengths = subject.examples.train, Lengths()
        of = min(len(conversations), MOST_MEASURED)
        for lengths in measured(subject.tokenizer, conversations, MOST_MEASURED, NEWS, subject.task):
            yield {self.jumps: _busy(f"Measuring the lengths: {lengths.examined:,} of {of:,}…")}
        self._remember(subject.key, lengths)
        return lengths

    # ---- before the start

    def learns_nothing(self, recipe: Recipe) -> bool:
        """Is it certain that no example has a token to learn from? Where that cannot be said quickly the worker says
        it.
        """
        if not _is_ready():  # to get ready now would take the processor from the worker
            return False
        try:
            subject = self._loading.submit(copy_context().run, self._subject, recipe).result(QUICKLY)
            if lengths := self._lengths.get(subject.key):
                is_all = lengths.examined == len(subject.examples.train)
                return is_all and len(lengths.without_loss(subject.max_length)) == len(lengths.tokens)
            return not is_trainable(
                subject.tokenizer, subject.examples.train, subject.max_length, THOROUGHLY, subject.task
            )
        except Exception:  # whatever is wrong, it is the worker that has to get along with it, or say so
            return False

    # ---- what is looked at

    def _recipe(self, given: Given) -> Recipe:
        """The form as far as it matters here. Raises UserError."""
        values = self.controls.values(given)
        self.check_visitor(chosen_model(values[MODEL]))
        return read(show(Recipe()) | values)

    def _subject(self, recipe: Recipe) -> Subject:
        """Raises UserError for a model that is not here, or data that cannot be read or shown."""
        if not self.page.may_show(recipe.dataset):
            raise UserError.of(PRIVATE)
        examples, folder = examples_of(recipe.dataset, self.page.settings.data), folder_of(recipe.base_model)
        facts, when = facts_of_folder(folder), _written(folder / "tokenizer.json")
        model = recipe.base_model
        check_tried(folder)
        tokenizer = _tokenizer(ModelChoice(source=model.source, id=model.id, revision=model.revision), when)
        length = min(recipe.training.max_length, facts.context or recipe.training.max_length)
        task = task_for(recipe.task, facts.tasks, examples.every)
        task.prepare(tokenizer)
        key = (recipe.dataset, stamp(recipe.dataset, self.page.settings.data), folder, when, recipe.task)
        return Subject(examples, tokenizer, length, facts.context, task, key)

    def _mask(self, subject: Subject, at: int) -> str:
        conversations = subject.examples.train
        at = min(at, len(conversations) - 1)
        task, tokenizer = subject.task, subject.tokenizer
        examples = task.examples(tokenizer, [conversations[at]])
        why = dict.fromkeys(task.why_not_learned(tokenizer, one, sys.maxsize) for one in examples)
        try:
            parts = [tokens_of(tokenizer, one, subject.max_length, task) for one in examples]
        except UserError:
            parts = []
        return mask_words(parts, at, len(conversations), "; ".join(filter(None, why)))

    def _remember(self, key: Any, lengths: Lengths) -> None:
        if len(self._lengths) > 20:
            self._lengths.clear()
        self._lengths[key] = lengths

    def _left_out_file(self, examples: Examples) -> gr.DownloadButton:
        """A button that downloads every row that was left out, one JSON object a line."""
        if not examples.left_out:
            return gr.DownloadButton(visible=False)
        folder = Path(self._temporary.name) / examples.fingerprint[:16]
        file = folder / "left-out.jsonl"
        if not file.exists():
            folder.mkdir(exist_ok=True)
            lines = (json.dumps(asdict(one), ensure_ascii=False) for one in examples.left_out)
            file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return gr.DownloadButton(value=str(file), visible=True)


def _written(file: Path) -> int:
    """When; 0 for a tokenizer that is in other files."""
    return file.stat().st_mtime_ns if file.exists() else 0


@functools.lru_cache(maxsize=4)
def _tokenizer(model: ModelChoice, when: int) -> "PreTrainedTokenizerBase":
    """As the worker loads it. `when`: the time of its file, so that another one in the same folder is loaded anew."""
    return load_tokenizer(model)


def _is_ready() -> bool:
    """Is the library that tokenizers need imported, or being imported? That takes seconds; the app does it once the
    page is there.
    """
    return "transformers" in sys.modules


def _number(event: gr.EventData, name: str) -> int:
    """What came with a click; anybody may send anything."""
    text = str((event._data or {}).get(name, ""))
    if not text.isdecimal() or len(text) > 9:
        raise UserError("dataset.no_such_example", "There is no such example.")
    return int(text)


def _busy(text: str) -> str:
    return f'<p class="quiet" role="status">{escape(text)}</p>'
