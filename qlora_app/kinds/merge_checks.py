"""What speaks against merging some adapters, all at once and before anything is loaded, and what one should know where
nothing does.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..base_models import fingerprint, folder_of
from ..errors import Problem, UserError
from ..formatting import TASK_NAMES
from ..methods import LoraMethod
from ..methods.combining import Combination
from ..methods.fitting import CONFIG, check_saved
from ..other_adapters.reading import method_of
from ..runs import Run, RunStore
from ..runs.merges import Part
from ..start_from import adapter_folder
from ..storage.reading import read_json

MOST = 8
MOST_RANK = 512  # of an adapter that can be trained further
LEARNED_WHOLE = ("modules_to_save", "trainable_token_indices", "target_parameters", "lora_bias")
_MATRIX = re.compile(r"(?P<layer>.+)\.lora_(?:embedding_)?(?P<which>[AB])(?:\.weight)?")
Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Mergeable:
    """A run that can be merged."""

    run: Run
    weight: float
    method: LoraMethod  # as its files say it
    layers: frozenset[str]
    ranks: frozenset[int]
    smallest: int  # inputs or outputs of its layers
    weights: str  # fingerprint of its base's


@dataclass(frozen=True)
class Checked:
    """All of them. rank: of what will come of it, at the most. notes: what one should know before."""

    parents: tuple[Mergeable, ...]
    how: Combination
    rank: int
    notes: tuple[Problem, ...]


def checked(parts: Sequence[Part], how: Combination, store: RunStore) -> Checked:
    """Raises UserError with every mistake, each at its field: `parts`, `parts.RUN`, `weights`, `how.by`, `how.rank`."""
    problems = _of_number(parts)
    parents: list[Mergeable] = []
    for part in {part.run: part for part in parts}.values():
        found = _parent(part, store)
        if isinstance(found, Problem):
            problems[f"parts.{part.run}"] = found
        else:
            parents.append(found)
    for parent in parents[1:]:
        if problem := _unlike(parent, parents[0]):
            problems[f"parts.{parent.run.id}"] = problem
    rank = _rank(parents, how) if parents else 0
    if len(parents) > 1:
        problems |= _of_combination(parents, how, rank)
    if problems:
        raise UserError.of_all(problems)
    return Checked(tuple(parents), how, rank, tuple(_notes(parents, how)))


def _of_number(parts: Sequence[Part]) -> dict[str, Problem]:
    problems: dict[str, Problem] = {}
    names = [part.run for part in parts]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        problems["parts"] = Problem(
            "merge.twice",
            "{run} is named twice. Name it once, with the weight that it is to have.",
            run=twice[0],
        )
    elif len(parts) < 2:
        problems["parts"] = Problem("merge.too_few", "Merging takes two adapters or more. Name another run.")
    elif len(parts) > MOST:
        problems["parts"] = Problem(
            "merge.too_many",
            "{count} adapters are more than can be merged at once. Name {most} at the most.",
            count=len(parts),
            most=MOST,
        )
    if parts and not any(part.weight for part in parts):
        problems["weights"] = Problem("merge.no_weight", "Every weight is 0, so nothing would be left. Give one.")
    return problems


# ---- one of them


def _parent(part: Part, store: RunStore) -> Mergeable | Problem:
    try:
        run = store.get(part.run)
        adapter_folder(run.id, store.root)  # says so where it has not finished
        shapes, config = check_saved(run.adapter), read_json(run.adapter / CONFIG) or {}
        if problem := _no_plain_lora(run, config):
            return problem
        method = method_of(config, shapes)
        weights = _fingerprint(run)
    except UserError as error:
        return error.problem
    if run.recipe().method.needs_its_precision:
        method = method.model_copy(update={"initialisation": "loftq"})
    found = [(match, shape) for name, shape in shapes.items() if (match := _MATRIX.fullmatch(name))]
    sides = [(shape, 0 if match["which"] == "A" else 1) for match, shape in found]
    return Mergeable(
        run=run,
        weight=part.weight,
        method=method,
        layers=frozenset(match["layer"] for match, _ in found),
        ranks=frozenset(shape[place] for shape, place in sides),
        smallest=min((shape[1 - place] for shape, place in sides), default=0),
        weights=weights,
    )


def _fingerprint(run: Run) -> str:
    """Of its base's weights, as they were when it learned; of early versions, which did not keep it, as they are."""
    kept = (read_json(run.folder / "base.json") or {}).get("weights")
    return kept if kept and isinstance(kept, str) else fingerprint(folder_of(run.base_model()))


def _no_plain_lora(run: Run, config: dict[str, Any]) -> Problem | None:
    method, title = run.recipe().method, run.title
    if str(config.get("peft_type")).upper() != "LORA" or not method.opens_in_peft:
        return Problem(
            "merge.no_lora",
            "{run} is of {method}, whose adapters have no sum: only those of LoRA have. Where it can be made one, "
            "Use it > As plain LoRA does that; import what comes of it and merge that.",
            run=title,
            method=method.title(),
        )
    if config.get("use_dora"):
        return Problem(
            "merge.dora",
            "{run} is of DoRA, which sets the length of each row of a weight: lengths multiply and have no sum. Choose "
            "runs of LoRA without it.",
            run=title,
        )
    whole = [name for name in LEARNED_WHOLE if config.get(name)]
    if whole:
        named = config.get(whole[0])
        return Problem(
            "merge.learned_whole",
            "{run} has learned parts of the model whole beside its matrices ({names}), and of two such parts PEFT "
            "makes no sum. Choose runs that learned matrices only.",
            run=title,
            names=", ".join(map(str, named)) if isinstance(named, list) else whole[0],
        )
    return None


