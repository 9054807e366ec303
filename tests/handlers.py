"""The page's handlers as plain functions: what a form gives them, and what their answers show, by names."""

from typing import Any

from qlora_app.ui.train.form_state import Suggested
from qlora_app.ui.train.form_values import DATA, METHOD, MODEL

FRESH = {MODEL: "starter", DATA: "starter/helper", METHOD: "lora"}  # what a fresh page's settings were suggested for


def given(tab: Any, values: dict[str, Any], effort: str | None = "balanced", **before: Any) -> dict[Any, Any]:
    """What a handler of the Train tab is given by a form with these `values`.

    before: `base_model`, `dataset`, `method` its settings were suggested for, where not those of a fresh page, and
    `answers` about data chosen before.
    """
    answers = before.pop("answers", None)
    basis = FRESH | ({METHOD: before.pop("method")} if "method" in before else {}) | before
    controls = {tab.controls.controls[name]: value for name, value in values.items()}
    return {**controls, tab.form.effort: effort, tab.form.suggested: Suggested.of(basis, answers).to_json()}


def seen(answer: Any) -> Any:
    """What an output shows, whether it was answered as an update or as a value."""
    is_update = isinstance(answer, dict) and answer.get("__type__") == "update"
    return answer.get("value") if is_update else answer


def on_form(tab: Any, values: dict[str, Any], answer: dict[Any, Any]) -> dict[str, Any]:
    """{control: value} of a form with `values` after an answer."""
    after = dict(values)
    for name, control in tab.controls.controls.items():
        is_value = control in answer and not _is_only_a_list(answer[control])
        after[name] = seen(answer[control]) if is_value else after[name]
    return after


def _is_only_a_list(answer: Any) -> bool:
    return isinstance(answer, dict) and "choices" in answer and "value" not in answer


def settled(tab: Any, values: dict[str, Any], effort: str | None = "balanced", **before: Any) -> dict[str, Any]:
    """A form with `values` at rest, and beside it the words that stand there then, under "own" and "command"."""
    asked = given(tab, values, effort, **before)
    for _ in range(3):
        answer = tab.form.settle(asked)
        values = on_form(tab, values, answer)
        asked = asked | {one: seen(answer[one]) for one in asked if one in answer and not _is_only_a_list(answer[one])}
        if tab.form.own in answer and tab.form.touched not in answer:
            return values | {"own": answer[tab.form.own], "command": answer[tab.form.command_line]}
    raise AssertionError("the form does not come to rest")
