"""Why this answer: the probability that the adapter and its base gave to every token of it.

The answer is read once more by both, after the very prompt that it was an answer to. Nothing is generated.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import UserError
from ..messages import IGNORED, Conversation, Message, has_reasoning
from ..tasks.generate import Prompt, context_of, how_it_ends, prompt_for
from ..tasks.task import evaluating
from .adapters import within
from .batching import PIECE, PIECE_OF_GPU, joins_between_tokens
from .rows import BASE
from .sampling import TokenChances, log_chances
from .session import ChatSession
from .writing import HALF, LETTERS

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

LIKELIEST = 5  # tokens that are named beside the one that stands there
LONGEST = 2048  # tokens of an answer: nobody looks at more of them


class Choice(NamedTuple):
    """A token that could have stood there, and its probability, from 0 to 1."""

    text: str
    probability: float


@dataclass(frozen=True)
class Part:
    """A token of an answer; several, where one alone is only a part of a character.

    adapter, base: the natural logarithm of its probability, as the model gave it, before temperature and cuts.
    likeliest: what either would sooner have said, the likeliest first. is_end: it ends the answer and is not shown.
    """

    text: str
    adapter: float
    base: float
    adapter_likeliest: tuple[Choice, ...] = ()
    base_likeliest: tuple[Choice, ...] = ()
    is_end: bool = False

    @property
    def difference(self) -> float:
        """Nats by which the adapter likes it better."""
        return self.adapter - self.base

    @property
    def adapter_share(self) -> float:
        """Its probability, from 0 to 1."""
        return math.exp(self.adapter)

    @property
    def base_share(self) -> float:
        return math.exp(self.base)

    @property
    def shown(self) -> str:
        """With a mark for what cannot be seen."""
        return "⏹" if self.is_end else self.text.strip() or repr(self.text).strip("'")


@dataclass(frozen=True)
class Why:
    """An answer, part by part. note: what of prompt or answer was not read, in words."""

    parts: tuple[Part, ...]
    note: str = ""

    @property
    def difference(self) -> float:
        """Nats by which the adapter likes the whole answer better than its base does."""
        return sum(part.difference for part in self.parts)

    def to_json(self) -> dict[str, Any]:
        """Logarithms to five digits, which is more than rounding leaves."""
        rows = [asdict(part) for part in self.parts]
        for row in rows:
            row |= {name: round(row[name], 5) for name in ("adapter", "base")}
            for name in ("adapter_likeliest", "base_likeliest"):
                row[name] = [[text, round(probability, 5)] for text, probability in row[name]]
        return {"difference": round(self.difference, 5), "note": self.note, "parts": rows}

    def changed_most(self, most: int = 3) -> list[Part]:
        """Where the two differ most, the largest difference first."""
        return sorted(self.parts, key=lambda part: -abs(part.difference))[:most]


def why(
    session: ChatSession,
    conversation: Conversation,
    answer: str,
    *,
    answer_ids: Sequence[int] | None = None,
    has_ended: bool = True,
) -> Why:
    """What adapter and base gave an answer to a conversation, whose last turn is the user's.

    answer_ids: its tokens where they are known; else its text is written as the template of the training writes it.
    has_ended: did it end by itself? Then the token that ends it is one more part.
    Raises UserError for a task that writes nothing token by token, and where the template refuses the conversation.
    """
    if session.task.has_candidates:
        raise UserError(
            "why.no_tokens",
            "{task} writes no answer token by token: its answers and their probabilities are all there is to see.",
            task=session.task.title,
        )
    if not answer.strip() and not answer_ids:
        raise UserError("why.no_answer", "This answer is empty: there is no token to look at.")
    prompt, ids = _tokens(session, conversation, answer, answer_ids, has_ended)
    read = ids[: min(prompt.room, LONGEST)]
    notes = [prompt.note] if prompt.note else []
    if len(read) < len(ids):
        notes.append(f"Of the answer the first {len(read):,} of {len(ids):,} tokens were read.")
    adapter = _chances(session, session.name, prompt.ids, read)
    base = _chances(session, BASE, prompt.ids, read)
    ends = _ends(session, answer_thinks(answer))
    return Why(tuple(_parts(session.tokenizer, read, adapter, base, ends)), " ".join(notes))


def answer_thinks(answer: str) -> bool:
    """Does an answer, as it is shown, begin with reasoning?"""
    return has_reasoning({"role": "assistant", "content": answer})


def _tokens(
    session: ChatSession,
    conversation: Conversation,
    answer: str,
    answer_ids: Sequence[int] | None,
    has_ended: bool,
) -> tuple[Prompt, list[int]]:
    """(the prompt, the tokens of the answer with the one that ends it)"""
    turn: Message = {"role": "assistant", "content": answer, "train": True}
    asked: Conversation = [{**one, "train": False} for one in conversation]
    tokenizer, thinking = session.tokenizer, answer_thinks(answer)
    ids, labels = session.task.encode_whole(tokenizer, [*asked, turn])
    if answer_ids is None:
        written = [token for token, label in zip(ids, labels, strict=True) if label != IGNORED]
        ends = _ends(session, thinking)
        last = next((place for place, token in enumerate(written) if token in ends), len(written))
        written = written[: last + has_ended]
    else:
        written = list(answer_ids)
    if session.model.config.is_encoder_decoder:
        source = [token for token, label in zip(ids, labels, strict=True) if label == IGNORED]
        return Prompt(source, LONGEST), written
    return prompt_for(tokenizer, conversation, context_of(session.model), len(written), thinking), written


def _ends(session: ChatSession, thinking: bool) -> frozenset[int]:
    if session.model.config.is_encoder_decoder:  # without a chat template
        return frozenset([session.tokenizer.eos_token_id])
    return frozenset(how_it_ends(session.model, session.tokenizer, thinking)["eos_token_id"])


# ---- what a model gives to tokens


def _chances(session: ChatSession, adapter: str, prompt: list[int], answer: list[int]) -> list[TokenChances]:
    """Of every token of the answer. Others who are answered wait for a piece of it at the most."""
    engine = session.base.engine
    if joins_between_tokens(engine.model):
        reading = _Reading(engine, adapter, prompt, answer)
        while not reading.is_over:
            engine.alone(reading.go_on, adapter)
        return reading.chances
    return engine.alone(lambda: _at_once(engine.model, prompt, answer), adapter)


class _Reading:
    """Prompt and answer are read piece by piece; what the model remembers is kept between the pieces."""

    def __init__(self, engine: Any, adapter: str, prompt: list[int], answer: list[int]) -> None:
        self.engine, self.adapter, self.prompt, self.answer = engine, adapter, prompt, answer
        self.chances: list[TokenChances] = []
        self._read = 0
        self._cache: Any = None

    @property
    def is_over(self) -> bool:
        return len(self.chances) >= len(self.answer)

    def go_on(self) -> None:
        """In the thread that computes: one piece more. What is known of the prompt is not read again."""
        import torch

        model = within(self.engine.model)
        if self._cache is None:
            self._cache, self._read = self._known()
        ids = [*self.prompt, *self.answer[:-1]]
        piece = ids[self._read : self._read + PIECE.get(model.device.type, PIECE_OF_GPU)]
        places = torch.arange(self._read + len(piece), device=model.device)
        first = max(0, len(self.prompt) - 1 - self._read)  # from here on a token of the answer comes next
        kept = len(piece) - first
        with evaluating(model):
            made = model(
                input_ids=torch.tensor([piece], device=model.device),
                position_ids=places[self._read :][None],
                attention_mask=torch.ones_like(places)[None],
                past_key_values=self._cache,
                use_cache=True,
                logits_to_keep=max(1, kept),
            )
        self._read += len(piece)
        if kept > 0:
            here = self.answer[len(self.chances) : len(self.chances) + kept]
            self.chances += _each(made.logits[0, -kept:], here)

    def _known(self) -> tuple[Any, int]:
        from transformers import DynamicCache

        known, layers = self.engine.prefixes.longest(self.adapter, self.prompt)
        cache = DynamicCache()
        for number, (keys, values) in enumerate(layers):
            cache.update(keys, values, number)
        return cache, known


def _at_once(model: Any, prompt: list[int], answer: list[int]) -> list[TokenChances]:
    """For encoders with a decoder, for what stands in front of a text, and for layers that remember otherwise."""
    import torch

    with evaluating(model):
        if model.config.is_encoder_decoder:
            begins = [model.config.decoder_start_token_id, *answer[:-1]]
            made = model(
                input_ids=torch.tensor([prompt], device=model.device),
                decoder_input_ids=torch.tensor([begins], device=model.device),
            )
        else:
            made = model(input_ids=torch.tensor([[*prompt, *answer[:-1]]], device=model.device), use_cache=False)
    return _each(made.logits[0, -len(answer) :], answer)


def _each(logits: "torch.Tensor", tokens: Sequence[int]) -> list[TokenChances]:
    return [log_chances(row, token, LIKELIEST) for row, token in zip(logits, tokens, strict=True)]


# ---- tokens in words


def _parts(
    tokenizer: "PreTrainedTokenizerBase",
    ids: list[int],
    adapter: list[TokenChances],
    base: list[TokenChances],
    ends: frozenset[int],
) -> list[Part]:
    parts, begun = [], 0
    for place, token in enumerate(ids):
        text = _text(tokenizer, ids, begun, place + 1)
        if text.endswith(HALF) and place + 1 < len(ids) and place - begun < LETTERS:
            continue
        parts.append(
            Part(
                text="" if token in ends else text,
                adapter=sum(one.chosen for one in adapter[begun : place + 1]),
                base=sum(one.chosen for one in base[begun : place + 1]),
                adapter_likeliest=_choices(tokenizer, adapter[begun], ids, begun),
                base_likeliest=_choices(tokenizer, base[begun], ids, begun),
                is_end=token in ends,
            )
        )
        begun = place + 1
    return parts


def _text(tokenizer: "PreTrainedTokenizerBase", ids: Sequence[int], start: int, end: int) -> str:
    """What tokens add to those before them: alone many a tokenizer would drop the blank that they begin with."""
    before = list(ids[max(0, start - LETTERS) : start])
    known = tokenizer.decode(before)
    return str(tokenizer.decode([*before, *ids[start:end]]))[len(known) :]


def _choices(
    tokenizer: "PreTrainedTokenizerBase", chances: TokenChances, ids: Sequence[int], place: int
) -> tuple[Choice, ...]:
    return tuple(
        Choice(_text(tokenizer, [*ids[:place], token], place, place + 1), math.exp(log))
        for token, log in chances.likeliest
    )
