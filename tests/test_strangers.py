"""What strangers reach: every handler and route has a mark, and of private runs nothing is told to anybody else."""

import contextlib
import dataclasses
import json
import struct

import gradio as gr
import pytest

from qlora_app.errors import Problem, UserError
from qlora_app.jobs import JobStore
from qlora_app.kinds.answer import answer_job, spec_for
from qlora_app.recipe import Recipe
from qlora_app.runs import RunStatus, RunStore
from qlora_app.runs.held_out_answers import HeldOutAnswer
from qlora_app.storage.files import write_json
from qlora_app.ui.door import routes
from qlora_app.ui.guard import callers_of, only_marked, owners, server_functions
from qlora_app.ui.runs.run_card import RunCards
from qlora_app.ui.runs.tab import RunsTab
from tests.fixtures.jobs import write_status
from tests.fixtures.page import PROOF, FakeSessions, make_run, unserved
from tests.fixtures.serving import served
from tests.refusing import refused

TASKS = ("chat", "text_to_text", "classification", "fill_mask")
STATES = ("done", "running", "failed")
SECRET = "7f3kq"  # in everything that is the owner's


# ---- marks


def test_every_handler_says_who_may_call_it(workshop):
    unmarked = [fn.fn.__qualname__ for fn in workshop.demo.fns.values() if fn.fn and callers_of(fn.fn) is None]
    assert unmarked == []
    components = [(block, name) for block in workshop.demo.blocks.values() for name in server_functions(block)]
    assert components and all(callers_of(getattr(block, name)) for block, name in components)


class Ask:
    """Something with a method that only the owner may call."""

    def __init__(self, told):
        self.told = told

    def ask(self, asked):
        self.told.append(asked)


def test_what_has_no_mark_is_the_owner_s():
    told = []
    with unserved(), gr.Blocks() as demo:
        marked = owners(Ask(told).ask)
        button, html = gr.Button(), gr.HTML(server_functions=[lambda asked: told.append(asked), marked])
        button.click(lambda: told.append("clicked"), None, None)
    only_marked(demo, may_change=False)
    (handler,) = (fn.fn for fn in demo.fns.values())
    with refused("page.demonstration", kind=gr.Error):
        handler()
    assert callers_of(marked) == "owner"
    for name in ("<lambda>", "ask"):
        assert not getattr(getattr(html, name), "_is_server_fn", False), "Gradio does not find it"
    assert told == []


def routes_of(router):
    """The templates of all routes, of routers within it too."""
    for route in router.routes:
        within = getattr(route, "original_router", None) or getattr(route, "app", None)
        if not hasattr(route, "path"):
            yield from routes_of(within)
        elif hasattr(within, "routes"):  # mounted below a path
            yield f"{route.path}/{{path:path}}"
        else:
            yield route.path


def test_every_route_of_the_server_says_who_may_ask_for_it(public):
    found = set(routes_of(public.demo.app))
    assert len(found) > 60 and "/gradio_api/upload" in found
    assert sorted(path for path in found if routes.mark_of(path) is None) == []


def test_a_route_without_a_mark_is_nobody_s(public):
    assert routes.who_may("/gradio_api/new_in_another_version") == "nobody"
    for path in (
        "/gradio_api/token",
        "/monitoring",
        "/gradio_api/info/x",
        "/gradio_api/runs",
        "/gradio_api/dev/reload",
    ):
        assert public.client.get(path).status_code == 404, path
    for query in ("deep_link=abc", "deep%5Flink=abc", "x=1&%64eep_link"):
        assert public.client.get(f"/?{query}").status_code == 404, query
    assert public.client.get("/?note=deep_link%3D").status_code == 200
    assert public.client.post("/gradio_api/call/predict", json={"data": []}).status_code == 404


# ---- nothing private is told


MODELS = {
    "chat": ("llama", "LlamaForCausalLM"),
    "text_to_text": ("t5", "T5ForConditionalGeneration"),
    "classification": ("bert", "BertForMaskedLM"),
    "fill_mask": ("bert", "BertForMaskedLM"),
}


def own_model(store, task):
    kind, architecture = MODELS[task]
    folder = store.root.parent / "models" / f"{kind}-{SECRET}"
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "config.json", {"model_type": kind, "architectures": [architecture], "made_by": SECRET})
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", 2) + b"{}")
    (folder / "tokenizer.json").write_text("{}")
    return folder


