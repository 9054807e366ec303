"""A table nobody could know: uploaded, its columns named, its mask seen, trained on."""

import os
from pathlib import Path

import pytest
from playwright.sync_api import expect
from test_everyone import found
from visiting import DESK, PHONE

from tests.conftest import wait_for

NAMES = ("subject", "customer wrote", "we said", "agent")


def table(folder, names=NAMES):
    file = folder / "support-notes.csv"
    subjects = ("Late parcel", "Broken cup", "Wrong size", "Lost invoice")
    file.write_text(
        ",".join(names)
        + "\n"
        + "".join(
            f'{subjects[i % 4]},"My order {1000 + i} is not right, can you help?",We are sorry about order {1000 + i} '
            f"and mend it today.,"
            f"A{i % 3}\n"
            for i in range(60)
        )
    )
    return file


def choose(page, label, name):
    page.get_by_label(label, exact=True).click()
    page.get_by_role("option", name=name, exact=True).click()


def mean(page, column, role):
    """What a column is, said in its head."""
    page.get_by_label(f"What is {column}?").select_option(role)


def uploaded(page, folder, names=NAMES):
    page.set_input_files("input[type=file]", table(folder, names))
    expect(page.locator("#columns-table th .column")).to_have_text(list(names))
    expect(page.locator("#data-line")).to_contain_text("rows with columns that are not known here")
    assert "dataset." not in page.locator("#face-data").inner_text(), "nobody speaks a terminal's language here"


def test_uploaded_mapped_seen_started(visitor, app, tmp_path):
    page = visitor.open()
    uploaded(page, tmp_path)
    page.get_by_role("button", name="More: a composed question, who answers").click()
    page.get_by_label("Composed question").fill("{subject}: {customer wrote}")
    mean(page, "we said", "answers")
    preview = page.locator("#columns-preview")
    expect(preview.locator("dl").first).to_contain_text("Late parcel: My order 1000 is not right, can you help?")
    expect(preview.locator("mark").first).to_have_text("We are sorry about order 1000 and mend it today.")
    expect(page.locator("#data-line")).to_contain_text("54 rows to learn from · 6 held out")
    expect(page.locator("#data-line mark").first).to_contain_text("We are sorry about order")
    page.get_by_role("button", name="Lengths, tokens").click()
    expect(page.locator("#mask [role=status]")).to_contain_text("Row 1 of 54")
    expect(page.locator("#mask .tokens .trained").first).to_contain_text("We are sorry about order")
    expect(page.locator("#data-facts svg")).to_be_visible()
    if folder := os.environ.get(
        "PICTURES"
    ):  # PICTURES=docs pytest tests/browser/test_own_data.py makes the README's picture
        page.set_viewport_size({"width": 620, "height": 1500})  # the panels one below the other
        page.wait_for_timeout(1000)
        page.locator("#face-data").screenshot(path=Path(folder) / "your-data.png")
    page.get_by_role("tab", name="Settings").click()
    page.get_by_label("Max steps").fill("2")
    page.locator("#section-measuring-button").click()
    page.get_by_label("Scored questions").fill("2")
    page.wait_for_timeout(300)
    page.click("#start")
    expect(page.locator("#live .card .line b")).to_have_text("Finished")
    data = app.store.list()[0].recipe().dataset
    assert (
        data.columns.given == {"template": "{subject}: {customer wrote}", "answer": "we said"}
        and len(data.fingerprint) == 64
    )
    visitor.reload(page)
    page.locator("#face-data-button").click()
    page.get_by_role("button", name="Columns of your data").click()
    expect(page.get_by_label("What is we said?")).to_have_value("answer")
    page.get_by_role("button", name="More: a composed question, who answers").click()
    expect(page.get_by_label("Composed question")).to_have_value("{subject}: {customer wrote}")


def test_a_file_that_asks_is_learned_by_a_click_on_a_guess(visitor, app, tmp_path):
    file = tmp_path / "sums.jsonl"
    row = '{"problem": "What is %d and %d?", "solution": "It is %d.", "answer": "%d"}\n'
    file.write_text("".join(row % (i, i, 2 * i, 2 * i) for i in range(40)))
    page = visitor.open()
    page.set_input_files("input[type=file]", file)
    guesses = page.locator("#data-ask .guesses li")
    expect(guesses).to_have_count(2)
    expect(guesses.nth(1)).to_contain_text("problem asks · answer answers")
    expect(page.locator("#start")).to_be_disabled()
    expect(page.locator("#why-not")).to_contain_text("Start waits")
    guesses.nth(0).get_by_role("button").click()
    expect(page.locator("#data-line")).to_contain_text("36 rows to learn from · 4 held out")
    expect(page.locator("#data-ask")).not_to_contain_text("How is this data")
    expect(page.get_by_label("What is solution?")).to_have_value("answer")
    page.get_by_role("tab", name="Settings").click()
    page.get_by_label("Max steps").fill("2")
    page.locator("#section-measuring-button").click()
    page.get_by_label("Scored questions").fill("2")
    page.wait_for_timeout(300)
    before = len(app.store.list())
    page.click("#start")
    page.wait_for_function("document.querySelector('#live .card')")
    wait_for(lambda: len(app.store.list()) > before)
    assert app.store.list()[0].recipe().dataset.columns.given == {"prompt": "problem", "answer": "solution"}
    expect(page.locator("#live .card .line b")).to_have_text("Finished")


