"""One loaded model that answers: the chat tab, samples while training and the scores at the end all use it."""

import contextlib
import queue
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from ..base_models import (
    ModelChoice,
    check_vocabulary,
    folder_of,
    load_model,
    load_tokenizer,
)
from ..base_models.loading import import_everything
from ..choices import Choices, setting
from ..errors import UserError
from ..jobs.failures import is_out_of_memory
from ..messages import Conversation
from ..methods import MethodChoices
from ..methods.fitting import check_numbers, check_saved, in_words
from ..runs import Run
from ..tasks import Answer, Candidate, Task
from ..tasks.chat import Chat
from ..tasks.generate import (
    Prompt,
    batch_of,
    context_of,
    how_it_ends,
    prompt_for,
    read_answer,
)
from ..tasks.task import candidate_words
from ..tasks.template import ChatTemplate
from ..tasks.trial import check_tried

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

BASE, TUNED = "__base__", "default"  # PEFT's names for a row of a batch without and with the adapter


class Decoding(Choices):
    """How an answer is chosen from the model's probabilities."""

    max_new_tokens: int = setting(256, "Longest answer (tokens)", "An answer ends here at the latest.", ge=1, le=4096)
    temperature: float = setting(0.0, "Temperature of your adapter", "0 always takes the likeliest word.", ge=0, le=2)
    base_temperature: float = setting(
        0.7, "Temperature of the base", "At 0 a base model soon repeats itself.", ge=0, le=2
    )
    thinking: Literal["auto", "on", "off"] = setting(
        "auto",
        "Reasoning",
        "Does the model reason before it answers, where its chat template has a place for that? Automatic: as most of "
        "the examples did that were learned from.",
        labels={"auto": "As trained", "on": "Think first", "off": "Answer at once"},
    )


class Said(str):
    """A text that a model wrote, so far: how many tokens it took, in how many seconds, and has it ended?"""

    tokens: int
    seconds: float
    is_whole: bool

    def __new__(cls, text: str, tokens: int = 0, seconds: float = 0.0, is_whole: bool = False) -> "Said":
        said = super().__new__(cls, text)
        said.tokens, said.seconds, said.is_whole = tokens, seconds, is_whole
        return said