# ---- each against the first


def _unlike(one: Mergeable, first: Mergeable) -> Problem | None:
    return _other_base(one, first) or _other_task(one, first) or _other_precision(one, first)


def _other_base(one: Mergeable, first: Mergeable) -> Problem | None:
    if one.weights == first.weights:
        return None
    base, other = one.run.base_model().title, first.run.base_model().title
    if base != other:
        return Problem(
            "merge.other_base",
            "{run} is for {base}, and {first} for {other}. Only adapters of one base can be merged.",
            run=one.run.title,
            base=base,
            first=first.run.title,
            other=other,
        )
    return Problem(
        "merge.other_weights",
        "{run} learned beside other weights of {base} than {first}: they have another checksum. Only adapters of the "
        "same weights can be merged.",
        run=one.run.title,
        base=base,
        first=first.run.title,
    )


def _other_task(one: Mergeable, first: Mergeable) -> Problem | None:
    task, wanted = one.run.task(), first.run.task()
    if task.name != wanted.name:
        return Problem(
            "merge.other_task",
            "{run} is trained for {task}, and {first} for {other}. Only adapters of one task can be merged.",
            run=one.run.title,
            task=TASK_NAMES[task.name],
            first=first.run.title,
            other=TASK_NAMES[wanted.name],
        )
    if task.labels != wanted.labels:
        return Problem(
            "merge.other_labels",
            "{run} has other labels than {first}, so they cannot be merged.",
            run=one.run.title,
            first=first.run.title,
        )
    return None


def _other_precision(one: Mergeable, first: Mergeable) -> Problem | None:
    precision, other = one.run.base_model().precision, first.run.base_model().precision
    if precision == other or not (one.method.needs_its_precision or first.method.needs_its_precision):
        return None
    return Problem(
        "merge.bound_to_precision",
        "LoftQ makes up for what rounding took away, and {run} learned on a base in {precision}, {first} in {other}. "
        "Choose runs on one precision.",
        run=one.run.title,
        precision=precision,
        first=first.run.title,
        other=other,
    )


# ---- the combination


def _rank(parents: Sequence[Mergeable], how: Combination) -> int:
    largest = [max(parent.ranks, default=0) for parent in parents]
    if how.by == "cat":
        return sum(largest)
    smallest = min(parent.smallest for parent in parents)
    return (how.rank or min(max(largest), smallest)) if how.cuts else max(largest)


def _of_combination(parents: Sequence[Mergeable], how: Combination, rank: int) -> dict[str, Problem]:
    ranks = sorted({rank for parent in parents for rank in parent.ranks})
    if how.is_apart and len(ranks) > 1:
        return {
            "how.by": Problem(
                "merge.ranks_differ",
                "{by} adds matrices of one size, and these adapters have the ranks {ranks}. Choose cat, or one that "
                "ends in svd.",
                by=how.by,
                ranks=", ".join(map(str, ranks)),
            )
        }
    if how.by == "cat" and rank > MOST_RANK:
        return {
            "how.by": Problem(
                "merge.rank_too_large",
                "One beside the other they have rank {rank}, and an adapter {most} at the most. Choose svd and a rank.",
                rank=rank,
                most=MOST_RANK,
            )
        }
    smallest = min(parent.smallest for parent in parents)
    if how.cuts and rank > smallest:
        return {
            "how.rank": Problem(
                "merge.rank_beyond",
                "The smallest of the layers has {most} inputs or outputs, and no more rank than that. Take {most} or "
                "less.",
                most=smallest,
            )
        }
    return {}


# ---- what one should know


def _notes(parents: Sequence[Mergeable], how: Combination) -> list[Problem]:
    first, notes = parents[0], []
    if how.is_apart:
        notes.append(
            Problem(
                "merge.is_apart",
                "{by} combines A and B each for itself: of adapters that did not begin with the same numbers that is "
                "not the sum of what they learned. cat is.",
                by=how.by,
            )
        )
    for one in parents[1:]:
        precision, other = one.run.base_model().precision, first.run.base_model().precision
        if precision != other:
            notes.append(
                Problem(
                    "merge.other_precision",
                    "{run} learned beside the base in {precision}, {first} in {other}. The merged adapter is for "
                    "{other}.",
                    run=one.run.title,
                    precision=precision,
                    first=first.run.title,
                    other=other,
                )
            )
        if one.run.trained_with() != first.run.trained_with():
            notes.append(
                Problem(
                    "merge.asked_as_first",
                    "{run} is asked otherwise than {first}: merged, as {first} is.",
                    run=one.run.title,
                    first=first.run.title,
                )
            )
    every = frozenset[str]().union(*(parent.layers for parent in parents))
    some = sorted({layer.rpartition(".")[2] for layer in every if any(layer not in one.layers for one in parents)})
    if some:
        notes.append(
            Problem(
                "merge.other_layers",
                "Not all of them have learned something in these layers: {layers}. There only those that have count.",
                layers=", ".join(some),
            )
        )
    return notes