def private_run(store, data, task, state):
    """A run of somebody's own data, with a secret in all that is told of it nowhere else."""
    recipe = {
        "name": f"{task} {state}",
        "note": f"note {SECRET}",
        "dataset": {"source": "file", "id": data},
        "task": {"name": task},
        "base_model": {"source": "folder", "id": str(own_model(store, task))},
    }
    run = store.create(Recipe.from_dict(recipe))
    with run.hold() as out:
        for step in (0, 20):
            row = {"question": f"question {SECRET}", "answer": f"answer {SECRET}", "expected": f"expected {SECRET}"}
            out.append_sample({"step": step, **row})
        out.append_metric({"step": 1, "loss": 1.0})
    run.adapter.mkdir()
    for name in ("adapter_config.json", f"{SECRET}.json"):
        (run.adapter / name).write_text(json.dumps({"base": f"/home/{SECRET}"}))
    header = json.dumps({"__metadata__": {"base": f"/home/{SECRET}"}}).encode()
    (run.adapter / "adapter_model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    said = HeldOutAnswer("k", f"question {SECRET}", f"expected {SECRET}", "", f"answer {SECRET}")
    write_json(run.folder / "held_out_answers.json", [said.to_json()])
    write_json(run.adapter / "proof.json", PROOF)
    write_json(run.adapter / "tokenizer_config.json", {"trained_with": {"system": f"system {SECRET}"}})
    write_json(run.folder / "task.json", {"name": task, "labels": ["yes", "no"]})
    run.log.write_text(f"log {SECRET}\n")
    wrong = UserError("test.made_up", "{why}", why=f"row 3 of /home/{SECRET}/x is {SECRET}").problem
    sentence = wrong if state == "failed" else "Finished." if state == "done" else "Training."
    write_status(run, RunStatus(state, step=20, total=20, sentence=sentence, warnings=[f"warned {SECRET}"]))
    return run


def questions_of(run, folder):
    file = folder / "asked.csv"
    file.write_text(f"question\nWho is {SECRET}?\n")
    job = answer_job(run, file, spec_for(file))
    write_status(job, RunStatus("done"))
    (job.folder / "done.jsonl").write_text(f'{{"answer": "{SECRET}"}}\n')


class ComplainingSessions(FakeSessions):
    """A model that is not there: the error names the way to it."""

    def get(self, run, step=None):
        raise UserError("test.made_up", "{why}", why=f"/home/{SECRET}/models/mine is not there.")


@pytest.fixture(scope="module")
def public(tmp_path_factory):
    """A demonstration with a run on the starter's data."""
    home = tmp_path_factory.mktemp("public")
    run = make_run(RunStore(home / "runs"), name="shown", proof=PROOF)
    with served(home, host="0.0.0.0") as public:
        public.run = run
        yield public


@pytest.fixture(scope="module")
def private(tmp_path_factory):
    """A demonstration with runs of every kind on its owner's own data, presets, models and jobs."""
    home = tmp_path_factory.mktemp("home") / SECRET
    (home / "data").mkdir(parents=True)
    data = "ab-known.jsonl"  # strangers may know a name, and are told no other
    for name in (data, f"ab-{SECRET}.jsonl"):
        (home / "data" / name).write_text(f'{{"prompt": "row {SECRET}", "completion": "cell {SECRET}"}}\n' * 30)
    (home / "presets").mkdir()
    for name in ("known", SECRET):
        (home / "presets" / f"{name}.yaml").write_text(f"note: preset {SECRET}\n")
    (home / "presets" / f"broken-{SECRET}.yaml").write_text(f"{SECRET}: [\n")
    store = RunStore(home / "runs")
    runs = [private_run(store, data, task, state) for task in TASKS for state in STATES]
    questions_of(runs[0], tmp_path_factory.mktemp("asked"))
    JobStore(home / "jobs")
    with served(home, sessions=ComplainingSessions, host="0.0.0.0") as site, contextlib.ExitStack() as held:
        for run in runs:
            if run.status().state == "interrupted":
                held.enter_context(run.hold())
        site.runs, site.data, site.home, site.fetched = runs, data, home, []
        yield site


def send(site, number, data, event_data):
    """All that the server says to a call, streams included."""
    body = {"fn_index": number, "data": data, "session_hash": "stranger", "event_data": event_data}
    fn = site.demo.fns[number]
    if not fn.queue:
        return site.client.post("/gradio_api/run/predict", json=body).text
    joined = site.client.post("/gradio_api/queue/join", json=body)
    said = [joined.text]
    if joined.status_code != 200:
        return joined.text
    with site.client.stream("GET", "/gradio_api/queue/data", params={"session_hash": "stranger"}) as stream:
        for line in stream.iter_lines():
            said.append(line)
            if "process_completed" in line:
                break
    return "\n".join(said)


def given_to(component, run, data):
    """What a stranger who knows the ids of runs and data sends for an input."""
    sent = {
        "room": run.id,
        "try-text": "A ___ text",
        "opened": run.id,
        "live": run.id,
        "f-dataset": f"file/{data}",
        "f-base_model": "starter",
    }
    return sent.get(component.elem_id, getattr(component, "value", None))


def addresses_of(text):
    """Files that an answer offers."""
    return [part.split('"')[0] for part in text.split('"path": "')[1:] + text.split('"path":"')[1:]]


@pytest.mark.slow
@pytest.mark.parametrize("which", range(len(TASKS) * len(STATES)), ids=[f"{t}-{s}" for t in TASKS for s in STATES])
def test_a_stranger_is_told_nothing_of_a_private_run(private, which):
    run = private.runs[which]
    # the newest one is what a fresh visit shows
    spec = run.folder / "recipe.yaml"
    spec.touch()
    page = f"/?tab=runs&run={run.id}"
    said = {"page": private.client.get(page).text, "config": private.client.get("/config").text}
    said["info"] = private.client.get("/gradio_api/info?all_endpoints=true").text
    for number, fn in private.demo.fns.items():
        if fn.fn is None or (which and fn.fn.__qualname__.split(".")[0] not in OF_A_RUN):
            continue
        sent = [given_to(one, run, private.data) for one in fn.inputs]
        clicked = {"run": run.id, "question": "Who?", "preset": "known", "at": "0", "job": run.id}
        said[fn.fn.__qualname__] = send(private, number, sent, clicked)
    for id, block in private.demo.blocks.items():
        for name in server_functions(block):
            asked = {"run": run.id, "log": True, "others": True, "job": run.id, "seen": {}, "chart": {}}
            body = {"component_id": id, "fn_name": name, "session_hash": "stranger", "data": asked}
            said[f"{id}.{name}"] = private.client.post("/gradio_api/component_server", json=body).text
    for name, text in list(said.items()):
        for file in addresses_of(text):
            said[f"{name} {file}"] = private.client.get(f"/gradio_api/file={file}").text
    told = {name: around(text) for name, text in said.items() if SECRET in text}
    assert told == {}


OF_A_RUN = ("PageBuilder", "RunsTab", "OneRun", "RunsTable", "Comparison", "ChatTab", "TryIt", "RunCards", "AnswerFile")


def around(text):
    at = text.index(SECRET)
    return text[max(0, at - 150) : at + 60]


def test_the_owner_sees_what_strangers_do_not(workshop, store, tmp_path):
    """The same runs: else the test above would find nothing because there is nothing."""
    run = private_run(store, f"ab-{SECRET}.jsonl", "classification", "failed")
    opened = "".join(
        str(workshop.runs.one.part({"run": run.id, "part": name})) for name in ("head", "settings", "samples")
    )
    polled = str(workshop.train.cards.poll({"run": run.id, "log": True}))
    tried = str(workshop.chat.shown(run.id))
    assert opened.count(SECRET) > 2 and polled.count(SECRET) > 4 and SECRET in tried


def as_visitor(page):
    settings = page.settings.model_copy(update={"host": "0.0.0.0"})
    seen = dataclasses.replace(page, settings=settings).as_seen()
    assert not seen.may_change
    return seen


def words_of(page, run):
    """The table of runs and the card of one."""
    cards = RunCards(page)
    return json.dumps(RunsTab(page, cards).table.rows({"count": 9})) + json.dumps(cards.poll({"run": run.id}))


def with_odd_recipe(run):
    """Values that the sentence about a damage repeats."""
    recipe = run.folder / "recipe.yaml"
    recipe.write_text(f"{recipe.read_text()}\nnote: ['patients of /home/{SECRET}']\nmade_by_{SECRET}: [1]\n")


def with_odd_recipe_source(run):
    recipe = run.folder / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("source: file", f"source: {SECRET}"))


