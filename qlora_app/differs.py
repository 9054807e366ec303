"""How a recipe differs from the one that is recommended for its model, data and method, in a few words: what tells runs
apart in a table, and what a run is called until somebody names it.
"""

import functools
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo

from .choices import dotted_name, is_recorded, iter_settings, options, value_at
from .place import Place
from .presets import preset_for, suggested
from .recipe import EFFORTS, Recipe, epochs_for
from .training_data import DatasetChoice

SHORT = {  # as the field says them in a line; the others by their titles
    "training.epochs": "epochs",
    "training.max_steps": "max steps",
    "training.learning_rate": "lr",
    "training.batch_size": "batch",
    "training.scheduler": "",
    "training.warmup_ratio": "warm-up",
    "training.optimizer": "",
    "training.adam_beta2": "beta2",
    "training.max_grad_norm": "grad norm",
    "training.max_length": "length",
    "base_model.precision": "",
    "method.name": "",
    "preferences.trainer": "",
    "method.rank": "rank",
    "method.alpha": "alpha",
    "method.dropout": "dropout",
    "method.weight_decomposed": "DoRA",
    "method.rank_stabilized": "rsLoRA",
}
AS_WRITTEN = {
    "preferences.trainer",
    "training.scheduler",
    "base_model.precision",
    "base_model.compute_type",
}  # "linear", "nf4", "bf16"
MOST_NAMED = 3  # differences in a name
_FEWEST = 0.01  # smaller numbers are written as powers of ten
# What says where data is and how it is read is part of the data, as the model's revision is of the model.
_OF_DATA = ("subset", "split", "revision", "format", "held_out_from")
_READING = ("encoding", "delimiter", "header", "quoting", "sheet", "pieces")
# How often it is measured and saved changes nothing of what is learned.
_MEASURING = (
    "evaluations",
    "measured_examples",
    "checkpoints",
    "samples",
    "sample_questions",
    "scored_questions",
    "general_questions",
)
# What it began with is said as its ancestry, to those who may know that run.
_BEGINNING = ("start_from",)
# When a run is broken off changes what it learned less than it tells.
_ENDING = ("stop_when_broken", "max_minutes", "stop_at", "max_tokens", "max_cost", "price_an_hour")
# Where its measurements go, where it is trained, and how a batch is cut up for the memory, changes nothing of it.
_BESIDE = (
    "reporting.report_to",
    "reporting.project",
    "training.micro_batch",
    *(f"launch.{name}" for name in Place.model_fields),
)
_ALIKE = {
    *("name", "note", "base_model.source", "base_model.id", "base_model.revision", *_BESIDE),
    *(f"dataset.{name}" for name in ("source", "id", *_OF_DATA, *_READING)),
    *(f"training.{name}" for name in (*_MEASURING, *_BEGINNING, *_ENDING)),
}
_MANY = 1_000_000  # examples, where the rounds of an effort no longer depend on how many there are


def recommended(recipe: Recipe) -> Recipe:
    """The recipe that is recommended for the model, the data and the method of this one."""
    data = DatasetChoice(source=recipe.dataset.source, id=recipe.dataset.id)
    return suggested(recipe.base_model, data, recipe.method.name, recipe.preferences.trainer)


def differs(recipe: Recipe, examples: int | None = None) -> dict[str, Any]:
    """{dotted setting: value} of what is not as recommended for this model, data and method.

    examples: how many are learned from. Epochs that are one of the three efforts do not count; where the number of
    examples is not known, neither do those that an effort may mean for few.
    """
    base = recommended(recipe)
    found = {}
    for leaf, name, field in _settings():
        value = value_at(recipe, leaf, ...)
        if value is ... or _is_alike(name, field) or value == value_at(base, leaf, field.default):
            continue
        found[name] = value
    if "training.epochs" in found and _is_effort(recipe, base, examples):
        del found["training.epochs"]
    return found


def differs_words(recipe: Recipe, examples: int | None = None) -> str:
    """What differs, in the field's short words: "lr 1e-3 · rank 8"; empty where nothing does."""
    return " · ".join(in_words(recipe, name, value) for name, value in differs(recipe, examples).items())


