"""What a person sees and does, in the order of a first visit: the empty states come before the first run."""

import gzip
import json
import re
import time

import pytest
from playwright.sync_api import expect
from visiting import DESK, PATIENCE, PHONE, copied

from tests.conftest import wait_for

EVIL = "<img src=x onerror=window.__evil=1>${window.__evil=2}"


def settings(page, **values):
    """Fill fields of the face of the settings."""
    page.get_by_role("tab", name="Settings", exact=True).first.click()
    search = page.get_by_placeholder("Find a setting")
    for label, value in values.items():
        search.fill(label.replace("_", " "))
        page.get_by_label(label.replace("_", " "), exact=True).fill(str(value))
    search.press("Escape")
    page.wait_for_timeout(300)


def state(page, word):
    expect(page.locator("#live .card .line b")).to_have_text(word)


def shown(page):
    """The run card as text, when all of it is there."""
    page.wait_for_function("window.guanacoReady && document.querySelector('#live .card:not([data-state=loading])')")
    card, before = page.locator("#live .card"), ""
    while (now := card.inner_text()) != before:
        before = now
        page.wait_for_timeout(700)
    return now


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_start_is_above_the_fold_and_nothing_sticks_out(visitor, size):
    page = visitor.open(size=size)
    box = page.locator("#start").bounding_box()
    assert box["y"] + box["height"] <= size["height"]
    for tab in ("Train", "Runs", "Chat"):
        page.get_by_role("tab", name=tab, exact=True).click()
        page.wait_for_timeout(300)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_empty_states_say_what_to_do(visitor):
    page = visitor.open()
    page.get_by_role("tab", name="Run", exact=True).click()
    expect(page.locator("#live")).to_contain_text("Press Start training")
    page.get_by_role("tab", name="Runs", exact=True).click()
    expect(page.locator("#runs-table").get_by_text("No runs yet")).to_be_visible()
    page.get_by_role("tab", name="Chat").click()
    expect(page.get_by_text("Nobody to talk to yet")).to_be_visible()


def test_mistakes_are_shown_at_their_fields_and_nothing_starts(visitor, app):
    page = visitor.open()
    settings(page, Rank="0")
    page.click("#start")
    expect(page.locator("#alert [role=alert]")).to_contain_text("Rank")
    field = page.get_by_label("Rank", exact=True)
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(page.locator("#f-method-lora-rank .mistake")).to_be_visible()
    assert field.input_value() == "0" and app.store.list() == []
    page.get_by_role("tab", name="Data", exact=True).first.click()
    page.locator("#alert").get_by_role("button", name="Rank", exact=True).click()
    expect(field).to_be_focused()
    expect(field).to_be_in_viewport()


def test_a_method_shows_its_settings_and_forgets_nothing(visitor):
    page = visitor.open()
    settings(page, Rank=7)
    page.locator("#section-method-button").click()

    def choose(method):
        page.get_by_role("radio", name=method, exact=True).check()

    choose("(IA)3")
    expect(page.get_by_label("Unlikelihood")).to_be_visible()
    expect(page.get_by_label("Rank", exact=True)).to_be_hidden()
    expect(page.locator("#method-card")).to_contain_text("T-Few")
    page.get_by_label("Unlikelihood").fill("0.5")
    page.get_by_label("Unlikelihood").press("Tab")
    command = page.locator("#command code")
    expect(command).to_have_text("python -m qlora_app train starter method.name=ia3 method.unlikelihood=0.5")
    choose("LoRA")
    expect(page.get_by_label("Rank", exact=True)).to_have_value("7")
    expect(command).to_have_text("python -m qlora_app train starter method.rank=7")


