"""Pretrain the starter base from nothing on the generated corpus:  python -m qlora_app.starter.pretrain --out base

In two parts: the whole corpus, then, from the weights as they are saved, a short one in which more is copied.
2.8 million parameters, two CPU cores, no download. Steps and data are seeded: the same command gives the same data
and schedule (bit-equal weights only on the same processor and library versions).
"""

import argparse
import json
import os
import random
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from .. import KEEP_MEMORY
from .corpus import COPYING, DOCUMENTS, document
from .tokenizer import train_tokenizer

if TYPE_CHECKING:
    import torch
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast


@dataclass(frozen=True)
class Part:
    """A part of the pretraining: its documents and their seed, its steps, and how the learning rate goes over them."""

    documents: dict[Callable[[random.Random], str], int]
    seed: int
    steps: int
    lr: float
    warmup: int
    steady: float  # share of the steps until the rate falls

    def rate(self, step: int, floor: float = 0.02) -> float:
        """Warm up, hold, then fall in a straight line; `step` counts from 0."""
        if step < self.warmup:
            return self.lr * (step + 1) / self.warmup
        return self.lr * min(1, max(floor, (self.steps - step) / (self.steps * (1 - self.steady))))


PARTS = (
    Part(DOCUMENTS, seed=11, steps=4500, lr=3e-3, warmup=100, steady=0.55),
    Part(COPYING, seed=12, steps=850, lr=1e-3, warmup=30, steady=0.0),
)


def packed_batches(
    tokenizer: "PreTrainedTokenizerFast", part: Part, batch: int, length: int
) -> "Iterator[torch.Tensor]":
    """Tensors [batch, length] of token ids, without end.

    They are documents one after another, each opened by the end-of-text token, cut into rows.
    """
    import torch

    rng = random.Random(part.seed)
    ids: list[int] = []
    while True:
        while len(ids) < batch * length:
            for doc in tokenizer([document(rng, part.documents) for _ in range(256)])["input_ids"]:
                ids += [tokenizer.bos_token_id, *doc]
        rows, ids = ids[: batch * length], ids[batch * length :]
        yield torch.tensor(rows).view(batch, length)


def new_model(tokenizer: "PreTrainedTokenizerFast") -> "LlamaForCausalLM":
    """All sizes are multiples of 64, so that 4-bit blocks fill whole rows (bitsandbytes' CPU kernels need that)."""
    from transformers import LlamaConfig, LlamaForCausalLM

    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=256,
            intermediate_size=512,
            num_hidden_layers=4,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=512,
            tie_word_embeddings=True,
            rope_theta=10000.0,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def orthogonal(matrices: "torch.Tensor") -> "torch.Tensor":
    """Newton-Schulz: every singular value of [n, rows, columns] goes to about one (Muon, Jordan et al. 2024)."""
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(5):
        square = x @ x.mT
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
    if tall:
        return x.mT
    return x


class Muon:
    """Momentum made orthogonal, in float32 and for all matrices of one shape at once.

    torch.optim.Muon does the same in bfloat16 and one by one: four times slower on a processor without bfloat16.
    """

    def __init__(
        self, matrices: "list[torch.nn.Parameter]", momentum: float = 0.95, weight_decay: float = 0.05
    ) -> None:
        import torch

        self.momentum, self.weight_decay = momentum, weight_decay
        shapes: dict[tuple[int, ...], list[torch.Tensor]] = {}
        for p in matrices:
            shapes.setdefault(tuple(p.shape), []).append(p)
        self.groups = [(group, torch.zeros(len(group), *shape)) for shape, group in shapes.items()]

    def step(self, lr: float) -> None:
        """Update by Nesterov momentum; the size of the update is that of AdamW at the same rate."""
        import torch

        with torch.no_grad():
            for group, velocity in self.groups:
                gradient = torch.stack([p.grad for p in group])
                velocity.lerp_(gradient, 1 - self.momentum)
                update = orthogonal(gradient.lerp(velocity, self.momentum)) * (0.2 * max(group[0].shape) ** 0.5)
                for p, change in zip(group, update, strict=True):
                    p.mul_(1 - lr * self.weight_decay).sub_(change, alpha=lr)
                    p.grad = None