class ChatSession:
    """A base model, with an adapter or without, and its tokenizer. One answer at a time."""

    def __init__(
        self,
        model: "PreTrainedModel | PeftModel",
        tokenizer: "PreTrainedTokenizerBase",
        mixes: bool = False,
        task: Task = Chat(),
        adapter: Path | None = None,
    ) -> None:
        self.model, self.task = model, task
        self.adapter = adapter  # the folder it was opened from; a run that trains may have a newer one by now
        self.tokenizer = tokenizer
        self.mixes = mixes  # can one batch hold rows with and without the adapter?
        self._busy = threading.Lock()

    @classmethod
    def open(
        cls, choice: ModelChoice, method: MethodChoices | None = None, adapter: Path | None = None, task: Task = Chat()
    ) -> "ChatSession":
        """Load the base as it was trained on, and the adapter that a method left in a folder. Raises UserError."""
        import_everything()
        if adapter is not None and method is not None:
            check_saved(adapter)  # before the weights of the base are loaded for nothing
        model = load_model(choice, task.auto_class, task.labels, quantize=method is None or not method.quantizes_itself)
        if adapter is None or method is None:
            tokenizer = load_tokenizer(choice)
        else:
            tokenizer, model = _with_adapter(model, method, adapter)
        check_vocabulary(model, tokenizer)
        task.prepare(tokenizer, model)
        model.eval()
        return cls(model, tokenizer, method is not None and method.supports_mixed_batch, task, adapter)

    @property
    def template(self) -> ChatTemplate:
        return ChatTemplate.of(self.tokenizer)

    def thinks(self, decoding: Decoding) -> bool:
        """Is an answer to begin with reasoning?"""
        if decoding.thinking == "auto":
            return self.template.thinks_by_default
        return decoding.thinking == "on" and self.template.has_thinking

    def prompt(self, conversation: Conversation, decoding: Decoding) -> Prompt:
        """What the model will read, with what had to be left out of it in words."""
        return prompt_for(
            self.tokenizer, conversation, context_of(self.model), decoding.max_new_tokens, self.thinks(decoding)
        )

    def reply(
        self, base: Conversation | None, tuned: Conversation | None, decoding: Decoding, stop: threading.Event
    ) -> Iterator[tuple[Said, Said]]:
        """Answer both conversations at once, one batch for base and adapter; yields (base text, tuned text), growing.

        None leaves a side out (its text stays empty). Setting `stop` ends both within a token. Reasoning stands before
        an answer in <think> marks.
        """
        asked = [(BASE, base, decoding.base_temperature), (TUNED, tuned, decoding.temperature)]
        rows = [_Row(name, self.prompt(c, decoding), t) for name, c, t in asked if c]
        growing = {BASE: Said("", is_whole=base is None), TUNED: Said("", is_whole=tuned is None)}
        with self._busy:
            batches = [rows] if self.mixes else [[row] for row in rows]
            for together in batches:
                names = [row.name for row in together]
                with self._as_base(names):
                    for texts in _stream(self.model, self.tokenizer, together, self.thinks(decoding), stop, self.mixes):
                        growing.update(zip(names, texts, strict=True))
                        yield growing[BASE], growing[TUNED]

    def _as_base(self, names: list[str]) -> contextlib.AbstractContextManager[Any]:
        """Where a batch cannot mix them, the adapter is switched off while the base answers."""
        switches = names == [BASE] and not self.mixes and hasattr(self.model, "disable_adapter")
        if switches:
            return self.model.disable_adapter()
        return contextlib.nullcontext()

    def as_trained(self, conversation: Conversation) -> Conversation:
        """The conversation, with the system text of the training rows before it where it has none of its own."""
        return self.task.as_trained(self.tokenizer, conversation)

    def answer_all(
        self,
        conversations: list[Conversation],
        base: bool = False,
        max_new_tokens: int = 128,
        thinking: list[bool] | None = None,
    ) -> list[str]:
        """The texts of `answers`, without the reasoning."""
        return [one.text for one in self.answers(conversations, base, max_new_tokens, thinking)]

    def answers(
        self,
        conversations: list[Conversation],
        base: bool = False,
        max_new_tokens: int = 128,
        thinking: list[bool] | None = None,
    ) -> list[Answer]:
        """The likeliest answer to each conversation (its last turn is the user's), many at a time.

        thinking: whether each is to begin with reasoning; None as most rows that were learned.
        """
        with self._busy:
            return self.task.answers(self.model, self.tokenizer, conversations, base, max_new_tokens, thinking=thinking)

    def respond(self, text: str, base: bool = False) -> str:
        """What the model makes of one text, in words: an answer, or the likeliest answers with their probabilities."""
        if self.task.has_candidates:
            return candidate_words(self.weigh(text, base, most=5))
        return self.answer_all([[{"role": "user", "content": text}]], base)[0]

    def weigh(self, text: str, base: bool = False, most: int = 10) -> list[Candidate]:
        """The likeliest answers to a text with their probabilities, for a task that weighs them up."""
        return self.weigh_all([[{"role": "user", "content": text}]], base, most)[0]

    def weigh_all(self, conversations: list[Conversation], base: bool = False, most: int = 10) -> list[list[Candidate]]:
        """The `most` likeliest answers to each conversation, likeliest first, for a task that weighs them up."""
        with self._busy:
            return self.task.candidates(self.model, self.tokenizer, conversations, base, most)


class ChatSessions:
    """The one session kept in memory: that of the run somebody chats with, reloaded when its adapter has changed."""

    def __init__(self, is_guarded: bool = False) -> None:
        """is_guarded: others go on living in this process, so that a folder must not hold it up or fill it."""
        self._is_guarded = is_guarded
        self._lock = threading.Lock()
        self._key: tuple[str, int] | None = None
        self._session: ChatSession | None = None

    def get(self, run: Run) -> ChatSession:
        """Raises UserError while the run has nothing to chat with."""
        adapter = run.newest_adapter()
        if adapter is None:
            raise UserError(
                "run.no_checkpoint_to_chat",
                "This run has saved nothing yet. Its first checkpoint comes soon; then you can chat with it.",
            )
        key = (str(adapter), _written(adapter / "adapter_model.safetensors"))
        with self._lock:
            if self._session is None or self._key != key:
                self._session = self._key = None  # give the memory back before the next one is loaded
                run.check_base()
                self._check_folders(run, adapter)
                self._session = ChatSession.open(run.base_model(), run.recipe().method, adapter, run.task())
                self._key = key
            return self._session

    def _check_folders(self, run: Run, adapter: Path) -> None:
        """Where a page answers: what came from elsewhere is tried before this process opens it. Raises UserError."""
        if self._is_guarded:
            check_tried(folder_of(run.base_model()))
            if run.read_recipe().recipe.base_model.source != "starter":
                check_tried(adapter)

    def forget(self) -> None:
        """Give the memory back, for other work that loads a model; an answer being written keeps its hold."""
        with self._lock:
            self._session = self._key = None


def _written(file: Path) -> int:
    """When; 0 for a file that is not there, which is said when the adapter is opened."""
    try:
        return file.stat().st_mtime_ns
    except OSError:
        return 0


