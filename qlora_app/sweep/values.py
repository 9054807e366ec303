"""Several values of one setting, from the words of a person: a list, a range, a log range."""

import math
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, get_args, get_origin

from pydantic.fields import FieldInfo

from ..choices import dotted_name, iter_settings
from ..errors import UserError
from ..recipe import Recipe
from ..storage.reading import parse_yaml

MOST_VALUES = 10_000  # of one setting
DIGITS = 4  # of a number that is drawn or lies on a log scale: more would say nothing
_NUMBER = r"[-+]?(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d+)?"
_RANGE = re.compile(
    rf"(?P<low>{_NUMBER})\s*\.\.\s*(?P<high>{_NUMBER})"
    rf"(?:\s+step\s+(?P<by>[x*]?)\s*(?P<step>{_NUMBER})|\s+(?P<log>log)(?:\s+(?P<logs>\d+))?|\s+in\s+(?P<count>\d+))?"
)
LOOKS_LIKE_A_RANGE = re.compile(rf"^\s*{_NUMBER}\s*\.\.")


@dataclass(frozen=True)
class Listed:
    """The values themselves, as they were typed or as they lie in the range."""

    values: tuple[Any, ...]


@dataclass(frozen=True)
class Drawn:
    """A range that is drawn from: evenly, or evenly over its powers of ten."""

    low: float
    high: float
    is_log: bool
    is_whole: bool

    def draw(self, chance: random.Random) -> float | int:
        """A number of the range."""
        if self.is_whole and not self.is_log:
            return chance.randint(math.ceil(self.low), math.floor(self.high))
        if self.is_log:
            drawn = math.exp(chance.uniform(math.log(self.low), math.log(self.high)))
        else:
            drawn = chance.uniform(self.low, self.high)
        return self._within(round(drawn) if self.is_whole else _short(drawn))

    def _within(self, number: float | int) -> float | int:
        """Rounding may lead out of a range."""
        return min(max(number, self.low), self.high)


Values = Listed | Drawn


def values_of(name: str, given: str | Sequence[Any]) -> Values:
    """What a setting is to take, from what was typed, or from a list of values.

    name: its dotted name. Raises UserError, at that name, for what is no such list or range, and for a setting of
    which there are never several.
    """
    field = _field(name)
    if not isinstance(given, str):
        return _listed(name, list(given))
    if get_origin(field.annotation) is list:
        return _listed(name, _lists(name, given))
    parts = [part.strip() for part in given.split(",")]
    values: list[Any] = []
    for part in filter(None, parts):
        found = _of_part(name, part, field)
        if isinstance(found, Drawn):
            if len(parts) > 1:
                raise UserError.at(
                    name,
                    "sweep.range_in_list",
                    "{part} has no steps, so it cannot stand in a list. Write it with steps ({part} in 5) or alone.",
                    part=part,
                )
            return found
        values += found
    return _listed(name, values)


def _listed(name: str, values: list[Any]) -> Listed:
    different: list[Any] = []
    seen: set[str] = set()
    for value in values:
        if repr(value) not in seen:
            seen.add(repr(value))
            different.append(value)
    if not different:
        raise UserError.at(
            name, "sweep.no_values", "No values are given. Write them with commas between, for example 8, 16, 32."
        )
    return Listed(tuple(different))


def _lists(name: str, text: str) -> list[Any]:
    """The values of a setting that is a list itself."""
    try:
        found = parse_yaml(text)
    except ValueError:
        found = None
    if isinstance(found, list) and all(isinstance(one, list) for one in found):
        return found
    raise UserError.at(
        name,
        "sweep.lists_wanted",
        "This setting is a list itself: write a list of lists, for example [[q_proj], [q_proj, v_proj]].",
    )


def _of_part(name: str, part: str, field: FieldInfo) -> list[Any] | Drawn:
    if not LOOKS_LIKE_A_RANGE.match(part):
        return [part]
    found = _RANGE.fullmatch(part)
    if found is None:
        raise UserError.at(
            name,
            "sweep.no_range",
            "{part} is no range. Write 8..64 step 8, 8..64 step x2, 0..0.1 in 5, or 1e-5..1e-3 log 5.",
            part=part,
        )
    if not _is_number(field):
        raise UserError.at(name, "sweep.range_of_words", "{part} is a range, and this setting is no number.", part=part)
    return _spread(name, found, _is_whole(field))


def _spread(name: str, found: re.Match[str], is_whole: bool) -> list[Any] | Drawn:
    low, high = Decimal(found["low"]), Decimal(found["high"])
    is_log = bool(found["log"]) or bool(found["by"])
    if low > high or (is_log and low <= 0):
        raise UserError.at(
            name,
            "sweep.range_upside_down",
            "{part} is no range: its first number is the smallest, and above 0 where it is multiplied.",
            part=found[0],
        )
    if found["step"]:
        numbers = _steps(name, found[0], low, high, Decimal(found["step"]), is_log)
        return [_as_number(number, is_whole) for number in numbers]
    count = found["logs"] or found["count"]
    if count is None:
        return Drawn(float(low), float(high), is_log, is_whole)
    return [_as_number(number, is_whole) for number in _so_many(name, found[0], low, high, int(count), is_log)]


def _steps(name: str, part: str, low: Decimal, high: Decimal, step: Decimal, is_factor: bool) -> list[Decimal]:
    least = 1 if is_factor else 0
    if step <= least:
        raise UserError.at(
            name, "sweep.step_too_small", "{part}: its step must be more than {least}.", part=part, least=least
        )
    reach = math.log(high / low) / math.log(step) if is_factor else float((high - low) / step)
    _check_count(name, part, reach + 1)
    numbers = []
    number = low
    while number <= high:
        numbers.append(number)
        number = number * step if is_factor else number + step
    return numbers


def _so_many(name: str, part: str, low: Decimal, high: Decimal, count: int, is_log: bool) -> list[Decimal]:
    """Evenly apart, both ends among them."""
    _check_count(name, part, count)
    if count < 1:
        raise UserError.at(name, "sweep.none_of_range", "{part}: so many values are none.", part=part)
    if count == 1 or low == high:
        return [low]
    inner: list[Decimal] = []
    for place in range(1, count - 1):
        share = place / (count - 1)
        if is_log:
            number = float(low) * (float(high) / float(low)) ** share
        else:
            number = float(low + (high - low) * place / (count - 1))
        inner.append(min(max(Decimal(repr(_short(number))), low), high))
    return [low, *inner, high]


def _check_count(name: str, part: str, count: float) -> None:
    if count > MOST_VALUES:
        raise UserError.at(
            name, "sweep.too_many_values", "{part} has more than {most:,} values.", part=part, most=MOST_VALUES
        )


def _as_number(number: Decimal, is_whole: bool) -> float | int:
    return round(number) if is_whole else float(number)


def _short(number: float) -> float:
    return float(f"{number:.{DIGITS}g}")


def _field(name: str) -> FieldInfo:
    if name in ("name", "note"):
        raise UserError.at(name, "sweep.never_several", "The runs of a sweep are named by what differs.")
    for leaf, field in iter_settings(Recipe):
        if dotted_name(leaf) == name:
            return field
    return FieldInfo(annotation=str)  # the recipe says that there is no such setting, and which is meant


def _is_number(field: FieldInfo) -> bool:
    kinds = get_args(field.annotation) or (field.annotation,)
    return any(kind in (int, float) for kind in kinds)


def _is_whole(field: FieldInfo) -> bool:
    kinds = get_args(field.annotation) or (field.annotation,)
    return float not in kinds