def made_name(recipe: Recipe, examples: int | None = None) -> str:
    """What a run is called until somebody names it: "helper · starter · r16 lr 1e-3"."""
    found = differs(recipe, examples)
    own = {name: value for name, value in found.items() if name not in ("method.name", "method.rank")}
    words = [
        method_words(recipe).removeprefix("LoRA "),
        *(in_words(recipe, name, own[name]) for name in list(own)[:MOST_NAMED]),
    ]
    if len(own) > MOST_NAMED:
        words.append(f"+{len(own) - MOST_NAMED}")
    return " · ".join([_data_words(recipe), _model_words(recipe), " ".join(words)])


def in_words(recipe: Recipe, name: str, value: Any) -> str:
    """One setting of a recipe by its dotted name, in the field's short words: "lr 1e-3", "no packing", "linear"."""
    field = _field(recipe, name)
    short = short_of(name, field)
    if isinstance(value, bool):
        return short if value else f"no {short}"
    if isinstance(value, list):
        return f"{short} {', '.join(map(str, value)) or 'none'}"
    shown = str(value) if name in AS_WRITTEN else _value(field, value)
    return f"{short} {shown}".strip()


def short_of(name: str, field: FieldInfo) -> str:
    """The short words of a setting, by its dotted name or its place: "lr"; empty where its value says enough."""
    return SHORT.get(dotted_name(name), (field.title or name).lower())


def figure(value: float) -> str:
    """A number as the field writes it: 0.0002 -> "2e-4", 0.03 -> "0.03", 1203 -> "1203"."""
    if value and abs(value) < _FEWEST:
        digits, _, exponent = f"{value:.6e}".partition("e")
        return f"{digits.rstrip('0').rstrip('.')}e{int(exponent)}"
    return f"{value:.10g}"


def _value(field: FieldInfo, value: Any) -> str:
    if isinstance(value, int | float):
        return figure(value)
    words = {option: label for label, option in options(field) or []}
    return " ".join(str(words.get(value, value)).split())


def _field(recipe: Recipe, name: str) -> FieldInfo:
    method = recipe.method.name
    found = {leaf: field for leaf, dotted, field in _settings() if dotted == name}
    group, _, last = name.rpartition(".")
    return found.get(f"{group}[{method}].{last}") or next(iter(found.values()))


@functools.cache
def _settings() -> list[tuple[str, str, FieldInfo]]:
    """(place, dotted name, field) of every setting: a list of runs asks for them thousands of times."""
    return [(leaf, dotted_name(leaf), field) for leaf, field in iter_settings(Recipe)]


def _is_alike(name: str, field: FieldInfo) -> bool:
    return name in _ALIKE or name.startswith("dataset.columns.") or is_recorded(field)


def method_words(recipe: Recipe) -> str:
    """The method and its size: "LoRA r16"."""
    rank = getattr(recipe.method, "rank", None)
    label = in_words(recipe, "method.name", recipe.method.name)
    return f"{label} r{rank}" if rank else label


def _data_words(recipe: Recipe) -> str:
    data = recipe.dataset
    if data.source == "file":
        return Path(data.title).stem or data.title
    return data.title.rpartition("/")[2] or "no data"


def _model_words(recipe: Recipe) -> str:
    return "starter" if recipe.base_model.source == "starter" else recipe.base_model.title


def _is_effort(recipe: Recipe, base: Recipe, examples: int | None) -> bool:
    """Are its epochs what one of the three efforts means?"""
    epochs, batch_size = recipe.training.epochs, recipe.training.batch_size
    made_for_both = preset_for(recipe.base_model, recipe.dataset)
    factor = 1.0
    if made_for_both:
        factor = base.training.epochs / epochs_for("balanced", examples or _MANY, made_for_both.training.batch_size)
    meant = [factor * epochs_for(effort, examples or _MANY, batch_size) for effort in EFFORTS]
    if any(abs(one - epochs) < 0.006 for one in meant):
        return True
    # Few examples get rounds until there are enough steps, which are hardly ever whole or half ones.
    return examples is None and not made_for_both and (epochs * 2 % 1 != 0 or epochs == 50.0)
