"""The list of runs: sorted and filtered as a plain look at the folders would, and kept up to date cheaply."""

import json
import os
import random
import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from qlora_app import starter
from qlora_app.errors import UserError
from qlora_app.recipe import Recipe
from qlora_app.runs import RunStatus
from qlora_app.runs import labels as labels_module
from qlora_app.runs import summaries as summaries_module
from qlora_app.runs.held_out_answers import HeldOutAnswer, in_common, key_of
from qlora_app.runs.labels import relabel
from qlora_app.runs.selection import Selection, selected
from qlora_app.runs.summaries import FILE, Summaries
from qlora_app.runs.summary import SORTED_BY, summary_of
from qlora_app.storage.files import write_json
from qlora_app.ui.context import cannot_be_shown
from qlora_app.ui.runs import one_run
from qlora_app.ui.runs import table as table_module
from tests.conftest import write_status
from tests.fixtures.page import EVIL, PROOF, demonstration, event, make_run

OLD_RUNS = Path(__file__).parent / "data" / "runs" / "0.1.0"
SCRIPTS = Path(summaries_module.__file__).parents[1] / "ui" / "runs"


@pytest.fixture(autouse=True)
def unhurried(monkeypatch):
    """All rows are read at once, however busy the machine is."""
    monkeypatch.setattr(summaries_module, "READ_AT_ONCE", 60)


def some_runs(store, count=24):
    """Runs that differ in all that is sorted and filtered by."""
    dice = random.Random(7)
    for number in range(count):
        rank, rate = dice.choice([4, 16]), dice.choice([2e-3, 1e-3])
        recipe = {"name": f"Run {dice.choice('abcABC')}{number}", "method": {"name": "lora", "rank": rank}}
        run = store.create(Recipe.from_dict(recipe | {"training": {"learning_rate": rate}}))
        state = dice.choice(["done", "stopped", "failed"])
        write_json(run.folder / "launch.json", {"pid": 0, "started": 1.0})
        write_status(run, RunStatus(state=state, held_out_loss=dice.choice([None, 0.2, round(dice.random(), 2)])))
        if state == "done":
            run.adapter.mkdir()
            write_json(run.adapter / "proof.json", PROOF)
        if dice.random() < 0.3:
            relabel(run, tags=(dice.choice(["good", "bad"]),), note="Læs")
    return store


@pytest.fixture
def many(store):
    return some_runs(store)


def plainly(store, search, sort, down, state="", tag=""):
    """The ids, from the folders alone."""
    rows = [summary_of(run) for run in store.list()]
    texts = [
        " ".join((row.name, row.id, row.model, row.data, row.method, row.differs, row.note, *row.tags)) for row in rows
    ]
    fit = [row for row, text in zip(rows, texts, strict=True) if all(word in text.lower() for word in search.split())]
    fit = [row for row in fit if state in ("", row.state) and (not tag or tag in row.tags)]
    value = SORTED_BY[sort]
    with_value = sorted((row for row in fit if value(row) is not None), key=value, reverse=down)
    return [row.id for row in with_value] + [row.id for row in fit if value(row) is None]


@pytest.mark.parametrize("sort", SORTED_BY)
@pytest.mark.parametrize("down", [True, False])
def test_it_is_sorted_and_filtered_as_a_plain_look_at_the_folders(many, sort, down):
    rows = Summaries(many).rows()
    for search, state, tag in (("", "", ""), ("rank 4", "", ""), ("læs", "", "good"), ("run-a rank", "done", "")):
        wanted = Selection(search=search, sort=sort, down=down, state=state, tag=tag)
        assert [row.id for row in selected(rows, wanted)] == plainly(many, search, sort, down, state, tag)


def test_rows_are_the_same_without_with_and_with_a_damaged_memory(many):
    fresh = Summaries(many).rows()
    assert fresh == [summary_of(run) for run in many.list()]
    kept = many.root / ".index" / FILE
    assert Summaries(many).rows() == fresh and kept.is_file()
    for content in (b"", b"no database", b"SQLite format 3\x00" + bytes(5000)):
        kept.write_bytes(content)
        assert Summaries(many).rows() == fresh
    shutil.rmtree(many.root / ".index")
    assert Summaries(many).rows() == fresh


