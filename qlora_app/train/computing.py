"""Which type of number a run computes in: decided once for this machine, then kept by the run."""

from ..base_models import cards_here, facts_of_folder, folder_of
from ..base_models.cards import (
    BYTES,
    CPU,
    Card,
    Decision,
    Trial,
    compute_type,
    optimizer,
    problems,
)
from ..base_models.shapes import Shapes, shapes_of
from ..base_models.trial import trial_of
from ..errors import UserError
from ..recipe import Recipe
from ..runs import RunWriter
from ..settings import Settings
from .callbacks import MetricsCallback

TRIALS = "cpu_types.json"  # in the home


def settle(out: RunWriter, recipe: Recipe, reporter: MetricsCallback, began: bool) -> Recipe:
    """The recipe with the type of number this run computes in, which it keeps when it is resumed. Raises UserError.

    `began` says that there is a checkpoint: where no type was kept with it, it was trained in what `computes_in` says.
    """
    card = cards_here()[0]
    if wrong := problems(card, recipe.base_model.precision):
        raise UserError.of_all({f"base_model.{name}": problem for name, problem in wrong.items()}, " ")
    kept = out.run.computes_in()
    if kept is None:
        kept = _as_it_was(recipe, card) if began else decide(recipe, card)
        out.write_compute(kept)
    elif began:
        reporter.status.warnings.extend(filter(None, [goes_on(kept.taken, card)]))
    reporter.status.warnings.extend(filter(None, [optimizer(card, recipe.training.optimizer).why]))
    return recipe.model_copy(update={"base_model": recipe.base_model.model_copy(update={"compute_type": kept.taken})})


def decide(recipe: Recipe, card: Card) -> Decision:
    """For a run that begins now on this machine; on a CPU after a trial, where there is a choice."""
    base = recipe.base_model
    facts = facts_of_folder(folder_of(base))
    if base.compute_type == "fp16" and not card.is_gpu:
        return Decision("fp32", "Computed in fp32: fp16 needs a GPU.")
    trial = None
    if card is CPU and base.compute_type == "auto" and base.precision in ("nf4", "fp4"):
        trial = _trial(shapes_of(facts.config, facts.parameters))
    decided = compute_type(card, base.precision, base.compute_type, facts.config.get("model_type", ""), trial)
    if (
        recipe.method.learns_embeddings
        and base.compute_type == "auto"
        and BYTES[decided.taken] < 4
        and not card.has_bf16
    ):
        return Decision("fp32", "Computed in fp32, because the embeddings learn whole.")
    return decided


def _trial(shapes: Shapes | None) -> Trial | None:
    """None for a model whose sizes its config does not tell in the usual words."""
    if shapes is None:
        return None
    return trial_of(
        [(matrix.inputs, matrix.outputs) for matrix in shapes.block], Settings.from_environment().home / TRIALS
    )


def goes_on(kind: str, card: Card) -> str:
    """A sentence for a run that is resumed where its type would not have been taken; empty where nothing need be
    said.
    """
    if kind == "fp16" and not card.is_gpu:
        return "This run began in fp16 on a GPU and goes on in fp32 on this CPU, which holds every number of fp16."
    if kind == "bf16" and card.is_gpu and not card.has_bf16:
        return (
            f"This run began in bf16 and goes on in it. {card.name} has no bf16 in hardware, so its steps take "
            f"longer than they could."
        )
    return ""


def _as_it_was(recipe: Recipe, card: Card) -> Decision:
    """Of a run from before the type was kept."""
    kind = "cuda" if card.is_gpu else "cpu"
    return Decision(recipe.base_model.computes_in(kind), "")
