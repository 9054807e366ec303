"""Continuous batching: rows join a batch between two tokens and leave it when they end, and long prompts are read in
pieces between the tokens of the others.

Rows of a batch are padded on the left, in their keys and values too; positions are each row's own. This works where a
layer remembers keys and values of every token. Layers with a sliding window do so too when their cache is told nothing
of it: the mask hides from them what is too far away.
"""

from collections import deque
from dataclasses import dataclass, field
from inspect import signature
from typing import TYPE_CHECKING, Any

from ..tasks.generate import TOKENS_AT_ONCE
from .adapters import ActiveAdapters, is_prompt_learning, within
from .prefixes import Layers, Prefixes
from .rows import Row

if TYPE_CHECKING:
    import torch

TURN = 8  # tokens that a batch is given before another adapter's, where adapters do not mix: switching takes time
# Tokens of prompts that are read between two tokens of the others. A GPU reads hundreds in the time of one token.
PIECE = {"cpu": 64}
PIECE_OF_GPU = 512
PIECE_ALONE = 2048  # while nobody waits for a token
_KINDS = {"full_attention", "sliding_attention"}


def joins_between_tokens(model: Any) -> bool:
    """Can rows of this model join and leave a batch between two tokens?"""
    inner = within(model)
    config = inner.config.get_text_config(decoder=True)
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    takes = signature(inner.forward).parameters
    return (
        not inner.config.is_encoder_decoder
        and not is_prompt_learning(model)
        and not getattr(inner, "_is_stateful", False)
        and kinds <= _KINDS
        and {"position_ids", "past_key_values"} <= takes.keys()
    )


@dataclass
class Newcomer:
    """A row whose prompt is being read, before it joins the others."""

    row: Row
    cache: Any
    read: int


@dataclass
class Batch:
    """Rows whose next tokens one forward pass computes."""

    rows: list[Row] = field(default_factory=list)
    pads: list[int] = field(default_factory=list)  # of each row, how much stands before it
    cache: Any = None

    @property
    def length(self) -> int:
        return _length(self.cache)

    def join(self, row: Row, cache: Any) -> None:
        """A row whose prompt was read into a cache of its own."""
        from torch import cat
        from torch.nn.functional import pad

        if not self.rows:
            self.rows, self.pads, self.cache = [row], [0], cache
            return
        here, there = self.length, _length(cache)
        width = max(here, there)
        for ours, its in zip(self.cache.layers, cache.layers, strict=True):
            for part in ("keys", "values"):
                old = pad(getattr(ours, part), (0, 0, width - here, 0))
                new = pad(getattr(its, part), (0, 0, width - there, 0))
                setattr(ours, part, cat([old, new]))
        self.pads = [*(before + width - here for before in self.pads), width - there]
        self.rows.append(row)

    def remembered(self, place: int) -> Layers:
        """Keys and values of one row, without what stands before it."""
        return _remembered(self.cache, place, self.pads[place])

    def keep(self, places: list[int]) -> None:
        """The other rows leave."""
        if not places:
            self.rows, self.pads, self.cache = [], [], None
            return
        spare = min(self.pads[place] for place in places)
        for layer in self.cache.layers:
            layer.keys, layer.values = layer.keys[places, :, spare:], layer.values[places, :, spare:]
        self.rows = [self.rows[place] for place in places]
        self.pads = [self.pads[place] - spare for place in places]