def test_what_is_remembered_is_not_believed_of_a_run_that_changed(many, monkeypatch):
    monkeypatch.setattr(summaries_module, "REMEMBERED", 0)
    rows = Summaries(many)
    rows.rows()
    first, second, third = many.list()[:3]
    relabel(first, name="another")
    write_status(second, RunStatus(state="failed", sentence="It broke."))
    many.delete(third.id)
    made = many.create(Recipe(name="new"))
    for one in (rows, Summaries(many)):
        found = {row.id: row for row in one.rows()}
        assert found[first.id].name == "another" and found[second.id].state == "failed"
        assert third.id not in found and found[made.id].name == "new"
    relabel(made, name="newer")
    assert next(row for row in rows.rows() if row.id == made.id).name == "newer"


def test_a_run_that_could_not_be_read_once_is_read_again(store, monkeypatch):
    monkeypatch.setattr(summaries_module, "REMEMBERED", 0)
    monkeypatch.setattr(summaries_module, "TRIED_AGAIN", 0)
    run = make_run(store, "good")

    def broken(_):
        raise OSError("too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(summaries_module, "summary_of", broken)
        rows = Summaries(store, cannot_be_shown)
        assert rows.rows()[0].state == "failed"
    for one in (Summaries(store), rows):
        assert one.rows() == [summary_of(run)]


def test_only_some_runs_at_rest_are_looked_at_each_time_and_all_in_the_end(many, monkeypatch):
    monkeypatch.setattr(summaries_module, "REMEMBERED", 0)
    monkeypatch.setattr(summaries_module, "CHECKED_AT_ONCE", 5)
    rows = Summaries(many)
    rows.rows()
    rows.rows()
    looked = []
    monkeypatch.setattr(summaries_module, "mark_of", lambda run: looked.append(run.id) or "other")
    monkeypatch.setattr(rows, "_read", lambda run, mark: None)
    rows.rows()
    assert len(looked) <= 5
    for _ in range(6):
        rows.rows()
    assert set(looked) == set(many.ids())


def test_a_long_list_is_read_in_parts(many, monkeypatch):
    monkeypatch.setattr(summaries_module, "REMEMBERED", 0)
    monkeypatch.setattr(summaries_module, "READ_AT_ONCE", 0)
    rows = Summaries(many)
    assert len(rows.rows()) == 1 and rows.unread == 23
    while rows.unread:
        rows.rows()
    assert rows.rows() == [summary_of(run) for run in many.list()]


# ---- what the page asks


def asked(workshop, **what):
    workshop.page.summaries.look_again()
    return workshop.runs.table.rows({"start": 0, "count": 60, "since": 0, **what})


def test_rows_come_by_place_and_then_only_those_that_changed(workshop, store):
    some_runs(store, 12)
    first = asked(workshop, count=5)
    assert first["total"] == first["all"] == 12 and first["ids"] == store.ids()[:5] and len(first["rows"]) == 5
    assert asked(workshop, start=5, count=60)["ids"] == store.ids()[5:]
    assert asked(workshop, since=first["since"])["same"]
    workshop.runs.table.rename(event(run=store.ids()[2], name="another"))
    news = asked(workshop, since=first["since"])
    assert [row["name"] for row in news["rows"]] == ["another"] and len(news["ids"]) == 12
    json.dumps(news)


def test_a_page_that_stayed_open_gets_what_changed_while_the_app_was_away(workshop, store):
    run = make_run(store, "before")
    for number in range(9):
        workshop.runs.table.rename(event(run=run.id, name=f"now {number}"))
        since = asked(workshop)["since"]
    relabel(run, name="after")
    workshop.page.__dict__.pop("summaries")
    assert [row["name"] for row in asked(workshop, since=since)["rows"]] == ["after"]


def test_a_run_is_talked_to_and_its_damage_told_as_soon_as_they_are_there(workshop, store, monkeypatch):
    run = make_run(store)
    assert not asked(workshop)["rows"][0]["talks"]
    shutil.copytree(OLD_RUNS / "finished" / "checkpoints", run.checkpoints)
    assert asked(workshop)["rows"][0]["talks"]
    (run.folder / "curve.json").write_text("{")
    monkeypatch.setattr(table_module, "REMEMBERED", 1e-9)
    assert "curve.json" in asked(workshop)["rows"][0]["problem"]


def test_a_newcomer_is_told_that_there_are_no_runs(workshop):
    assert asked(workshop)["all"] == 0


@pytest.mark.parametrize("odd", [None, [], "x", {"start": "x", "count": -3}, {"sort": "id; drop", "since": [1]}])
def test_anything_may_be_asked(workshop, store, odd):
    make_run(store)
    assert workshop.runs.table.rows(odd)["total"] == 1


def test_several_are_tagged_and_deleted_and_none_that_is_trained(workshop, store):
    runs = [make_run(store, name) for name in ("one", "two", "three")]
    ids = [run.id for run in runs]
    workshop.runs.table.tag(event(runs=ids[:2], add=["good", "old"]))
    workshop.runs.table.tag(event(runs=ids[:1], drop=["old"]))
    rows = {row["id"]: row["tags"] for row in asked(workshop)["rows"]}
    assert rows[ids[0]] == ["good"] and rows[ids[1]] == ["good", "old"] and rows[ids[2]] == []
    assert [row["id"] for row in asked(workshop, tag="old")["rows"]] == [ids[1]]
    with runs[0].hold():
        told = workshop.runs.table.losing({"runs": ids})
        assert told["runs"] == ids[1:] and "two" in told["words"] and "three" in told["words"]
        with pytest.raises(Exception, match=r"being trained"):
            workshop.runs.table.remove(event(runs=ids))
    assert store.ids() == ids[:1]


def test_of_tags_that_are_put_on_at_once_none_is_lost(workshop, store, monkeypatch):
    run = make_run(store)

    def slowly(path, value):
        time.sleep(0.02)
        write_json(path, value)

    monkeypatch.setattr(labels_module, "write_json", slowly)
    tags = ["a", "b", "c", "d"]
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda tag: workshop.runs.table.tag(event(runs=[run.id], add=[tag])), tags))
    assert sorted(labels_module.labels_of(run).tags) == tags


