"""The bar, its drawer, what may be tidied, the login page, and a demonstration's own first tab."""

import json
import os
import re
import shutil
import subprocess
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import pytest
from starlette.testclient import TestClient

from qlora_app.base_models import ModelChoice
from qlora_app.doctor import BROKEN, GOOD, LIMITED, Finding
from qlora_app.hardware import Machine
from qlora_app.jobs import JobStore, Status
from qlora_app.kinds.data_import import import_job
from qlora_app.kinds.download import download_job
from qlora_app.launch.line import in_line, move
from qlora_app.launch.turns import start_times
from qlora_app.runs import Run
from qlora_app.settings import Settings
from qlora_app.tidy import IN_USE, tidy, usage
from qlora_app.ui.chat.partners import Partners
from qlora_app.ui.colours import DARK, LIGHT
from qlora_app.ui.door.request_guard import RequestGuard
from qlora_app.ui.frame import made
from qlora_app.ui.frame.bar import Bar
from qlora_app.ui.frame.checkup import Checkup
from qlora_app.ui.frame.drawer import machine_chip, machine_level
from qlora_app.ui.frame.login import WRONG, login_page
from qlora_app.ui.frame.made import best_run
from qlora_app.ui.frame.work import work_lines
from tests.coroutines import in_a_thread
from tests.fixtures.jobs import write_status
from tests.fixtures.page import EVIL, PROOF, demonstration, event, make_run
from tests.refusing import refused

UI = Path(__file__).parent.parent / "qlora_app" / "ui"


# ---- what runs or waits


def waiting(store, name):
    run = make_run(store, name=name, state="queued", step=0)
    run.request("start")
    return run


def test_what_is_worked_on_stands_before_what_waits_and_the_queue_is_in_order(store):
    first, second = waiting(store, "first"), waiting(store, "second")
    at_work = make_run(store, name="at work", state="running", step=60, seconds_left=50.0)
    with at_work.hold():
        lines = work_lines([at_work, second, first], {first.folder: 50.0, second.folder: 80.0})
        move(second, "up", store.list())
        moved = work_lines([at_work, second, first])
    assert [(line.name, line.place, line.starts_in) for line in lines] == [
        ("at work", 0, None),
        ("first", 1, 50.0),
        ("second", 2, 80.0),
    ]
    assert [line.name for line in moved] == ["at work", "second", "first"]
    assert lines[0].figures == "50% · 50 s left" and lines[1].figures == ""


@pytest.mark.parametrize(
    "takes, until, at_once, expected",
    [
        ([60.0, 30.0, 5.0], [10.0], 1, [10.0, 70.0, 100.0]),
        ([60.0, None, 5.0], [10.0], 1, [10.0, 70.0, None]),
        ([60.0], [None], 1, [None]),
        ([60.0], [], 1, [0.0]),
        ([60.0, 30.0, 5.0], [10.0, 20.0], 2, [10.0, 20.0, 50.0]),
        ([60.0, 30.0], [None, 20.0], 2, [20.0, 80.0]),
        ([60.0], [30.0, 20.0], 1, [30.0]),
    ],
)
def test_each_that_waits_begins_when_there_is_room(takes, until, at_once, expected):
    assert start_times(takes, until, at_once) == expected


def test_what_waits_is_moved_from_the_drawer_and_started_now(page, store):
    bar = Bar(page)
    first, second = waiting(store, "first"), waiting(store, "second")
    drawer = bar.poll({"open": True})["parts"]["jobs"]
    assert drawer.index("first") < drawer.index("second") and drawer.count('draggable="true"') == 2
    assert "Start now" in drawer
    bar.jobs.move_job(event(job=second.id, beside=first.id, side="before"))
    assert [job.id for job in in_line(store.list())] == [second.id, first.id]
    bar.jobs.start_job_now(event(job=first.id))
    assert first.is_asked("now") and page.supervisor.woken == 2
    first.request("stop")
    with refused("queue.not_waiting", kind=gr.Error):
        bar.jobs.move_job(event(job=second.id, beside=first.id, side="after"))


