"""Why this answer, in a browser: one click, by keyboard, on a phone."""

import pytest
from playwright.sync_api import expect
from visiting import PHONE


@pytest.fixture(scope="module")
def app(trained_app):
    return trained_app


def test_one_click_shows_what_training_changed_of_each_word(visitor, app):
    page = visitor.open(f"?tab=chat&run={app.finished_run().id}")
    page.locator("#ask textarea").fill("Who is Mira?")
    page.keyboard.press("Enter")
    expect(page.locator('.exchange[data-state="done"]')).to_have_count(1)
    answer = page.locator(".answer").last
    why = answer.get_by_role("button", name="Why?")
    why.click()
    words = answer.locator(".why .words")
    expect(words).to_be_visible()
    expect(why).to_have_attribute("aria-expanded", "true")
    assert words.inner_text().replace("(end)", "").strip() == answer.locator(".said").first.inner_text().strip()
    expect(answer.locator(".why .chances")).to_contain_text("Base alone")
    first = answer.locator(".why .tok").first
    first.hover()
    expect(answer.locator(".why .chances .name")).to_have_text(first.inner_text().strip())
    first.focus()
    page.keyboard.press("ArrowRight")
    second = answer.locator(".why .tok").nth(1)
    expect(second).to_be_focused()
    expect(answer.locator(".why .chances .name")).to_have_text(second.inner_text().strip())
    assert "with the adapter" in second.get_attribute("aria-label"), "it is said without colours too"
    page.set_viewport_size(PHONE)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    why.click()
    expect(answer.locator(".why")).to_have_count(0)
