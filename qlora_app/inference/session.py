"""Who answers: a run's adapter on a loaded base, with its tokenizer and its task. Chat tab, command line, scores at the
end and programs all ask it, and its prompts are those of the training.
"""

import hashlib
import json
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from ..base_models import ModelChoice, check_vocabulary, load_tokenizer
from ..base_models.loading import import_everything
from ..choices import Choices, setting
from ..errors import UserError
from ..messages import Conversation
from ..methods import MethodChoices
from ..methods.combining import EXACT, Combination
from ..methods.fitting import check_saved
from ..tasks import Answer, Candidate, Task
from ..tasks.chat import Chat
from ..tasks.generate import Prompt, context_of, how_it_ends, prompt_for
from ..tasks.task import candidate_words
from ..tasks.template import ChatTemplate, going_on
from ..tasks.template.calls import CallForm
from .grammar import Grammar, grammar_of_schema, known
from .loaded import LoadedBase, put_on, tokenizer_of
from .must_call import MustCall
from .rows import BASE, Asked, Row
from .sampling import Sampling
from .writing import CallingWriting, Events, PlainWriting, Writing, ending_check

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

T = TypeVar("T")
LIKELIEST = Sampling()


class Decoding(Choices):
    """How an answer is chosen from the model's probabilities."""

    max_new_tokens: int = setting(256, "Max new tokens", "An answer ends here at the latest.", ge=1, le=4096)
    temperature: float = setting(0.0, "Temperature", "Of your adapter. 0: the likeliest word.", ge=0, le=2)
    base_temperature: float = setting(0.7, "Base temperature", "At 0 a base soon repeats itself.", ge=0, le=2)
    greedy: bool = setting(False, "Greedy", "Always the likeliest token: every temperature is 0.")
    thinking: Literal["auto", "on", "off"] = setting(
        "auto",
        "Reasoning",
        "Does the model reason before it answers? As trained: as most examples did.",
        labels={"auto": "As trained", "on": "Think first", "off": "Answer at once"},
    )
    top_p: float = setting(1.0, "Top p", "Only the likeliest tokens that have this share together.", ge=0.01, le=1)
    top_k: int = setting(0, "Top k", "Only so many of the likeliest tokens; 0 for all.", ge=0, le=1_000_000)
    min_p: float = setting(
        0.0, "Min p", "Only tokens with at least this share of the likeliest one's probability.", ge=0, le=1
    )
    repetition_penalty: float | None = setting(
        None,
        "Repetition penalty",
        "Above 1, words that stand there already are less likely.",
        ge=0.1,
        le=10,
    )
    seed: int | None = setting(
        None, "Seed", "The same seed draws the same answer again.", ge=0, le=2**53
    )  # larger ones a browser cannot hold


