"""The face of the settings as a person uses it: sections, the search, the marks."""

import pytest
from playwright.sync_api import expect
from test_everyone import found
from visiting import DESK, PHONE


@pytest.mark.parametrize(("theme", "size"), [("light", DESK), ("dark", PHONE)], ids=["light", "dark phone"])
def test_a_setting_is_found_changed_marked_and_set_back(newcomer, theme, size):
    page = newcomer.open(f"?__theme={theme}", size=size)
    page.get_by_role("tab", name="Settings", exact=True).click()
    clip, rank = page.locator("#f-training-max_grad_norm"), page.locator("#f-method-lora-rank")
    expect(clip).to_be_visible()
    expect(rank).to_be_hidden()
    search = page.get_by_placeholder("Find a setting")
    search.press_sequentially("lora_r")
    expect(rank).to_be_visible()
    expect(clip).to_be_hidden()
    rank.locator("input").fill("4")
    mark = rank.locator(".changed-mark")
    expect(mark).to_contain_text("Back to 16")
    assert found(page) == []
    search.press("Escape")
    expect(clip).to_be_visible()
    expect(rank).to_be_hidden()
    page.locator("#section-method-button").click()
    expect(rank.locator("input")).to_have_value("4")
    expect(page.locator("#section-method-button")).to_have_attribute("data-changed", "1")
    assert found(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    mark.get_by_role("button").click()
    expect(rank.locator("input")).to_have_value("16")
    expect(mark).to_have_count(0)


def test_a_mistake_in_another_section_is_gone_to(newcomer):
    page = newcomer.open()
    page.get_by_role("tab", name="Settings", exact=True).click()
    page.locator("#section-measuring-button").click()
    page.get_by_label("Samples", exact=True).fill("-1")
    page.locator("#section-training-button").click()
    page.click("#start")
    expect(page.locator("#f-training-samples .mistake")).to_be_visible()


@pytest.mark.parametrize(("theme", "size"), [("dark", DESK), ("light", PHONE)], ids=["dark", "light phone"])
def test_the_menu_beside_start_by_keyboard_copies_and_tries_several_values(newcomer, theme, size):
    page = newcomer.open(f"?__theme={theme}", size=size)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_label("Name", exact=True).fill("my run")
    opener = page.get_by_role("button", name="More ways to start")
    opener.focus()
    opener.press("ArrowDown")
    menu = page.get_by_role("menu", name="More ways to start")
    expect(menu.get_by_role("menuitem").first).to_be_focused()
    assert found(page) == []
    page.keyboard.press("Escape")
    expect(menu).to_be_hidden()
    expect(opener).to_be_focused()
    page.keyboard.press("Enter")
    menu.get_by_role("menuitem", name="Copy command").click()
    expect(page.locator("#start-menu [role=status]")).to_have_text("Copied.")
    assert "'name=my run'" in page.evaluate("navigator.clipboard.readText()")
    opener.press("ArrowDown")
    for _ in range(2):
        page.keyboard.press("ArrowDown")
    expect(menu.get_by_role("menuitem", name="Try several values")).to_be_focused()
    page.keyboard.press("Enter")
    page.locator("#several-values-0 input").fill("1e-3, 2e-3")
    expect(page.locator("#several-line")).to_contain_text("2 runs, about")
    assert found(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.get_by_role("button", name="Back", exact=True).click()
    expect(page.get_by_role("tab", name="Several values")).to_be_hidden()
