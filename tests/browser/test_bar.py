"""The bar with the keyboard: lists close, the drawer takes the focus and gives it back, colours are remembered."""

from playwright.sync_api import expect


def test_a_list_closes_when_the_focus_leaves(newcomer):
    page = newcomer.open()
    field = page.locator("input[role=combobox]:visible").first
    for leave in ("Tab", "Shift+Tab", "Escape"):
        field.focus()
        expect(field).to_have_attribute("aria-expanded", "true")
        page.keyboard.press(leave)
        expect(field).to_have_attribute("aria-expanded", "false")
        page.wait_for_timeout(200)
        field.evaluate("field => field.blur()")


def test_the_drawer_takes_the_focus_and_gives_it_back(newcomer):
    page = newcomer.open()
    chip = page.locator("#bar [data-part=machine]")
    chip.click()
    drawer = page.locator("dialog.drawer")
    expect(drawer).to_be_visible()
    expect(drawer).to_contain_text("Nothing runs or waits.")
    expect(drawer).to_contain_text("Runs take")
    refused = drawer.locator("[data-notify-refused]")
    expect(refused).to_be_hidden()
    drawer.get_by_label("Notify me").click()  # a browser without a person allows nothing
    expect(refused).to_be_visible()
    expect(drawer.get_by_label("Notify me")).not_to_be_checked()
    page.keyboard.press("Escape")
    expect(drawer).to_be_hidden()
    expect(chip).to_be_focused()


def test_the_colours_are_remembered(newcomer):
    page = newcomer.open()
    switch = page.locator("#bar [data-theme]")
    for dark in (False, True):
        switch.click()
        assert page.evaluate("document.body.classList.contains('dark')") is dark
    page.wait_for_timeout(1000)  # for what the page still asks
    page.reload()
    page.wait_for_function("window.guanacoReady")
    newcomer.complaints.clear()  # the browser reports what a reload cut short
    assert page.evaluate("document.body.classList.contains('dark')")
