"""Nothing that was typed or chosen on the form is lost when the page is loaded again in the same tab of a browser."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from qlora_app.settings import Settings
from qlora_app.ui import audit, kept, scripts
from qlora_app.ui.train import form_kept
from qlora_app.ui.train.form_values import DATA, MODEL, TRAINER, show
from tests.conftest import train_tab
from tests.fixtures.handlers import another, given, on_form, seen

SCRIPT = "".join(Path(one.__file__).with_suffix(".js").read_text(encoding="utf-8") for one in (kept, form_kept))
BROWSER = """
const stored = new Map(), heard = [], window = {guanacoReady: true};
const sessionStorage = {getItem: key => stored.get(key) ?? null, setItem: (key, text) => stored.set(key, text)};
const addEventListener = (name, listener) => { heard.push(listener); };
const document = {querySelector: () => ({value: BASIS})};
const isAt = (id, where) => where.includes(id.startsWith('f-') ? '[id^="f-"]' : '.keeps');
const type = (id, field) => heard.forEach(hear => hear({target:
  {closest: where => isAt(id, where) ? {id} : null, matches: () => false, ...field}}));
"""


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
    """Nothing here changes it."""
    return train_tab(Settings(home=tmp_path_factory.mktemp("home")))


@pytest.fixture
def fresh(tab):
    return show(tab.controls.first)


def as_somebody(name, deed):
    token = audit.at_the_door.set(audit.Asker(name, ""))
    try:
        return deed()
    finally:
        audit.at_the_door.reset(token)


def kept_by_browser(tab, asked, deeds):
    """What a browser keeps after deeds, of which `settle()` is one: a change that the server was told of."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed (Debian: apt-get install nodejs)")
    name = form_kept.keeping(tab.form.inputs, tab.controls.controls, tab.form.effort).partition(".")[2]
    keep = re.search(rf"^guanacoParts.{name} = (.*);$", scripts.file(), re.MULTILINE)[1]
    handed = [asked[one] for one in sorted(tab.form.inputs, key=lambda one: one._id)]  # as Gradio does
    browser = BROWSER.replace("BASIS", json.dumps(asked[tab.form.suggested]))
    settle = f"const settle = () => ({keep})(...{json.dumps(handed)});"
    program = "\n".join((browser, SCRIPT, settle, deeds, "console.log(guanacoKeptForm());"))
    return subprocess.run([node, "-e", program], capture_output=True, text=True, check=True, timeout=60).stdout


def found(tab, text, recipe=None):
    return tab.form.kept({tab.form.touched: text}, recipe or tab.controls.first)


TYPED = {
    "name": "half a na", "training.learning_rate": None, "training.batch_size": -7, "training.max_length": 0.5,
    "base_model.revision": "ümlaut\n\"'<", "dataset.held_out_from": "not/there.csv",
    DATA: "file/abcdef012345-gone.jsonl",
}  # fmt: skip


def test_a_form_stands_as_it_stood_whatever_was_typed(tab, fresh, tmp_path):
    """Every control at another value than before; some of them wrong, empty, or half typed; some typed while the
    server was away.
    """
    changed = {name: another(name, value, tmp_path) for name, value in fresh.items() if name not in (DATA, TRAINER)}
    values = fresh | changed | TYPED
    asked = given(tab, values, "thorough", answers={"starter/orders": {"dataset.format": "csv"}})
    away = "type('f-name', {value: 'half a name'}); type('f-training-seed', {value: '12'});"
    away += "type('f-training-packing', {type: 'checkbox', checked: true});"
    answer = found(tab, kept_by_browser(tab, asked, f"type('f-name', {{value: 'old'}}); settle(); {away}"))
    typed = {"name": "half a name", "training.seed": 12, "training.packing": True}
    assert on_form(tab, fresh, answer) == values | typed
    assert seen(answer[tab.form.effort]) == "thorough" and answer[tab.form.touched], "and it is looked at"
    assert answer[tab.form.suggested] == json.dumps(json.loads(asked[tab.form.suggested]) | {"who": ""})
    assert answer.keys() <= {*tab.form.outputs}


def test_what_was_typed_before_anything_was_told_stands_on_what_a_visit_finds(tab):
    recipe = tab.controls.first.model_copy(update={"note": "of the newest run"})
    shown = show(recipe)
    asked = given(tab, shown) | {tab.form.suggested: tab.form.filled(recipe)[tab.form.suggested]}
    text = kept_by_browser(tab, asked, "type('f-name', {value: 'only this'});")
    assert on_form(tab, shown, found(tab, text, recipe)) == shown | {"name": "only this"}


def test_nobody_finds_what_somebody_else_typed(tab, fresh):
    def keep():
        basis = tab.form.filled(tab.controls.first)[tab.form.suggested]
        return json.dumps({"basis": basis, "effort": "quick", "values": fresh | {"name": "secret"}})

    text = as_somebody("ada", keep)
    assert as_somebody("bob", lambda: found(tab, text)) == found(tab, text) == {}
    assert seen(as_somebody("ada", lambda: found(tab, text))[tab.controls.controls["name"]]) == "secret"


@pytest.mark.parametrize(
    "text", [None, "", "nonsense", "[]", "7", "{}", '{"basis": 1}', '{"basis": "[]", "values": 1}']
)
def test_where_nothing_was_kept_the_form_is_as_a_visit_finds_it(tab, text):
    assert found(tab, text) == {}


def test_what_another_version_kept_is_taken_as_far_as_it_goes(tab, fresh):
    """A setting that is gone, one that is new, an option that is gone, and values of another kind."""
    odd = {"training.seed": "x", "training.epochs": [1], "training.packing": 1, "training.scheduler": "gone", MODEL: 3}
    kept = {name: value for name, value in fresh.items() if name != "training.warmup_ratio"} | odd
    basis = json.loads(tab.form.filled(tab.controls.first)[tab.form.suggested])
    text = {
        "basis": json.dumps(basis),
        "effort": "gone",
        "values": kept | {"gone": 1, "name": "mine"},
        "typed": {"x": 1},
    }
    assert on_form(tab, fresh, found(tab, json.dumps(text))) == fresh | {"name": "mine"}