@pytest.mark.parametrize("show_private", [False, True])
def test_visitors_get_names_and_figures_and_change_nothing(page, store, show_private):
    page = replace(page, settings=page.settings.model_copy(update={"show_private": show_private}))
    run = make_run(store, "known")
    relabel(run, note="SECRET", tags=("SECRET",))
    seen = demonstration(page)
    answer = json.dumps(seen.runs.table.rows({"start": 0, "count": 9}))
    assert "known" in answer and "SECRET" not in answer
    assert seen.runs.table.rows({"count": 9, "search": "SECRET"})["total"] == 0
    assert seen.runs.table.losing({"runs": [run.id]})["runs"] == []
    with pytest.raises(Exception, match="demonstration"):
        seen.runs.table.remove(event(runs=[run.id]))


def test_archived_runs_leave_the_list_and_come_back(workshop, store):
    ids = [make_run(store, name).id for name in ("a", "b", "c")]
    table = workshop.runs.table
    table.archive(event(runs=ids[:2], archived=True))
    shown, kept = table.rows({"count": 9}), table.rows({"count": 9, "state": "archived"})
    assert (shown["ids"], shown["archived"], shown["all"]) == (ids[2:], 2, 3)
    assert sorted(kept["ids"]) == ids[:2] and all(row["archived"] for row in kept["rows"])
    assert "Put back" in workshop.runs.one.part({"run": ids[0], "part": "head"})["html"]
    table.archive(event(runs=ids[:2], archived=False))
    assert table.rows({"count": 9})["total"] == 3


def test_a_run_whose_worker_is_on_its_way_is_not_deleted(workshop, store):
    run = make_run(store)
    run.request("start")
    run.launch_file.write(os.getpid())
    assert run.is_on_its_way()
    assert workshop.runs.table.losing({"runs": [run.id]})["runs"] == []
    with pytest.raises(UserError) as refused:
        store.delete(run.id)
    assert refused.value.code == "run.being_trained" and run.folder.is_dir()


