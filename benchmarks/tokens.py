"""What does packing bring, does it change the loss, and how much of this machine does a training step use?  make bench

Useful tokens a second of the same examples padded, padded but grouped by length, and packed as the app packs them;
their mean losses; and the share of this machine's matrix-multiply peak, measured at the model's own shapes, that a
packed step reaches. Prints ratios and adds them, with date and machine, to RESULTS.md.
"""

import argparse
import functools
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from measuring import interleaved, make_model, ratio, record, synchronize, used_by_others
from transformers.trainer_pt_utils import get_length_grouped_indices

from qlora_app.base_models import ModelChoice, load_model, load_tokenizer
from qlora_app.memory import TOKENS_AT_ONCE
from qlora_app.methods import LoraMethod
from qlora_app.tasks.chat import Encoded, held_out_loss
from qlora_app.tasks.dataset import EncodedExamples, micro_batches
from qlora_app.tasks.packing import collator, on_device, pack
from qlora_app.train.setup import micro_batch_size

BATCH = 16  # examples behind a step
PADDED_AT_ONCE = 8  # as many as fit into memory when most of a row is padding; packing takes what its tokens allow


class Skewed(EncodedExamples):
    """Examples as chats are: most are short, some very long (log-normal: median 40, mean 55 tokens)."""

    def __init__(self, count: int, vocabulary: int) -> None:
        chance = random.Random(0)
        lengths = [min(512, max(4, round(chance.lognormvariate(3.69, 0.8)))) for _ in range(count)]
        self.rows = [[chance.randrange(4, vocabulary) for _ in range(length)] for length in lengths]

    def __len__(self) -> int:
        return len(self.rows)

    def encode_those(self, indices: Sequence[int]) -> None:
        """They are tokens already."""

    def encoded(self, index: int) -> Encoded:
        return Encoded(self.rows[index], self.rows[index], False)

    @property
    def lengths(self) -> list[int]:
        return [len(row) for row in self.rows]


@dataclass
class Work:
    """A model with an adapter, examples, and each way of making batches of them."""

    model: Any
    examples: Skewed
    batches: dict[str, list[dict[str, Any]]]

    @classmethod
    def make(cls, choice: ModelChoice, count: int) -> "Work":
        tokenizer = load_tokenizer(choice)
        base = load_model(choice)
        pack(base)  # padded batches pass through torch's own attention all the same
        model = LoraMethod(dropout=0.0).attach(base)
        examples = Skewed(count, len(tokenizer))
        grouped = get_length_grouped_indices(
            examples.lengths, PADDED_AT_ONCE, generator=torch.Generator().manual_seed(0)
        )
        by_length = [examples[i] for i in grouped]
        at_once = TOKENS_AT_ONCE[model.device.type]
        padded, packed = collator(tokenizer, False), collator(tokenizer, True)
        return cls(
            model,
            examples,
            {
                "padded": list(micro_batches(examples, PADDED_AT_ONCE, padded)),
                "grouped": list(micro_batches(by_length, PADDED_AT_ONCE, padded)),
                "packed": list(micro_batches(examples, micro_batch_size(examples, BATCH, at_once), packed)),
            },
        )

    def seconds(self, way: str) -> float:
        """Forward and backward of every example once."""
        self.model.train()
        began = time.perf_counter()
        for batch in self.batches[way]:
            self.model(**on_device(batch, self.model.device), use_cache=False).loss.backward()
        synchronize()
        self.model.zero_grad()
        return time.perf_counter() - began


def operations(model: Any, lengths: list[int]) -> float:
    """Floating-point operations that forward and backward of these examples cannot do without.

    A frozen matrix takes part twice (the output, and the gradient of its input), an adapter's three times; two
    operations for each weight and token. Attention: two products of t x t each, three times, for each hidden dimension
    and layer.
    """
    frozen = adapter = 0
    for name, part in model.named_modules():
        if isinstance(part, torch.nn.Linear) and not hasattr(
            part, "lora_A"
        ):  # a wrapped layer counts as its base_layer
            size = part.in_features * part.out_features
            adapter, frozen = (adapter + size, frozen) if ".lora_" in name else (adapter, frozen + size)
    config, tokens = model.config, sum(lengths)
    attention = 12 * config.num_hidden_layers * config.hidden_size * sum(length**2 for length in lengths)
    return (4 * frozen + 6 * adapter) * tokens + attention


