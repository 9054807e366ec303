"""The runs of a sweep before there are any: every combination of the values, or some of them drawn at random."""

import functools
import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..base_models import Facts, ModelChoice
from ..choices import dotted_name, iter_settings, value_at, variant_of
from ..differs import in_words
from ..errors import Problem, UserError
from ..overrides import with_changes
from ..preflight import Ready, as_kept, check, ready, refuse
from ..recipe import Recipe
from ..settings import Settings
from .values import Drawn, Listed, Values, values_of

MOST_RUNS = 500
TRIES = 20  # times as many draws as wanted, until it is said that there are no more that differ


@dataclass(frozen=True)
class Member:
    """One run of a sweep. values: {dotted setting: its value in the recipe}, of what was given several."""

    values: dict[str, Any]
    recipe: Recipe


@dataclass(frozen=True)
class Plan:
    """What a sweep is to train. given: {dotted setting: as it was typed}. sample: so many drawn; 0: all. holds_out:
    False where it is known that of the data of some run nothing is measured with.
    """

    base: Recipe
    given: dict[str, str]
    members: tuple[Member, ...]
    possible: int | None  # combinations there are; None where a range is drawn from
    sample: int = 0
    seed: int = 0
    holds_out: bool = True


def plan_of(recipe: Recipe, given: Mapping[str, str | Sequence[Any]], sample: int = 0, seed: int = 0) -> Plan:
    """Every combination of the values, the last setting changing fastest; or a `sample` of so many, drawn by the seed.

    given: {dotted setting: values as typed, or a list}. Two combinations that make the same recipe are one run. Raises
    UserError with what is wrong at each setting, and for more than MOST_RUNS runs.
    """
    if not given:
        raise UserError("sweep.nothing_differs", "A sweep needs several values for at least one setting.")
    values = _values_of_all(given)
    sizes = [len(one.values) if isinstance(one, Listed) else 0 for one in values.values()]
    possible = math.prod(sizes) if all(sizes) else None
    combinations: Iterator[dict[str, Any]]
    if possible is None or (sample and sample < possible):
        wanted = sample
        combinations = _drawn(values, sample, seed, possible)
    else:
        wanted = possible
        combinations = (_combination(values, place) for place in range(possible))
    if not wanted:
        name = next(name for name, one in values.items() if isinstance(one, Drawn))
        raise UserError.at(
            name,
            "sweep.range_without_steps",
            "A range without steps can only be drawn from: give it steps (8..64 step 8), a number of values "
            "(1e-5..1e-3 log 5), or draw a sample.",
        )
    if wanted > MOST_RUNS:
        raise UserError(
            "sweep.too_many_runs",
            "These are {count:,} runs; a sweep has at most {most:,}. Draw a sample of them, or give fewer values.",
            count=wanted,
            most=MOST_RUNS,
        )
    typed = {name: one if isinstance(one, str) else ", ".join(map(str, one)) for name, one in given.items()}
    members = tuple(_members(recipe, combinations, list(values)))
    _refuse_unused(members, list(values))
    return Plan(recipe, typed, members, possible, sample, seed)


def checked(plan: Plan, settings: Settings, look_up: Callable[[ModelChoice], Facts] | None = None) -> Plan:
    """The plan with its data pinned, every member checked as before a start; nothing is downloaded.

    look_up: as of `preflight.ready`. Raises UserError with what speaks against the first member that cannot be trained,
    and how many cannot.
    """
    known: dict[str, Ready] = {}
    members = []
    wrong: list[tuple[Member, UserError]] = []
    for member in plan.members:
        try:
            members.append(replace(member, recipe=_ready(member.recipe, known, settings, look_up)))
        except UserError as error:
            wrong.append((member, error))
    if wrong:
        member, first = wrong[0]
        raise UserError(
            "sweep.members_wrong",
            "{count:,} of the {all:,} runs cannot be trained, the first of them {run}:\n{error}",
            first.problems,
            count=len(wrong),
            all=len(plan.members),
            run=words_of(member),
            error=first.problem,
        )
    return replace(plan, members=tuple(members), holds_out=all(map(_holds_out, known.values())))


def words_of(member: Member) -> str:
    """What differs, in the field's short words: "lr 1e-4 · rank 8"."""
    return " · ".join(in_words(member.recipe, name, value) for name, value in member.values.items())


