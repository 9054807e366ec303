"""What the form does by itself, without a page: recipe, form and command say the same, and a form comes to rest in the
same state whatever order answers arrive in.
"""

import random
import shlex
from typing import Any

import pytest

from qlora_app.choices import bounds, options, variant_of
from qlora_app.cli.commands import _parse
from qlora_app.errors import UserError
from qlora_app.overrides import command_for, recipe_from
from qlora_app.presets import Presets
from qlora_app.settings import Settings
from qlora_app.ui.train.form_state import FormLogic, FormState, Suggested
from qlora_app.ui.train.form_values import (
    BATCH_SIZE,
    DATA,
    EPOCHS,
    FIELDS,
    LEARNING_RATE,
    METHOD,
    MODEL,
    NAMES,
    data_value,
    is_of_another_place,
    read,
    show,
    value_of,
)
from tests.conftest import train_tab
from tests.fixtures.handlers import FRESH

METHODS = [value for _, value in options(FIELDS[METHOD])]
CHOICES = {
    MODEL: ["starter", "Qwen/Qwen3-4B", "HuggingFaceTB/SmolLM2-135M"],
    DATA: ["starter/helper", "starter/orders", "starter/sailor"],
    METHOD: ["lora", "ia3", "vera", "prompt"],
}


@pytest.fixture
def logic(tmp_path):
    return FormLogic(tmp_path, has_columns=lambda data: False)


@pytest.fixture
def fresh(logic):
    return logic.showing(logic.first())


def changed(state: FormState, **values: Any) -> FormState:
    """The form after a person changed controls, whose dots are written as two lines below."""
    return FormState(state.values | {name.replace("__", "."): value for name, value in values.items()}, *rest_of(state))


def rest_of(state: FormState) -> tuple[str | None, Suggested]:
    return state.effort, state.suggested


# ---- suggestions


def test_a_fresh_form_is_at_rest_and_nothing_on_it_is_one_s_own(logic, fresh):
    assert fresh.is_at_rest and fresh.effort == "balanced" and logic.own(fresh) == {}
    assert logic.at_rest(fresh) == fresh


@pytest.mark.daily(5)
@pytest.mark.parametrize("method", METHODS)
def test_to_another_method_and_back_leaves_the_form_as_it_was(logic, fresh, method):
    there = logic.at_rest(changed(fresh, method__name=method))
    assert there.is_at_rest and there.values[LEARNING_RATE] == value_of(logic.advice_for(there), LEARNING_RATE)
    assert set(logic.own(there)) == ({METHOD} if method != "lora" else set())
    assert logic.at_rest(changed(there, method__name="lora")) == fresh


@pytest.mark.daily(2)
@pytest.mark.parametrize("data", CHOICES[DATA])
@pytest.mark.parametrize("model", CHOICES[MODEL])
def test_whatever_is_chosen_brings_its_settings_and_what_was_typed_stays(logic, fresh, model, data):
    typed = changed(fresh, **{"base_model": model, "dataset": data, "method[lora]__rank": 7})
    rested = logic.at_rest(typed)
    advice = show(logic.advice_for(rested))
    assert rested.values | {EPOCHS: advice[EPOCHS]} == advice | {"method[lora].rank": 7}
    assert logic.own(rested) == {"method[lora].rank": 7}
    assert logic.at_rest(rested) == rested, "a form at rest stays as it is"


def test_a_model_whose_preset_has_another_method_brings_the_rate_of_that_method(logic, fresh):
    preset = Presets().load("t-few")
    rested = logic.at_rest(changed(fresh, base_model=preset.base_model.id))
    assert rested.method == preset.method.name == "ia3"
    assert rested.values[LEARNING_RATE] == preset.training.learning_rate


@pytest.mark.parametrize("effort", ["quick", "balanced", "thorough"])
def test_an_effort_stays_the_same_effort_with_other_data_and_another_batch(logic, fresh, effort):
    chosen = FormState(fresh.values | {DATA: "starter/orders", BATCH_SIZE: 3.0}, effort, fresh.suggested)
    rested = logic.at_rest(chosen)
    assert logic.effort_of(read(rested.values)) == rested.effort == effort
    own = logic.at_rest(changed(FormState(fresh.values, None, fresh.suggested), training__epochs=3.25))
    assert own.values[EPOCHS] == 3.25 and own.effort is None and logic.own(own) == {EPOCHS: 3.25}


def test_data_that_cannot_be_read_leaves_the_epochs_alone_and_says_why_where_they_are_asked_for(logic, fresh):
    gone = logic.at_rest(changed(fresh, dataset="file/abcdef012345-gone.jsonl"))
    assert gone.is_at_rest and gone.values[DATA] == "file/abcdef012345-gone.jsonl"
    with pytest.raises(UserError) as caught:
        logic.epochs("quick", gone)
    assert "gone" in str(caught.value)


def test_answers_about_data_travel_with_the_form(logic, fresh):
    told = changed(fresh, dataset__held_out_from="more.csv")
    away = logic.at_rest(changed(told, dataset="starter/orders"))
    assert away.values["dataset.held_out_from"] == ""
    kept = FormState(away.values, away.effort, Suggested.from_json(away.suggested.to_json()))
    back = logic.at_rest(changed(kept, dataset="starter/helper"))
    assert back.values["dataset.held_out_from"] == "more.csv"


