"""The data looked at before the start: the mask, its jumps, the lengths, on a desk and on a phone."""

import re

import pytest
from playwright.sync_api import expect
from test_everyone import found
from visiting import DESK, PHONE

from qlora_app.ui.language import LANGUAGES

FOLD = "Lengths, tokens, what was left out, held-out data"


def opened(page, name=FOLD):
    page.get_by_role("button", name=name).click()
    expect(page.locator("#data-facts svg")).to_be_visible()


def sentence(page):
    return page.locator("#mask [role=status]")


def test_the_mask_is_seen_before_the_start(newcomer):
    page = newcomer.open()
    assert page.locator("#mask .tokens").count() == 0
    expect(page.locator("#data-line mark").first).to_be_visible()
    page.locator("#data-line").get_by_role("button", name="longest").click()
    expect(page.locator("#data-line [role=status]")).to_contain_text(re.compile(r"^Row [\d,]+ of 4,183$"))
    opened(page)
    expect(sentence(page)).to_have_text(re.compile(r"^Row 1 of [\d,]+: \d+ tokens, \d+ trained, 0 cut off\.$"))
    of_longest = page.get_by_role("button", name="Tokens of row")
    of_longest.focus()
    page.keyboard.press("Enter")
    expect(sentence(page)).to_have_text(re.compile(r": 1\d\d tokens, \d+ trained, 0 cut off\.$"))
    expect(page.locator("#mask .tokens")).to_be_in_viewport()
    expect(of_longest).to_be_focused()
    longest = sentence(page).inner_text().partition(":")[0]
    expect(page.locator("#mask .trained .special").first).to_have_text("<|endoftext|>")
    page.get_by_role("button", name="Take 256").click()
    expect(page.locator("#own-settings")).to_contain_text("256")
    expect(page.locator("#data-facts .said")).to_contain_text("256")
    page.get_by_role("tab", name="Settings").click()
    page.get_by_label("Max length (tokens)").fill("40")
    page.locator("#face-data-button").click()
    page.get_by_role("button", name="First that is cut").click()
    expect(sentence(page)).not_to_contain_text(longest)  # which is cut too, by now
    cut = page.locator("#mask .tokens .cut").first
    expect(cut).to_be_in_viewport()
    expect(cut).to_have_css("text-decoration-line", "line-through")


@pytest.mark.parametrize(("theme", "size"), [("light", DESK), ("dark", PHONE)], ids=["desk", "phone"])
def test_axe_finds_nothing_serious_in_it(newcomer, theme, size):
    page = newcomer.open(f"?__theme={theme}", size=size)
    page.get_by_role("tab", name="Settings").click()
    page.get_by_label("Max length (tokens)").fill("40")
    page.locator("#face-data-button").click()
    opened(page)
    page.get_by_role("button", name="First that is cut").click()
    page.get_by_text("The lengths as a table").click()
    expect(page.locator("#mask .tokens .cut").first).to_be_visible()
    assert found(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_it_speaks_german(newcomer):
    page = newcomer.open(locale="de-DE")
    opened(page, "Längen, Tokens, Ausgelassenes, zurückgehaltene Daten")
    expect(sentence(page)).to_have_text(
        re.compile(r"^Zeile 1 von [\d.]+: \d+ Tokens, \d+ trainiert, 0 abgeschnitten\.$")
    )
    page.get_by_text("Die Längen als Tabelle").click()
    texts = [
        " ".join(text.split())
        for text in page.locator("#data-view").inner_text().split("\n")
        if re.search("[a-z]{3}", text)
    ]
    tokens = page.locator("#mask .tokens").inner_text()
    english = [
        text
        for text in texts
        if text not in tokens
        and LANGUAGES["de"].say(text) not in (None, text)
        and text not in LANGUAGES["de"].texts.values()
    ]
    assert len(texts) > 10 and english == []
