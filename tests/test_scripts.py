"""The scripts of the page that touch nothing of it: run by node, where it is there."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from qlora_app.ui import scripts

RUNS = Path(__file__).parent.parent / "qlora_app" / "ui" / "runs"
NODE = shutil.which("node")
pytestmark = pytest.mark.skipif(NODE is None, reason="node is not here")


def run(expression, *names):
    """What an expression is worth after the scripts of these names."""
    scripts = "\n".join((RUNS / f"{name}.js").read_text(encoding="utf-8") for name in names)
    program = f"{scripts}\nconsole.log(JSON.stringify({expression}))"
    done = subprocess.run([NODE, "-e", program], capture_output=True, text=True, check=True, timeout=20)
    return json.loads(done.stdout)


def test_where_values_stand_and_which_are_written():
    found = run(
        "[ticks(0.2, 2.9, 4), ticks(5, 5, 4), ticks(0, 1203, 6), logTicks(0.02, 3), logTicks(1e-6, 1e-3),"
        " extent([[3, 1], [7]]), extent([[0, 2, 5]], true), extent([[0]], true),"
        " [0, 5, 10].map(scale(0, 10, 40, 240)), [0.01, 1, 100, 0].map(scale(0.01, 100, 200, 0, true)),"
        " nearest([1, 4, 9], 6)]",
        "chart_scales",
    )
    even, flat, steps, powers, far, whole, above, none, places, by_powers, near = found
    assert even == [0, 1, 2, 3] and steps[-1] >= 1203 and flat[0] <= 5 <= flat[-1] and len(flat) > 1
    assert powers[0] <= 0.02 and powers[-1] >= 3 and 0.1 in powers and 1 in powers
    assert far == [1e-6, 1e-5, 1e-4, 1e-3], "powers alone, where there are many"
    assert (whole, above, none) == ([1, 7], [2, 5], None), "nothing that is not above zero has a power"
    assert places == [40, 140, 240] and by_powers == pytest.approx([200, 100, 0, 200]) and near == 1


def test_a_calmer_curve_keeps_its_ends_and_its_length():
    rough, calm, short = run(
        "(y => [smoothed(y, 0), smoothed(y, 4), thinned(160, 20)])([...Array(160).keys()].map(i => i % 2))",
        "chart_smoothing",
    )
    assert rough == [i % 2 for i in range(160)], "nothing is changed at 0"
    assert len(calm) == 160 and (calm[0], calm[-1]) == (0, 1)
    assert all(0.4 < value < 0.6 for value in calm[20:140])
    assert short[0] == 0 and short[-1] == 159 and 20 <= len(short) <= 21
    assert run("[thinned(0, 20), thinned(1, 20), smoothed([], 4)]", "chart_smoothing") == [[], [0], []]


DATA = """{series: 'loss', x: [1, 2, 3], y: [3, 2, 1], low: [3, 2, 1], high: [3, 2, 1], total: 3, chosen: 2,
  heldOut: [{step: 0, loss: 3.2}, {step: 3, loss: 1.1}],
  marks: {samples: [0, 2], asked: [3], checkpoints: [2], kept: 3}}"""
BOX = "{width: 600, height: 250, left: 52, right: 14, top: 10, bottom: 30}"


def test_a_curve_is_drawn_with_what_happened_on_its_axis():
    before = "const TEXTS = {}; "
    scripts = ("words", "chart_scales", "chart_smoothing", "chart_drawing")
    joined = "\n".join((RUNS / f"{name}.js").read_text(encoding="utf-8") for name in scripts)
    ask = f"const d = {DATA}; console.log(JSON.stringify([drawing(d, d.y, {BOX}, false).inside, legendOf(d)]))"
    done = subprocess.run([NODE, "-e", before + joined + ask], capture_output=True, text=True, check=True, timeout=20)
    inside, legend = json.loads(done.stdout)
    assert inside.count('class="diamond"') == 2 and 'class="held"' in inside
    assert inside.count('class="pin"') == 1 and inside.count('class="asked-mark" data-step="3"') == 1
    assert "your questions" in legend
    assert inside.count("sample-mark") == 2 and 'sample-mark chosen" data-step="2"' in inside
    assert inside.count('class="saved"') == 1 and 'class="kept"' in inside and "NaN" not in inside
    assert "best, step 3" in legend and "held-out loss" in legend


def test_figures_as_they_are_written():
    done = subprocess.run(
        [NODE, "-e", "const TEXTS = {}; " + (RUNS / "words.js").read_text(encoding="utf-8")
         + "console.log(JSON.stringify([0.002, 0.00041, 0, 1].map(powerFigure)))"],
        capture_output=True, text=True, check=True, timeout=20,
    )  # fmt: skip
    assert json.loads(done.stdout) == ["2e-3", "4.1e-4", "0", "1e0"]


def test_what_stands_in_a_template_is_translated_by_one_function():
    """The five copies that there were had each another rule about line breaks and about names that people gave."""
    nodes = """
      const text = (data, isName) => ({data, parentElement: {closest: () => isName ? {} : null}});
      const made = [text('\\n  Stop\\n  it '), text('Stop', true), text('  ')], kept = {'aria-label': 'Stop  it'};
      const NodeFilter = {}, one = {getAttribute: name => kept[name], setAttribute: (name, to) => { kept[name] = to; }};
      let at = -1;
      const document = {createTreeWalker: () => ({nextNode: () => ++at < 3, get currentNode() { return made[at]; }})};
      speak({querySelectorAll: asked => asked === '[aria-label]' ? [one] : []});
      console.log(JSON.stringify([...made.map(node => node.data), kept['aria-label']]));"""
    before = "const navigator = {language: 'de-AT'}, TEXTS = {de: {'Stop it': 'Halt $&', 'Stop': 'Halt'}}; "
    script = before + (RUNS / "words.js").read_text(encoding="utf-8") + nodes
    done = subprocess.run([NODE, "-e", script], capture_output=True, text=True, check=True, timeout=20)
    assert json.loads(done.stdout) == ["\n  Halt $& ", "Stop", "  ", "Halt $&"]
    walking = [file.name for file in RUNS.parent.rglob("*.js") if "SHOW_TEXT" in file.read_text(encoding="utf-8")]
    assert walking == ["words.js"]


def test_the_title_says_how_far_it_is_and_what_ended_unseen():
    one, two = {"name": "a", "share": 0.437}, {"name": "b", "share": None}
    good, bad = {"name": "c", "state": "done"}, {"name": "d", "state": "failed"}
    cases = [([one], []), ([one, two], []), ([two], []), ([], [good]), ([], [good, bad]), ([one], [good]), ([], [])]
    asked = ", ".join(f"guanacoTitle({json.dumps(training)}, {json.dumps(ended)}, 'W')" for training, ended in cases)
    said = ["43 % · a", "43 % · a +1", "b", "✓ c", "✕ d +1", "✓ 43 % · a", "W"]
    assert run(f"[{asked}]", "../frame/ended") == said


# A page whose clock stands until it is moved: (what stands on it, a server that answers or not, ms that pass).
CLOCK = """
let clock = 0, timers = [], boxes = 1, server = 'here', pace = 1000;
const asked = [], gone = [], hears = [];
globalThis.performance = {now: () => clock};
let made = 0;
globalThis.setTimeout = (what, ms = 0) => { timers.push({what, at: clock + ms, id: ++made}); return made; };
globalThis.clearTimeout = id => { timers = timers.filter(one => one.id !== id); };
globalThis.document = {visibilityState: 'visible', addEventListener: (_, hear) => hears.push(hear)};
globalThis.ResizeObserver = class { constructor(hear) { hears.push(hear); } observe() {} };
const place = {getClientRects: () => ({length: boxes})}, woken = () => hears.forEach(hear => hear());
const ask = async () => { asked.push(clock); if (server === 'gone') throw new Error('no answer'); };
Math.random = () => 0;
async function pass(ms) {
  for (const until = clock + ms; clock < until; clock += 50) {
    for (let due = {what() {}}; due; due = timers.find(one => one.at <= clock)) {
      clearTimeout(due.id); due.what();
      for (let i = 0; i < 5; i++) await null;
    }
  }
}
"""


def polled(program):
    """What `said` is worth after a program on a page that polls."""
    poll = (RUNS.parent / "poll.js").read_text(encoding="utf-8")
    begun = "const poll = guanacoPoll({place, ask, every: () => pace, isGone: is => gone.push(is)}); woken();"
    source = f"{poll}\n{CLOCK}\n(async () => {{ {begun} {program}; console.log(JSON.stringify(said)); }})();"
    done = subprocess.run([NODE, "-e", source], capture_output=True, text=True, check=True, timeout=20)
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        pytest.param("await pass(2500); const said = asked", [0, 1000, 2000], id="at once, then at its pace"),
        pytest.param("pace = Infinity; await pass(9000); const said = [asked, timers]", [[0], []], id="at rest"),
        pytest.param(
            "pace = Infinity; await pass(500); poll.want(); poll.want(); await pass(500); const said = asked",
            [0, 500],
            id="wanted twice, asked once",
        ),
        pytest.param(
            "pace = Infinity; await pass(500); poll.soon(500, 1000); await pass(3000); const said = asked",
            [0, 1000, 1500],
            id="soon after a click",
        ),
        pytest.param(
            "await pass(1500); boxes = 0; woken(); await pass(9000); boxes = 1; woken(); await pass(50);"
            " const said = asked",
            [0, 1000, 10500],
            id="out of sight, and back",
        ),
        pytest.param(
            "await pass(50); document.visibilityState = 'hidden'; woken(); await pass(9000);"
            " const said = [asked, timers]",
            [[0], []],
            id="another tab of the browser",
        ),
        pytest.param(
            "server = 'gone'; await pass(4000); server = 'here'; await pass(2500); const said = [asked, gone]",
            [[0, 1000, 3000, 5000, 6000], [False, True, True, False, False]],
            id="the app is gone, and back",
        ),
        pytest.param(
            "guanacoServer.pause = 4000; await pass(4500); poll.want(); await pass(5000); const said = asked",
            [0, 4000, 4500, 8500],
            id="many look, each less often, and at once where it is wanted",
        ),
    ],
)
def test_who_polls_asks_only_while_somebody_looks(program, expected):
    assert polled(program) == expected


PAGE_AND_SERVER = """
const put = [], headers = {}, location = {reload: () => put.push('loaded anew')};
const element = () => ({setAttribute() {}, append() {}, remove() {}});
const document = {documentElement: {lang: 'en'}, createElement: element, addEventListener() {},
  querySelector: name => put.find(one => name === '.upgraded' && one.className?.includes('upgraded')),
  querySelectorAll: () => [], body: {append: one => put.push(one)}};