@pytest.mark.parametrize("sent", [None, "", "nonsense", "[]", "{}", '{"model": 1}', 7])
def test_what_anybody_may_send_as_what_was_suggested_is_taken_for_nothing(sent):
    assert Suggested.from_json(sent) == Suggested()


# ---- form <-> recipe <-> command


def any_value(chance: random.Random, name: str, value: Any) -> Any:
    """A value that the control can have and a recipe may hold."""
    field = FIELDS[name]
    if choices := options(field):
        return chance.choice([option for _, option in choices])
    low, high = bounds(field)
    if field.annotation is bool:
        return chance.random() < 0.5
    if field.annotation is int:
        return chance.randint(int(low or 0) + 1, int(min(high or 999, 999)))
    if field.annotation is float:
        return round(chance.uniform(max(low or 0, 0.001), min(high or 5.0, 5.0)), 3)
    return value


def any_form(seed: int) -> dict[str, Any]:
    """A form on which a quarter of the settings was changed; one that makes a recipe."""
    chance = random.Random(seed)
    while True:
        values = show(Presets().load(chance.choice(["starter", "orders", "sailor", "qwen3-0.6b", "guanaco-7b"])))
        values[METHOD] = chance.choice(METHODS)
        for name in FIELDS:
            is_free = variant_of(name) in ("", values[METHOD]) and name not in (METHOD, "task.name")
            if is_free and not name.startswith("dataset.") and chance.random() < 0.25:
                values[name] = any_value(chance, name, values[name])
        try:
            read(values)
        except UserError:  # some settings do not go together
            continue
        return values


@pytest.mark.daily(2)
@pytest.mark.parametrize("seed", range(60))
def test_form_recipe_and_command_say_the_same(seed, tmp_path):
    values = any_form(seed)
    recipe = read(values)
    shown = show(recipe)
    assert set(shown) == set(NAMES) and read(shown) == recipe
    counts = {name for name in values if variant_of(name) in ("", values[METHOD])}
    chosen = {name: values[name] for name in counts if not is_of_another_place(name, values)}
    assert {name: shown[name] for name in chosen} == chosen
    settings = Settings(home=tmp_path)
    words = shlex.split(command_for(recipe, Presets(settings.presets)))
    asked = _parse(words[words.index("train") :])
    made = recipe_from(asked.recipe, asked.changes, settings)
    # A name and a note that are empty are left to what the command begins with.
    kept = {"name": recipe.name or made.name, "note": recipe.note or made.note}
    assert made == recipe.model_copy(update=kept)


# ---- answers in any order


class Browser:
    """A page as Gradio runs it: an event sends what stands on the page then, answers come when they come, and an event
    that is still being answered is sent once more at the end.
    """

    def __init__(self, tab: Any, chance: random.Random) -> None:
        self.tab, self.chance = tab, chance
        self.page = {one: one.value for one in tab.form.inputs}
        self.page |= {tab.form.touched: "", tab.form.own: "", tab.form.command_line: ""}
        self.waiting: dict[str, Any] = {}  # {handler: what it was given}
        self.again: set[str] = set()

    def choose(self, name: str, value: Any) -> None:
        self.page[self.tab.controls.controls[name]] = value
        self.send("choose" if name == DATA else "settle")

    def send(self, handler: str) -> None:
        if handler in self.waiting:
            self.again.add(handler)
        else:
            self.waiting[handler] = dict(self.page)

    def answer_one(self) -> None:
        """One of those that wait is answered: any."""
        handler = self.chance.choice(sorted(self.waiting))
        given = self.waiting[handler]
        answer = getattr(self.tab.form, handler)({one: given[one] for one in self.tab.form.inputs})
        for one, value in answer.items():
            update = value if isinstance(value, dict) and value.get("__type__") == "update" else {"value": value}
            if one in self.page and "value" in update:
                self.page[one] = update["value"]
        del self.waiting[handler]
        if self.tab.form.touched in answer:
            self.send("settle")
        if handler in self.again:
            self.again.discard(handler)
            self.send(handler)

    def come_to_rest(self) -> None:
        for _ in range(50):
            if not self.waiting:
                return
            self.answer_one()
        raise AssertionError("the form does not come to rest")


@pytest.mark.daily(2)
@pytest.mark.parametrize("seed", range(25))
def test_a_form_comes_to_rest_in_the_same_state_whatever_order_answers_arrive_in(seed, tmp_path):
    tab = train_tab(Settings(home=tmp_path))
    chance = random.Random(seed)
    browser = Browser(tab, chance)
    chosen = dict(FRESH)
    for _ in range(8):
        name = chance.choice([MODEL, DATA, METHOD, METHOD])
        chosen[name] = chance.choice(CHOICES[name])
        browser.choose(name, chosen[name])
        for _ in range(chance.randint(0, 2)):
            if browser.waiting:
                browser.answer_one()
    browser.come_to_rest()

    state = tab.form.state(browser.page)
    advice = tab.logic.advice_for(state)
    assert {name: state.values[name] for name in chosen} == chosen
    assert state.is_at_rest and state.values[LEARNING_RATE] == value_of(advice, LEARNING_RATE)
    suggested = show(advice) | {METHOD: chosen[METHOD]}
    assert {name: value for name, value in state.values.items() if value != suggested[name]} == {}
    said = tab.form._said(state)
    seen = (tab.form.own, tab.form.command_line)
    assert {one: said[one] for one in seen} == {one: browser.page[one] for one in seen}
    assert data_value(state.data) == chosen[DATA]
