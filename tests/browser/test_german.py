"""The page for somebody whose browser asks for German: nothing of it is English but what people and models wrote."""

import re

import pytest
from playwright.sync_api import expect
from test_everyone import found
from visiting import DESK, PHONE

from qlora_app.recipe import Recipe
from qlora_app.ui.language import LANGUAGES
from qlora_app.ui.runs.one_run import PAGES
from qlora_app.ui.train.recipe_form import SECTIONS

GERMAN = LANGUAGES["de"]
FUNCTION_WORDS = re.compile(r"\b(the|and|of|is|are|not|with|your|it|for|from|to|this|has)\b", re.IGNORECASE)
# What somebody sees or hears: text nodes and names of elements, but those that say of themselves that they are nobody's
# to translate.
SEEN = """() => {
  const own = e => e.closest('[translate=no], script, style, template') || !e.checkVisibility({visibilityProperty:
  true}); const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), seen = [];
  while (walker.nextNode()) if (!own(walker.currentNode.parentElement)) seen.push(walker.currentNode.data);
  document.querySelectorAll('[aria-label], [placeholder], [title]').forEach(e => {
    if (!own(e)) for (const name of ['aria-label', 'placeholder', 'title']) seen.push(e.getAttribute(name) || ''); });
  document.querySelectorAll('[role=combobox]').forEach(e => { if (!own(e)) seen.push(e.value); });
  return [...new Set(seen.map(text => text.trim()).filter(text => /[A-Za-z]{2}/.test(text)))]; }"""
EXAMPLES = {"my-style", "qwen 0.6b", "Guanaco Workshop"}


@pytest.fixture(scope="module")
def app(trained_app):
    return trained_app


def figures_aside(text: str | None) -> str | None:
    """Without the marks in figures: a German one said once more would be written another way."""
    return text and re.sub(r"[.,]", "", text)


def english(page) -> list[str]:
    """Texts on the page that the catalogue would say otherwise, or that hold a small English word."""
    seen = page.evaluate(SEEN)
    assert len(seen) > 8, "the page is there"
    words = [
        " ".join(text.split()) for text in seen if text not in EXAMPLES and not re.fullmatch(r"[\d.,]+ [kMG]B", text)
    ]
    return [
        text
        for text in words
        if FUNCTION_WORDS.search(text)
        or (text not in GERMAN.texts.values() and figures_aside(GERMAN.say(text)) not in (None, figures_aside(text)))
    ]


def unfold(page) -> None:
    for summary in page.locator("summary:visible").all():
        summary.click()
    page.wait_for_timeout(800)


def faces(page) -> dict[str, list[str]]:
    """Every face of the stage with all that folds open: the English that is left on it."""
    left = {}
    page.locator("#face-data-button").click()
    page.get_by_role("button", name="Längen, Tokens, Ausgelassenes, zurückgehaltene Daten").click()
    expect(page.locator("#data-facts svg")).to_be_visible()
    unfold(page)
    left["data"] = english(page)
    page.locator("#face-settings-button").click()
    for section in SECTIONS:
        page.locator(f"#section-{section}-button").click()
        unfold(page)
        left[section] = english(page)
    page.locator("#face-run-button").click()
    expect(page.locator("#live .card .line b")).to_be_visible()
    unfold(page)
    left["run"] = english(page)
    page.locator("#change-model").click()
    expect(page.locator("#model-list button").first).to_be_visible()
    unfold(page)
    left["models"] = english(page)
    page.locator("#model-find input").press("Escape")  # it covers a phone
    expect(page.locator("#model-list")).to_be_hidden()
    return left


def test_the_first_visit_is_german(newcomer):
    page = newcomer.open(locale="de-DE")
    assert page.evaluate("document.documentElement.lang") == "de"
    expect(page.locator("#start")).to_have_text("Training starten")
    page.locator("#face-run-button").click()
    expect(page.locator("#live")).to_contain_text("Noch nichts trainiert")
    assert {name: list_ for name in ("Training", "Läufe", "Chat") if (list_ := english(tab(page, name)))} == {}


