"""The chat with a browser: what was typed is shown, what was said is kept, and a link opens its run."""

import json
import shutil

import httpx
import pytest
from playwright.sync_api import expect
from test_everyone import found
from visiting import DESK, PATIENCE, PHONE, copied

from qlora_app.inference.loaded import checksum
from qlora_app.ui.runs.card_parts import title_of

TYPED = (
    "Fix <div class='a'>x</div> <think>no</think> if a<b and c>d ${window.__evil=1} {{x}} <img src=x onerror=alert(1)>"
)


@pytest.fixture(scope="module")
def app(trained_app):
    return trained_app


def ask(page, text):
    page.locator("#ask textarea").fill(text)
    page.keyboard.press("Enter")


def answered(page, count):
    expect(page.locator('.exchange[data-state="done"]')).to_have_count(count)


def test_what_was_typed_is_shown_and_a_reload_shows_it_again(visitor, app, newer_run):
    run = app.store.list()[1]
    page = visitor.open(f"?tab=chat&run={run.id}")
    page.get_by_role("button", name="How it is asked").click()
    page.get_by_label("System text").fill("Be brief.")
    page.get_by_label("Max new tokens").fill("30")
    ask(page, TYPED)
    answered(page, 1)
    expect(page.locator(".exchange .question")).to_have_text(TYPED)
    said = page.locator(".answer .said").all_inner_texts()
    address = page.url
    assert f"run={run.id}" in address and "chat=1" in address
    for is_patient in (True, False):
        page.get_by_role("tab", name="Runs").click()
        expect(page.locator("#room")).to_be_hidden()
        if is_patient:
            page.wait_for_function("location.search === '?tab=runs'")
        page.get_by_role("tab", name="Chat").click()
        expect(page.locator("#ask textarea")).to_be_focused()
        assert page.url == address, "another tab and back changes nothing"
    visitor.reload(page)
    answered(page, 1)
    expect(page.locator(".exchange .question")).to_have_text(TYPED)
    expect(page.locator(".answer .said.plain")).to_have_count(0)
    assert page.locator(".answer .said").all_inner_texts() == said and page.url == address
    expect(page.get_by_label("System text")).to_have_value("Be brief.")
    expect(page.get_by_label("Max new tokens")).to_have_value("30")
    assert page.evaluate("window.__evil") is None and page.locator("#room img").count() == 0


def test_messages_wait_for_the_answer_that_is_written_and_an_earlier_one_is_asked_anew(visitor, app):
    run = app.finished_run()
    page = visitor.open(f"?tab=chat&run={run.id}")
    page.locator("#ask textarea").evaluate("""box => { for (const text of ['Hello!', 'Who is Mira?', 'Who is Oscar?']) {
        box.value = text;
        box.dispatchEvent(new KeyboardEvent('keydown', {key: 'Enter', bubbles: true, cancelable: true})); } }""")
    expect(page.locator(".queued li").first).to_contain_text("Asked next:")
    answered(page, 3)
    assert page.locator(".exchange .question").all_inner_texts() == ["Hello!", "Who is Mira?", "Who is Oscar?"]
    expect(page.locator(".queued")).to_be_hidden()
    page.locator(".exchange").nth(1).get_by_role("button", name="Edit").click()
    page.locator(".editing").fill("Who is Ida?")
    page.keyboard.press("Enter")
    answered(page, 2)
    assert page.locator(".exchange .question").all_inner_texts() == ["Hello!", "Who is Ida?"] and "chat=2" in page.url
    page.locator(".chats .open").click()
    expect(page.locator(".earlier")).to_have_count(2)
    page.locator(".earlier .go-on").last.click()
    answered(page, 3)
    assert "chat=1" in page.url


def test_what_is_being_typed_outlasts_a_reload_until_it_is_sent_or_taken_back(visitor, app):
    page = visitor.open(f"?tab=chat&run={app.finished_run().id}")
    ask(page, "Who is Mira?")
    answered(page, 1)
    row = page.locator(".exchange")
    typed = {
        "#ask textarea": "And Oscar,\nwho is",
        ".you .editing": "Who was Mira?",
        ".answer[data-who=run] .editing": "Mira is <b>",
    }
    row.get_by_role("button", name="Edit").click()
    row.get_by_role("button", name="Correct").nth(1).click()
    for place, text in typed.items():
        page.locator(place).fill(text)
    visitor.reload(page)
    for place, text in typed.items():
        expect(page.locator(place)).to_have_value(text)
    row.locator(".you").get_by_role("button", name="Cancel").click()
    row.locator(".answer").get_by_role("button", name="Cancel").click()
    page.locator("#ask textarea").fill("")
    visitor.reload(page)
    answered(page, 1)
    expect(page.locator(".editing")).to_have_count(0)
    expect(page.locator("#ask textarea")).to_have_value("")


