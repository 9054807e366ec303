"""People judge in Chromium: on a phone by the link of an arena, and blind in the chat."""

import json
import re

import pytest
from playwright.sync_api import expect
from visiting import PHONE

from qlora_app.evaluate.arena import chat_arena, create_arena, path_of
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