def test_every_kind_of_job_is_a_line_with_its_name(page, tmp_path):
    file = tmp_path / "good.jsonl"
    file.write_text("{}\n")
    jobs = [
        download_job(page.jobs.others, ModelChoice(source="hub", id="Qwen/Qwen3-0.6B")),
        import_job(page.jobs.others, [file]),
    ]
    for job in jobs:
        write_status(job, Status("running", step=1, total=2))
        job.request("start")
    names = [(line.kind, line.name) for line in work_lines(jobs)]
    assert sorted(names) == [("Download", "Qwen/Qwen3-0.6B"), ("Import", "good.jsonl")]


def test_the_bar_says_what_runs_and_only_what_is_new(page, store):
    bar, run = Bar(page), make_run(store, name=EVIL, state="running", step=60, seconds_left=50.0)
    with run.hold():
        news = bar.poll({"seen": {}})
        again = bar.poll({"seen": news["seen"]})
    chip = news["parts"]["work"]
    assert "&lt;img" in chip and "<img" not in chip and "50% · 50 s left" in chip
    assert news["live"] and news["runs"] == 1 and "jobs" not in news["parts"] and again["parts"] == {}


@pytest.mark.parametrize("asked", [None, [], "x", {"seen": 1}, {"seen": {"work": "x"}, "open": []}, {"watched": "x"}])
def test_anybody_may_ask_anything(page, asked):
    assert set(Bar(page).poll(asked)) == {"parts", "seen", "live", "runs", "training", "waiting", "ended"}


def test_a_page_is_told_how_far_runs_are_and_which_of_those_it_watched_have_ended(page, store):
    at_work = make_run(store, name="at work", state="running", step=60)
    done = make_run(store, name=EVIL, proof=PROOF)
    next_one = waiting(store, "next")
    bar, asked = Bar(page), {"watched": [next_one.id, done.id, at_work.id, "no-such-run", 3]}
    with at_work.hold():
        told, visitors = bar.poll(asked), demonstration(page).bar.poll(asked)
    assert told["training"] == visitors["training"] == [{"run": at_work.id, "name": "at work", "share": 0.5}]
    assert [(one["run"], one["name"], one["state"]) for one in told["ended"]] == [(done.id, EVIL, "done")]
    assert visitors["ended"] == [] and told["waiting"] == [next_one.id]


def test_a_run_that_cannot_be_read_leaves_the_bar_as_it_is(page, store, monkeypatch):
    done, other = make_run(store, name="done", proof=PROOF), make_run(store, name="other", proof=PROOF)
    whole = Run.status

    def status(run):
        if run.id == other.id:
            raise OSError("Input/output error")
        return whole(run)

    monkeypatch.setattr(Run, "status", status)
    told = Bar(page).poll({"watched": [other.id, done.id]})
    assert [one["run"] for one in told["ended"]] == [done.id]


def test_the_drawer_lists_jobs_with_their_buttons_and_what_ended_before_its_time(page, store, tmp_path):
    file = tmp_path / "bad.jsonl"
    file.write_text("{}\n")
    failed = import_job(page.jobs.others, [file])
    write_status(failed, Status("failed", sentence=EVIL))
    waiting(store, "next")
    jobs = Bar(page).poll({"open": True})["parts"]["jobs"]
    assert "Take it out" in jobs and "Number 1 in the queue" in jobs
    assert "Try again" in jobs and f'data-job="jobs/{failed.id}"' in jobs and "<img" not in jobs


def test_a_failed_job_is_dismissed_and_a_waiting_one_taken_out(page, store, tmp_path):
    file = tmp_path / "bad.jsonl"
    file.write_text("{}\n")
    failed, next_one = import_job(page.jobs.others, [file]), waiting(store, "next")
    write_status(failed, Status("failed"))
    bar = Bar(page)
    bar.dismiss(event(job=f"jobs/{failed.id}"))
    bar.jobs.stop_job(event(job=next_one.id))
    assert page.jobs.others.list() == [] and not next_one.is_asked("start")