def test_other_languages_get_english(newcomer):
    page = newcomer.open(locale="fr-FR")
    assert page.evaluate("document.documentElement.lang") == "en"
    expect(page.locator("#start")).to_have_text("Start training")
    page.locator("#face-run-button").click()
    expect(page.locator("#live")).to_contain_text("Nothing trained yet")


def tab(page, name: str):
    page.get_by_role("tab", name=name, exact=True).click()
    page.wait_for_timeout(900)
    return page


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_every_corner_of_the_page_is_german(visitor, app, size):
    run = app.finished_run()
    page = visitor.open(locale="de-DE", size=size)
    left = faces(page)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.locator("#face-settings-button").click()
    page.locator("#section-method-button").click()
    page.get_by_label("Rang", exact=True).fill("0")
    page.click("#start")
    expect(page.locator("#alert")).to_contain_text("0 passt nicht. Richtig wäre: mindestens 1.")
    left["mistake"] = english(page)
    tab(page, "Läufe")
    expect(page.locator(f'#runs-table tr[data-run="{run.id}"]')).to_be_visible()
    left["runs"] = english(page)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.locator("#runs-table tbody a").first.click()
    expect(page.locator("#opened .verdict summary")).to_have_text("Einzelheiten")
    for name in PAGES:
        page.locator(f"#page-{name}-button").click()
        unfold(page)
        left[f"one run, {name}"] = english(page)
    page.get_by_role("button", name="Löschen …").click()
    expect(page.get_by_role("button", name="Diesen Lauf löschen")).to_be_visible()
    left["one run, losing it"] = english(page)
    tab(page, "Chat")
    expect(page.locator("#ask textarea")).to_be_visible()
    left["chat"] = english(page)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert {name: texts for name, texts in left.items() if texts} == {}


def test_what_was_written_stays_as_it_was_written(visitor, app):
    recipe = app.finished_run().recipe()
    run = app.store.create(Recipe.from_dict(recipe.model_dump() | {"name": "Start training"}))
    finished = app.finished_run()
    for name in ("status.json", "launch.json"):
        (run.folder / name).write_bytes((finished.folder / name).read_bytes())
    with run.hold() as out:
        out.append_sample({"step": 0, "question": "Log", "answer": "Stopped", "expected": "Finished"})
        out.append_sample({"step": 4, "question": "Log", "answer": "Finished", "expected": "Finished"})
    page = visitor.open(f"?tab=runs&run={run.id}", locale="de-DE")
    card = page.locator("#opened")
    expect(card.locator(".line b")).to_have_text("Fertig")
    expect(card.locator(".what")).to_have_text("Start training")
    expect(card.locator(".question:visible")).to_have_text("Log")
    expect(card.locator(".now p")).to_have_text("Finished")
    expect(card.locator(".now h4")).to_have_text("Jetzt, Schritt 4 · wie erwartet")
    page.get_by_role("button", name="← Läufe").click()
    expect(page.locator("#runs-table tbody a", has_text="Start training")).to_be_visible()
    app.store.delete(run.id)


def test_a_refusal_is_german_and_figures_are(visitor, app):
    app.finished_run()
    page = visitor.open(locale="de-DE")
    expect(page.locator("#data-line .counts")).to_have_text(re.compile(r"^\d\.\d{3} Zeilen zum Lernen · "))
    expect(page.locator("#live .tiles dd").first).to_have_text(re.compile(r"^\d,\d\d war \d,\d\d$"))
    expect(page.locator("#live .read")).to_have_text(
        re.compile(r"^In \d+ Schritten ging der Trainings-Loss von \d,\d\d auf \d,\d\d")
    )
    page = visitor.open("?tab=chat&run=gone", locale="de-DE")
    expect(page.get_by_text("Den Lauf dieses Links gibt es hier nicht.")).to_be_visible()


def test_axe_finds_nothing_serious_on_the_german_page(visitor, app):
    app.finished_run()
    page = visitor.open(locale="de-DE")
    problems = {}
    for face in ("data", "settings", "run"):
        page.locator(f"#face-{face}-button").click()
        page.wait_for_timeout(700)
        problems[face] = found(page)
    assert {face: list_ for face, list_ in problems.items() if list_} == {}
