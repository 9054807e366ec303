"""A key of a program, from making it on the page to the program that is turned away."""

import httpx
import pytest
from playwright.sync_api import expect
from test_everyone import found
from visiting import DESK, PHONE


@pytest.fixture(scope="module")
def app(trained_app):
    return trained_app


@pytest.fixture
def no_key(app):
    """None was ever made, before and after."""
    yield
    (app.home / "api_keys.json").unlink()


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_a_key_is_made_used_and_revoked(visitor, app, no_key, size):
    page = visitor.open(f"?tab=runs&run={app.finished_run().id}&show=use", size)
    card = page.locator("#keys")
    expect(card.locator(".explains")).to_be_visible()
    card.get_by_label("Name of the program").fill("notebook <b>")
    card.get_by_label("Requests a minute").fill("60")
    card.get_by_role("button", name="Make a key").click()
    key = card.locator(".fresh pre")
    expect(key).to_contain_text("gw-")
    expect(card.locator("li")).to_contain_text("notebook <b>")
    expect(card.locator("li")).to_contain_text("60 requests a minute")
    assert found(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")

    def asked(shown):
        return httpx.get(f"{app.url}v1/models", headers={"authorization": f"Bearer {shown}"}).status_code

    shown = key.inner_text()
    assert (asked(shown), asked(f"{shown}x")) == (200, 401)
    card.get_by_label("Name of the program").fill("notebook <b>")
    card.get_by_role("button", name="Make a key").click()
    expect(card.get_by_role("alert")).to_contain_text("already")
    expect(card.get_by_label("Name of the program")).to_have_value("notebook <b>")
    revoke = card.get_by_role("button", name="Revoke: notebook <b>")
    revoke.click()
    revoke.click()
    expect(card.locator("li")).to_have_count(0)
    expect(card.locator(".closed")).to_be_visible()
    assert key.text_content() == "" and asked(shown) == 401