@pytest.mark.parametrize("change", [with_odd_recipe, with_odd_recipe_source])
def test_what_is_wrong_with_a_folder_is_told_to_its_owner_alone(page, store, change):
    run = private_run(store, "ab-x.jsonl", "chat", "done")
    change(run)
    assert SECRET in words_of(page, run), "else strangers are told nothing because there is nothing"
    assert SECRET not in words_of(as_visitor(page), run)


def test_why_a_row_cannot_be_shown_is_told_to_its_owner_alone(page, store, monkeypatch):
    run = private_run(store, "ab-x.jsonl", "chat", "done")
    wrong = UserError("test.made_up", "{why}", why=f"/home/{SECRET} cannot be read")

    def failing(self):
        raise wrong

    monkeypatch.setattr(type(run), "damages", failing)
    monkeypatch.setattr(type(run), "newest_adapter", failing)
    assert words_of(page, run).count(SECRET) > 1
    assert SECRET not in words_of(as_visitor(page), run)


def test_why_a_run_waits_is_told_to_its_owner_alone(page, store):
    run = store.create(Recipe())
    run.request("start")
    reason = f"[Errno 13] Permission denied: '/home/{SECRET}/log.txt'"
    run.say_why_it_waits(Problem("job.cannot_start", "It cannot be started yet ({reason}).", reason=reason))
    assert SECRET in words_of(page, run)
    told = words_of(as_visitor(page), run)
    assert SECRET not in told and "Waiting for its turn." in told


@pytest.mark.slow
def test_what_is_private_may_be_shown_by_its_owner_s_wish(tmp_path):
    store = RunStore(tmp_path / "runs")
    run = private_run(store, "ab-x.jsonl", "classification", "done")
    with served(tmp_path, host="0.0.0.0", show_private=True) as site:
        number = next(n for n, fn in site.demo.fns.items() if fn.fn and fn.fn.__qualname__ == "OneRun.adapter_file")
        assert f"{run.id}-adapter.zip" in send(site, number, [run.id], None)
    with served(tmp_path, host="0.0.0.0") as site:
        assert "not given to visitors" in send(site, number, [run.id], None)