def _with_adapter(model: "PreTrainedModel", method: MethodChoices, adapter: Path) -> tuple[Any, Any]:
    """(tokenizer, model) as they were saved together. Raises UserError where something in the folder is not right."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(str(adapter), trust_remote_code=False, local_files_only=True)
        loaded = method.load(model, adapter)
        check_numbers(loaded)
    except Exception as error:  # the folder is anybody's, and each library has errors of its own
        if is_out_of_memory(error):
            raise
        raise in_words(error, adapter) from error
    return tokenizer, loaded


def warm_up() -> None:
    """Import what chatting needs, ahead of the first question."""
    import_everything()


class _Row(NamedTuple):
    """One row of a batch: which model answers it (BASE or TUNED), what it reads, at which temperature."""

    name: str
    prompt: Prompt
    temperature: float


def _stream(
    model: Any,
    tokenizer: "PreTrainedTokenizerBase",
    rows: list[_Row],
    thinking: bool,
    stop: threading.Event,
    mixes: bool,
) -> Iterator[list[Said]]:
    """Generate for all rows in one batch on a thread of its own; yields the rows' texts so far after every token."""
    import torch
    from transformers import StoppingCriteria, StoppingCriteriaList
    from transformers.generation.streamers import BaseStreamer

    adapters = {"adapter_names": [row.name for row in rows]} if mixes else {}
    pieces: queue.Queue[list[int] | Exception | None] = queue.Queue()
    ending = how_it_ends(model, tokenizer, thinking)

    class Tokens(BaseStreamer):
        is_prompt = True

        def put(self, value: "torch.Tensor") -> None:
            if not self.is_prompt:
                pieces.put(value.flatten().tolist())
            self.is_prompt = False

        def end(self) -> None:
            pieces.put(None)

    class Asked(StoppingCriteria):
        def __call__(self, ids: "torch.Tensor", scores: "torch.Tensor", **_: Any) -> "torch.Tensor":
            return torch.full((ids.shape[0],), stop.is_set(), dtype=torch.bool, device=ids.device)

    def work() -> None:
        try:
            how = _row_wise_sampling(model, [row.temperature for row in rows])
            with torch.inference_mode():
                prompts = [row.prompt for row in rows]
                inputs = batch_of(tokenizer, prompts, model.device)
                most = min(prompt.room for prompt in prompts)
                stopping = StoppingCriteriaList([Asked()])
                model.generate(
                    **inputs,
                    **how,
                    **ending,
                    **adapters,
                    max_new_tokens=most,
                    use_cache=True,
                    streamer=Tokens(),
                    stopping_criteria=stopping,
                )
        except Exception as error:  # whatever it is, the reader must hear of it instead of waiting for ever
            pieces.put(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    ends = set(ending["eos_token_id"])
    written: list[list[int]] = [[] for _ in rows]
    done, seconds, began = [False] * len(rows), [0.0] * len(rows), time.monotonic()
    most = min(row.prompt.room for row in rows)
    try:
        while (piece := pieces.get()) is not None:
            if isinstance(piece, Exception):
                raise piece
            for i, token in enumerate(piece):
                done[i] = done[i] or token in ends
                if not done[i]:
                    written[i].append(token)
                    seconds[i] = time.monotonic() - began
            whole = [done[i] or len(ids) >= most for i, ids in enumerate(written)]
            texts = [_shown(tokenizer, ids, thinking) for ids in written]
            yield [Said(text, len(written[i]), seconds[i], whole[i]) for i, text in enumerate(texts)]
    finally:
        stop.set()
        thread.join()


def _shown(tokenizer: "PreTrainedTokenizerBase", ids: list[int], thinking: bool) -> str:
    """The text so far; a character of which not all bytes have come waits for them."""
    made = read_answer(tokenizer, ids, (), thinking)
    text = made.text
    if made.reasoning:
        text = f"<think>\n{made.reasoning}\n</think>\n\n{text}"
    return text.rstrip("\N{REPLACEMENT CHARACTER}")


def _row_wise_sampling(model: Any, temperatures: list[float]) -> dict[str, Any]:
    """generate() knows one temperature a batch; here each row has its own, 0 meaning the likeliest token."""
    import torch
    from transformers import LogitsProcessor, LogitsProcessorList

    class Temperatures(LogitsProcessor):
        def __call__(self, ids: "torch.Tensor", scores: "torch.Tensor") -> "torch.Tensor":
            return scores / torch.tensor([max(t, 1e-4) for t in temperatures], device=scores.device)[:, None]

    return {
        "do_sample": True,
        "top_k": 0,
        "top_p": 1.0,
        "temperature": 1.0,
        "logits_processor": LogitsProcessorList([Temperatures()]),
    }
