"""What another method learned, as plain LoRA: for the many programs that open nothing else.

Whatever a method does to a weight, merged it is another weight. The difference of the two is cut by a singular value
decomposition, at the smallest rank that is near enough. PEFT's own `convert_to_lora` asks each layer for the delta that
it adds: it refuses AdaLoRA and what multiplies (OFT, HRA), takes DoRA for LoRA (62 % off), chooses a rank for each
layer by itself, and writes no task into the config. Where it converts, a test holds both to the same.
"""

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from ..choices import setting
from ..errors import Problem, UserError
from ..inference.loaded import give_memory_back
from ..inference.session import ChatSession
from ..jobs import JobWriter
from ..methods import LoraMethod
from ..methods.fitting import CONFIG, WEIGHTS, check_saved
from ..other_adapters.reading import method_of
from ..runs import Run
from ..runs.exports import Export
from ..settings import Settings
from ..storage.reading import read_json
from .exporter import Exporter, telling
from .fidelity import of_model, questions_for, reference
from .merging import adapted_model

if TYPE_CHECKING:
    import torch

MOST_RANK = 512
WHOLE = 1024  # inputs or outputs: of larger layers the first singular values only are looked for
OVERSAMPLING, POWER_ITERATIONS = 16, 4  # for that
ROUNDING = 2**-23  # of the norms of a weight, before and after: what is smaller 32 bits cannot tell


class LoraExporter(Exporter):
    """Opened beside the base again, and asked what the adapter was asked."""

    title: ClassVar[str] = "As plain LoRA"
    about: ClassVar[str] = (
        "For programs that open LoRA only: what was learned as one, of the smallest rank that is near enough, and "
        "asked what the adapter was asked."
    )

    asked: ClassVar[str] = "rank"
    offered: ClassVar[dict[Any, str]] = {0: "As measured"} | {rank: str(rank) for rank in (4, 8, 16, 32, 64, 128, 256)}

    name: Literal["lora"] = setting("lora", "Export", "What is made.", labels={"lora": "Plain LoRA (PEFT)"})
    rank: int = setting(0, "Rank", "0: the smallest that loses no more than the bound below.", ge=0, le=MOST_RANK)
    tolerance: float = setting(
        0.01, "Most that is lost", "Of what was changed, as a share of its Frobenius norm over all layers.", gt=0, lt=1
    )
    questions: int = setting(
        200, "Questions to compare", "Held-out questions that adapter and LoRA are both asked.", ge=0, le=10_000
    )

    def called(self) -> str:
        return f"lora-{self.rank}" if self.rank else "lora"

    @classmethod
    def is_offered_for(cls, run: Run) -> bool:
        """Not where it is one already."""
        return not _is_plain(run)

    def problems(self, run: Run) -> dict[str, Problem]:
        problem = _problem(run)
        return {"name": problem} if problem else {}

    def write(self, run: Run, folder: Path, out: JobWriter, settings: Settings) -> Export:
        began = time.monotonic()
        out.say("Loading the model.", state="starting")
        changes = _changes(run, folder, out)
        rank = self.rank or _rank_for(changes, self.tolerance, run)
        _save(changes, rank, run, folder)
        lost = _lost(changes, rank)
        del changes
        give_memory_back()
        session = ChatSession.open(run.base_model(), run.recipe().method, run.adapter, run.task())
        known = reference(
            session, questions_for(session, run, settings, self.questions), telling(out, "The adapter answers")
        )
        session.tokenizer.save_pretrained(str(folder))
        del session
        give_memory_back()
        method = method_of(read_json(folder / CONFIG) or {}, check_saved(folder))
        opened = ChatSession.open(run.base_model(), method, folder, run.task())
        measured = of_model(known, opened, telling(out, "The LoRA answers"))
        return self.made(run, folder, began, measured, [_said(rank, lost)], dtype="fp32")


def _said(rank: int, lost: float) -> str:
    if not lost:
        return f"Of rank {rank}, it lacks nothing of what was changed."
    share = f"{lost:.2%}" if lost >= 1e-4 else "less than 0.01%"
    return f"Of rank {rank}, it lacks {share} of what was changed (Frobenius norm, all layers together)."


def _is_plain(run: Run) -> bool:
    method = run.recipe().method
    return type(method) is LoraMethod and not method.rank_stabilized and not method.weight_decomposed


def _problem(run: Run) -> Problem | None:
    """Why it cannot become one; None where that is to be tried."""
    method = run.recipe().method
    if not method.can_merge:
        return Problem(
            "export.lora_no_change",
            "What {method} learned changes no weights, so no LoRA does the same.",
            method=method.title(),
        )
    if method.quantizes_itself:
        return Problem(
            "export.lora_own_base",
            "What {method} learned fits the base as it rounds it, which PEFT alone does not. Export the merged model.",
            method=method.title(),
        )
    if isinstance(method, LoraMethod) and method.weight_decomposed:
        return Problem(
            "export.lora_dora",
            "DoRA gives every row of a weight another length, which changes all of its directions: no LoRA of a small "
            "rank holds that. Export the merged model.",
        )
    return None


# ---- what was changed


@dataclass(frozen=True)
class _Change:
    """Of one layer: its singular values and directions, u [outputs, k] and v [k, inputs]; `rest`: the squared norm of
    what is in none of them.
    """

    u: "torch.Tensor"
    s: "torch.Tensor"
    v: "torch.Tensor"
    rest: float

    @property
    def size(self) -> tuple[int, int]:
        """Inputs and outputs together, and one times the other."""
        outputs, inputs = len(self.u), self.v.shape[1]
        return outputs + inputs, outputs * inputs

    def left(self, rank: int) -> float:
        """Squared, what is not in its first `rank` directions."""
        return float(self.s[rank:].double().square().sum()) + self.rest


