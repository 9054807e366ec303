"""Several runs beside each other: who is better by more than chance, curves by steps, time and tokens, and files."""

import csv
import json

import pyarrow.parquet as pq
import pytest

from qlora_app.chance import Pairs
from qlora_app.cli import main
from qlora_app.errors import UserError
from qlora_app.recipe import Recipe
from qlora_app.runs.comparison import BEST, NOT_KEPT, NOT_THE_SAME, differing_settings, standings
from qlora_app.runs.held_out_answers import HeldOutAnswer
from qlora_app.runs.metric_files import COLUMNS, write_metrics
from qlora_app.runs.overlay import BY, MOST_POINTS, SERIES, points_of
from qlora_app.storage.files import write_json
from tests.conftest import write_status
from tests.fixtures.page import EVIL, PROOF, demonstration, event, make_run


def scored(store, name, right, keys=None):
    """A finished run that answered so: one letter a question, + for right."""
    run = make_run(store, name, proof=PROOF)
    answers = [
        HeldOutAnswer(key, f"Question {key}?", "yes", "x", "yes" if mark == "+" else "no")
        for key, mark in zip(keys or range(1000), right, strict=False)
    ]
    write_json(run.folder / "held_out_answers.json", [one.to_json() | {"key": str(one.key)} for one in answers])
    return run


def test_a_run_is_behind_by_more_than_chance_or_may_be(store):
    best, near, far = "+" * 40, "+" * 37 + "---", "-" * 20 + "+" * 20
    runs = [scored(store, name, marks) for name, marks in (("near", near), ("best", best), ("far", far))]
    told = {one.run.title: one for one in standings(runs)}
    assert told["best"].against == BEST and told["best"].p is None
    assert "by more than chance" in told["far"].against and told["far"].pairs == Pairs(40, 0, 20)
    assert "may be chance (p = 0.250, the same 40 questions)" in told["near"].against
    assert told["near"].p == Pairs(40, 0, 3).p == 0.25, "alone; the largest of three is not raised"
    assert told["far"].p == pytest.approx(3 * Pairs(40, 0, 20).p), "the smallest of three counts three times"


def test_who_is_ahead_where_both_were_asked_is_not_called_behind(store):
    """The best is that of its own questions; on those that both answered another one may be better, or as good."""
    common = list(range(10))
    best = scored(store, "best", "+" * 90 + "+" + "-" * 9, [*range(100, 190), *common])
    ahead = scored(store, "ahead", "-" * 10 + "+" * 10, [*range(300, 310), *common])
    told = {one.run.title: one for one in standings([best, ahead])}
    assert told["best"].against == BEST
    assert (
        told["ahead"].against
        == "ahead of the best where both were asked by more than chance (p = 0.004, the same 10 questions)"
    )
    same = [scored(store, name, "++--") for name in ("one", "same")]
    assert [one.against for one in standings(same)][1] == "level with the best (the same 4 questions)"


def test_only_the_same_questions_are_compared(store):
    runs = [
        scored(store, "a", "++++", "abcd"),
        scored(store, "b", "--+-", "cdef"),
        scored(store, "c", "+-", "xy"),
        make_run(store, "old", proof=PROOF),
    ]
    told = {one.run.title: one for one in standings(runs)}
    assert told["b"].pairs == Pairs(2, 0, 2) and "the same 2 questions" in told["b"].against
    assert told["c"].against == NOT_THE_SAME and told["old"].against == NOT_KEPT
    assert told["old"].share is not None and told["old"].share.questions == 100
    unfinished = store.create(Recipe(name="begun"))
    assert [one.against for one in standings([runs[0], unfinished])] == ["", ""]


def test_only_settings_that_differ_are_told(store):
    recipes = [Recipe.from_dict({"name": name, "training": {"packing": name == "a"}}) for name in "ab"]
    (only,) = differing_settings(recipes)
    assert (only.name, only.values, only.words) == ("training.packing", (True, False), ("yes", "no"))


def long_run(store, out_of=5000):
    """A run that was resumed in its middle: its tokens begin anew there, its seconds go on."""
    run = store.create(Recipe(name="long"))
    with run.hold() as out:
        for step in range(1, out_of + 1):
            part = step if step <= out_of // 2 else step - out_of // 2
            figures = {"learning_rate": 1e-3, "grad_norm": 9.0 if step == 77 else 1.0, "memory_mb": 512}
            row = {
                "step": step,
                "loss": 1 + 1 / step,
                "tokens": 10 * part,
                "seconds": step / 2,
                "tokens_per_second": 20,
            }
            with open(run.folder / "metrics.jsonl", "a", encoding="utf-8") as file:
                file.write(json.dumps(row | figures) + "\n")
        out.append_metric({"step": out_of, "held_out_loss": 0.5})
    return run