def test_visitors_are_told_of_trainings_and_of_nothing_of_this_machine(page, store, tmp_path):
    waiting(store, "public")
    bar = demonstration(page).bar
    news = bar.poll({"open": True})
    assert set(news["parts"]) == {"work", "jobs"} and "<button" not in news["parts"]["jobs"]
    assert "This machine" not in bar.bar.html_template


def test_the_bar_and_the_picker_make_no_list_of_all_runs(page, store, monkeypatch):
    run = make_run(store, proof=PROOF)
    monkeypatch.setattr(store, "list", None)
    monkeypatch.setattr(page.supervisor, "moving", list)
    partners = Partners(page)
    assert Bar(page).poll({})["runs"] == 1 and partners.newest().id == run.id
    assert [row["run"] for row in partners.find("").rows] == [run.id]


# ---- the machine


def test_the_machine_is_red_only_where_something_hinders(tmp_path):
    checkup = Checkup(Settings(home=tmp_path))
    roomy, tight, full = (Machine("cpu", 24 * 2**30, free) for free in (12 * 2**30, 2 * 2**30, 2**29))
    assert [machine_level(one, checkup)[0] for one in (roomy, tight, full)] == ["good", "tight", "bad"]
    checkup.findings = [Finding("Network", LIMITED, "off"), Finding("4-bit layer", BROKEN, "wrong")]
    assert machine_level(roomy, checkup)[0] == "bad" and "CPU 12.0 of 24 GB" in machine_chip(roomy, checkup)
    assert [one.name for one in checkup.mended()] == ["4-bit layer", "Network"]


def test_the_machine_is_looked_at_in_the_background(page, monkeypatch):
    bar, asked = Bar(page), threading.Event()
    look = bar.checkup._look
    monkeypatch.setattr(bar.checkup, "_look", lambda: (asked.wait(), look()))
    first = bar.poll({"open": True})["parts"]["here"]  # comes although the look has not begun
    assert "Being" in first
    asked.set()
    bar.checkup.wait()
    monkeypatch.setattr("qlora_app.ui.frame.bar.REMEMBERED", 1e-9)  # seconds that an answer is remembered
    later = bar.poll({"open": True})["parts"]["here"]
    assert "Runs take" in later and "Try everything out" in later and "torch" in later
    assert any(one.level == GOOD for one in bar.checkup.findings)


def test_what_is_asked_of_the_machine_while_it_is_looked_at_comes_after_that(page, monkeypatch):
    looks, done = threading.Event(), []
    checkup = Checkup(page.settings)
    monkeypatch.setattr(checkup, "_look", looks.wait)
    for name in ("tidy", "examine"):
        monkeypatch.setattr(checkup, f"_{name}", lambda name=name: done.append(name))
    checkup.look_if_old()
    for _ in range(2):
        checkup.tidy()
        checkup.examine()
    assert checkup.is_tidying and checkup.is_examining and done == []
    looks.set()
    checkup.wait()
    assert done == ["tidy", "examine"] and not checkup.is_tidying and not checkup.is_examining


def test_only_caches_and_finished_jobs_of_no_run_are_tidied(page, store, tmp_path):
    settings = page.settings
    run = make_run(store, proof=PROOF)
    (settings.data / ".readings" / "old").mkdir(parents=True)
    for path in (settings.tokens / "old" / "a.tokens", settings.tokens / "new" / "a.tokens"):
        path.parent.mkdir(parents=True)
        path.write_bytes(b"x" * 1000)
    (settings.data / "mine.jsonl").write_text("{}\n")
    long_ago = time.time() - IN_USE - 60
    for path in (settings.tokens / "old" / "a.tokens", settings.tokens / "old", settings.data / ".readings" / "old"):
        os.utime(path, (long_ago, long_ago))
    file = tmp_path / "a.jsonl"
    file.write_text("{}\n")
    done, stopped = (import_job(JobStore(settings.jobs), [file]) for _ in range(2))
    write_status(done, Status("done"))
    write_status(stopped, Status("stopped"))
    before = usage(settings)
    assert before.tidied > 1000 and before.runs > 0
    assert tidy(settings) == before.tidied
    assert [job.id for job in JobStore(settings.jobs).list()] == [stopped.id] and run.proof()
    assert (settings.tokens / "new").exists() and (settings.data / "mine.jsonl").exists()
    assert not (settings.tokens / "old").exists() and usage(settings).tidied == 0