Changes = Mapping[str, _Change]


def _changes(run: Run, folder: Path, out: JobWriter) -> Changes:
    """{full name of a layer: how the method changed its weight}"""
    found = {}
    layers = list(_adapted_layers(adapted_model(run, folder)))
    for done, (name, layer) in enumerate(layers, start=1):
        found[name] = _change(layer, run)
        out.progress(done, len(layers), f"Looking at what was changed: layer {done:,} of {len(layers):,}.")
    return found


def _adapted_layers(model: Any) -> Iterator[tuple[str, Any]]:
    from peft.tuners.tuners_utils import BaseTunerLayer

    for name, layer in model.get_base_model().named_modules():
        if isinstance(layer, BaseTunerLayer):
            yield name, layer


def _change(layer: Any, run: Run) -> _Change:
    """By merging it. Raises UserError where it changed something else than a matrix."""
    import torch
    from transformers.pytorch_utils import Conv1D

    base = layer.get_base_layer()
    if not isinstance(base, torch.nn.Linear | Conv1D):
        raise UserError(
            "export.lora_not_linear",
            "It learned something in {layer} too, which is no linear layer: a LoRA for other programs has none there. "
            "Export the merged model.",
            layer=type(base).__name__,
        )
    weight, bias = base.weight.detach().clone(), None if base.bias is None else base.bias.detach().clone()
    layer.merge(safe_merge=True)
    is_other = bias is not None and not torch.equal(bias, base.bias)
    if is_other:
        raise UserError(
            "export.lora_bias",
            "{method} changed biases too, which a LoRA does not. Export the merged model.",
            method=run.recipe().method.title(),
        )
    delta = base.weight.detach().float() - weight.float()
    if isinstance(base, Conv1D):
        delta = delta.T
    return _decomposed(delta, ROUNDING * float(weight.float().norm() + base.weight.detach().float().norm()))


def _decomposed(delta: "torch.Tensor", nothing: float) -> _Change:
    """At most `MOST_RANK` directions. nothing: a singular value that is no larger is rounding."""
    import torch

    if min(delta.shape) <= WHOLE:
        u, s, v = torch.linalg.svd(delta, full_matrices=False)
    else:
        u, s, turned = torch.svd_lowrank(delta, q=MOST_RANK + OVERSAMPLING, niter=POWER_ITERATIONS)
        v = turned.T
    count = min(MOST_RANK, int((s > nothing).sum()))
    found = u[:, :count].clone(), s[:count].clone(), v[:count].clone()
    if count < len(s) and float(s[count]) <= nothing:  # the rest is rounding
        return _Change(*found, rest=0.0)
    return _Change(*found, rest=float((delta - (found[0] * found[1]) @ found[2]).double().square().sum()))


# ---- how much of it


def _lost(changes: Changes, rank: int) -> float:
    """As a share of all that was changed."""
    whole = sum(change.left(0) for change in changes.values())
    return math.sqrt(sum(change.left(rank) for change in changes.values()) / whole) if whole else 0.0


def _rank_for(changes: Changes, tolerance: float, run: Run) -> int:
    """The smallest that is near enough. Raises UserError where a LoRA of it would be as large as the layers."""
    if not any(change.left(0) for change in changes.values()):
        raise UserError("export.lora_nothing", "It changed no weight, so there is nothing to make a LoRA of.")
    most = max((len(change.s) for change in changes.values()), default=1)
    rank = next((rank for rank in range(1, most + 1) if _lost(changes, rank) <= tolerance), 0)
    sizes = [change.size for change in changes.values()]
    if not rank or rank * sum(sides for sides, _ in sizes) >= sum(area for _, area in sizes):
        raise _full(run, rank)
    return rank


def _full(run: Run, rank: int) -> UserError:
    return UserError(
        "export.lora_full_rank",
        "{method} changed the weights in so many directions that a LoRA which holds them is as large as the layers "
        "themselves (rank {rank}). Export the merged model, or say a rank and look at what is lost.",
        method=run.recipe().method.title(),
        rank=rank or f"> {MOST_RANK}",
    )


# ---- its files


def _save(changes: Changes, rank: int, run: Run, folder: Path) -> None:
    """As PEFT saves a LoRA. What was learned whole beside the layers goes along."""
    from peft import LoraConfig
    from safetensors.torch import load_file, save_file

    was = read_json(run.adapter / CONFIG) or {}
    whole = [name for name in was.get("modules_to_save") or [] if isinstance(name, str)]
    saved = load_file(run.adapter / WEIGHTS)
    tensors = {name: one for name, one in saved.items() if any(f".{part}." in name for part in whole)}
    for name, change in changes.items():
        a, b = _matrices(change, rank)
        tensors |= {f"base_model.model.{name}.lora_A.weight": a, f"base_model.model.{name}.lora_B.weight": b}
    save_file(tensors, folder / WEIGHTS, {"format": "pt"})
    LoraConfig(
        r=rank,
        lora_alpha=rank,
        target_modules=list(changes),
        modules_to_save=whole or None,
        task_type=was.get("task_type"),
        base_model_name_or_path=was.get("base_model_name_or_path"),
        inference_mode=True,
    ).save_pretrained(str(folder))


def _matrices(change: _Change, rank: int) -> "tuple[torch.Tensor, torch.Tensor]":
    """A [rank, inputs] and B [outputs, rank], each with the root of the singular values; zeros where there are fewer
    directions.
    """
    root = change.s[:rank].sqrt()
    a = change.v.new_zeros(rank, change.v.shape[1])
    b = change.u.new_zeros(len(change.u), rank)
    a[: len(root)] = root[:, None] * change.v[:rank]
    b[:, : len(root)] = change.u[:, :rank] * root
    return a, b