def test_curves_are_short_keep_their_spikes_and_go_by_steps_time_and_tokens(store):
    run = long_run(store)
    for series in SERIES:
        found = {by: points_of(run, series, by) for by in BY}
        for by, points in found.items():
            assert 0 < len(points["x"]) <= MOST_POINTS and points["x"] == sorted(points["x"]), (series, by)
            assert found["step"]["y"] == points["y"]
        last = found["step"]["x"][-1]
        assert found["seconds"]["x"][-1] == pytest.approx(last / 2, abs=6)
        assert found["tokens"]["x"][-1] == pytest.approx(10 * last, abs=120), "of both parts"
    assert max(points_of(run, "grad_norm", "step")["high"]) == 9.0
    assert run.curve(with_figures=True).tokens == 50_000
    with run.hold() as out:
        out.write_curve(run.curve(with_figures=True))
    assert run.curve(with_figures=True).tokens == 50_000, "also as it is stored"


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_metrics_are_written_whole(store, tmp_path, ending):
    runs, file = [long_run(store, 40), store.create(Recipe(name="begun"))], tmp_path / f"all.{ending}"
    with open(runs[0].folder / "metrics.jsonl", "a", encoding="utf-8") as damaged:
        damaged.write('{"step": "x", "loss": [1]}\n{"st')
    assert write_metrics(runs, file) == 42
    rows = list(csv.DictReader(file.open())) if ending == "csv" else pq.read_table(file).to_pylist()
    assert list(rows[0]) == list(COLUMNS) and float(rows[9]["loss"]) == 1.1 and rows[0]["name"] == "long"
    assert [row["held_out_loss"] for row in rows[40:]] == (["0.5", ""] if ending == "csv" else [0.5, None])
    with pytest.raises(UserError, match="neither") as refused:
        write_metrics(runs, tmp_path / "all.xlsx")
    assert refused.value.code == "metrics.ending"


def test_the_command_says_the_same(store, home, capsys, tmp_path):
    one, other = scored(store, "one", "+" * 30), scored(store, "other", "-" * 30)
    write_status(other, other.status())
    assert main(["compare", one.id, other.id, "--json", "--metrics", str(tmp_path / "m.csv")]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [row["right"] for row in told["runs"]] == [30, 0] and told["runs"][1]["p"] < 1e-8
    assert told["runs"] == [row.to_json() for row in standings([one, other])] and (tmp_path / "m.csv").is_file()
    assert main(["compare", one.id, other.id]) == 0
    assert "other: behind the best by more than chance (p < 0.001" in capsys.readouterr().out
    assert main(["compare", one.id, one.id]) == 2 and "Two to 8 runs" in capsys.readouterr().err


def test_the_page_of_a_comparison_tells_scores_and_answers_and_draws_what_is_asked(workshop, store):
    one, other = scored(store, EVIL, "+" * 30), scored(store, "other", "-" * 29 + "+")
    long = long_run(store, 100)
    tab, ids = workshop.runs, [one.id, other.id]
    words = tab.compare(event(runs=ids))[tab.comparison]
    assert "behind the best by more than chance" in words and "Of 30 questions 29 were" in words and "<img" not in words
    assert "At most 8" not in words and "At most 8" in tab.compare(event(runs=ids * 5))[tab.comparison]
    drawn = tab.side_by_side.curves({"runs": [long.id, "gone", 3], "series": "loss", "by": "tokens"})
    (line,) = drawn["lines"]
    assert (drawn["series"], drawn["by"], line["run"], line["x"][-1]) == ("loss", "tokens", long.id, 1000)
    for strange in (None, [], {"runs": 5, "series": [], "by": {}}):
        assert tab.side_by_side.curves(strange) == {"series": "held_out", "by": "step", "lines": []}
    made = tab.side_by_side.metrics_csv({tab.compared: long.id})
    assert made[tab.side_by_side.file].endswith(".csv")


def test_visitors_get_no_files_of_metrics(page, store):
    seen = demonstration(page).runs
    with pytest.raises(Exception, match="demonstration"):
        seen.side_by_side.metrics_parquet({seen.compared: make_run(store).id})