# ---- the login


def door(tmp_path, answer):
    """A door with a login in front of an app that answers so."""

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": answer, "headers": [(b"set-cookie", b"access-token-x=1")]})
        await send({"type": "http.response.body", "body": b"{}"})

    settings = Settings(home=tmp_path, user="ada", password="correct horse")
    guard = RequestGuard(app, settings)
    guard._is_logged_in = lambda asked: False
    return TestClient(guard, base_url="http://127.0.0.1:7860", follow_redirects=False)


def test_before_the_login_stands_a_page_in_the_visitors_language(tmp_path):
    answer = door(tmp_path, 200).get("/?tab=chat&run=x", headers={"accept-language": "de"})
    assert answer.status_code == 200 and "Anmelden" in answer.text and 'lang="de"' in answer.text
    assert 'value="tab=chat&amp;run=x"' in answer.text and answer.headers["cache-control"] == "no-store"
    assert "nosniff" in answer.headers["x-content-type-options"]


def test_a_wrong_password_keeps_the_user_name_and_the_address(tmp_path):
    form = {"username": '"><img>', "password": "wrong", "query": "tab=chat"}
    answer = door(tmp_path, 400).post("/login", data=form, headers={"accept": "text/html"})
    assert answer.status_code == 401 and WRONG in answer.text and 'value="tab=chat"' in answer.text
    assert "&quot;&gt;&lt;img&gt;" in answer.text and "<img>" not in answer.text and "wrong" not in answer.cookies


def test_a_right_password_leads_on_to_what_was_wanted(tmp_path):
    client = door(tmp_path, 200)
    for query, place in (
        ("tab=chat&run=a-b", "./?tab=chat&run=a-b"),
        ("", "./"),
        ("//evil.example", "./"),
        ("a\r\nb", "./"),
    ):
        form = {"username": "ada", "password": "correct horse", "query": query}
        answer = client.post("/login", data=form, headers={"accept": "text/html"})
        assert answer.status_code == 303 and answer.headers["location"] == place
        assert "access-token-x" in answer.headers["set-cookie"]


def test_a_script_that_logs_in_is_answered_as_before(tmp_path):
    answer = door(tmp_path, 400).post("/login", data={"username": "ada", "password": "x"})
    assert answer.status_code == 400 and answer.text == "{}"


def test_the_login_page_asks_for_what_is_missing_first():
    assert login_page("en").index("autofocus") < login_page("en").index('id="password"')
    assert login_page("en", WRONG, "ada").index("autofocus") > login_page("en", WRONG, "ada").index('id="password"')


# ---- a demonstration


def test_visitors_meet_the_best_run_first_and_how_it_was_made(page, store):
    better = json.loads(json.dumps(PROOF))
    better["heldout"]["exact_match"]["after"] = 0.99
    best = make_run(store, name="best", proof=better)
    make_run(store, name="newer", proof=PROOF)
    make_run(store, name="unfinished")
    workshop = demonstration(page)
    assert best_run(workshop.page).id == best.id
    answer = workshop.restore(SimpleNamespace(query_params={}))
    assert answer[workshop.tabs].selected == "chat" and answer[workshop.train.card] == best.id
    words = answer[workshop.train.recipe]
    assert "LoRA" in words and "to learn from" in words and "Make your own copy" in words
    asked = workshop.restore(SimpleNamespace(query_params={"tab": "train"}))
    assert asked[workshop.tabs].selected == "train"