def save(model: "LlamaForCausalLM", tokenizer: "PreTrainedTokenizerFast", folder: Path) -> None:
    """The weights as bfloat16 beside the tokenizer and its chat template"""
    import copy

    import torch

    half = copy.deepcopy(model).to(torch.bfloat16)
    half.generation_config.update(
        do_sample=True, temperature=0.7
    )  # greedily it would tell the same story again and again
    half.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def loss_on(model: "LlamaForCausalLM", rows: "torch.Tensor") -> float:
    """Mean loss a token, in nats"""
    import torch

    with torch.no_grad():
        return model(input_ids=rows, labels=rows, use_cache=False).loss.item()


def learn(
    model: "LlamaForCausalLM", rows: "torch.Tensor", optimizers: "tuple[Muon, torch.optim.Optimizer]", lr: float
) -> float:
    """One step on `rows` at the rate `lr`; returns their loss before it, in nats a token."""
    import torch

    muon, adam = optimizers
    loss = model(input_ids=rows, labels=rows, use_cache=False).loss
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    adam.param_groups[0]["lr"] = lr
    muon.step(lr)
    adam.step()
    adam.zero_grad()
    return loss.item()


def pretrain(
    model: "LlamaForCausalLM", tokenizer: "PreTrainedTokenizerFast", part: Part, batch: int, length: int, log: TextIO
) -> None:
    """Learn one part; a line of the log every hundred steps."""
    import torch

    # Muon for the matrices learns about twice as much per step here as AdamW alone; embeddings and norms stay with
    # AdamW.
    matrices = [p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n]
    others = [p for n, p in model.named_parameters() if p.ndim != 2 or "embed" in n]
    optimizers = Muon(matrices), torch.optim.AdamW(others, lr=part.lr, betas=(0.9, 0.95), weight_decay=0.0, fused=True)
    train, check = (
        packed_batches(tokenizer, part, batch, length),
        next(packed_batches(tokenizer, replace(PARTS[0], seed=999), 32, length)),
    )
    began, losses = time.time(), []
    for step in range(1, part.steps + 1):
        losses.append(learn(model, next(train), optimizers, part.rate(step - 1)))
        if step % 100 == 0 or step == part.steps:
            row = dict(
                step=step,
                loss=round(sum(losses[-100:]) / len(losses[-100:]), 4),
                lr=round(part.rate(step - 1), 6),
                seconds=round(time.time() - began),
                tokens=step * batch * length,
            )
            if step % 500 == 0 or step == part.steps:
                row["unseen_documents"] = round(loss_on(model, check), 4)
            print(json.dumps(row), flush=True)
            log.write(json.dumps(row) + "\n")


def options() -> argparse.Namespace:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--out", required=True, type=Path, help="folder for the weights, the tokenizer and the log")
    ask.add_argument(
        "--first", type=Path, help="a folder with the weights of the first part, to make only the second one"
    )
    ask.add_argument("--batch", type=int, default=16, help="rows a step")
    ask.add_argument("--length", type=int, default=256, help="tokens a row")
    ask.add_argument(
        "--seed", type=int, default=0, help="of the weights; the documents have seeds 11 and 12, those of the check 999"
    )
    ask.add_argument("--threads", type=int, default=2)
    return ask.parse_args()


def main() -> None:
    args = options()
    if not KEEP_MEMORY.keys() <= os.environ.keys():  # a sixth less time a step
        os.execve(
            sys.executable,
            [sys.executable, "-m", "qlora_app.starter.pretrain", *sys.argv[1:]],
            os.environ | KEEP_MEMORY,
        )
    import torch
    from transformers import LlamaForCausalLM

    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    args.out.mkdir(parents=True, exist_ok=True)
    tokenizer, folder = train_tokenizer(), args.first
    with open(args.out / "pretrain_log.jsonl", "w", buffering=1) as log:
        parts = PARTS[1:] if args.first else PARTS
        for part in parts:
            if folder:
                model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)
            else:
                model = new_model(tokenizer)
            pretrain(model, tokenizer, part, args.batch, args.length, log)
            save(model, tokenizer, folder := args.out)


if __name__ == "__main__":
    main()
