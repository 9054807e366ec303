"""Conversations of somebody who has logged in: they follow to another browser, and what is said of answers is data."""

import json
import re

import pytest
from playwright.sync_api import expect
from visiting import DESK, PATIENCE, PHONE, App

EVIL = "By the mill <img src=x onerror='window.__evil=1'> <script>window.__evil=1</script> & so on"


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    app = App(tmp_path_factory.mktemp("home"), QLORA_APP_USER="ada", QLORA_APP_PASSWORD="correct horse")
    app.start()
    yield app
    app.close()


@pytest.fixture
def browsers(chromium, app):
    """Opens browsers that have logged in; none may complain."""
    contexts, complaints = [], []

    def enter(query, size=DESK, here=()):
        """here: what the browser has kept before, by its name."""
        contexts.append(chromium.new_context(viewport=size, accept_downloads=True))
        page = contexts[-1].new_page()
        page.set_default_timeout(PATIENCE)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(app.url + query)
        for name, kept in dict(here).items():
            page.evaluate("([name, kept]) => localStorage.setItem(name, kept)", [name, json.dumps(kept)])
        page.get_by_label("User name").fill("ada")
        page.get_by_label("Password").fill("correct horse")
        page.get_by_role("button", name="Log in").click()
        page.wait_for_function("window.guanacoReady")
        return page

    yield enter
    for context in contexts:
        context.close()
    assert complaints == []


def rows_of(app, file):
    place = app.home / "data" / file
    return [json.loads(line) for line in place.read_text().splitlines()] if place.exists() else []


def test_a_conversation_follows_to_another_browser_and_what_is_said_of_answers_is_data(app, browsers):
    query = f"?tab=chat&run={app.finished_run().id}"
    page = browsers(query)
    for number, text in enumerate(("Who is Mira?", "Where is the mill?"), 1):
        page.locator("#ask textarea").fill(text)
        page.keyboard.press("Enter")
        expect(page.locator('.exchange[data-state="done"]')).to_have_count(number)
    first, second = page.locator(".exchange").all()
    said = [answer.inner_text() for answer in second.locator(".said:not(.question)").all()]
    better = second.get_by_role("button", name="Better").nth(1)
    better.focus()
    page.keyboard.press("Enter")
    expect(better).to_have_attribute("aria-pressed", "true")
    expect(page.locator(".votes")).to_contain_text("answer: 1.")
    (pair,) = rows_of(app, "chat-preferences.jsonl")
    assert [pair["chosen"][0]["content"], pair["rejected"][0]["content"]] == [said[1], said[0]]
    assert pair["prompt"][-1] == {"role": "user", "content": "Where is the mill?"} and len(pair["prompt"]) == 3
    assert pair["source"]["answered"]["sha256"] and pair["source"]["rejected"]["who"] == "base"
    better.click()
    expect(better).to_have_attribute("aria-pressed", "false")
    first.get_by_role("button", name="Correct").nth(1).click()
    page.locator(".editing").fill(EVIL)
    page.keyboard.press("Control+Enter")
    expect(page.locator(".votes")).to_contain_text("Corrected answers: 1.")
    (row,) = rows_of(app, "chat-corrected.jsonl")
    assert row["messages"] == [{"role": "user", "content": "Who is Mira?"}, {"role": "assistant", "content": EVIL}]
    expect(page.locator(".said", has_text="By the mill")).to_have_text(EVIL)

    other = browsers(query, size=PHONE)
    other.get_by_role("button", name="Chats").click()
    expect(other.get_by_role("button", name="Train on these pairs")).to_be_visible()
    other.keyboard.press("Escape")
    expect(other.locator('.exchange[data-state="done"]')).to_have_count(2)
    expect(other.locator(".said", has_text="By the mill")).to_have_text(EVIL)
    expect(other.locator(".said.plain")).to_have_count(0)
    assert other.locator("#room img").count() == 0 and other.evaluate("window.__evil") is None
    assert other.evaluate("document.documentElement.scrollWidth <= innerWidth")
    other.locator(".exchange").nth(1).get_by_role("button", name="Delete").click()
    expect(other.locator(".exchange")).to_have_count(1)
    other.get_by_role("button", name="Put it back").click()
    expect(other.locator(".exchange")).to_have_count(2)
    other.get_by_role("button", name="This conversation").click()
    other.get_by_role("button", name="Take back the last question").click()
    expect(other.locator("#ask textarea")).to_have_value("Where is the mill?")
    expect(other.locator(".exchange")).to_have_count(1)

    page.get_by_role("button", name="This conversation").click()
    with page.expect_download() as picture:
        page.get_by_role("button", name="Save as a picture").click()
    assert picture.value.path().read_bytes().startswith(b"\x89PNG") and picture.value.path().stat().st_size > 5000
    page.get_by_role("button", name="Chats").click()
    page.get_by_role("searchbox", name="Find a conversation").fill("by the MILL")
    expect(page.locator(".earlier")).to_have_count(1)
    page.get_by_role("searchbox", name="Find a conversation").fill("nobody said this")
    expect(page.locator(".found")).to_contain_text("No conversation has these words.")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Train on these", exact=True).click()
    expect(page.get_by_label("Data", exact=True)).to_have_value("chat-corrected.jsonl")