class ChatSession:
    """A run's adapter on its base, or a base alone. Any number of threads may ask it at once.

    `write` begins one answer and hands it over while it grows:

        for said in session.write(conversation, session.sampling(decoding)):
            print(said)                       # a str: the text so far
        said.why, said.tokens, said.prompt_tokens, said.cached_tokens
    """

    def __init__(
        self,
        base: LoadedBase,
        tokenizer: "PreTrainedTokenizerBase",
        task: Task = Chat(),
        name: str = BASE,
        adapter: Path | None = None,
    ) -> None:
        """name: of its adapter on the base. adapter: the folder it was opened from; a run that trains may have a newer
        one by now.
        """
        self.base, self.tokenizer, self.task, self.name, self.adapter = base, tokenizer, task, name, adapter
        self.checksum = base.checksum_of(name)
        base.hold(name, self)

    @classmethod
    def open(
        cls, choice: ModelChoice, method: MethodChoices | None = None, adapter: Path | None = None, task: Task = Chat()
    ) -> "ChatSession":
        """Load the base as it was trained on, and the adapter that a method left in a folder. Raises UserError."""
        if adapter is not None and method is not None:
            check_saved(adapter)  # before the weights of the base are loaded for nothing
        base = LoadedBase.open(choice, task, method is None or not method.quantizes_itself)
        return cls.on(base, choice, method, adapter, task)

    @classmethod
    def on(
        cls,
        base: LoadedBase,
        choice: ModelChoice,
        method: MethodChoices | None = None,
        adapter: Path | None = None,
        task: Task = Chat(),
    ) -> "ChatSession":
        """On a base in memory, beside what stands on it already. Raises UserError."""
        import_everything()
        if adapter is None or method is None:
            tokenizer, name = load_tokenizer(choice), BASE
        else:
            tokenizer = tokenizer_of(adapter)
            name = put_on(base, method, adapter)
        check_vocabulary(base.model, tokenizer)
        task.prepare(tokenizer, base.model)
        return cls(base, tokenizer, task, name, adapter)

    @classmethod
    def sum_of(cls, parts: Sequence[tuple["ChatSession", float]], how: Combination = EXACT) -> "ChatSession":
        """Several adapters on one base in memory, or one, each with its weight; it asks as the first one does. how:
        another combination than their sum.

        Raises UserError where they do not fit.
        """
        first = parts[0][0]
        if any(session.base is not first.base for session, _ in parts):
            raise UserError(
                "adapter.sum_of_bases",
                "Only adapters of one base, loaded in the same way, can be mixed. Choose runs of the same base.",
            )
        name = first.base.sum_of([(session.name, weight) for session, weight in parts], how)
        made = cls(first.base, first.tokenizer, first.task, name, first.adapter)
        made.checksum = first.checksum if len(parts) == 1 else _checksum_of(parts)
        return made

    @property
    def model(self) -> Any:
        """The loaded base with all adapters on it. What computes with it goes through `alone`."""
        return self.base.model

    @property
    def template(self) -> ChatTemplate:
        return ChatTemplate.of(self.tokenizer)

    def thinks(self, thinking: str = "auto") -> bool:
        """Is an answer to begin with reasoning? thinking: "auto", "on" or "off", as in Decoding."""
        if thinking == "auto":
            return self.template.thinks_by_default
        return thinking == "on" and self.template.has_thinking

    def prompt(self, conversation: Conversation, decoding: Decoding, begun: str = "") -> Prompt:
        """What the model will read, with what had to be left out of it in words. begun: the beginning of its answer."""
        return self._prompt(conversation, decoding.max_new_tokens, self.thinks(decoding.thinking), begun)

    def encode(self, text: str) -> list[int]:
        """The token ids of a bare text, without a chat template."""
        return list(self.tokenizer(text)["input_ids"])

    def _prompt(self, conversation: Conversation, longest: int, thinking: bool, begun: str = "") -> Prompt:
        return prompt_for(self.tokenizer, conversation, context_of(self.model), longest, thinking, begun)

    def sampling(self, decoding: Decoding, base: bool = False) -> Sampling:
        """How the adapter's tokens are chosen, or the base's."""
        penalty = decoding.repetition_penalty
        if penalty is None:
            penalty = getattr(self.model.generation_config, "repetition_penalty", None) or 1.0
        temperature = decoding.base_temperature if base else decoding.temperature
        return Sampling(
            temperature=0.0 if decoding.greedy else temperature,
            top_p=decoding.top_p,
            top_k=decoding.top_k,
            min_p=decoding.min_p,
            repetition_penalty=penalty,
            seed=decoding.seed,
        )

    # ---- answers that grow

    def write(
        self,
        conversation: Conversation,
        sampling: Sampling = LIKELIEST,
        *,
        longest: int = 256,
        base: bool = False,
        thinking: str = "auto",
        stops: Sequence[str] = (),
        logprobs: int | None = None,
        schema: dict[str, Any] | None = None,
        must_call: MustCall | None = None,
        stop: threading.Event | None = None,
        into: Events | None = None,
        begun: str = "",
    ) -> Writing:
        """Begin an answer, which others that are being written do not hold up.

        longest: most tokens; base: without the adapter; stops: texts that end it, beside the template's own; logprobs:
        keep each token's log probability, and those of so many likeliest ones; schema: a JSON schema that it follows;
        must_call: tools of which it calls one, both without reasoning; stop: ends it within a token when it is set;
        into: where its events go, for several answers that are read together; begun: what was said of it already, with
        which it goes on, and which then stands before what is new.
        Tools that stand on the first turn may be called; what is called is known when the answer is whole.
        Raises UserError where too many wait already, the template refuses the conversation, or the schema or tools
        cannot be followed.
        """
        told = conversation[0].get("tools")
        form = self._call_form() if told else None
        is_free = schema is None and must_call is None
        reasons = going_on.reasons(self.template, begun) if begun else is_free and self.thinks(thinking)
        prompt = self._prompt(conversation, longest, reasons, begun)
        ends = frozenset(how_it_ends(self.model, self.tokenizer, reasons)["eos_token_id"])
        letters = [*self.template.stop_strings, *stops]
        asked = Asked(
            ids=prompt.ids,
            room=prompt.room,
            adapter=BASE if base else self.name,
            sampling=sampling,
            ends=ends,
            ends_with=ending_check(self.tokenizer, letters, reasons),
            logprobs=logprobs,
            grammar=None if is_free else self._grammar(schema, must_call, form, ends),
        )
        row = self.submit(Row(asked, stop, into))
        if form:
            return CallingWriting(row, self.tokenizer, reasons, letters, form, json.loads(told or "[]"), prompt.note)
        return Writing(row, self.tokenizer, reasons, letters, prompt.note, prompt.begun)

    def submit(self, row: Row) -> Row:
        """To the engine that answers it soonest. Raises UserError where too many wait already."""
        fast = self.base.fast.get(self.name)
        if fast is not None and row.asked.adapter == self.name and fast.takes(row):
            return fast.submit(row)
        return self.base.engine.submit(row)

    def _grammar(
        self, schema: dict[str, Any] | None, must_call: MustCall | None, form: CallForm | None, ends: frozenset[int]
    ) -> Grammar:
        """What an answer is to follow: a call goes before a schema."""
        tokenizer = known(self.tokenizer, ends, self._vocabulary)
        if must_call and form:
            return Grammar(must_call.rules(form, self.tokenizer, tokenizer), tokenizer)
        return Grammar(grammar_of_schema(schema or {}), tokenizer)

    def _call_form(self) -> CallForm:
        form = CallForm.of(self.tokenizer)
        if form is None:
            raise UserError(
                "chat.no_tools",
                "The chat template of this model has no place for tools, or writes calls in a form that is not read "
                "here. Ask without tools.",
            )
        return form

    @property
    def _vocabulary(self) -> int:
        """How many logits the model computes."""
        return int(self.model.config.get_text_config(decoder=True).vocab_size)

    def go_on(
        self,
        text: str,
        sampling: Sampling = LIKELIEST,
        *,
        longest: int = 256,
        base: bool = False,
        stops: Sequence[str] = (),
        logprobs: int | None = None,
        into: Events | None = None,
    ) -> Writing:
        """Begin to go on with a bare text, without a chat template; the rest as `write` has it.

        Raises UserError where too many wait already, or there is no text or one that is too long.
        """
        ids = self.encode(text)
        context = context_of(self.model)
        room = longest if context is None else min(longest, context - len(ids))
        if not ids:
            raise UserError("chat.nothing_to_go_on", "There is no text to go on with.")
        if room < 1:
            raise UserError(
                "chat.text_too_long",
                "The model reads at most {context:,} tokens, and the text has {tokens:,}. Shorten it.",
                context=context,
                tokens=len(ids),
            )
        asked = Asked(
            ids=ids,
            room=room,
            adapter=BASE if base else self.name,
            sampling=sampling,
            ends=frozenset(how_it_ends(self.model, self.tokenizer, False)["eos_token_id"]),
            ends_with=ending_check(self.tokenizer, stops, False),
            logprobs=logprobs,
        )
        return PlainWriting(self.submit(Row(asked, into=into)), self.tokenizer, stops)

    # ---- answers to many questions, and what weighs answers up

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
        """The likeliest answer to each conversation (its last turn is the user's), many at a time, as a training
        measures them. Answers that grow wait meanwhile.

        thinking: whether each is to begin with reasoning; None as most rows that were learned.
        """
        return self.alone(
            lambda: self.task.answers(
                self.model, self.tokenizer, conversations, base, max_new_tokens, thinking=thinking
            ),
        )

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
        return self.alone(lambda: self.task.candidates(self.model, self.tokenizer, conversations, base, most))

    def alone(self, work: Callable[[], T]) -> T:
        """`work` has the model for itself, with this session's adapter switched on."""
        return self.base.engine.alone(work, self.name)


def _checksum_of(parts: Sequence[tuple[ChatSession, float]]) -> str:
    """SHA-256 of what several adapters are and how much of each there is: another one where one of their files is."""
    told = "\n".join(f"{session.checksum} {weight!r}" for session, weight in parts)
    return hashlib.sha256(told.encode()).hexdigest()
