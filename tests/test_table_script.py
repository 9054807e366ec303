"""The script of the list of runs, run by node on a page that only looks like one."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from qlora_app.ui.runs.table import COLUMNS

RUNS = Path(__file__).parent.parent / "qlora_app" / "ui" / "runs"
NODE = shutil.which("node")
pytestmark = pytest.mark.skipif(NODE is None, reason="node is not here")
PAGE = """
class Place {
  constructor() { this.dataset = {}; this.style = {setProperty() {}};
    this.children = []; this.places = {}; this.hears = {};
    this.classList = {toggle() {}, add() {}, remove() {}}; this.innerHTML = '';
    this.scrollTop = 0; this.clientHeight = 360; }
  querySelector(name) { return this.places[name] ??= new Place(); }
  querySelectorAll() { return []; }
  addEventListener(name, hears) { this.hears[name] = hears; }
  get firstElementChild() { return this.querySelector('first'); }
  closest() { return this.querySelector('closest'); }
  getClientRects() { return [{}]; }
  insertBefore(place) { this.children.push(place); }
  setAttribute() {} toggleAttribute() {} contains() { return false; } focus() {} remove() {} replaceChildren() {}
}
const document = {createTreeWalker: () => ({nextNode: () => null}), createElement: () => new Place(),
  addEventListener() {}, visibilityState: 'visible'};
const NodeFilter = {}, localStorage = {getItem: () => null}, matchMedia = () => ({matches: false});
class ResizeObserver { observe() {} }
const requestAnimationFrame = later => later(), watch = () => {};
const element = new Place(), TEXTS = {}, MAY_CHANGE = true;
const triggered = [], trigger = (name, data) => triggered.push([name, data]);
const click = act => element.hears.click({target: {matches: () => false,
  closest: name => name === '[data-do]' ? {dataset: {do: act}} : null}});
"""


def done_on_a_page(server, program):
    """What `said` is worth after the program, run behind the script of the table."""
    names = ("../poll.js", "words.js", "table_parts.js", "table.js")
    script = "".join((RUNS / name).read_text(encoding="utf-8") for name in names)
    known = f"const NAMES = {json.dumps(COLUMNS)}, server = {server};"
    source = f"{PAGE}\n{known}\n{script}\n"
    source += f"let said = null; (async () => {{ {program}; console.log(JSON.stringify(said)); process.exit(0); }})();"
    done = subprocess.run([NODE, "-e", source], capture_output=True, text=True, check=True, timeout=20)
    return json.loads(done.stdout)


def test_what_is_deleted_is_what_the_sentence_named():
    """One that was being trained then, and has finished meanwhile, stays."""
    server = "{losing: async () => ({words: 'a', button: 'Delete this run', runs: ['a']}), rows: async () => ({})}"
    choose = "for (const id of ['a', 'b']) chosen.set(id, {id, name: id, tags: []})"
    said = done_on_a_page(server, f"{choose}; await click('losing'); await click('remove'); said = triggered")
    assert said == [["remove", {"runs": ["a"]}]]


def test_rows_between_two_that_are_known_are_asked_for():
    """Far down and back up again: what lies between was never asked for."""
    server = "{rows: async asked => { said = asked.since; return {same: true}; }}"
    later = "await new Promise(done => setTimeout(done, 20))"
    before = "total = 300; since = 7; rows.set('a', {}); rows.set('z', {}); order[0] = 'a'; order[299] = 'z'"
    said = done_on_a_page(server, f"{before}; region.scrollTop = 100 * 36; region.hears.scroll(); {later}")
    assert said == 0