def wait_for_rows(page, app, file, count):
    for _ in range(100):
        if len(rows_of(app, file)) == count:
            return
        page.wait_for_timeout(100)
    raise AssertionError(f"{file}: {len(rows_of(app, file))} rows")


def test_what_is_typed_and_said_of_answers_outlasts_all_that_is_done_beside_it(app, browsers):
    page = browsers(f"?tab=chat&run={app.finished_run().id}&chat=50")
    pairs, right = (len(rows_of(app, f"chat-{what}.jsonl")) for what in ("preferences", "corrected"))
    for number, text in enumerate(("Who is Mira?", "Who is Oscar?", "Where is the mill?"), 1):
        page.locator("#ask textarea").fill(text)
        page.keyboard.press("Enter")
        expect(page.locator('.exchange[data-state="done"]')).to_have_count(number)
    first, second, third = (page.locator(".exchange").nth(n) for n in range(3))
    first.get_by_role("button", name="Correct").nth(1).click()
    first.locator(".editing").fill("Half of what I mean")
    first.get_by_role("button", name="Better").first.click()
    expect(first.get_by_role("button", name="Better").first).to_have_attribute("aria-pressed", "true")
    wait_for_rows(page, app, "chat-preferences.jsonl", pairs + 1)
    second.get_by_role("button", name="Correct").nth(1).click()
    second.locator(".editing").fill("Quite right")
    second.get_by_role("button", name="Keep it").click()
    wait_for_rows(page, app, "chat-corrected.jsonl", right + 1)
    second.get_by_role("button", name="Edit").click()
    second.locator(".editing").fill("Another question?")
    third.get_by_role("button", name="Delete").click()
    expect(page.locator(".exchange")).to_have_count(2)
    page.get_by_role("button", name="Change column 1").click()
    page.get_by_role("button", name="Swap").click()
    expect(page.locator(".head").first).to_have_attribute("data-who", "run")
    tuned = first.locator('.answer[data-who="run"]')
    expect(tuned.locator(".editing")).to_have_value("Half of what I mean")
    expect(second.locator(".you .editing")).to_have_value("Another question?")
    expect(first.locator('.answer[data-who="base"]').get_by_role("button", name="Better")).to_have_attribute(
        "aria-pressed", "true"
    )
    second.locator(".you").get_by_role("button", name="Cancel").click()
    second.locator('.answer[data-who="run"]').get_by_role("button", name="Corrected").click()
    second.get_by_role("button", name="As it was said").click()
    wait_for_rows(page, app, "chat-corrected.jsonl", right)
    first.locator('.answer[data-who="base"]').get_by_role("button", name="Better").click()
    wait_for_rows(page, app, "chat-preferences.jsonl", pairs)
    second.get_by_role("button", name="Worse").first.click()
    wait_for_rows(page, app, "chat-preferences.jsonl", pairs + 1)
    second.get_by_role("button", name="Delete").click()
    wait_for_rows(page, app, "chat-preferences.jsonl", pairs)
    page.locator("#ask textarea").fill("Hello!")
    page.keyboard.press("Enter")
    expect(page.locator('.exchange[data-state="done"]')).to_have_count(2)
    page.get_by_role("button", name="Put it back").click()
    wait_for_rows(page, app, "chat-preferences.jsonl", pairs + 1)
    page.get_by_role("button", name="Put it back").click()
    asked = ["Who is Mira?", "Who is Oscar?", "Where is the mill?", "Hello!"]
    expect(page.locator(".exchange .question")).to_have_text(asked)
    expect(page.get_by_role("button", name="Put it back")).to_have_count(0)
    expect(tuned.locator(".editing")).to_have_value("Half of what I mean")
    page.get_by_role("button", name="This conversation").click()
    page.get_by_role("button", name="Delete the conversation").click()
    page.get_by_role("button", name="Take back its votes too").click()
    wait_for_rows(page, app, "chat-preferences.jsonl", pairs)
    page.get_by_role("button", name="Put it back").click()
    wait_for_rows(page, app, "chat-preferences.jsonl", pairs + 1)
    expect(page.locator(".exchange .question")).to_have_text(asked)