def _ready(
    recipe: Recipe, known: dict[str, Ready], settings: Settings, look_up: Callable[[ModelChoice], Facts] | None
) -> Recipe:
    """What is asked of model and data is asked once for all members that share them."""
    key = f"{recipe.base_model!r} {recipe.dataset!r}"
    before = known.get(key)
    if before is None:
        known[key] = found = ready(recipe, settings, look_up)
        return found.recipe
    kept = as_kept(recipe, before.recipe.dataset, settings)
    refuse(check(kept, before.facts, before.examples))
    return kept


def _holds_out(found: Ready) -> bool:
    data = found.recipe.dataset
    if found.examples is not None:
        return len(found.examples.held_out) > 0
    return data.held_out_share > 0 or data.measured_with is not None


def _values_of_all(given: Mapping[str, str | Sequence[Any]]) -> dict[str, Values]:
    values: dict[str, Values] = {}
    problems: dict[str, Problem] = {}
    for name, one in given.items():
        try:
            values[name] = values_of(name, one)
        except UserError as error:
            problems |= error.problems or {name: error.problem}
    if problems:
        raise UserError.of_all(problems)
    return values


def _combination(values: dict[str, Values], place: int) -> dict[str, Any]:
    """The how-manieth of all combinations; the last setting changes fastest."""
    found: dict[str, Any] = {}
    for name, one in reversed(values.items()):
        assert isinstance(one, Listed)
        place, this = divmod(place, len(one.values))
        found[name] = one.values[this]
    return {name: found[name] for name in values}


def _drawn(values: dict[str, Values], sample: int, seed: int, possible: int | None) -> Iterator[dict[str, Any]]:
    """So many different ones, in the order in which they were drawn; fewer where there are not so many."""
    chance = random.Random(seed)
    seen: set[str] = set()
    for _ in range(TRIES * sample + 1000):
        if len(seen) >= sample:
            return
        if possible is not None:
            one = _combination(values, chance.randrange(possible))
        else:
            one = {name: _draw(each, chance) for name, each in values.items()}
        if repr(one) not in seen:
            seen.add(repr(one))
            yield one


def _draw(values: Values, chance: random.Random) -> Any:
    return values.draw(chance) if isinstance(values, Drawn) else chance.choice(values.values)


def _members(base: Recipe, combinations: Iterator[dict[str, Any]], names: list[str]) -> Iterator[Member]:
    """Raises UserError for the first that is no recipe."""
    seen: set[str] = set()
    for combination in combinations:
        recipe = _recipe(base, combination)
        values = {name: _value_in(recipe, name) for name in names}
        member = Member({name: value for name, value in values.items() if value is not ...}, recipe)
        whole = recipe.model_dump_json()
        if whole not in seen:
            seen.add(whole)
            named = f"{base.title} · {words_of(member)}"
            yield replace(member, recipe=recipe.model_copy(update={"name": named}))


def _refuse_unused(members: Sequence[Member], names: list[str]) -> None:
    """Raises UserError for a setting that none of the methods has."""
    for name in names:
        if not any(name in member.values for member in members):
            raise UserError.at(name, "sweep.of_no_method", "None of the methods of these runs has this setting.")


def _recipe(base: Recipe, combination: dict[str, Any]) -> Recipe:
    """Where there are several methods, a setting that one of them does not have is left out for it."""
    method = combination.get("method.name")
    others = [name for name in combination if method is not None and _is_of_others(name, str(method))]
    return with_changes(base, {name: value for name, value in combination.items() if name not in others})


def _value_in(recipe: Recipe, name: str) -> Any:
    """The value of a setting by its dotted name; `...` where the method has none of that name."""
    values = (value_at(recipe, leaf, ...) for leaf in _places(name))
    return next((value for value in values if value is not ...), ...)


def _is_of_others(name: str, method: str) -> bool:
    kinds = {variant_of(leaf) for leaf in _places(name)} - {""}
    return bool(kinds) and method not in kinds


@functools.cache
def _places(name: str) -> list[str]:
    """Where a setting stands: several methods may have one of that name."""
    return [leaf for leaf, _ in iter_settings(Recipe) if dotted_name(leaf) == name]