def test_a_conversation_is_exported_as_rows_of_a_dataset(visitor, app):
    page = visitor.open(f"?tab=chat&run={app.finished_run().id}")
    ask(page, TYPED)
    answered(page, 1)
    tuned = page.locator('.answer[data-who="run"] .said').inner_text()
    page.get_by_role("button", name="This conversation").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Export as JSONL").click()
    (row,) = map(json.loads, download.value.path().read_text().splitlines())
    asked, told = row["messages"][-2:]
    assert asked == {"role": "user", "content": TYPED}
    assert told["role"] == "assistant" and told["content"].split() == tuned.split()
    assert download.value.suggested_filename.endswith(".jsonl")


def test_page_and_programs_are_told_alike_what_answers(visitor, app):
    run = app.finished_run()
    page = visitor.open(f"?tab=chat&run={run.id}")
    ask(page, "Hello!")
    answered(page, 1)
    shown = page.locator('.answer[data-who="run"] .took span').first.inner_text()
    asked = {"model": run.id, "messages": [{"role": "user", "content": "Hello!"}], "max_tokens": 2}
    told = httpx.post(f"{app.url}v1/chat/completions", json=asked, timeout=PATIENCE / 1000).json()["system_fingerprint"]
    assert told in ("transformers", "llama.cpp") and ("llama.cpp" in shown) == (told == "llama.cpp")


def test_a_stop_keeps_what_was_said_and_gives_back_what_waits(visitor, app):
    page = visitor.open(f"?tab=chat&run={app.finished_run().id}")
    page.locator("#ask textarea").evaluate("""box => { for (const text of ['Hello!', 'Next?']) { box.value = text;
        box.dispatchEvent(new KeyboardEvent('keydown', {key: 'Enter', bubbles: true, cancelable: true})); }
        document.querySelector('#stop-chat').click(); }""")
    expect(page.locator(".exchange")).to_have_attribute("data-state", "stopped")
    expect(page.locator("#ask textarea")).to_have_value("Next?")
    expect(page.locator("#ask textarea")).to_be_focused()
    page.keyboard.press("Enter")
    answered(page, 1)


def test_the_run_is_chosen_with_the_keyboard(visitor, app, newer_run):
    run, other = app.store.list()[1], newer_run
    page = visitor.open(f"?tab=chat&run={run.id}")
    page.get_by_role("button", name="Run", exact=True).focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("combobox", name="Find a run")).to_be_focused()
    page.keyboard.type(other.id)
    expect(page.get_by_role("option")).to_have_count(1)
    page.keyboard.press("Enter")
    page.wait_for_function(f"location.search.includes('run={other.id}')")
    expect(page.get_by_role("listbox", name="Runs")).to_be_hidden()


def names(page):
    return page.locator(".head .open b").all_inner_texts()


def said(page, row=0):
    return page.locator(".exchange").nth(row).locator(".answer .said").all_inner_texts()


def test_columns_are_added_changed_swapped_and_removed_and_answer_what_came_before(visitor, app, newer_run):
    run = app.store.list()[1]
    page = visitor.open(f"?tab=chat&run={run.id}")
    ask(page, "Hello!")
    answered(page, 1)
    base, tuned = said(page)
    expect(page.locator(".head .sum")).to_have_count(1)
    assert page.locator(".head .sum").get_attribute("title").endswith(checksum(run.adapter))
    page.get_by_role("button", name="Add a column").click()
    expect(page.locator(".head")).to_have_count(3)
    answered(page, 1)
    assert said(page) == [base, tuned, tuned], "the likeliest words of the same adapter"
    page.get_by_role("button", name="Change column 3").click()
    page.get_by_role("button", name="Another run").click()
    page.locator(".side [data-run]").first.click()
    page.locator(".side").get_by_label("Temperature").fill("0.9")
    page.get_by_role("button", name="Use it").click()
    expect(page.locator(".head .words").last).to_contain_text("temperature 0.9")
    answered(page, 1)
    assert "chat=2" in page.url, "what was answered before stays in a conversation of its own"
    before, called = said(page), names(page)
    page.get_by_role("button", name="Change column 3").click()
    page.get_by_role("button", name="Swap").click()
    assert said(page) == [before[2], before[1], before[0]]
    assert names(page) == [called[2], called[1], called[0]]
    visitor.reload(page)
    answered(page, 1)
    assert said(page) == [before[2], before[1], before[0]]
    page.get_by_role("button", name="Change column 1").click()
    page.get_by_role("button", name="Remove").click()
    expect(page.locator(".head")).to_have_count(2)
    page.locator(".chats .open").click()
    expect(page.locator(".earlier")).to_have_count(3)


