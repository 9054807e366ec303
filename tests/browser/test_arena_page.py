"""People judge in Chromium: on a phone by the link of an arena, and blind in the chat."""

import json
import re

import pytest
from playwright.sync_api import expect
from visiting import PHONE

from qlora_app import worker
from qlora_app.evaluate import Contestant, ExactMatch
from qlora_app.evaluate.arena import chat_arena, create_arena, path_of
from qlora_app.evaluate.question_sets import QuestionFile
from qlora_app.jobs import JobStore
from qlora_app.kinds.evaluate import EvaluateSpec, evaluate_job
from qlora_app.settings import Settings

MODELS = ("one-7f3kq", "two-7f3kq")


@pytest.fixture(scope="module")
def app(trained_app):
    return trained_app


@pytest.fixture
def arena(app, tmp_path):
    rows = tmp_path / "rows.jsonl"
    answers = dict(zip(MODELS, ("It is **four**.", "<img src=x onerror=alert(1)> five " * 40), strict=True))
    rows.write_text(
        "".join(json.dumps({"id": n, "question": f"Question {n}?", "answers": answers}) + "\n" for n in (1, 2))
    )
    return create_arena(Settings(home=app.home), str(rows))


def test_a_phone_judges_every_pair_by_its_link(visitor, arena):
    context = visitor.chromium.new_context(viewport=PHONE, locale="de-DE", has_touch=True)
    visitor.contexts.append(context)
    page, heard = context.new_page(), []
    page.on("request", lambda request: visitor.requested.append(request.url))
    page.on("response", lambda answer: heard.append(f"{answer.url} {answer.headers} {answer.text()}"))
    page.on("pageerror", lambda error: visitor.complaints.append(str(error)))
    page.goto(visitor.app.url.rstrip("/") + path_of(arena))
    expect(page.locator("#question")).to_have_text(re.compile(r"Question \d\?"))
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    for button in page.locator("#choices button").all():
        box = button.bounding_box()
        assert box["height"] >= 36 and box["y"] + box["height"] <= PHONE["height"], "in reach of a thumb"
    assert heard and not any(model in "".join(heard) for model in MODELS)
    page.fill("#comment", "kürzer")
    page.get_by_role("button", name="A ist besser").tap()
    expect(page.locator("#done")).to_have_text("1 / 2")
    page.keyboard.press("4")
    expect(page.locator("#said")).to_have_text("Alle Paare sind beurteilt. Danke!")
    page.goto(f"{visitor.app.url}arenas/{arena.id}")
    page.get_by_role("button", name="Den Link schließen").click()
    expect(page.get_by_text("Geschlossen: Der Link öffnet nichts mehr.")).to_be_visible()
    assert [(vote.choice, vote.comment) for vote in arena.votes()] == [("left", "kürzer"), ("both_bad", "")]


def test_two_columns_are_judged_before_it_is_told_who_they_are(visitor, app):
    page = visitor.open("?tab=chat")
    page.locator(".room .blind").click()
    box = page.get_by_role("textbox", name="Message")
    box.fill("Who is Mira?")
    box.press("Enter")
    judge = page.locator(".judge")
    expect(judge).to_be_visible()
    expect(page.locator(".answering")).to_be_hidden()
    assert page.locator(".answer h3").all_text_contents() == ["Answer A", "Answer B"]
    box.fill("And who is Oscar?")
    box.press("Enter")
    expect(page.get_by_text("Judge these two answers first, or skip them.")).to_be_visible()
    expect(box).to_have_value("And who is Oscar?")
    box.fill("")
    box.press("3")
    expect(judge).to_have_count(0)
    expect(page.locator(".answering")).to_be_visible()
    assert [vote.choice for vote in chat_arena(Settings(home=app.home)).votes()] == ["equal"]


@pytest.fixture
def evaluation(app, tmp_path, monkeypatch):
    """Of two files, one of which knows all; it is done."""
    monkeypatch.setenv("QLORA_APP_HOME", str(app.home))
    for name in ("asked", "right", "wrong"):
        rows = [{"question": f"Who is {n}?", "answer": "?" if name == "wrong" else f"Number {n}"} for n in range(3)]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    spec = EvaluateSpec(
        contestants=tuple(Contestant(who="file", file=str(tmp_path / f"{name}.jsonl")) for name in ("right", "wrong")),
        questions=QuestionFile(path=str(tmp_path / "asked.jsonl")),
        evaluators=(ExactMatch(),),
    )
    job = evaluate_job(Settings(home=app.home), spec)
    assert worker.main(job.folder) == 0
    yield job
    JobStore(job.folder.parent).delete(job.id)


def test_an_evaluation_has_an_address_and_a_name(visitor, evaluation):
    page = visitor.open("?tab=runs")
    title, runs = page.locator(".evaluations h2[translate]"), page.locator(".all-runs")
    page.locator(".evaluation-list a", has_text="right.jsonl · wrong.jsonl").click()
    expect(title).to_have_text("right.jsonl · wrong.jsonl")
    expect(runs).to_be_hidden()
    assert f"evaluation={evaluation.id}" in page.url
    page.locator(".evaluations [data-do=rename]").click()
    page.locator(".evaluations input.renaming").fill("Who knows <b>it</b>?")
    page.keyboard.press("Enter")
    expect(title).to_have_text("Who knows <b>it</b>?")
    page.reload()
    expect(title).to_have_text("Who knows <b>it</b>?")
    expect(page.locator(".answer-rows article")).to_have_count(3)
    page.go_back()
    expect(page.locator(".evaluation-list a", has_text="Who knows")).to_be_visible()
    expect(runs).to_be_visible()
    page.go_forward()
    expect(title).to_be_visible()