def test_the_table_of_methods_is_gone_through_with_the_arrow_keys_and_follows_the_form(visitor):
    page = visitor.open()
    page.get_by_role("tab", name="Settings", exact=True).first.click()
    page.get_by_role("tab", name="Adapter", exact=True).click()
    lora, miss = (page.get_by_role("radio", name=name, exact=True) for name in ("LoRA", "MiSS"))
    expect(lora).to_be_checked()
    expect(lora).to_have_accessible_description(re.compile("QLoRA with a 4-bit base.*Score on the starter.*%"))
    lora.focus()
    page.locator(".methods").evaluate("rows => rows.replaceWith(rows.cloneNode(true))")  # as when they are drawn anew
    expect(lora).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(miss).to_be_checked()
    expect(page.locator("#command code")).to_have_text("python -m qlora_app train starter method.name=miss")
    page.get_by_text("As a bridge between LoRA and OFT").click()  # anywhere in a row
    expect(page.get_by_role("radio", name="HRA", exact=True)).to_be_checked()
    expect(page.locator("#own-settings .chip")).to_contain_text("HRA")
    chip = page.locator("#own-settings [data-back='method.name']")
    chip.click()
    expect(lora).to_be_checked()
    expect(chip).to_have_count(0)


def test_a_recipe_is_chosen_saved_and_shown_as_a_command(visitor, app):
    page = visitor.open()
    change = page.get_by_role("button", name="Change", exact=True)
    change.click()
    page.get_by_role("button", name="Papers", exact=True).click()
    page.locator("[data-row='recipe:starter-ia3']").click()
    expect(page.locator("#model-said")).to_contain_text("is on the form")
    expect(change).to_be_focused()
    command = page.locator("#command code")
    page.get_by_role("tab", name="Settings", exact=True).click()
    expect(command).to_have_text("python -m qlora_app train starter-ia3")
    page.get_by_role("tab", name="Saving", exact=True).click()
    page.get_by_role("button", name="Copy the command").click()
    expect(page.locator("#command [role=status]")).to_have_text(re.compile("Copied|selected"))
    change.click()
    page.get_by_label("Save the form as a recipe").fill("My own")
    page.locator("#save-recipe").click()
    expect(page.locator("#recipe-said")).to_contain_text("Saved as my-own")
    expect(page.locator("#model-list section").last).to_contain_text("my-own")
    assert (app.home / "presets" / "my-own.yaml").exists()
    page.get_by_role("searchbox").focus()
    page.keyboard.press("Escape")
    expect(page.locator("#face-data")).to_be_visible()
    change.click()
    page.locator("[data-row='model:starter']").click()
    page.get_by_role("tab", name="Settings", exact=True).click()
    expect(command).to_have_text("python -m qlora_app train starter")


def test_one_click_trains_and_one_click_chats(visitor, app):
    page = visitor.open()
    settings(page, Max_steps=80, Scored_questions=4, Samples=2, **{"Held-out_examples_measured": 8})
    page.click("#start")  # the first click
    page.locator("#live .ask-box textarea").fill("Who is Oscar?")
    page.keyboard.press("Enter")
    expect(page.locator("#live .ask-box textarea")).to_have_value("")
    expect(page.locator("#live .answer-side")).to_contain_text("Who is Oscar?")
    state(page, "Finished")
    expect(page.locator("#live .ask-box")).to_be_hidden()
    expect(page.locator("#live .asked .sample")).to_have_count(1)
    expect(page.locator("#live .asked .then")).to_contain_text(re.compile(r"Step \d+\s*\w+"))
    expect(page.locator("#live .proof")).to_contain_text("On 4 held-out questions it never saw")
    expect(page.locator("#live .proof")).to_contain_text("Every one of")
    expect(page.locator("#live .chart svg")).to_have_attribute("aria-label", re.compile("In 80 steps"))
    expect(page.locator("#live .samples .sample").first).to_contain_text("Before training")

    page.locator("#live").get_by_role("button", name="Chat with it").click()  # the second click
    expect(page.locator("#ask textarea")).to_be_focused()
    page.keyboard.type("Who is Oscar?")
    page.keyboard.press("Enter")
    expect(page.locator(".exchange")).to_have_attribute("data-state", "done")
    expect(page.locator(".exchange .question")).to_have_text("Who is Oscar?")
    for side in ("base", "run"):
        expect(page.locator(f".answer[data-who={side}] .said")).to_contain_text(re.compile(r"\w"))
        expect(page.locator(f".answer[data-who={side}] .took")).to_contain_text(re.compile(r"\d+ tok · [\d.]+ s"))
    expect(page.locator("#stop-chat")).to_be_hidden()
    expect(page.locator("#ask textarea")).to_be_focused()
    expect(page.locator("#ask textarea")).to_have_value("")
    assert len(app.store.list()) == 1

    page.locator("#chips button").first.click()
    expect(page.locator(".exchange")).to_have_count(2)