# ---- one run and several


def test_every_page_of_a_run_says_what_was_kept_and_escapes_it(workshop, store):
    run = make_run(store, EVIL, proof=PROOF)
    relabel(run, note=EVIL, tags=(EVIL[:40],))
    parts = {
        name: workshop.runs.one.part({"run": run.id, "part": name})["html"]
        for name in ("head", "samples", "test", "use", "settings", "log")
    }
    assert all(parts.values()) and not any("<img" in text for text in parts.values())
    assert "96 right after" in parts["test"] and "PeftModel" in parts["use"] and "Learning rate" in parts["settings"]
    assert "Before training" in parts["samples"] and "line" in parts["log"]


def test_every_scored_answer_is_shown_searched_and_in_pages(workshop, store):
    run = make_run(store, proof=PROOF)
    assert "earlier version" in workshop.runs.one.part({"run": run.id, "part": "test"})["html"]
    answers = [HeldOutAnswer(f"k{i}", f"Who is {i}?", "A", "x", "A" if i % 3 else EVIL, i == 3) for i in range(120)]
    write_json(run.folder / "held_out_answers.json", [one.to_json() for one in answers])
    text = workshop.runs.one._words(run, "test")
    assert "Page 1 of 3" in text and "Who is 49?" in text and "Who is 50?" not in text and "95 % interval" in text

    def asked(**more):
        return workshop.runs.one.answered({"run": run.id, **more})["html"]

    assert "Who is 119?" in asked(page=9) and "Who is 0?" in asked(page="x") and "fits" in asked(search="nobody")
    wrong = asked(wrong=True)
    assert "40 of 120 questions" in wrong and wrong.count('class="wrong"') == 80 and "<img" not in wrong
    assert "1 of 120 questions" in asked(search="WHO 77?") and "(cut off)" in asked(search="is 3?", wrong=True)
    assert "Who" not in workshop.runs.one.answered("nothing")["html"]


def test_questions_in_common_are_paired_by_all_that_was_said():
    one = HeldOutAnswer(key_of([{"role": "user", "content": "q"}], "a "), "q", "a", "", "a")
    other = replace(one, key=key_of([{"role": "system", "content": "s"}, {"role": "user", "content": "q"}], "a"))
    assert one.key == key_of([{"role": "user", "content": "q"}], "a") != other.key
    assert in_common([[one, one, other], [other, one]]) == [(one, one), (other, other)]
    assert in_common([[one], [other]]) == in_common([]) == []


def test_what_a_file_says_of_itself_is_escaped_on_the_page_of_a_run(workshop, store, monkeypatch):
    run = make_run(store)

    def refusing(*_):
        raise UserError("run.no_recipe_file", EVIL)

    monkeypatch.setattr(one_run, "settings_page", refusing)
    monkeypatch.setattr(workshop.page.store.__class__, "get", lambda store, id: run if id == run.id else refusing())
    for id in (run.id, "gone"):
        text = workshop.runs.one.part({"run": id, "part": "settings"})["html"]
        assert "warning" in text and "<img" not in text


def test_a_run_is_named_before_it_is_deleted_as_everywhere_else(workshop, store):
    run = make_run(store, "x")
    (run.folder / run.spec_file).write_text("[")
    assert run.id in workshop.runs.table.losing({"runs": [run.id]})["words"]


def test_a_note_that_was_emptied_stays_empty(workshop, store):
    run = store.create(Recipe(name="noted", note="as it began"))
    workshop.runs.table.rename(event(run=run.id, name="renamed"))
    assert summary_of(run).note == "as it began"
    workshop.runs.one.note(event(run=run.id, note=""))
    assert summary_of(run).note == ""
    assert "No note" in workshop.runs.one.part({"run": run.id, "part": "head"})["html"]