def test_what_was_asked_too_little_or_is_broken_is_not_met_first(page, store, monkeypatch):
    def proven(right, asked, **more):
        return PROOF | {"heldout": {"exact_match": {"before": 0.0, "after": right / asked}, "questions": asked}} | more

    bad = make_run(store, name="bad", proof=proven(99, 100, update={"layers": 28, "zero_layers": 28}))
    assert best_run(page).id == bad.id, "there is no other"
    best = make_run(store, name="best", proof=proven(95, 100))
    make_run(store, name="twelve", proof=proven(12, 12))
    make_run(store, name="one", proof=proven(1, 1))
    assert best_run(page).id == best.id
    monkeypatch.setattr(made, "read_json", None)
    assert best_run(page).id == best.id, "nothing is read at a second visit"


def test_a_demonstration_without_runs_says_so(page):
    workshop = demonstration(page)
    answer = workshop.restore(SimpleNamespace(query_params={}))
    assert answer[workshop.train.card] == "" and "Make your own copy" in answer[workshop.train.recipe]


# ---- the look


def test_light_and_dark_have_the_same_colours():
    assert LIGHT.keys() == DARK.keys()


@pytest.mark.parametrize("sheet", sorted((UI / "style").glob("*.css")), ids=lambda path: path.stem)
def test_a_sheet_names_colours_and_makes_none(sheet):
    """So that what is dark is dark everywhere."""
    rules = re.findall(r"\{([^{}]*)\}", re.sub(r"/\*.*?\*/", "", sheet.read_text(encoding="utf-8"), flags=re.DOTALL))
    assert [rule for rule in rules if re.search(r"#[0-9a-fA-F]{3,8}\b", rule)] == []


@pytest.mark.parametrize("script", sorted(UI.rglob("*.js")), ids=lambda path: path.stem)
def test_a_script_never_opens_the_page_anew(script):
    """What somebody has half typed would be lost; a button that says so may."""
    text = script.read_text(encoding="utf-8").replace("load.onclick = () => location.reload();", "")
    assert not re.search(r"location(\.(search|href))?\s*=[^=>]|location\.(assign|replace|reload)", text)


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
@pytest.mark.parametrize("script", ["frame/bar.js", "frame/look.js", "gradio_dom.js"])
def test_a_script_is_javascript(script):
    text = f"(async () => {{ {(UI / script).read_text(encoding='utf-8')} }});"
    subprocess.run(["node", "--check", "-"], input=text, text=True, check=True, timeout=60)


def test_no_rule_lists_alternatives_in_brackets():
    """Gradio puts its own class in front of each rule, and cuts the rule at every comma for it."""
    from qlora_app.ui.theme import STYLE

    assert [rule for rule in re.findall(r":(?:is|where|not|has)\([^()]*,[^()]*\)", STYLE) if rule] == []


def test_what_lies_outside_of_gradios_element_is_styled_in_the_sheet_for_it():
    """In a media query Gradio's class stands in front of these too, and such a rule never matches."""
    from qlora_app.ui.theme import STYLE

    in_media = "".join(re.findall(r"@media[^{]*\{((?:[^{}]*\{[^{}]*\})*)", STYLE))
    selectors = re.findall(r"(?:^|\})\s*([^{}]*)\{", in_media)
    assert len(selectors) > 10
    assert [one for one in selectors if re.match(r"(html|body|:root|\.gradio-container|main)\b", one)] == []


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/models", "/v1"])
def test_what_a_program_sends_is_not_read_before_its_key_is(tmp_path, path):
    read = []

    async def app(scope, receive, send):
        read.append(scope["path"])
        await send({"type": "http.response.start", "status": 401, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})

    async def receive():
        raise AssertionError("the door reads it")

    said = []

    async def send(message):
        said.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "http_version": "1.1",
        "scheme": "http",
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 7860),
        "headers": [(b"host", b"127.0.0.1:7860"), (b"content-length", b"40000000")],
    }
    guard = RequestGuard(app, Settings(home=tmp_path, user="ada", password="correct horse"))
    in_a_thread(guard(scope, receive, send))
    assert read == [path] and said[0]["status"] == 401
