"""What a run needs while it trains: model with adapter, data, questions, all made from its recipe."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from peft import PeftModel
from transformers import PreTrainedTokenizerBase, set_seed
from transformers.models.llama import modeling_llama  # noqa: F401  what a standby can import ahead, it should

from .. import memory
from ..base_models import facts_of_folder, folder_of, load_model, load_tokenizer
from ..errors import UserError
from ..methods import marks
from ..recipe import Recipe
from ..runs import Run
from ..settings import Settings
from ..tasks import Question, Task, task_for
from ..tasks.chat import EncodedExamples, micro_batches
from ..tasks.options import ExamplesWithOptions, collator_with_options
from ..tasks.packing import on_device, pack
from ..tasks.rope import reading_alone, switches_at
from ..tasks.token_cache import TokenCache, cache_folder
from ..training_data import Examples, load_examples

SAMPLE_QUESTIONS = 4
PARTS = 4  # of a padded step on a CPU: sorted by length, four take half the time of one (measured on encoders of 0.5 and 13M)


@dataclass
class Job:
    """Everything a run needs while it trains."""

    run: Run
    recipe: Recipe
    task: Task
    examples: Examples
    tokenizer: PreTrainedTokenizerBase
    model: PeftModel
    train: EncodedExamples
    collate: Callable[[list[dict[str, Any]]], dict[str, Any]]
    packing: bool
    micro_batch: int
    held_out_batches: list[dict[str, Any]]
    questions: list[Question]
    scored: list[Question]
    also_learned: int  # scored questions that stand in the data it learns from too, with another answer
    answer_length: int  # tokens
    warnings: list[str]
    before: dict[str, tuple[float, float]]  # marks of everything that learns, as it was before the first step


def prepare(run: Run, recipe: Recipe) -> Job:
    """Load model, tokenizer and data, attach the adapter. Raises UserError for anything the person can mend."""
    settings, training = Settings.from_environment(), recipe.training
    facts = facts_of_folder(folder_of(recipe.base_model))
    at_once = memory.tokens_at_once(recipe, memory.shapes_of(facts.config, facts.parameters), _machine())
    set_seed(training.seed)
    tokenizer = load_tokenizer(recipe.base_model)
    examples = load_examples(recipe.dataset, settings.data)
    task = task_for(recipe.task, facts.tasks, examples.every)
    run.write_task(task)
    _check_method(recipe, facts.config.get("model_type", ""), task)
    warnings = list(examples.warnings)
    model, packing, before = _with_adapter(recipe, task, tokenizer, warnings)
    max_length = _fitting_length(facts.context, training.max_length, warnings)
    train, held_out = _encoded(recipe, task, tokenizer, examples, max_length, settings)
    most = training.batch_size if packing or torch.cuda.is_available() else training.batch_size // PARTS
    micro_batch = micro_batch_size(train, training.batch_size, at_once // train.read_each, most)
    collate = task.collator(tokenizer, packing)
    measured = held_out.__getitems__(list(_spread(range(len(held_out)), training.measured_examples)))
    if alone := _reading_alone(model, train, max_length):
        warnings.append(alone)
        micro_batch = 1
    held_out_batches = list(micro_batches(measured, 1 if alone else 16, collate))
    held_out.cache.save()
    first = collate([EncodedExamples.__getitem__(train, i) for i in range(min(micro_batch, len(train)))])  # without the answer options
    warnings += recipe.method.before_first_step(model, on_device(first, model.device))
    if recipe.method.comparing:
        collate = collator_with_options(collate, task.collator(tokenizer, packing=False))
    there = {place: question for place, one in enumerate(examples.held_out) if (question := task.question(tokenizer, one))}
    questions, scored = list(there.values()), _spread(list(there), training.scored_questions)
    asked = [Question([{"role": "user", "content": text}], "") for text in training.sample_questions]
    return Job(run, recipe, task, examples, tokenizer, model, train, collate, packing, micro_batch, held_out_batches,
               asked or _spread(questions, SAMPLE_QUESTIONS), [there[place] for place in scored],
               len(set(scored).intersection(examples.also_learned)),
               _answer_length(questions, tokenizer), warnings, before)


def _with_adapter(recipe: Recipe, task: Task, tokenizer: PreTrainedTokenizerBase,
                  warnings: list[str]) -> tuple[PeftModel, bool, dict[str, tuple[float, float]]]:
    """(the model with the adapter of the method, whether it packs, marks of everything that learns)"""
    base = load_model(recipe.base_model, task.opens_with, task.labels, quantize=not recipe.method.quantizes_itself)
    task.prepare(tokenizer, base)
    packing = recipe.training.packing and task.may_pack and recipe.method.packs and _may_pack(base, warnings)
    model = recipe.method.attach(base, task.peft_type, memory.is_checkpointed(recipe, base.num_parameters(), _machine().kind))
    return model, packing, marks(model)


def _encoded(recipe: Recipe, task: Task, tokenizer: PreTrainedTokenizerBase, examples: Examples, max_length: int,
             settings: Settings) -> tuple[EncodedExamples, EncodedExamples]:
    """The examples to train on and the held-out ones, as tokens that are kept for the next run on them."""
    kept = cache_folder(settings.tokens, examples.fingerprint, tokenizer, max_length, f"{task.name} {task.choice!r} {task.labels!r}")
    train, held_out = (EncodedExamples(part, tokenizer, max_length, task, TokenCache(len(part), kept / name, settings.max_cache_mb))
                       for name, part in (("train", examples.train), ("held-out", examples.held_out)))
    if recipe.method.comparing:
        train = ExamplesWithOptions(examples.train, tokenizer, max_length, task)
    train.check_trainable()
    return train, held_out


def _check_method(recipe: Recipe, family: str, task: Task) -> None:
    """The family of a model of the Hub, and what the data can teach, are known only now."""
    if problems := recipe.method.problems(recipe.base_model.precision, family, task.name):
        raise UserError(" ".join(problems.values()), problems)


def _may_pack(model: Any, warnings: list[str]) -> bool:
    if pack(model):
        return True
    warnings.append(f"{model.config.model_type} models cannot keep packed examples apart, so examples are padded instead.")
    return False


def _reading_alone(model: PeftModel, examples: EncodedExamples, max_length: int) -> str:
    """Why examples cannot share a micro-batch; empty where they can. Lengths are looked at only where they can matter."""
    limit = switches_at(model.config)
    if limit is None or max_length <= limit:
        return ""
    return reading_alone(model.config, [len(example["input_ids"]) for example in examples])


def _fitting_length(context: int | None, wanted: int, warnings: list[str]) -> int:
    context = context or wanted
    if wanted > context:
        warnings.append(f"The model reads at most {context} tokens; longer examples are cut there.")
    return min(wanted, context)


def _machine() -> memory.Machine:
    """What there is before the model is loaded; a worker may ask its GPU directly."""
    if not torch.cuda.is_available():
        return memory.here()
    free, total = torch.cuda.mem_get_info()
    return memory.Machine("cuda", total, free)


def _spread(items: Sequence[Any], most: int) -> Sequence[Any]:
    """At most `most` items, evenly from all over the list."""
    return items if len(items) <= most else [items[i * len(items) // most] for i in range(most)]


def _answer_length(questions: list[Question], tokenizer: PreTrainedTokenizerBase) -> int:
    """Tokens an answer may have: a few more than the longest right one, so that talking on is seen."""
    if not questions:
        return 100
    lengths = [len(ids) for ids in tokenizer([q.expected for q in questions[:200]])["input_ids"]]
    return min(256, max(16, max(lengths) + 8))


def micro_batch_size(examples: EncodedExamples, batch: int, tokens: int, most: int | None = None) -> int:
    """Examples worked off at once: the largest divisor of `batch`, up to `most`, whose examples have about so many tokens.

    The step is the same whatever this is, since losses are summed over its tokens; only memory and speed change.
    """
    seen = examples.spread(64)
    mean = sum(len(e.input_ids) for e in seen) / len(seen)
    room = min(tokens * 1.25 / max(1.0, mean), batch if most is None else most)
    return max((n for n in range(1, batch + 1) if batch % n == 0 and n <= room), default=1)