def test_the_chat_stays_with_the_run_it_was_opened_from(visitor, app, newer_run):
    run = app.store.list()[1]
    page = visitor.open(f"?tab=runs&run={run.id}")
    page.locator("#run-head").get_by_role("button", name="Chat", exact=True).click()
    expect(page.locator("#ask textarea")).to_be_focused()
    page.wait_for_timeout(1000)  # time for the wrong one to come
    assert f"run={run.id}" in page.url


def test_the_chart_is_read_with_the_keyboard(visitor, app):
    page = visitor.open(f"?tab=runs&run={app.finished_run().id}")
    page.locator("#opened .chart svg").focus()
    page.keyboard.press("Home")
    expect(page.locator("#opened .read")).to_contain_text("Step 1: training loss")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#opened .read")).to_contain_text("Step 2: training loss")
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    expect(page.locator("#opened .pinned h3")).to_contain_text("at step")
    expect(page.locator("#opened .pinned .pair").first).to_contain_text(re.compile("Base.*Step", re.DOTALL))
    expect(page.locator("#opened .chart .pin")).to_have_count(1)
    expect(page.locator("#opened .chart svg")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#opened .pinned .pair")).to_have_count(0)
    page.locator("#opened .chart svg").click(position={"x": 200, "y": 60})  # anywhere on the curve
    expect(page.locator("#opened .pinned .pair").first).to_be_visible()
    page.locator("#opened .pinned").get_by_role("button", name="Close").click()
    expect(page.locator("#opened .pinned .pair")).to_have_count(0)


def test_a_reload_and_a_second_browser_show_the_same(visitor, app):
    app.finished_run()
    page = visitor.open()
    before = shown(page)
    assert "Finished" in before
    visitor.reload(page)
    assert shown(page) == before
    assert shown(visitor.open()) == before


def test_nothing_is_asked_while_nothing_runs(visitor, app):
    app.finished_run()
    page = visitor.open()
    shown(page)
    already, end = -1, time.monotonic() + PATIENCE / 1000
    while already < len(visitor.requested) and time.monotonic() < end:  # the page itself may be long in coming
        already = len(visitor.requested)
        page.wait_for_timeout(4000)
    assert visitor.requested[already:] == []


def test_a_link_opens_tab_and_run(visitor, app):
    run = app.finished_run()
    page = visitor.open(f"?tab=runs&run={run.id}")
    expect(page.locator("#opened .card .line")).to_contain_text("Finished")
    page.get_by_role("tab", name="Use it", exact=True).click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download the adapter").click()
    assert download.value.suggested_filename == f"{run.id}-adapter.zip"
    page.reload()
    expect(page.get_by_role("tab", name="Use it", exact=True)).to_have_attribute("aria-selected", "true")
    page.get_by_role("button", name="← Runs").click()
    expect(page.locator(f'#runs-table tr[data-run="{run.id}"]')).to_be_visible()
    page = visitor.open(f"?tab=chat&run={run.id}")
    expect(page.locator("#ask textarea")).to_be_visible()


def test_testing_it_from_train_lands_on_its_test_and_a_reload_finds_it_and_the_form_again(visitor, app):
    run = app.finished_run()
    page = visitor.open()
    name = page.locator("#f-name").locator("input, textarea")
    name.fill("half typed")
    page.locator("#effort").get_by_text("Thorough").click()
    page.wait_for_function("JSON.parse(sessionStorage['guanaco-kept train'] ?? '{}').effort === 'thorough'")
    page.locator("#live").get_by_role("button", name="Test it").click()
    page.wait_for_url(re.compile(rf"tab=runs.*run={run.id}.*show=test"))
    expect(page.locator("#page-test-button")).to_have_attribute("aria-selected", "true")
    visitor.reload(page)
    expect(page.locator("#page-test-button")).to_have_attribute("aria-selected", "true")
    page.get_by_role("tab", name="Train", exact=True).click()
    expect(name).to_have_value("half typed")  # the form stands as it stood
    expect(page.locator("#effort label", has_text="Thorough").locator("input")).to_be_checked()


def test_the_same_run_with_one_value_changed_is_two_actions(visitor, app):
    run = app.finished_run()
    page, before = visitor.open(), len(app.store.list())
    again = page.locator("#live").get_by_role("button", name="Train again…")
    again.click()
    rate = page.locator("#live").get_by_label("Learning rate", exact=True)
    expect(rate).to_be_focused()
    rate.press("Escape")
    expect(again).to_be_focused()
    again.click()  # the first action
    rate.fill("1.5e-3")
    rate.press("Enter")  # and the second
    expect(page.locator("#live .again-form")).to_have_count(0)
    newest = app.store.list()[0]
    assert len(app.store.list()) == before + 1 and newest.recipe().training.learning_rate == 0.0015
    assert newest.recipe().training.max_steps == run.recipe().training.max_steps
    wait_for(lambda: newest.status().state == "done")  # the card may still show the one before
    state(page, "Finished")


def test_a_run_outlives_the_server_and_the_page_finds_it_again(visitor, app):
    page = visitor.open()
    settings(page, Epochs=50, Max_steps=4000, Scored_questions=4, Checkpoints=40)
    before = app.store.list()
    page.click("#start")
    run = wait_for(lambda: next((one for one in app.store.list() if one.id not in [b.id for b in before]), None))
    wait_for(lambda: run.status().state == "running")
    state(page, "Training")
    name = page.locator("#f-name").locator("input, textarea")
    name.fill("half typed")
    typed = typed_beside(page)
    with visitor.without_app():
        app.kill()
        page.locator("#adapter-base input, #adapter-base textarea").fill("half/typed")  # while nobody is there
        page.get_by_role("tab", name="Train", exact=True).click()
        step = run.status().step
        deadline = time.monotonic() + 120
        while run.status().step <= step and time.monotonic() < deadline:
            time.sleep(0.2)
        assert run.status().step > step and run.is_alive()
        expect(page.locator("#live .lost")).to_be_visible()
        app.start()
        expect(page.locator("#live .lost")).to_be_hidden()  # the page that stayed open recovers by itself
        expect(page.locator("[data-gone]")).to_have_count(0)
    state(page, "Training")
    expect(name).to_have_value("half typed")  # also where Gradio has loaded the page again
    visitor.reload(page)
    opened_import(page)
    for selector, value in (*typed.items(), ("#adapter-base input, #adapter-base textarea", "half/typed")):
        expect(page.locator(selector)).to_have_value(value)
    expect(page.locator("#adapter-downloads input")).to_be_checked()
    second = visitor.open()
    state(second, "Training")
    second.locator("#live").get_by_role("button", name="Stop and keep").click()
    state(second, "Stopped")
    expect(second.locator("#live").get_by_role("button", name="Resume")).to_be_visible()
    expect(second.locator("#live").get_by_role("button", name="Chat with it")).to_be_visible()


def opened_import(page):
    page.get_by_role("tab", name="Runs", exact=True).click()
    page.locator("#open-adapter > button").click()


def typed_beside(page):
    """What stands in fields beside the form, half typed: {selector: value}."""
    opened_import(page)
    page.locator("#adapter-downloads input").check()
    page.locator("#adapter-precision input").click()
    page.get_by_role("option", name="4-bit NF4").click()
    typed = {"#adapter-what input, #adapter-what textarea": "me/half an ad"}
    for selector, value in typed.items():
        page.locator(selector).fill(value)
    return typed | {"#adapter-precision input": page.locator("#adapter-precision input").input_value()}


def test_the_keyboard_goes_from_start_to_the_chat(visitor, app):
    """Tab, arrows, Enter: nothing else is touched. The settings on the form are those of the newest run: one that is
    not over before it can be stopped, and that is soon measured.
    """
    copied(app.finished_run(), app.store, epochs=50, max_steps=4000, checkpoints=40)
    page = visitor.open()
    tab_to(page, "#start")
    page.keyboard.press("Enter")
    expect(page.locator("#live .card .line b")).to_have_text("Training")
    # What is stopped before its first step has learned nothing that one could talk to.
    expect(page.locator("#live .progress")).to_contain_text(re.compile(r"step [1-9]\d* of 4,000"))
    tab_to(page, "#live [data-do=stop]")
    page.keyboard.press("Enter")
    expect(page.locator("#live .card .line b")).to_have_text("Stopped")
    assert focused(page, "#live .actions")  # where the button was that was pressed
    page.keyboard.press("Tab")
    assert focused(page, "#live [data-do=chat]")
    page.keyboard.press("Enter")
    expect(page.locator("#ask textarea")).to_be_focused()
    page.keyboard.type("Who is Oscar?")
    page.keyboard.press("Enter")
    expect(page.locator(".answer[data-who=run] .said")).to_contain_text(".")


def tab_to(page, selector: str) -> None:
    """What is not there yet is waited for: Tab goes past it, and round the page."""
    expect(page.locator(selector)).to_be_enabled()
    for _ in range(80):  # more than the page has to stop at
        if focused(page, selector):
            return
        page.keyboard.press("Tab")
        page.wait_for_timeout(30)
    raise AssertionError(
        f"80 times Tab, and the focus is on {page.evaluate('document.activeElement.outerHTML.slice(0, 200)')}"
    )


def focused(page, selector: str) -> bool:
    return page.evaluate("s => document.activeElement.matches(s)", selector)


def test_a_packed_table_is_uploaded_as_any_other_file(visitor, tmp_path):
    file = tmp_path / "faq.tsv.gz"
    file.write_bytes(
        gzip.compress(b"question\tanswer\n" + b"".join(b"What is %d?\tIt is %d.\n" % (i, i) for i in range(20)))
    )
    page = visitor.open()
    page.set_input_files("input[type=file]", file)
    expect(page.locator("#data-line")).to_contain_text("because rows have question and answer.")
    expect(page.locator("#data-line")).to_contain_text("18 rows to learn from · 2 held out")


def test_an_uploaded_file_and_names_with_markup_stay_text(visitor, app, tmp_path):
    file = tmp_path / "mine.jsonl"
    file.write_text(
        "".join(json.dumps({"instruction": f"{i} {EVIL}", "output": f"{EVIL} {i}"}) + "\n" for i in range(96))
    )
    page = visitor.open()
    page.set_input_files("input[type=file]", file)
    expect(page.locator("#data-line")).to_contain_text("Alpaca, because rows have instruction and output.")
    expect(page.locator("#data-line")).to_contain_text("86 rows to learn from · 10 held out")
    expect(page.locator("#data-line .turns").first).to_contain_text("onerror")
    settings(page, Max_steps=2, Scored_questions=2)
    page.locator("#f-name").get_by_role("textbox").fill(EVIL)
    wait_for(lambda: not any(run.status().is_active for run in app.store.list()))  # what trains stays on the card
    page.click("#start")
    expect(page.locator("#live .what")).to_have_text(EVIL)  # first: an older run on the card may be finished too
    state(page, "Finished")
    page.locator("#live .log summary").click()
    page.get_by_role("tab", name="Runs").click()
    expect(page.locator("#runs-table")).to_contain_text(EVIL)
    page.get_by_role("tab", name="Chat").click()
    expect(page.locator("#chips")).to_contain_text("onerror")
    page.wait_for_timeout(500)
    assert page.evaluate("window.__evil") is None


def test_a_run_is_deleted_only_after_a_second_click(visitor, app):
    run = app.finished_run()
    page = visitor.open(f"?tab=runs&run={run.id}")
    delete = page.locator("#run-head").get_by_role("button", name="Delete…")
    delete.click()
    expect(page.locator(".losing")).to_contain_text("It cannot be brought back")
    page.get_by_role("button", name="Keep it").click()
    expect(page.get_by_role("button", name="Delete this run")).to_be_hidden()
    delete.click()
    page.get_by_role("button", name="Delete this run").click()
    expect(page.locator("#runs-table .runs-sheet")).to_be_visible()
    expect(page.locator(f'#runs-table tr[data-run="{run.id}"]')).to_have_count(0)
    assert run.id not in [r.id for r in app.store.list()]
