"""The form as a tab of a browser kept it while the page was loaded again: whole, half-typed and wrong values too."""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from gradio.components import Component

from ...choices import options
from ...recipe import EFFORTS, Recipe
from ..scripts import shared
from . import form_values as form
from .form_state import FormLogic, FormState, Suggested
from .form_values import DATA, FIELDS, METHOD, MODEL, NAMES, PAIRS, TRAINER, Values, element_id


def keeping(inputs: Iterable[Component], controls: Mapping[str, Component], effort: Component) -> str:
    """The script of an event that is given the whole form; what it answers is what it was given."""
    names = {control: name for name, control in controls.items()} | {effort: " effort"}
    given = [names.get(one, " suggested") for one in sorted(inputs, key=lambda one: one._id)]  # as Gradio hands them
    return shared(f"(...given) => guanacoKeepForm({json.dumps(given)}, given)")


def stood(text: Any, who: str, logic: FormLogic, found: Recipe) -> FormState | None:
    """What the browser kept, which anybody may have written; None where that is nothing, or of somebody else than `who`
    has logged in. What this version of the form does not have is left out, and what is new in it is as suggested.
    found: what a visit shows else; where nothing but typed letters was kept they stand in that.
    """
    try:
        kept = json.loads(text)
        values, typed = dict(kept.get("values") or {}), dict(kept.get("typed") or {})
        if json.loads(kept["basis"])["who"] != who:
            return None
    except (TypeError, ValueError, KeyError, AttributeError, RecursionError):
        return None
    state = _whole(values, kept, logic, found) if values else logic.showing(found)
    ids = {element_id(name): name for name in NAMES}
    last = {ids[id]: as_typed(ids[id], value) for id, value in typed.items() if id in ids}
    return replace(state, values=state.values | _possible(last))


def _whole(values: Values, kept: Values, logic: FormLogic, found: Recipe) -> FormState:
    values = {name: form.value_of(found, name) for name in PAIRS} | _possible(values)
    model, data = form.chosen_model(values[MODEL]), form.chosen_data(values[DATA])
    advice = form.show(logic.advice(model, data, values.get(METHOD, ""), values.get(TRAINER, "")))
    effort = next((one for one in EFFORTS if one == kept.get("effort")), None)
    return FormState(advice | values, effort, Suggested.from_json(kept["basis"]))


def _possible(values: Values) -> Values:
    return {name: value for name, value in values.items() if may_stand(name, value)}


def as_typed(name: str, value: Any) -> Any:
    """What a control says where its field holds this."""
    if name in PAIRS or FIELDS[name].annotation not in (int, float):
        return value
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def may_stand(name: str, value: Any) -> bool:
    """May a control have this value? It may be a wrong one, but not one of another kind."""
    if name not in NAMES:
        return False
    if name in PAIRS:
        return isinstance(value, str)
    if choices := options(FIELDS[name]):
        return value in [one for _, one in choices]
    kind = FIELDS[name].annotation
    if kind is bool:
        return isinstance(value, bool)
    if kind in (int, float):
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return value is None or (is_number and math.isfinite(value))
    return isinstance(value, str)
