"""Whatever a person, a file or a model can name is shown as it is written, and no script in it runs; and the page below
a path of the real nginx, as a browser sees it.
"""

import contextlib
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from playwright.sync_api import expect
from visiting import PATIENCE, App, Visitor

from qlora_app.jobs import JobStore, Status
from qlora_app.kinds.data_import import import_job
from qlora_app.recipe import Recipe
from qlora_app.runs import RunStatus
from qlora_app.storage.files import write_json
from tests.fixtures.jobs import write_status

EVIL = "<img src=x onerror=window.__evil=1>${window.__evil=2}{{window.__evil=3}}"
IN_A_NAME = "<img src=x onerror=window.__evil=4>"  # of a file: without a slash
DOCS = Path(__file__).parents[2] / "docs" / "proxies"


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    """An app whose home is full of marks."""
    app = App(tmp_path_factory.mktemp("home"))
    plant(app)
    app.start()
    yield app
    app.close()


def plant(app):
    for folder in ("data", "presets", "models"):
        (app.home / folder).mkdir(parents=True, exist_ok=True)
    rows = [{"instruction": f"{EVIL} {n}", "output": EVIL, EVIL: EVIL} for n in range(30)]
    (app.home / "data" / f"{IN_A_NAME}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    cells = "".join(f"{EVIL} {n},{EVIL}\n" for n in range(30))
    (app.home / "data" / "columns.csv").write_text(f"{EVIL},{EVIL}2\n{cells}")
    (app.home / "presets" / f"{IN_A_NAME}.yaml").write_text(json.dumps({"name": EVIL, "note": EVIL}))
    (app.home / "presets" / f"broken{IN_A_NAME}.yaml").write_text(json.dumps({EVIL: 1}))
    for state in ("done", "failed", EVIL):
        plant_run(app, state)
    folder = app.home / "brought"
    folder.mkdir()
    (folder / f"{IN_A_NAME}.jsonl").write_text('{"a": 1}\n')
    job = import_job(JobStore(app.home / "jobs"), [folder / f"{IN_A_NAME}.jsonl"])
    write_status(job, Status("failed", sentence=EVIL, warnings=[EVIL]))


def plant_run(app, state):
    run = app.store.create(Recipe(name=f"{EVIL} {state}"[:200], note=EVIL))
    with run.hold() as out:
        out.append_metric({"step": 1, "loss": 1.0})
        for step in (0, 5):
            out.append_sample({"step": step, "question": EVIL, "answer": EVIL, "expected": EVIL})
    run.adapter.mkdir()
    (run.adapter / "adapter_model.safetensors").write_text("")
    (run.adapter / IN_A_NAME).write_text("")
    (run.folder / IN_A_NAME).write_text("")
    write_json(run.adapter / "proof.json", {"method": {"in_words": EVIL}, "seconds": {"training": 1.0}})
    run.log.write_text(f"{EVIL}\n")
    write_status(run, RunStatus("failed", sentence=EVIL, warnings=[EVIL], step=5, total=5, loss=1.0))
    said = json.loads((run.folder / "status.json").read_text())
    write_json(run.folder / "status.json", said | {"state": state})


def harmless(page):
    assert page.evaluate("window.__evil") is None
    assert page.locator("img[src=x]").count() == 0


def test_marks_in_names_files_and_answers_are_shown_and_do_nothing(chromium, app):
    visitor = Visitor(chromium, app)
    page = visitor.open()
    page.get_by_role("button", name="Change", exact=True).click()
    expect(page.locator("#model-list")).to_contain_text("onerror")
    page.locator("[data-row^='recipe:']").last.click()
    expect(page.locator("#model-said")).to_contain_text("onerror")
    harmless(page)
    expect(page.locator("#import-job")).to_contain_text("onerror")
    for data in ("columns.csv", IN_A_NAME[:8]):
        page.get_by_label("Data", exact=True).click()
        page.get_by_role("option", name=re.compile(re.escape(data))).first.click()
        page.wait_for_timeout(3000)
        harmless(page)
    expect(page.locator("#data-line")).to_contain_text("onerror")
    page.get_by_role("button", name="Lengths, tokens").click()
    page.wait_for_timeout(2000)
    harmless(page)
    for run in app.store.list():
        page = visitor.open(f"?tab=runs&run={run.id}")
        page.locator("#opened .log summary").click()
        expect(page.locator("#opened .log")).to_contain_text("onerror")
        expect(page.locator("#opened .what")).to_contain_text("onerror")
        page.get_by_role("tab", name="Settings", exact=True).last.click()
        harmless(page)
    page.get_by_role("tab", name="Chat", exact=True).click()
    page.get_by_label("Run", exact=True).click()
    expect(page.get_by_role("option").first).to_contain_text("<img")
    page.wait_for_timeout(500)
    harmless(page)
    for context in visitor.contexts:
        context.close()


def test_what_pops_up_is_text(chromium, app):
    """Messages of Gradio's are drawn as HTML."""
    visitor = Visitor(chromium, app)
    page = visitor.open()
    page.get_by_role("button", name="Change", exact=True).click()
    button = page.locator("#model-list button").first
    button.evaluate("(button, text) => { button.dataset.row = text; button.click(); }", f"recipe:{IN_A_NAME} unknown")
    expect(page.locator(".toast-wrap")).to_contain_text("onerror", timeout=60_000)
    page.wait_for_timeout(500)
    harmless(page)
    for context in visitor.contexts:
        context.close()


@contextlib.contextmanager
def in_front_of(app, folder, port):
    """nginx as docs/proxies has it, for a browser that knows the name."""
    text = re.sub(r"listen 443 ssl;", f"listen 127.0.0.1:{port};", (DOCS / "nginx.conf").read_text())
    text = re.sub(r"ssl_certificate\S* \S+;", "", text).replace("127.0.0.1:7860", f"127.0.0.1:{app.port}")
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    kept = "".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
    mime = "include /etc/nginx/mime.types;"
    config = f"daemon off; pid {folder}/pid; events {{}} http {{ access_log off; {mime} {kept} {text} }}"
    (folder / "nginx.conf").write_text(config)
    proxy = subprocess.Popen(["nginx", "-e", str(folder / "log"), "-p", str(folder), "-c", str(folder / "nginx.conf")])
    try:
        yield
    finally:
        proxy.terminate()
        proxy.wait(timeout=20)


@pytest.mark.machine
def test_a_browser_logs_in_and_chats_below_a_path_of_nginx(chromium, tmp_path):
    if shutil.which("nginx") is None:
        pytest.skip("nginx is not installed (Debian: apt-get install nginx)")
    (tmp_path / "proxy").mkdir()
    app = App(
        tmp_path / "home", QLORA_APP_PROXIES="127.0.0.1", QLORA_APP_USER="ada", QLORA_APP_PASSWORD="correct horse"
    )
    port = App(tmp_path / "unused").port
    url = f"http://localhost:{port}/guanaco/"
    app.environment["QLORA_APP_PUBLIC_URL"] = url
    app.home.mkdir()
    app.start()
    context = chromium.new_context()
    page, complaints = context.new_page(), []
    page.set_default_timeout(PATIENCE)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    elsewhere = []
    page.on("request", lambda request: request.url.startswith((url, "data:", "blob:")) or elsewhere.append(request.url))
    try:
        with in_front_of(app, tmp_path / "proxy", port):
            app.finished_run()
            page.goto(url)
            page.get_by_label("User name").fill("ada")
            page.get_by_label("Password").fill("correct horse")
            page.get_by_role("button", name="Log in").click()
            page.wait_for_function("window.guanacoReady")
            expect(page.locator("#live .card .line b")).to_have_text("Finished")
            page.locator("#live [data-do=chat]").click()
            page.locator("#ask textarea").fill("Who is Oscar?")
            page.keyboard.press("Enter")
            expect(page.locator(".answer[data-who=run] .said")).to_contain_text(".")
            page.get_by_role("tab", name="Train", exact=True).click()
            row = '{"prompt": "a", "completion": "b"}\n'
            page.locator("#upload input, input[type=file]").first.set_input_files(
                {"name": "mine.jsonl", "mimeType": "application/json", "buffer": (row * 30).encode()}
            )
            expect(page.locator("#data-line")).to_contain_text("30 rows")
        assert complaints == [] and elsewhere == []
    finally:
        context.close()
        app.close()
