"""Every handler of every page, called in this process with the names of what is another's: nothing of it comes back,
nothing of it is changed, and what is another's is answered like what is not there.
"""

import contextlib
import json
import re
from dataclasses import replace
from itertools import islice
from types import SimpleNamespace

import gradio as gr
import pytest
from gradio.context import LocalContext
from gradio.helpers import special_args

from qlora_app.evaluate.arena import create_arena
from qlora_app.jobs import JobSpec, JobStore
from qlora_app.runs import RunStore
from qlora_app.runs.labels import relabel
from qlora_app.serving import ApiKeys
from qlora_app.settings import Settings
from qlora_app.storage.files import write_json
from qlora_app.ui.audit import remember
from qlora_app.ui.build import build
from qlora_app.ui.chat.kept import Kept
from qlora_app.ui.context import AppContext
from qlora_app.ui.guard import callers_of, server_functions
from tests.fixtures.page import FakeSessions, FakeSupervisor, make_run, unserved

WHO = ("ada", "bob", "eve", "")  # the owner, two members, and whoever has no login
PAIRS = [("ada", "bob"), ("bob", "ada"), ("bob", "eve"), ("eve", "bob"), ("", "ada"), ("", "bob")]  # who asks, of whom
NAMED = ("room", "opened", "live", "try-text", "publish-repository")  # components that say which run it is about
HERE = SimpleNamespace(host="127.0.0.1")
INDEX = "jobs.sqlite"  # a list that is made anew from the folders
OF_THEIR_OWN = (".make_key", ".revoke_key")  # by the name that is sent: the second answer shows what the first did
PIECES = 5  # of what a handler streams


def word_of(name):
    """In all that is somebody's, and in no name by which it is asked for."""
    return f"w0rd{name}7k"


class Things:
    """What somebody has, and the names by which it can be asked for."""

    def __init__(self, name, page=None):
        self.name, word = name, word_of(name)
        if page is None:  # of nobody: names of the same make, of things that are not there
            ids = {kind: f"2026-01-01-0000-{kind}-{name}" for kind in ("run", "evaluation", "arena", "export")}
        else:
            settings, runs = page.settings, RunStore(page.settings.runs)
            run = make_run(runs, name=f"of {name}", proof={"note": word}, steps=40)
            relabel(run, name=f"named {word}", note=f"note {word}", add_tags=[word])
            run.log.write_text(f"log {word}\n")
            with run.hold() as out:
                out.append_sample({"step": 1, "question": word, "answer": word, "expected": word})
            for folder in (settings.data, settings.presets):
                folder.mkdir(parents=True, exist_ok=True)
            (settings.data / f"data-{name}.jsonl").write_text(f'{{"prompt": "{word}", "completion": "{word}"}}\n' * 9)
            (settings.presets / f"preset-{name}.yaml").write_text(f"note: {word}\n")
            evaluation = JobStore(settings.evaluations).create(f"asked-{name}", JobSpec(kind="evaluate"))
            row = {"id": "a", "question": word, "answers": {"one": word, "two": f"{word} too"}}
            (evaluation.folder / "rows.jsonl").write_text(json.dumps(row) + "\n")
            ApiKeys(settings.home).make(f"key {word}")
            Kept.of(settings.home, name).keep({"key": f"talk-{name}", "text": word, "version": ""})
            export = JobStore(run.exports).create("export", JobSpec(kind="export"))
            write_json(export.folder / "result.json", {"said": word})
            arena = create_arena(settings, evaluation.id, f"arena-{name}")
            ids = {"run": run.id, "evaluation": evaluation.id, "arena": arena.id, "export": export.id}
        self.ids = ids
        self.files = {"data": f"data-{name}.jsonl", "preset": f"preset-{name}", "talk": f"talk-{name}"}
        self.names = [*ids.values(), *self.files.values(), f"data-{name}"]

    def sent(self, component):
        """What an input has."""
        if component.elem_id in NAMED:
            return self.ids["run"]
        if component.elem_id == "f-dataset":
            return f"file/{self.files['data']}"
        return getattr(component, "value", None)

    def clicked(self):
        """What an event, or a script of a component, has with it."""
        run, job = self.ids["run"], f"{self.ids['run']}/{self.ids['export']}"
        told = {
            "run": run,
            "runs": [run],
            "weights": ["1"],
            "id": run,
            "ids": [run],
            "job": job,
            "of": run,
            "others": True,
        }
        told |= {"evaluation": self.ids["evaluation"], "arena": self.ids["arena"], "preset": self.files["preset"]}
        told |= {"key": self.files["talk"], "have": {}, "text": "x", "version": "x", "name": self.files["preset"]}
        return told | {
            "others": True,
            "question": "Who?",
            "part": "samples",
            "log": True,
            "seen": {},
            "at": "0",
            "watched": [run],
        }

    def hidden(self, text):
        """A text without these names, by which nothing is told, and without what is another one each time: addresses of
        objects, seconds, checksums.
        """
        for name in sorted(self.names, key=len, reverse=True):
            text = text.replace(name, "?")
        return re.sub(r"0x[0-9a-f]+|\d+\.\d+|'[0-9a-f]{8}'|\b\d{6,}\b", "#", text)


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """{name: (page, its demo)} of one server, and {name: what is theirs}."""
    home = tmp_path_factory.mktemp("everybody") / "home"
    store = RunStore(home / "runs")
    owner = AppContext(Settings(home=home, user="ada", password="x" * 9), store, FakeSupervisor(store), FakeSessions())
    owner = replace(owner, role="owner", has_login=True)
    contexts = {"ada": owner, "bob": owner.of_member("bob"), "eve": owner.of_member("eve"), "": owner.of_visitors()}
    things = {name: Things(name, contexts[name]) for name in WHO if name}
    with unserved():
        return {name: (one, build(one)) for name, one in contexts.items()}, things