def test_what_was_said_before_a_first_login_is_kept_under_it_once(app, browsers):
    run = app.finished_run().id
    answers = [{"id": id, "text": "Yes.", "tokens": 1, "seconds": 1} for id in ("a", "b")]
    turn = {"asking": "90-1-0", "question": "Quokkas?", "state": "done", "note": "", "answers": answers}
    sides = [{"who": "base", "run": run}, {"who": "run", "run": run}]
    talk = {"run": run, "number": 90, "title": "helper", "at": 1, "sides": sides, "turns": [turn]}
    query, kept = f"?tab=chat&run={run}&chat=90", f"guanaco-chat:{run}:90"
    page = browsers(query, here={kept: talk})
    expect(page.locator(".gone")).to_have_text(
        "Conversations of this browser that are now kept under your login too: 1."
    )
    assert page.evaluate(f"localStorage.getItem('{kept}')"), "it stays in the browser"
    other = browsers(query)
    expect(other.locator(".exchange .question")).to_have_text("Quokkas?")
    page.reload()
    page.wait_for_function("window.guanacoReady")
    expect(page.locator(".exchange .question")).to_have_text("Quokkas?")
    page.get_by_role("button", name="Chats").click()
    page.get_by_role("searchbox", name="Find a conversation").fill("quokkas")
    expect(page.locator(".earlier")).to_have_count(1)


def test_an_answer_that_was_as_long_as_it_may_be_goes_on(app, browsers):
    page = browsers(f"?tab=chat&run={app.finished_run().id}&chat=77")
    page.get_by_role("button", name="How it is asked").click()
    page.get_by_label("Max new tokens").fill("6")
    page.get_by_label("Seed").fill("1")
    page.keyboard.press("Escape")
    page.locator("#ask textarea").fill("Tell me a story.")
    page.keyboard.press("Enter")
    row = page.locator(".exchange")
    expect(row).to_have_attribute("data-state", "done")
    half = page.locator('.answer[data-who="run"] .said').inner_text()
    expect(page.locator('.answer[data-who="run"] .took')).to_contain_text("as long as it may be")
    row.get_by_role("button", name="Continue").click()
    expect(page.locator('.answer[data-who="run"] .took')).to_contain_text("12 tok")
    expect(row).to_have_attribute("data-state", "done")
    whole = page.locator('.answer[data-who="run"] .said').inner_text()
    assert whole.startswith(half) and len(whole) > len(half)
    expect(page.locator(".fill")).to_have_text(re.compile(r"^\d+ of [\d,]+ tokens$"))
    page.locator("#ask textarea").fill("The hens of Pennywick. " * 340)
    expect(page.locator(".fill")).to_contain_text("Asked now, not all of it would be read.")
    page.locator("#ask textarea").fill("And then?")
    expect(page.locator(".fill")).to_have_text(re.compile(r"^\d+ of [\d,]+ tokens$"))