def test_a_refused_file_stays_said_at_the_data_and_start_waits(visitor, app, tmp_path):
    file = tmp_path / "cut.json"
    file.write_text('[{"question": "Why?", "answer": "So."},\n{"question": "Wh')
    page = visitor.open()
    expect(page.locator("#start")).to_be_enabled()
    page.set_input_files("input[type=file]", file)
    said = page.locator("#face-data #import-line [role=alert]")
    expect(said.locator("b")).to_have_text("cut.json")
    expect(said).to_contain_text("cut off")
    expect(page.locator("#start")).to_be_disabled()
    expect(page.locator("#why-not")).to_contain_text("this file cannot be learned from")
    expect(page.locator("#data-card")).to_contain_text("cut.json was not taken")
    expect(page.get_by_label("Name", exact=True)).to_have_attribute("placeholder", "")
    expect(page.locator("#promise")).to_have_text("")
    expect(page.get_by_label("Data", exact=True)).to_have_value("Paste text or drop files…")
    page.wait_for_timeout(11_000)  # as long as a toast stays
    expect(said).to_be_visible()
    choose(page, "Data", "A polite helper who knows Pennywick")
    expect(said).to_have_count(0)
    expect(page.locator("#start")).to_be_enabled()


OF_THE_DATA = ("data-card", "data-line", "promise", "effort", "summary", "own-settings")
# Remembers every text of these places that was to be seen after data was chosen, and whether Start could be pressed.
WATCH = """ids => {
  window.seenTexts = [];
  const look = () => {
    for (const id of ids) {
      const one = document.getElementById(id), text = one?.textContent.trim();
      const isSeen = one && one.getClientRects().length && getComputedStyle(one).visibility === 'visible';
      if (isSeen && text) window.seenTexts.push(`${id}: ${text.slice(0, 300)}`);
    }
    const isOld = document.querySelector('#f-dataset input').value.includes('helper');
    if (isOld && !document.getElementById('start').disabled) window.seenTexts.push('start with the data before');
    window.reading = window.reading || document.querySelector('#data-reading')?.textContent;
    setTimeout(look, 20);
  };
  setTimeout(look, 400);
}"""

# As with a file that takes long: every answer of the queue comes a second later.
LATE = """() => {
  const asked = window.fetch;
  window.fetch = async (...given) => {
    if (String(given[0]?.url || given[0]).includes('queue/join')) await new Promise(done => setTimeout(done, 1000));
    return asked(...given);
  };
}"""


def test_while_a_file_is_read_nothing_of_the_data_before_is_said(visitor, app, tmp_path):
    file = tmp_path / "sums.jsonl"
    file.write_text("".join(f'{{"question": "What is {i} and {i}?", "answer": "It is {2 * i}."}}\n' for i in range(50)))
    page = visitor.open()
    choose(page, "Data", "A polite helper who knows Pennywick")
    expect(page.locator("#data-card")).to_contain_text("4,183 rows")
    expect(page.locator("#data-reading")).to_have_text("")

    page.evaluate(LATE)
    page.set_input_files("input[type=file]", file)
    expect(page.locator("#data-reading")).to_contain_text("Reading sums.jsonl")
    page.evaluate(WATCH, list(OF_THE_DATA))
    expect(page.locator("#data-card")).to_contain_text("45 rows to learn from")
    expect(page.locator("#data-reading")).to_have_text("")
    seen = page.evaluate("window.seenTexts")
    old = [text for text in seen if "4,183" in text or "about 2 min" in text or "answers these questions" in text]
    assert old == []
    assert "start with the data before" not in seen
    expect(page.locator("#start")).to_be_enabled()


@pytest.mark.parametrize(("theme", "size"), [("light", PHONE), ("dark", DESK)], ids=["phone", "desk"])
def test_axe_finds_nothing_serious_in_the_columns(visitor, tmp_path, theme, size):
    page = visitor.open(f"?__theme={theme}", size=size)
    uploaded(page, tmp_path, ("about", "raw", theme, "who"))  # the last run's columns would do for its own
    mean(page, "who", "answers")
    expect(page.locator("#columns-preview mark").first).to_be_visible()
    assert found(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