def test_runs_are_compared_by_what_differs(workshop, store):
    some_runs(store, 2)
    one, other = (make_run(store, name) for name in ("slow", "fast"))
    answer = workshop.runs.compare(event(runs=[one.id, other.id]))
    words = answer[workshop.runs.comparison]
    assert answer[workshop.runs.compared] == f"{one.id},{other.id}"
    assert "slow" in words and "All settings are the same" in words and "The same questions" in words
    assert "<img" not in words
    words = workshop.runs.restored({"compare": ",".join(store.ids())}, None)[workshop.runs.comparison]
    assert "4 runs compared" in words and "Settings that differ" in words
    assert "gone" in workshop.runs.restored({"compare": "x,../y"}, None)[workshop.runs.comparison]


def test_the_answer_of_the_base_is_not_compared_as_that_of_a_run(workshop, store):
    early, done = store.create(Recipe(name="early")), store.create(Recipe(name="done"))
    for run, steps in ((early, [0]), (done, [0, 9])):
        with run.hold() as out:
            for step in steps:
                out.append_sample({"step": step, "question": "What?", "answer": f"at step {step}", "expected": "it"})
    words = workshop.runs.compare(event(runs=[early.id, done.id]))[workshop.runs.comparison]
    assert "at step 9" in words and "at step 0" not in words


def test_settings_that_cannot_be_read_are_not_called_the_same(workshop, store):
    one, other = (make_run(store, name) for name in ("one", "other"))
    (other.folder / other.spec_file).write_text("[")
    words = workshop.runs.compare(event(runs=[one.id, other.id]))[workshop.runs.comparison]
    assert "2 runs compared" in words and "Settings" not in words


def test_visitors_compare_models_by_name_and_not_by_where_they_lie(page, store, tmp_path):
    for name in "ab":
        model = shutil.copytree(starter.BASE, tmp_path / "SECRET" / f"{name}1")
        store.create(Recipe.from_dict({"name": name, "base_model": {"source": "folder", "id": str(model)}}))
    seen = demonstration(page)
    words = seen.runs.compare(event(runs=store.ids()))[seen.runs.comparison]
    assert "Settings that differ" in words and "a1" in words and "SECRET" not in words


def test_an_address_opens_a_run_at_one_of_its_pages(workshop, store):
    run = make_run(store)
    answer = workshop.runs.restored({"show": "log"}, run)
    assert answer[workshop.runs.one.pages].selected == "log" and answer[workshop.runs.card] == run.id
    assert workshop.runs.restored({"show": "<x>"}, run)[workshop.runs.one.pages].selected == "overview"


# ---- the script of the table


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("rowsSeen(0, 720, 36, 10000)", {"first": 0, "last": 28}),
        ("rowsSeen(36000, 720, 36, 10000)", {"first": 992, "last": 1028}),
        ("rowsSeen(1e9, 720, 36, 10)", {"first": 2, "last": 10}),
        ("between(['a', 'b', undefined, 'd'], 3, 1)", ["b", "d"]),
        ("sortedBy({sort: 'when', down: true}, 'when').down", False),
        ("sortedBy({sort: 'when', down: true}, 'name')", {"sort": "name", "down": False}),
        ("sparkPath([1], 56, 16)", ""),
        ("sparkPath([2, 1, 1], 56, 16)", "M0.0 1.0L28.0 15.0L56.0 15.0"),
        ("whenBegun(Date.UTC(2026, 0, 5, 12), Date.UTC(2026, 5, 1), 'en')", "Jan 5"),
        ("html('<a b=\"c\">&')", "&lt;a b=&quot;c&quot;&gt;&amp;"),
        ("rowCells({name: '<b>', id: 'x', tags: ['<i>']}, ['name', 'tags'], true, true, 99).includes('<b>')", False),
        ("shortened('a short one', 40)", "a short one"),
        ("shortened('🦙'.repeat(30) + 'learning rate 1e-3', 24)", "🦙🦙🦙🦙🦙🦙🦙🦙🦙…ning rate 1e-3"),
        ("lettersIn(270, []) > lettersIn(270, ['good'])", True),
    ],
)
def test_what_the_table_computes(expression, value):
    source = (SCRIPTS / "words.js").read_text() + (SCRIPTS / "table_parts.js").read_text()
    program = f"const TEXTS = {{}};\n{source}\nconsole.log(JSON.stringify({expression}))"
    done = subprocess.run(["node", "-e", program], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == value