class TokenByToken:
    """Computes rows that join and leave between two tokens. Only one thread may ask it."""

    def __init__(self, active: ActiveAdapters, prefixes: Prefixes, most_rows: int) -> None:
        self.active, self.prefixes, self.most_rows = active, prefixes, most_rows
        self.newcomers: deque[Newcomer] = deque()
        self.batches: dict[str, Batch] = {}  # by group of adapters
        self._turns = 0

    @property
    def rows(self) -> list[Row]:
        return [*(one.row for one in self.newcomers), *(row for batch in self.batches.values() for row in batch.rows)]

    def has_room(self, row: Row) -> bool:
        """May one more be begun now? What a model remembers of each token takes memory."""
        rows = self.rows
        tokens = sum(len(one.asked.ids) + one.asked.room for one in [*rows, row])
        return len(rows) < self.most_rows and (not rows or tokens <= TOKENS_AT_ONCE)

    def take(self, row: Row) -> None:
        """A row is begun: what is known of its prompt is not read again."""
        from transformers import DynamicCache

        known, layers = self.prefixes.longest(row.asked.adapter, row.asked.ids)
        cache = DynamicCache()
        for number, (keys, values) in enumerate(layers):
            cache.update(keys, values, number)
        row.cached = known
        self.newcomers.append(Newcomer(row, cache, known))

    def step(self) -> None:
        """A piece of the newcomers' prompts, then a token for each row of a batch."""
        self._let_go()
        budget = self._budget()
        for _ in range(len(self.newcomers)):  # each has its turn, so that a short prompt does not wait for a long one
            if budget > 0:
                budget -= self._read_on(self.newcomers.popleft(), budget)
        if self.batches:
            self._write(self._whose_turn())

    def drop(self, error: BaseException) -> None:
        """Something went wrong: every row hears of it."""
        rows = self.rows
        self.newcomers.clear()
        self.batches.clear()
        for row in rows:
            row.fail(error)

    # ---- parts of a step

    def _let_go(self) -> None:
        """Rows that nobody wants any more leave."""
        for newcomer in [one for one in self.newcomers if one.row.is_cancelled]:
            self.newcomers.remove(newcomer)
            self._keep_prefix(newcomer.row, newcomer.read, _remembered(newcomer.cache, 0, 0))
            newcomer.row.end("cancelled")
        for group, batch in list(self.batches.items()):
            gone = {place for place, row in enumerate(batch.rows) if row.is_cancelled}
            for place in gone:
                batch.rows[place].end("cancelled")
            self._leave(group, batch, gone)

    def _budget(self) -> int:
        """How many tokens of prompts may be read before the next token of the others."""
        if not self.batches:
            return PIECE_ALONE
        return PIECE.get(self.active.model.device.type, PIECE_OF_GPU)

    def _read_on(self, newcomer: Newcomer, most: int) -> int:
        """Read a piece of its prompt; at its end the row joins. Returns how many tokens that were."""
        row = newcomer.row
        piece = row.asked.ids[newcomer.read : newcomer.read + most]
        try:
            logits = self._forward([piece], [0], newcomer.cache, [row.asked.adapter])
            newcomer.read += len(piece)
            if newcomer.read < len(row.asked.ids):
                self.newcomers.append(newcomer)
            elif self._choose(row, logits[0]):
                group = self.active.group(row.asked.adapter)
                self.batches.setdefault(group, Batch()).join(row, newcomer.cache)
            else:
                self._keep_prefix(row, newcomer.read, _remembered(newcomer.cache, 0, 0))
        except Exception as error:  # whatever is wrong with this prompt is no matter of the others
            row.fail(error)
        return len(piece)

    def _whose_turn(self) -> str:
        groups = list(self.batches)
        self._turns += 1
        if self._turns >= TURN and len(groups) > 1:
            self._turns = 0
            self.batches[groups[0]] = self.batches.pop(groups[0])  # to the end
            return groups[1]
        return groups[0]

    def _write(self, group: str) -> None:
        batch = self.batches[group]
        last = [[row.written[-1]] for row in batch.rows]
        logits = self._forward(last, batch.pads, batch.cache, [row.asked.adapter for row in batch.rows])
        likeliest = logits.argmax(-1).tolist()
        rows = enumerate(batch.rows)
        ended = {place for place, row in rows if not self._choose(row, logits[place], likeliest[place])}
        self._leave(group, batch, ended)

    def _choose(self, row: Row, logits: "torch.Tensor", likeliest: int | None = None) -> bool:
        """The next token of a row. Does it go on?"""
        try:
            row.choose(logits, likeliest=likeliest)
        except Exception as error:  # such as logits that are no numbers: a matter of this row only
            row.fail(error)
        return not row.is_over

    def _leave(self, group: str, batch: Batch, gone: set[int]) -> None:
        if not gone:
            return
        for place in sorted(gone):
            self._keep_prefix(batch.rows[place], batch.length - batch.pads[place], batch.remembered(place))
        batch.keep([place for place in range(len(batch.rows)) if place not in gone])
        if not batch.rows:
            del self.batches[group]

    def _keep_prefix(self, row: Row, read: int, layers: Layers) -> None:
        self.prefixes.keep(row.asked.adapter, row.ids[:read], layers)

    def _forward(self, ids: list[list[int]], pads: list[int], cache: Any, names: list[str]) -> "torch.Tensor":
        """Logits [rows, vocabulary] after the last of the new tokens, which go into the cache."""
        import torch

        self.active.use(names)
        model = within(self.active.model)
        device, known = model.device, _length(cache)
        places = torch.arange(known + len(ids[0]), device=device)
        before = torch.tensor(pads, device=device)[:, None]
        made = model(
            input_ids=torch.tensor(ids, device=device),
            position_ids=places[known:] - before,
            attention_mask=(places >= before).long(),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        return made.logits[:, -1]


def _length(cache: Any) -> int:
    return int(cache.get_seq_length())


def _remembered(cache: Any, place: int, pad: int) -> Layers:
    """Copies: a slice would hold the memory of the whole batch."""
    found = []
    for layer in cache.layers:
        keys, values = layer.keys[place : place + 1, :, pad:], layer.values[place : place + 1, :, pad:]
        found.append((keys.clone(), values.clone()))
    return found