def test_a_column_that_was_stopped_while_it_caught_up_is_asked_when_one_likes(visitor, app):
    page = visitor.open(f"?tab=chat&run={app.finished_run().id}")
    ask(page, "Hello!")
    answered(page, 1)
    tuned = said(page)[1]
    page.evaluate("""document.querySelector('[data-do=add-column]').click();
        document.querySelector('#stop-chat').click();""")
    expect(page.locator(".exchange")).to_have_attribute("data-state", "stopped")
    expect(page.locator(".answer .said").last).to_have_text("Not asked.")
    page.locator(".answer").last.get_by_role("button", name="Ask").click()
    answered(page, 1)
    assert said(page)[2] == tuned
    expect(page.locator(".not-asked:visible")).to_have_count(0)


def test_a_strength_and_a_mix_answer_in_columns_of_their_own(visitor, app, newer_run):
    page = visitor.open(f"?tab=chat&run={app.store.list()[1].id}")
    page.get_by_role("button", name="Change column 2").click()
    page.get_by_label("Strength").fill("0")
    page.get_by_role("button", name="Use it").click()
    expect(page.locator(".head .words").last).to_contain_text("0.00")
    page.get_by_role("button", name="Change column 1").click()
    page.locator(".side").get_by_label("Temperature").fill("0")
    page.get_by_role("button", name="Use it").click()
    page.get_by_role("button", name="Add a column").click()
    page.get_by_role("button", name="Change column 3").click()
    page.get_by_label("Who answers").select_option("mix")
    page.get_by_role("button", name="Choose").click()
    page.locator(".side [data-run]").first.click()
    expect(page.locator(".share")).to_have_count(2)
    saved = page.locator(".side").get_by_label("Checkpoint").last
    saved.select_option(label="Step 4")
    expect(saved).to_have_value("4")
    page.get_by_role("button", name="Use it").click()
    expect(page.locator(".head .words").last).to_contain_text("step 4 0.50")
    ask(page, "Hello!")
    answered(page, 1)
    base, without, mixed = said(page)
    assert base == without and mixed


def test_a_link_opens_its_run_among_three_also_after_a_reload(visitor, app, newer_run):
    runs = [copied(app.finished_run(), app.store), *app.store.list()]
    try:
        for run in runs[:3]:
            page = visitor.open(f"?tab=chat&run={run.id}")
            for _ in range(2):
                expect(page.locator(".who .open b")).to_have_text(title_of(run))
                expect(page.locator(".head .open b").last).to_have_text(title_of(run))
                assert f"run={run.id}" in page.url
                visitor.reload(page)
    finally:
        shutil.rmtree(runs[0].folder)


def talk_to(page, run):
    page.get_by_role("button", name="Run", exact=True).click()
    page.locator(f".who [role=option][data-run='{run.id}']").click()
    page.wait_for_function(f"location.search.includes('run={run.id}&')")


def test_what_was_said_by_a_run_that_was_deleted_can_be_read(visitor, app, newer_run):
    run = copied(app.finished_run(), app.store)
    try:
        page = visitor.open(f"?tab=chat&run={run.id}")
        ask(page, "Who is Mira?")
        answered(page, 1)
        words, title = said(page), title_of(run)
        talk_to(page, newer_run)
    finally:
        shutil.rmtree(run.folder)
    page.locator(".chats .open").click()
    page.locator(f".earlier[data-run='{run.id}'] .go-on").click()
    expect(page.locator(".departed")).to_contain_text("not here any more")
    expect(page.locator(".who .open b")).to_have_text(title)
    assert said(page) == words and page.locator(".exchange .question").inner_text() == "Who is Mira?"
    expect(page.locator("#ask")).to_be_hidden()
    expect(page.locator(".exchange").get_by_role("button", name="Ask again")).to_be_hidden()
    talk_to(page, newer_run)
    ask(page, "Hello!")
    answered(page, 1)


@pytest.mark.parametrize(("theme", "size"), [("dark", DESK), ("light", PHONE)], ids=["dark desk", "light phone"])
def test_axe_finds_nothing_serious_in_a_conversation(visitor, app, theme, size):
    page = visitor.open(f"?__theme={theme}&tab=chat&run={app.finished_run().id}", size=size)
    ask(page, "Who is Mira?")
    answered(page, 1)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    box, foot = page.locator("#ask").bounding_box(), page.evaluate("innerHeight")
    assert box["y"] + box["height"] <= foot, "the box for the next message is on the screen"
    problems = {"conversation": found(page)}
    page.get_by_role("button", name="How it is asked").click()
    problems["how"] = found(page)
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Change column 2").click()
    expect(page.get_by_role("button", name="Use it")).to_be_visible()
    problems["column"] = found(page)
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.get_by_role("option").first).to_be_visible()
    problems["runs"] = found(page)
    assert not {name: list_ for name, list_ in problems.items() if list_}
