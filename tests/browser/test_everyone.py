"""The page for people who do not see the chart, and for those who want no motion: axe-core finds nothing serious."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect
from visiting import DESK, PHONE

SERIOUS = ("serious", "critical")
# What fades in has its colours when it is there; what breathes as long as something trains is not waited for.
AT_REST = """() => document.getAnimations().every(
    one => one.playState !== 'running' || one.effect.getComputedTiming().endTime === Infinity)"""


@pytest.fixture(scope="module")
def app(trained_app):
    return trained_app


def found(page) -> list[str]:
    """What axe-core calls serious or critical: rule, and the first elements that break it."""
    page.wait_for_function(AT_REST)
    violations = Axe().run(page).response["violations"]
    return [
        f"{v['id']}: {v['help']}: " + " | ".join(f"{node['target']} {node['html'][:200]}" for node in v["nodes"][:4])
        for v in violations
        if v["impact"] in SERIOUS
    ]


def tabs(page):
    """Every tab in turn, as it looks when it has been opened."""
    for name in ("Train", "Runs", "Chat"):
        page.get_by_role("tab", name=name, exact=True).click()
        page.wait_for_timeout(700)
        yield name


@pytest.mark.parametrize(("theme", "size"), [("dark", DESK), ("light", PHONE)], ids=["dark desk", "light phone"])
def test_axe_finds_nothing_serious(visitor, app, theme, size):
    run = app.finished_run()
    page = visitor.open(f"?__theme={theme}&run={run.id}", size=size)
    problems = {}
    for name in ("Data", "Settings", "Run"):
        page.get_by_role("tab", name=name, exact=True).click()
        page.wait_for_timeout(700)
        problems[f"Train, {name}"] = found(page)
    page.locator("#live").get_by_text("The curve as a table").click()
    page.locator("#live .log summary").click()
    problems |= {name: found(page) for name in tabs(page)}
    page.get_by_role("tab", name="Runs", exact=True).click()
    page.locator("#runs-table tbody a").first.click()
    page.wait_for_timeout(700)
    problems["one run"] = found(page)
    assert not {name: list_ for name, list_ in problems.items() if list_}


def test_every_control_has_a_name(visitor, app):
    app.finished_run()
    page = visitor.open()
    for face in ("Data", "Settings"):
        page.get_by_role("tab", name=face, exact=True).click()
        page.wait_for_timeout(700)
        assert unnamed(page) == [], face
    for name in tabs(page):
        assert unnamed(page) == [], name


def unnamed(page) -> list[str]:
    """Controls that are seen and that nobody can call by a name."""
    return page.evaluate("""() => [
        ...document.querySelectorAll('button, input, textarea, select, [role=button], [role=tab]')]
        .filter(e => e.offsetParent && !e.disabled)
        .filter(e => !(e.ariaLabel || e.innerText?.trim() || e.title || e.labels?.length
                       || e.getAttribute('aria-labelledby') || e.closest('label')?.innerText.trim()))
        .map(e => e.outerHTML.slice(0, 160))""")


def card_of(visitor, run):
    """The card of one run in the Runs tab; the Train tab shows whichever is the newest."""
    page = visitor.open(f"?tab=runs&run={run.id}")
    card = page.locator(".card:visible")
    expect(card).to_have_attribute("data-state", "done")
    return card


def test_the_curve_stands_there_in_words_and_in_numbers(visitor, app):
    run = app.finished_run()
    card = card_of(visitor, run)
    expect(card.locator("figure .read")).to_contain_text("the training loss went from")
    card.get_by_text("The curve as a table").click()
    rows = card.locator(".numbers tbody tr")
    steps = [row["step"] for row in run.metrics()[0] if row.get("loss") is not None]
    expect(rows.last).to_contain_text(f"{steps[-1]:,}")
    assert rows.count() >= 2


def test_progress_is_spoken_now_and_then(visitor, app):
    card = card_of(visitor, app.finished_run())
    expect(card.locator("[role=status]")).to_contain_text("Finished")


def test_who_wants_no_motion_gets_none(visitor, app):
    """The dot of a run that is being trained breathes, and stands still for who has asked for that."""
    app.finished_run()
    page = visitor.open()
    page.locator("#live .dot").evaluate("dot => dot.className = 'dot live'")
    moving = (
        "() => document.getAnimations().filter(a => a.playState === 'running' && "
        "a.effect.target.closest('.card')).length"
    )
    page.wait_for_function(f"({moving})() === 1")  # a bar that has just been drawn still grows
    page.emulate_media(reduced_motion="reduce")
    page.wait_for_function(f"({moving})() === 0")
