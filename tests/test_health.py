"""What those ask who look after a server, and what it writes down of who did what."""

import contextlib
import json
import logging
import stat
import subprocess
import sys
from collections import namedtuple
from types import SimpleNamespace

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from qlora_app.log_format import JsonLines
from qlora_app.runs import RunStore
from qlora_app.serving import ApiKeys
from qlora_app.settings import Settings
from qlora_app.ui import health
from qlora_app.ui.audit import FILE, Asker, Audit
from qlora_app.ui.context import AppContext
from tests.fixtures.page import PROOF, FakeSupervisor, make_run
from tests.fixtures.serving import served

LOGIN = {"username": "ada", "password": "correct horse"}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A server with a login, and figures."""
    home = tmp_path_factory.mktemp("served")
    settings = {"host": "0.0.0.0", "user": "ada", "password": "correct horse", "metrics": True}
    with served(home, **settings) as site:
        site.home = home
        yield site


def deeds(home):
    return [json.loads(line) for line in (home / FILE).read_text().splitlines()]


def test_a_probe_needs_no_login_and_is_told_nothing_else(site):
    assert site.client.get("/healthz").json() == {"status": "ok"}
    answer = site.client.get("/readyz", headers={"host": "10.1.2.3:7860"})
    assert answer.status_code == 200 and answer.json() == {"status": "ready", "missing": []}


def test_nobody_is_sent_where_nothing_can_be_begun(site, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(health.shutil, "disk_usage", lambda folder: usage(10**9, 10**9, 1000))
    monkeypatch.setattr(health, "keeps_runs", lambda folder: True)
    answer = site.client.get("/readyz")
    assert answer.status_code == 503 and answer.json()["missing"] == ["disk space"]
    monkeypatch.setattr(health, "keeps_runs", lambda folder: False)
    assert site.client.get("/readyz").json()["missing"] == ["storage"]
    assert str(site.home) not in answer.text


def test_prometheus_reads_figures_with_a_key_and_nobody_without_one(site):
    assert site.client.get("/metrics").status_code == 401
    key = ApiKeys(site.home).make("prometheus")
    text = site.client.get("/metrics", headers={"authorization": f"Bearer {key}"}).text
    found = {family.name: family for family in text_string_to_metric_families(text)}
    assert found["guanaco_ready"].samples[0].value == 1
    assert found["guanaco_disk_free_bytes"].samples[0].value > 0
    assert "process_resident_memory_bytes" in found and "guanaco_jobs" in found


def test_without_the_setting_there_are_no_figures(tmp_path):
    with served(tmp_path) as site:
        assert site.client.get("/metrics").status_code == 404
        assert not (tmp_path / FILE).exists(), "a page for this machine alone watches nobody"


def test_nobody_logs_in_where_there_is_no_login(tmp_path):
    with served(tmp_path, host="0.0.0.0") as public:
        public.client.post("/login", data=LOGIN)
        assert not (tmp_path / FILE).exists()


def test_who_did_what_is_written_down(site):
    with httpx.Client(base_url=site.client.base_url, timeout=20) as browser:
        browser.post("/login", data=LOGIN | {"password": "a guess"})
        browser.post("/login", data=LOGIN)
        run = make_run(RunStore(site.home / "runs"), name="shown", proof=PROOF)
        stop = next(n for n, fn in site.demo.fns.items() if getattr(fn.fn, "__qualname__", "") == "RunCards.stop_run")
        asked = {"fn_index": stop, "data": [], "session_hash": "one", "event_data": {"run": run.id}}
        browser.get("/")
        answer = browser.post("/gradio_api/run/predict", json=asked)
        assert answer.status_code == 200, answer.text
    assert [(one["deed"], one["user"]) for one in deeds(site.home)][-3:] == [
        ("a wrong password", ""),
        ("logged in", "ada"),
        ("RunCards.stop_run", "ada"),
    ]
    last = deeds(site.home)[-1]
    assert last["about"] == run.id and last["address"] == "127.0.0.1" and last["time"].endswith("Z")
    assert stat.S_IMODE((site.home / FILE).stat().st_mode) == 0o600
    assert "correct horse" not in (site.home / FILE).read_text()


def test_what_only_looks_is_not_written_down_and_what_is_begun_is_named(site):
    marked = {fn.fn.__qualname__: fn.fn for fn in site.demo.fns.values() if getattr(fn.fn, "changes", False)}
    owner = SimpleNamespace(
        page=AppContext(Settings(home=site.home), None, FakeSupervisor(), None, audit=Audit(site.home))
    )
    before = len(deeds(site.home))
    for handler in (marked["PublishPart.edited"], marked["TrainTab.train_on"]):
        with contextlib.suppress(Exception):  # whatever it would need; it was let in
            handler(owner, {})
    assert len(deeds(site.home)) == before
    owner.page.start(make_run(RunStore(site.home / "runs"), name="begun"))
    assert deeds(site.home)[-1]["deed"] == "started" and deeds(site.home)[-1]["about"].endswith("begun")


def test_a_line_stays_a_line_whatever_somebody_sends(tmp_path):
    audit = Audit(tmp_path)
    audit.note("RunsTab.rename", "a\nb" * 1000, Asker('x"\n', "::1"))
    (line,) = deeds(tmp_path)
    assert line["user"] == 'x"\n' and len(line["about"]) == 200


def test_a_message_of_the_terminal_is_one_line_of_json_with_its_error():
    try:
        raise ValueError("two\nlines")
    except ValueError as error:
        told = (type(error), error, error.__traceback__)
    record = logging.LogRecord("qlora_app.x", logging.ERROR, "x.py", 1, "It failed: %s", ("so",), told)
    (line,) = JsonLines().format(record).splitlines()
    written = json.loads(line)
    assert written["message"] == "It failed: so" and "two\nlines" in written["error"] and written["level"] == "error"


def test_messages_of_the_hub_are_lines_of_json_too():
    lines = (
        "import logging; from qlora_app.log_format import write_logs_as_json; write_logs_as_json(); "
        "from huggingface_hub.utils import logging as theirs; theirs.get_logger('huggingface_hub.x').warning('Retry')"
    )
    done = subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True, check=True)
    assert [json.loads(line)["message"] for line in done.stderr.splitlines()] == ["Retry"]
