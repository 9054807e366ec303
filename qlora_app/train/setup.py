"""What a run needs while it trains: model with adapter, data, questions, all made from its recipe."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import PreTrainedTokenizerBase, set_seed
from transformers.models.llama import modeling_llama  # noqa: F401  what a standby can import ahead, it should

from .. import hardware, memory
from ..base_models import (
    check_vocabulary,
    facts_of_folder,
    folder_of,
    load_model,
    load_tokenizer,
)
from ..base_models.shapes import shapes_of
from ..messages import has_reasoning
from ..methods import parameter_checksums
from ..preflight import checked_task, with_tokenizer
from ..recipe import Recipe, Training
from ..runs import Run, RunWriter
from ..settings import Settings
from ..start_from import copy_adapter
from ..tasks import Task
from ..tasks.dataset import EncodedExamples, micro_batches
from ..tasks.options import ExamplesWithOptions, collator_with_options
from ..tasks.packing import on_device, pack
from ..tasks.rope import reading_alone, switches_at
from ..tasks.template import TRAINED_WITH
from ..tasks.token_cache import TokenCache, cache_folder
from ..training_data import Examples, load_examples
from .divided import divide
from .not_learned import meet, not_learned_rows, not_learned_words
from .preferences.examples import EncodedPairs
from .preferences.objective import Objective
from .preferences.reference import without_dropout
from .preferences.rehearsal import rehearsal_of
from .preferences.setup import Preferring, judged
from .questions import Questions, questions_of, spread
from .world import ALONE, World

LOOKED_AT = 1000  # rows
# of a padded step on a CPU: sorted by length, four take half the time of one (measured on encoders of 0.5 and 13M)
PARTS = 4


@dataclass
class TrainingSetup:
    """Everything a run needs while it trains."""

    out: RunWriter
    recipe: Recipe
    task: Task
    examples: Examples
    tokenizer: PreTrainedTokenizerBase
    model: PeftModel
    train: EncodedExamples
    collate: Callable[[list[dict[str, Any]]], dict[str, Any]]
    packing: bool
    micro_batch: int
    may_share: bool  # may several examples be worked off at once?
    max_length: int  # tokens of an example
    held_out_batches: list[dict[str, Any]]
    measured_examples: int  # held-out examples in those batches
    questions: Questions
    not_learned: int  # rows left out because nothing of them can be learned with this model
    warnings: list[str]
    is_checkpointed: bool  # are the blocks computed a second time instead of remembered?
    before: dict[str, tuple[float, float]]  # marks of everything that learns, as it was before the first step
    measured_base: dict[str, float] | None = None  # the base's held-out figures, once they were measured
    world: World = ALONE  # the processes that share each step
    objective: Objective | None = None  # what it learns of preferences; None where it learns the answers

    @property
    def run(self) -> Run:
        return self.out.run

    def shared_by(self, world: World) -> "TrainingSetup":
        """The same among processes, which all work off as many examples at once, and may divide the base."""
        micro_batch = world.least(self.micro_batch)
        if self.recipe.launch.divides(world.size):
            world = divide(self.model, world)
        return replace(self, world=world, micro_batch=micro_batch)

    def measure(self) -> dict[str, float]:
        """What is learned, on what is held out, as the model is now: {"loss", and more}; a run keeps the best of it."""
        if self.objective is not None:
            return self.objective.measure(self.model)
        return self.task.measure(self.model, self.held_out_batches)

    @property
    def measures(self) -> bool:
        """Is anything held out that `measure` looks at?"""
        return bool(self.objective.held_out if self.objective else self.held_out_batches)


def prepare(
    out: RunWriter,
    recipe: Recipe,
    say: Callable[[str], None] = lambda sentence: None,
    most_at_once: int = 0,
    processes: int = 1,
) -> TrainingSetup:
    """Load model, tokenizer and data, attach the adapter, meet every row. `say` hears how far that is. `most_at_once`:
    examples, where the memory is not enough for more; 0 leaves it to what fits. `processes`: so many share each step.

    Raises UserError for anything the person can mend.
    """
    run, settings, training = out.run, Settings.from_environment(), recipe.training
    facts = with_tokenizer(facts_of_folder(folder_of(recipe.base_model)), recipe.base_model)
    at_once = memory.tokens_at_once(recipe, shapes_of(facts.config, facts.parameters), _machine())
    set_seed(training.seed)
    tokenizer = load_tokenizer(recipe.base_model)
    examples = load_examples(recipe.dataset, settings.data)
    task = checked_task(recipe, facts, examples)
    out.write_task(task, run.began(), examples.format, examples.answer)
    tokenizer.init_kwargs[TRAINED_WITH] = {"date": run.began(), **_how_it_is_asked(examples)}
    warnings = [*examples.few, *examples.warnings]
    begins_with = copy_adapter(recipe, settings.runs, run.folder)
    to_divide = recipe.launch.divides(processes)
    model, packing, before = _with_adapter(recipe, task, tokenizer, warnings, begins_with, to_divide)
    max_length = _fitting_length(facts.context, training.max_length, warnings)
    kept = _cache_folder(recipe, task, tokenizer, examples, max_length, settings)
    preferring = None
    if recipe.preferences.is_on:
        given = judged(recipe.preferences, examples)
        examples, warnings = given.examples, [*warnings, *given.warnings]
        preferring = Preferring(recipe.preferences, given, tokenizer, max_length, task)
    train, held_out = _encoded(recipe, task, tokenizer, examples, max_length, kept, settings)
    train = preferring.train if preferring else train
    meet(train, held_out, say)
    warnings += not_learned_words(train, held_out, examples)
    out.write_not_learned(not_learned_rows(train, held_out, examples))
    alone = _reading_alone(model, train, max_length)
    warnings += [alone] if alone else []
    share = training.batch_size // processes
    most = 1 if alone else _most_at_once(training, share, packing, most_at_once)
    if training.micro_batch:
        at_once = max(at_once, training.batch_size * max_length * train.read_each)
    micro_batch = micro_batch_size(train, share, at_once // train.read_each, most)
    padded, collate = task.collator(tokenizer, packing=False), task.collator(tokenizer, packing)
    measured = held_out.__getitems__(list(spread(range(len(held_out)), training.measured_examples)))
    # no larger than a step: else they decide what must be free
    held_out_batches = list(micro_batches(measured, micro_batch, collate))
    # without the answer options
    first = collate([EncodedExamples.__getitem__(train, i) for i in range(min(micro_batch, len(train)))])
    warnings += recipe.method.before_first_step(model, on_device(first, model.device))
    left_out = {one.place for one in held_out.left_out}
    learned_by, objective = collator_with_options(collate, padded) if recipe.method.option_losses else collate, None
    if preferring is not None:
        made_of = (run.id, kept.name, training.start_from, sorted(before.items()))
        ready = preferring.ready(model, collate, packing, recipe.method.supports_packing, micro_batch)
        learned_by, objective = ready.against(run.folder, made_of, training.measured_examples, say)
        if isinstance(train, EncodedPairs):
            warnings += train.shortened_words()
            objective.rehearsal = rehearsal_of(recipe, run, task, tokenizer, max_length, collate, train, warnings)
    return TrainingSetup(
        out=out,
        recipe=recipe,
        task=task,
        examples=examples,
        tokenizer=tokenizer,
        model=model,
        train=train,
        collate=learned_by,
        packing=packing,
        micro_batch=micro_batch,
        may_share=not alone,
        max_length=max_length,
        held_out_batches=held_out_batches,
        measured_examples=len(measured),
        questions=questions_of(task, tokenizer, examples, left_out, train, training, facts.context),
        not_learned=len({row.place for row in train.left_out}),
        warnings=warnings,
        is_checkpointed=memory.is_checkpointed(recipe, model.num_parameters(), _machine().kind),
        before=before,
        objective=objective,
    )


def _how_it_is_asked(examples: Examples) -> dict[str, Any]:
    """How most rows ask, looked at all over the data: whether their answers begin with reasoning, and the system text
    all of them have.
    """
    seen = spread(examples.train, LOOKED_AT)
    reasoning = sum(any(has_reasoning(turn) for turn in one) for one in seen)
    systems = {one[0]["content"] if one[0]["role"] == "system" else "" for one in seen}
    return {"thinking": 2 * reasoning > len(seen), "system": systems.pop() if len(systems) == 1 else ""}


def _with_adapter(
    recipe: Recipe,
    task: Task,
    tokenizer: PreTrainedTokenizerBase,
    warnings: list[str],
    begins_with: Path | None,
    to_divide: bool,
) -> tuple[PeftModel, bool, dict[str, tuple[float, float]]]:
    """(the model with the adapter of the method, whether it packs, marks of everything that learns)"""
    quantize = not recipe.method.quantizes_itself
    base = load_model(recipe.base_model, task.auto_class, task.labels, quantize, to_divide)
    check_vocabulary(base, tokenizer)
    task.prepare(tokenizer, base)
    packing = recipe.training.packing and task.may_pack and recipe.method.supports_packing and _may_pack(base, warnings)
    model = recipe.method.attach(
        base, task.peft_type, memory.is_checkpointed(recipe, base.num_parameters(), _machine().kind)
    )
    if begins_with is not None:
        recipe.method.resume(model, begins_with)
    if recipe.preferences.has_reference:
        without_dropout(model)
    return model, packing, parameter_checksums(model)


def _encoded(
    recipe: Recipe,
    task: Task,
    tokenizer: PreTrainedTokenizerBase,
    examples: Examples,
    max_length: int,
    kept: Path,
    settings: Settings,
) -> tuple[EncodedExamples, EncodedExamples]:
    """The examples to train on and the held-out ones, as tokens that are kept for the next run on them."""
    train, held_out = (
        EncodedExamples(part, tokenizer, max_length, task, _cache(kept / name, settings.max_cache_mb))
        for name, part in (("train", examples.train), ("held-out", examples.held_out))
    )
    if recipe.method.option_losses:
        train = ExamplesWithOptions(examples.train, tokenizer, max_length, task)
    return train, held_out


def _cache_folder(
    recipe: Recipe,
    task: Task,
    tokenizer: PreTrainedTokenizerBase,
    examples: Examples,
    max_length: int,
    settings: Settings,
) -> Path:
    """Where their tokens are: another folder for whatever changes them."""
    made_by = f"{task.name} {task.choice!r} {task.labels!r}"
    if recipe.preferences.is_on:
        made_by += f" {recipe.preferences.trainer}"
    return cache_folder(settings.tokens, examples.fingerprint, tokenizer, max_length, made_by)


def _cache(folder: Path, most_mb: int) -> Callable[[int], TokenCache]:
    return lambda count: TokenCache(count, folder, most_mb)


def _may_pack(model: Any, warnings: list[str]) -> bool:
    if pack(model):
        return True
    warnings.append(
        f"{model.config.model_type} models cannot keep packed examples apart, so examples are padded instead."
    )
    return False


def _most_at_once(training: Training, share: int, packing: bool, given: int) -> int:
    """Examples in a micro-batch at most, of a process's share of a step; given: where the memory is not enough for
    more, 0 elsewhere.
    """
    most = share if packing or torch.cuda.is_available() else share // PARTS
    return min([training.micro_batch or most, *filter(None, [given])])


def _reading_alone(model: PeftModel, examples: EncodedExamples, max_length: int) -> str:
    """Why examples cannot share a micro-batch; empty where they can. Lengths are looked at only where they can
    matter.
    """
    limit = switches_at(model.config)
    if limit is None or max_length <= limit:
        return ""
    return reading_alone(model.config, [len(example["input_ids"]) for example in examples])


def _fitting_length(context: int | None, wanted: int, warnings: list[str]) -> int:
    context = context or wanted
    if wanted > context:
        warnings.append(f"The model reads at most {context} tokens; longer examples are cut there.")
    return min(wanted, context)


def _machine() -> hardware.Machine:
    """What there is before the model is loaded; a worker may ask its GPU directly."""
    if not torch.cuda.is_available():
        return hardware.here()
    free, total = torch.cuda.mem_get_info()
    return hardware.Machine("cuda", total, free)


def micro_batch_size(examples: EncodedExamples, batch: int, tokens: int, most: int | None = None) -> int:
    """Examples worked off at once: the largest divisor of `batch`, up to `most`, whose examples have about so many
    tokens.

    The step is the same whatever this is, since losses are summed over its tokens; only memory and speed change.
    """
    seen = examples.spread(64)
    mean = sum(len(e.input_ids) for e in seen) / len(seen)
    room = min(tokens * memory.MORE_AT_ONCE / max(1.0, mean), batch if most is None else most)
    return max((n for n in range(1, batch + 1) if batch % n == 0 and n <= room), default=1)