const answer = {status: 200, url: '', headers: {has: name => name in headers, get: name => headers[name]}};
const window = {fetch: async () => answer};
"""


def told_by(program):
    """What `said` is worth after a program on a page whose server answers with `headers`."""
    files = [(RUNS.parent / name).read_text(encoding="utf-8") for name in ("refusals.js", "poll.js")]
    asked = f"(async () => {{ {program}; console.log(JSON.stringify(said)); }})();"
    source = "\n".join([PAGE_AND_SERVER, *files, asked])
    done = subprocess.run([NODE, "-e", source], capture_output=True, text=True, check=True, timeout=60)
    return json.loads(done.stdout)


def test_a_page_older_than_its_server_says_so_once_and_loads_nothing_by_itself():
    ask = "await window.fetch('x')"
    same = f"headers['x-version'] = guanacoServer.version; {ask}; {ask}; const said = put"
    assert told_by(f"{ask}; const said = put") == told_by(same) == []
    (told,) = told_by(f"headers['x-version'] = 'newer'; {ask}; {ask}; const said = put")
    assert "upgraded" in told["className"] and "What you typed stays" in told["textContent"]


def test_the_page_has_the_version_that_its_server_says():
    assert f"version: '{scripts.version()}'" in scripts.file() and "'VERSION'" not in scripts.file()