def peak(model: Any, tokens: int, seconds: float = 1.0) -> float:
    """Operations a second of plain matrix products in the shapes of one layer, in the type that the model computes
    in.
    """
    layer = model.base_model.model.model.layers[0]
    sizes = [
        (part.in_features, part.out_features) for name, part in layer.named_modules() if name.endswith("base_layer")
    ]
    kind = next(p.dtype for name, p in model.named_parameters() if "norm" in name)
    kind = torch.bfloat16 if model.device.type == "cuda" else kind  # on a GPU the Trainer computes in bf16
    how = {"dtype": kind, "device": model.device}
    pairs = [(torch.randn(tokens, i, **how), torch.randn(i, o, **how)) for i, o in sizes]
    once = _timed(lambda: [a @ b for a, b in pairs])
    times = [_timed(lambda: [a @ b for a, b in pairs]) for _ in range(max(3, int(seconds / once)))]
    return sum(2 * tokens * i * o for i, o in sizes) / statistics.median(times)


def _timed(work: Callable[[], Any]) -> float:
    synchronize()
    began = time.perf_counter()
    work()
    synchronize()
    return time.perf_counter() - began


def gains(work: Work, rounds: int) -> dict[str, str]:
    """Columns of RESULTS.md: what grouping and packing bring against padding, and how far apart their mean losses
    are.
    """
    work.seconds("packed")  # not counted: first products of each shape are slower
    times = interleaved(rounds, **{way: functools.partial(work.seconds, way) for way in work.batches})
    tokens, gain = (
        sum(work.examples.lengths),
        {way: ratio(times["padded"], times[way]) for way in ("grouped", "packed")},
    )
    losses = {way: held_out_loss(work.model, batches) for way, batches in work.batches.items()}
    apart = max(abs(loss - losses["padded"]) for loss in losses.values())
    print(
        ", ".join(f"{way} {tokens / statistics.median(seconds):,.0f} tokens/s" for way, seconds in times.items())
        + f"; grouped / padded {gain['grouped']:.2f}, packed / padded {gain['packed']:.2f}; losses differ by "
        f"{apart:.1e}"
    )
    return {f"{way} / padded": f"{value:.2f}" for way, value in gain.items()} | {"losses apart": f"{apart:.1e}"}


def share_of_peak(name: str, work: Work, rounds: int) -> dict[str, str]:
    """The column of RESULTS.md: needed operations a second of packed training, as a share of plain matrix products'."""
    at_once = round(statistics.mean(batch["input_ids"].numel() for batch in work.batches["packed"]))
    both = interleaved(rounds, step=lambda: work.seconds("packed"), peak=lambda: peak(work.model, at_once))
    needed = operations(work.model, work.examples.lengths)
    share = statistics.median(needed / seconds / most for seconds, most in zip(both["step"], both["peak"], strict=True))
    print(
        f"{name}: training reaches {share:.0%} of the {statistics.median(both['peak']) / 1e9:,.0f} GFLOP/s of plain "
        f"products"
    )
    return {f"{name}, share of peak": f"{share:.0%}"}


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("--rounds", type=int, default=3, help="how often each is measured; the middle ratio counts")
    ask.add_argument(
        "--quick", action="store_true", help="few examples and a small model, to see that it runs; nothing is recorded"
    )
    given, others = ask.parse_args(), used_by_others()
    with tempfile.TemporaryDirectory() as folder:
        starter = Work.make(ModelChoice(), 16 if given.quick else 96)
        wide = make_model(Path(folder) / "wide", hidden=128 if given.quick else 1024)
        figures = gains(starter, given.rounds) | share_of_peak("starter", starter, given.rounds)
        work = Work.make(ModelChoice(source="folder", id=str(wide)), 8 if given.quick else 32)
        figures |= share_of_peak("hidden 1024", work, given.rounds)
    record("tokens", figures, others, keep=not given.quick)


if __name__ == "__main__":
    main()