def calls_of(demo, things):
    """{what is called: what it is called with} of all on a page that something can be named to."""
    found = {}
    for number, fn in demo.fns.items():
        takes_names = any(one.elem_id in (*NAMED, "f-dataset") for one in fn.inputs)
        if fn.fn is None or not (takes_names or _takes_event(fn)):
            continue
        found[f"{number} {fn.fn.__qualname__}"] = (fn, [things.sent(one) for one in fn.inputs])
    for id, block in demo.blocks.items():
        for name in server_functions(block):
            if callers_of(getattr(block, name)):
                found[f"{id}.{name}"] = (getattr(block, name), things.clicked())
    return found


def _takes_event(fn):
    _, _, event, *_ = special_args(fn.fn, [None] * 2, None, None)
    return event is not None


def said_to(name, call, given, clicked):
    """All that it answers, an error too."""
    request = gr.Request(session_hash=f"of-{name}", client=HERE, headers={}, username=name or None)
    token = LocalContext.request.set(request)
    try:
        if callable(call):
            return repr(call(given))
        inputs = [dict(zip(call.inputs, given, strict=True))] if call.inputs_as_dict else given
        arguments, *_ = special_args(call.fn, inputs, request, gr.EventData(None, clicked))
        answer = call.fn(*arguments)
        return repr(list(islice(answer, PIECES)) if hasattr(answer, "__next__") else answer)
    except gr.Error as error:
        return f"refused: {error.message}"
    finally:
        LocalContext.request.reset(token)


def as_it_lies(home, run):
    """{file: its content} of all that was put there. What a page keeps for itself meanwhile, such as data it has read,
    lies in hidden folders and beside these.
    """
    folders = [home / "runs" / run, *(home / name for name in ("evaluations", "conversations", "presets", "data"))]
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    kept = [path for path in files if not any(part.startswith(".") for part in path.relative_to(home).parts)]
    return {path: path.read_bytes() for path in [*kept, home / "api_keys.json"] if not path.name.startswith(INDEX)}


def files_below(home, but):
    """Those of one home, without other people's within it."""
    return [path for path in home.rglob("*") if path.is_file() and not path.is_relative_to(but)]


def answers_to(name, whats, nobodys, theirs, nobody):
    """What is said of what is another's, and of what is not there, without the names of both."""
    said = said_to(name, *whats, theirs.clicked())
    return said, theirs.hidden(said), nobody.hidden(said_to(name, *nobodys, nobody.clicked()))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "whose"), PAIRS)
def test_whatever_is_another_s_is_answered_like_what_is_not_there(name, whose, pages):
    made, things = pages
    page, demo = made[name]
    theirs, other = things[whose], made[whose][0].settings
    remember(f"of-{name}", name)
    before = as_it_lies(other.home, theirs.ids["run"])
    told, unlike = {}, {}
    nobody = Things(f"nobody{whose}")  # another one for each pair: forms know what was begun before
    missing = calls_of(demo, nobody)
    for what, call in calls_of(demo, theirs).items():
        for _ in range(3):  # minutes that pass, and what is counted in the background, make no lasting difference
            said, of_theirs, of_nobody = answers_to(name, call, missing[what], theirs, nobody)
            if word_of(whose) in said:
                told[what] = said
            if of_theirs == of_nobody or what.endswith(OF_THEIR_OWN):
                break
        else:
            unlike[what] = (of_theirs, of_nobody)
    assert told == {}
    assert as_it_lies(other.home, theirs.ids["run"]) == before
    if page.may_change:
        for path in files_below(page.settings.home, page.settings.members):
            with contextlib.suppress(FileNotFoundError):  # written anew just now
                assert word_of(whose).encode() not in path.read_bytes(), path
    assert unlike == {}


def test_the_probes_find_what_is_there(pages):
    """The same calls on one's own page: else the test above would find nothing because nothing is asked for."""
    made, things = pages
    demo, own = made["eve"][1], things["eve"]
    looks = re.compile(r"\.(kept|rows|poll|listed|list_keys|turned|part)$")
    calls = {what: call for what, call in calls_of(demo, own).items() if looks.search(what)}
    remember("of-eve", "eve")
    found = [what for what, call in calls.items() if word_of("eve") in said_to("eve", *call, own.clicked())]
    assert len(found) > 3, calls.keys()
