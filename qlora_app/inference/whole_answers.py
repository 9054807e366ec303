"""For models whose layers remember something else than keys and values of every token, and for encoders with a decoder:
rows that wait are answered together by `generate`, and the next ones after them.
"""

from typing import TYPE_CHECKING, Any

from .adapters import ActiveAdapters
from .rows import Row

if TYPE_CHECKING:
    import torch


class WholeAnswers:
    """Computes rows in batches that nobody joins. Only one thread may ask it."""

    def __init__(self, active: ActiveAdapters, most_rows: int) -> None:
        self.active, self.most_rows = active, most_rows
        self.rows: list[Row] = []

    def has_room(self, row: Row) -> bool:
        return len(self.rows) < self.most_rows

    def take(self, row: Row) -> None:
        self.rows.append(row)

    def step(self) -> None:
        """The oldest row and those of its adapter, to their ends."""
        adapter = self.rows[0].asked.adapter
        together = [row for row in self.rows if row.asked.adapter == adapter]
        if self.active.is_in_front(adapter):
            together = together[:1]  # padding would come between what was learned and the shorter texts
        self.active.use([adapter])
        self._generate(together)
        for row in together:
            row.end("length")  # where it has not ended otherwise
        self.rows = [row for row in self.rows if not row.is_over]

    def drop(self, error: BaseException) -> None:
        """Something went wrong: every row hears of it."""
        rows, self.rows = self.rows, []
        for row in rows:
            row.fail(error)

    def _generate(self, rows: list[Row]) -> None:
        import torch
        from transformers import LogitsProcessorList, StoppingCriteriaList

        model = self.active.model
        width = max(len(row.asked.ids) for row in rows)
        reads_left = not model.config.is_encoder_decoder  # an encoder is padded on the right, as in training
        ids = torch.zeros(len(rows), width, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for place, row in enumerate(rows):
            part = slice(width - len(row.asked.ids), width) if reads_left else slice(len(row.asked.ids))
            ids[place, part] = torch.tensor(row.asked.ids)
            mask[place, part] = 1
        model.generate(
            input_ids=ids.to(model.device),
            attention_mask=mask.to(model.device),
            max_new_tokens=max(row.asked.room for row in rows),
            do_sample=False,
            num_beams=1,
            repetition_penalty=1.0,
            eos_token_id=None,
            pad_token_id=0,
            use_cache=True,
            logits_processor=LogitsProcessorList([_Choosing(rows, reads_left)]),
            stopping_criteria=StoppingCriteriaList([_Over(rows)]),
        )


class _Choosing:
    """In `generate`: each row's next token is chosen as that row wants it; to the others it is impossible."""

    def __init__(self, rows: list[Row], with_prompt: bool) -> None:
        self.rows, self.with_prompt = rows, with_prompt

    def __call__(self, ids: "torch.Tensor", scores: "torch.Tensor") -> "torch.Tensor":
        import torch

        only = torch.full_like(scores, -torch.inf)
        for place, row in enumerate(self.rows):
            only[place, self._next(row, scores[place])] = 0
        return only

    def _next(self, row: Row, logits: "torch.Tensor") -> int:
        if row.is_over:
            return 0
        try:
            return row.choose(logits, self.with_prompt)
        except Exception as error:  # such as logits that are no numbers: a matter of this row only
            row.fail(error)
            return 0


class _Over:
    """In `generate`: the rows that have ended."""

    def __init__(self, rows: list[Row]) -> None:
        self.rows = rows

    def __call__(self, ids: "torch.Tensor", scores: "torch.Tensor", **_: Any) -> "torch.Tensor":
        import torch

        return torch.tensor([row.is_over for row in self.rows], device=ids.device)
