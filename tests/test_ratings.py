"""Ratings of judgments: their laws, their intervals, what is read, and what is written."""

import csv
import io
import json
import math
from collections import Counter
from xml.etree import ElementTree

import numpy as np
import pytest

import qlora_app
from qlora_app.chance import student
from qlora_app.cli import main
from qlora_app.errors import UserError
from qlora_app.evaluate.ratings import (
    Games,
    Judgment,
    Judgments,
    agreement,
    bradley_terry,
    elo,
    judgments_of,
    latex_of,
    markdown_of,
    rate,
    read_judgments,
    standings_of,
    svg_of,
    votes_to_clear,
    write_files,
)
from qlora_app.evaluate.ratings.agreement import alpha, cohen_kappa, fleiss_kappa
from tests.refusing import refused

POINTS = math.log(10) / 400


def simulated(seed, strengths, count, *, questions=0, ties=0.0, mood=0.0, often=None):
    """Raters of models of known strength, in Elo points. mood: how much a question favours one model, in nats."""
    draw = np.random.default_rng(seed)
    m = len(strengths)
    pairs = np.array([(a, b) for a in range(m) for b in range(m) if a < b])
    share = np.ones(len(pairs)) if often is None else np.array(often, float)
    a, b = pairs[draw.choice(len(pairs), count, p=share / share.sum())].T
    question = draw.integers(0, questions, count) if questions else np.arange(count)
    x = np.array(strengths) * POINTS + draw.normal(0, mood or 1e-12, (question.max() + 1, m))
    wins = 1 / (1 + np.exp(x[question, b] - x[question, a]))
    tie = 2 * ties * np.minimum(wins, 1 - wins)
    luck = draw.random(count)
    score = np.where(luck < tie, 0.5, (luck < tie / 2 + wins).astype(float))
    return Games(tuple(map(str, range(m))), a, b, score, np.unique(question, return_inverse=True)[1])


def rows_of(games):
    winner = {1.0: "a", 0.0: "b", 0.5: "tie"}
    return [
        Judgment(games.models[a], games.models[b], winner[float(s)], f"q{q}", "ann")
        for a, b, s, q in zip(games.first, games.second, games.score, games.question, strict=True)
    ]


ROWS = rows_of(simulated(0, [0, 100, 200], 120, questions=30, ties=0.3))


# ---- Elo


def test_elo_is_the_formula_match_by_match_and_its_mean_over_orders():
    games, k, orders = Games.of(ROWS), 16.0, 1003
    draw, total = np.random.default_rng(7), np.zeros(3)
    for _ in range(orders):
        ratings = [1000.0] * 3
        for at in draw.permutation(len(ROWS)):
            a, b = games.first[at], games.second[at]
            change = k * (games.score[at] - 1 / (1 + 10 ** ((ratings[b] - ratings[a]) / 400)))
            ratings[a], ratings[b] = ratings[a] + change, ratings[b] - change
        total += ratings
    assert elo(games, k, orders, seed=7) == pytest.approx(total / orders, abs=1e-6)


@pytest.mark.parametrize("k", [1.0, 4.0, 32.0, 200.0])
def test_elo_gives_away_no_points_and_its_seed_gives_it_again(k):
    games = Games.of(ROWS)
    found = elo(games, k, 50, seed=3)
    assert found.sum() == pytest.approx(3000) and (found == elo(games, k, 50, seed=3)).all()
    assert not np.allclose(found, elo(games, k, 50, seed=4))


# ---- Bradley and Terry


@pytest.mark.parametrize("seed", range(5))
def test_every_model_won_as_often_as_its_rating_expects(seed):
    games = simulated(seed, [0, 50, 100, 400], 300, ties=0.3)
    fit, wins = bradley_terry(games), games.wins()
    expected = 1 / (1 + 10 ** ((fit.ratings[None, :] - fit.ratings[:, None]) / 400))
    if not fit.is_virtual:
        assert ((wins + wins.T) * expected).sum(axis=1) == pytest.approx(wins.sum(axis=1), abs=1e-6)
    assert fit.ratings.mean() == pytest.approx(1000)


@pytest.mark.parametrize("change", ["sides", "order", "names"])
def test_neither_sides_nor_order_nor_names_move_a_rating(change):
    turned = {"a": "b", "b": "a", "tie": "tie"}
    new = {"0": "z", "1": "y", "2": "x"} if change == "names" else {"0": "0", "1": "1", "2": "2"}
    rows = [Judgment(new[r.model_a], new[r.model_b], r.winner, r.question) for r in ROWS]
    if change == "sides":
        rows = [Judgment(r.model_b, r.model_a, turned[r.winner], r.question) for r in rows]
    if change == "order":
        rows = rows[::-1]
    found = {one.model: (one.rating, one.low, one.high, one.rank) for one in standings_of(rows, orderings=1)}
    for one in standings_of(ROWS, orderings=1):
        assert found[new[one.model]] == pytest.approx((one.rating, one.low, one.high, one.rank), abs=1e-4)


def test_judging_the_same_question_again_makes_nothing_surer():
    """Judgments of one question count as one observation; without questions each counts for itself."""
    often = bradley_terry(Games.of(ROWS * 20)).margin
    assert bradley_terry(Games.of(ROWS * 5)).margin == pytest.approx(often, rel=0.02)
    alone = [Judgment(r.model_a, r.model_b, r.winner) for r in ROWS]
    ratio = bradley_terry(Games.of(alone)).margin / bradley_terry(Games.of(alone * 5)).margin
    assert ratio == pytest.approx(np.full(3, math.sqrt(5)), rel=0.02)


KNOWN = {  # simulated raters: what is known of them, and how they judge
    "two models": ([0, 100], 200, {}),
    "four models": ([0, 100, 200, 300], 200, {}),
    "ties": ([0, 100, 200], 200, {"ties": 0.6}),
    "questions with moods": ([0, 100, 200, 300], 400, {"questions": 40, "mood": 0.7}),
    "few questions": ([0, 100, 200], 200, {"questions": 8, "mood": 0.5}),
    "pairs seldom played": ([0, 100, 200], 200, {"often": [12, 1, 1]}),
    "one far above": ([0, 100, 800], 200, {}),
    "few votes": ([0, 100], 25, {}),
}


@pytest.mark.parametrize("name", KNOWN)
def test_the_interval_covers_the_true_strength(name):
    strengths, count, how = KNOWN[name]
    truth = np.array(strengths) - np.mean(strengths) + 1000
    if "mood" in how:  # strengths are less far apart over all questions than within one
        truth = bradley_terry(simulated(0, strengths, 100_000, mood=how["mood"])).ratings
    covered = np.zeros(len(strengths))
    for seed in range(100):
        fit = bradley_terry(simulated(seed, strengths, count, **how))
        covered += np.abs(fit.ratings - truth) <= fit.margin
    assert covered.min() >= 90


def test_the_quantile_of_student():
    known = {1: 12.706, 3: 3.182, 5: 2.571, 10: 2.228, 30: 2.042, 79: 1.990, 10_000: 1.960}
    assert {freedom: student(freedom) for freedom in known} == pytest.approx(known, abs=0.004)


# ---- little known


def test_a_model_that_won_everything_has_a_finite_rating_and_that_is_said():
    rows = [Judgment("best", other, "a", f"q{at}") for at in range(8) for other in ("x", "y")]
    rows += [Judgment("x", "y", "tie", f"q{at}") for at in range(8)]
    told = rate(Judgments(rows), orderings=10)
    best = told.standings[0]
    assert best.model == "best" and math.isfinite(best.high) and best.high < 3000
    assert {"ratings.virtual", "ratings.few_questions"} <= {note.code for note in told.notes}


def test_groups_that_never_met_are_not_compared():
    rows = [Judgment("a", "b", "a"), Judgment("c", "d", "b"), Judgment("d", "e", "tie")]
    told = rate(Judgments(rows), orderings=10)
    assert len({one.group for one in told.standings if one.model in "ab"}) == 1
    assert {one.group for one in told.standings} == {0, 1}
    codes = {note.code for note in told.notes}
    assert {"ratings.not_connected", "ratings.not_enough", "ratings.no_question", "ratings.no_rater"} <= codes
    assert all(one.rank == 1 for one in told.standings) and votes_to_clear(rows) is None


def test_rank_counts_those_that_are_surely_better():
    told = standings_of(rows_of(simulated(1, [0, 5, 600], 600)), orderings=1)
    assert [one.rank for one in told] == [1, 2, 2]
    for one in told:
        assert one.rank > sum(other.low > one.high for other in told), "the difference is surer than both by themselves"


@pytest.mark.parametrize("seed", range(12))
def test_it_is_clear_where_every_rank_is_another_one(seed):
    rows = rows_of(simulated(seed, [0, 60, 160, 260], 600))
    ranks = [one.rank for one in standings_of(rows, orderings=1)]
    assert (votes_to_clear(rows) == 0) == (ranks == [1, 2, 3, 4])


def test_about_so_many_more_votes_make_it_clear():
    clear = rows_of(simulated(1, [0, 300], 200))
    assert votes_to_clear(clear) == 0
    close = rows_of(simulated(2, [0, 60], 60))
    more = votes_to_clear(close)
    assert more is None or more > 0
    even = [Judgment("x", "y", winner) for winner in ("a", "b") * 20]
    assert votes_to_clear(even) is None


# ---- what is read


@pytest.mark.parametrize("names", [("b", "a"), ("2", "1"), ("tie", "x"), ("model_b", "model_a"), ("y", "Y")])
@pytest.mark.parametrize(("said", "winner"), [("a", "a"), ("model_b", "b"), ("tie", "tie"), ("B", "b")])
def test_whatever_models_are_called_the_words_of_the_schema_mean_the_sides(names, said, winner):
    first, second = names
    (found,) = judgments_of({"model_a": first, "model_b": second, "winner": said})
    assert (found.model_a, found.model_b, found.winner) == (first, second, winner)
    if first.lower() not in ("a", "b", "tie", "model_a", "model_b"):
        assert judgments_of({"model_a": first, "model_b": second, "winner": first})[0].winner == "a"


def test_both_orders_of_a_pair_are_two_judgments():
    row = {"question_id": 1, "model_1": "x", "model_2": "y", "judge": ["gpt-4", "pair-v2"]}
    found = judgments_of(row | {"g1_winner": "model_1", "g2_winner": "model_2"})
    assert [one.winner for one in found] == ["a", "b"] and found[0].rater == "gpt-4/pair-v2"
    with pytest.raises(UserError) as caught:
        judgments_of(row | {"g1_winner": "error", "g2_winner": "tie"})
    assert caught.value.code == "ratings.no_winner"


WRITTEN = {
    "pipes.csv": "question|model_a|model_b|winner|rater\nq1|x|y|a|ann\n",
    "excel.csv": "sep=;\r\nquestion;model a;model b;winner;rater\r\nq1;x;y;a;ann\r\n",
    "capitals.jsonl": '{"Question": "q1", "Model_A": "x", "MODEL_B": "y", "Winner": "a", "Rater": "ann"}',
    "arena.csv": "question_id,model_a,model_b,rater,winner_model_a,winner_model_b,winner_tie\nq1,x,y,ann,1,0,0\n",
    "two_scores.csv": "question,model_a,model_b,score_a,score_b,rater\nq1,x,y,9,8.5,ann\n",
    "one.json": '{\n "question": "q1",\n "model_a": "x", "model_b": "y", "winner": "a", "rater": "ann"\n}',
    "under.json": '{"rows": [{"question": "q1", "model_a": "x", "model_b": "y", "winner": "a", "rater": "ann"}]}',
    "pandas.json": '{"question": {"0": "q1"}, "model_a": {"0": "x"}, "model_b": {"0": "y"}, "winner": {"0": "a"}, '
    '"rater": {"0": "ann"}}',
    "ours.jsonl": '{"winner": "a", "rater": "ann", "question": "q1", "model_a": "x", "model_b": "y"}\n\n',
    "ours.csv": "rater,winner,model_b,question,model_a\nann,a,y,q1,x\n",
    "semicolons.csv": "\ufeffQuestion;Model_A;Model_B;Winner;Rater\nq1;x;y;A;ann\n",
    "list.json": '[{"question": "q1", "model_a": "x", "model_b": "y", "winner": "model_a", "rater": "ann"}]',
    "names.jsonl": '{"question_id": "q1", "model_a": "x", "model_b": "y", "winner": "x", "judge": "ann"}',
    "mt_bench.jsonl": '{"question_id": "q1", "model_1": "x", "model_2": "y", "g1_winner": "model_1", "judge": "ann"}',
    "scores.csv": "question_id,model_1,model_2,score,reviewer\nq1,x,y,1,ann\n",
    "x-vs-y-gpt-4-reviewer-threeclass.jsonl": '{"question_id": "q1", "score": 1, "reviewer_id": "ann", "text": "1"}',
    "x_vs_y.jsonl": '{"question_id": "q1", "score": [9.0, 7.5], "reviewer_id": "ann", "text": "9 7.5"}',
}


@pytest.mark.parametrize("name", WRITTEN)
def test_rows_of_others_are_read_alike(name, tmp_path):
    (tmp_path / name).write_text(WRITTEN[name], encoding="utf-8")
    assert read_judgments(tmp_path / name).rows == [Judgment("x", "y", "a", "q1", "ann")]


@pytest.mark.parametrize(
    ("said", "winner"),
    [
        ("a", "a"),
        ("B", "b"),
        (" Tie ", "tie"),
        ("tie (bothbad)", "tie"),
        (3, "tie"),
        ("2.0", "b"),
        ("[[A]]", "a"),
        ([7, 8], "b"),
        ([5, 5], "tie"),
        ("both_bad", "tie"),
        ("(8, 2)", "a"),
        ("8 9", "b"),
        (["7", "7.0"], "tie"),
        ("tie (inconsistent)", "tie"),
        ("[[C]]", "tie"),
        ("A>B", "a"),
        ("Assistant B", "b"),
        ("X", "a"),  # the name of a model, in other letters
    ],
)
def test_words_for_who_was_better(said, winner):
    (found,) = judgments_of({"model_a": "x", "model_b": "y", "winner": said})
    assert found.winner == winner


def test_rows_that_say_nothing_are_named_by_line_and_code(tmp_path):
    good = {"model_a": "x", "model_b": "y", "winner": "a"}
    bad = {
        "ratings.no_json": '{"model_a": "x", "mod',
        "ratings.no_object": "[1]",
        "ratings.no_models": json.dumps(good | {"model_b": {"name": "y"}}),
        "ratings.same_model": json.dumps(good | {"model_b": "x"}),
        "ratings.no_winner": json.dumps(good | {"winner": [-1, -1]}),
    }
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join([json.dumps(good), *bad.values(), json.dumps(good | {"winner": -1})]))
    judged = read_judgments(file)
    assert len(judged.rows) == 1 and judged.bad_count == 6
    assert [(row.line, row.problem.code) for row in judged.bad][:5] == list(enumerate(bad, 2))


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "ratings.nothing_judged"),
        (b"\xff\xfe\xff", "ratings.no_text"),
        (b"[1, ", "ratings.broken_list"),
        (b"question,answer\n1,2\n", "ratings.nothing_judged"),
        (b'question,model_a,model_b,winner\n1,x,y,a\n"2,x,y,a\n3,x,y,b\n', "ratings.no_csv"),
        (b"question,model_a,model_b,winner\n1,x,y,1\n2,x,y,0\n", "ratings.zero"),
    ],
)
def test_a_file_of_no_judgments_says_so(content, code, tmp_path):
    (tmp_path / "rows.csv").write_bytes(content)
    with pytest.raises(UserError) as caught:
        read_judgments(tmp_path / "rows.csv")
    assert caught.value.code == code


# ---- agreement


def test_published_examples_of_agreement():
    fleiss = """0 0 0 0 14/0 2 6 4 2/0 0 3 5 6/0 3 9 2 0/2 2 8 1 1/7 7 0 0 0/3 2 6 3 0/2 5 3 2 2/6 5 2 1 0/0 2 2 3 7"""
    counts = [Counter({str(at): int(n) for at, n in enumerate(row.split()) if int(n)}) for row in fleiss.split("/")]
    assert fleiss_kappa(counts) == pytest.approx(0.210, abs=0.0005)
    krippendorff = ["123321412...", "1233224125.3", ".3332342251.", "12332441251."]  # 2011, nominal data
    units = [Counter(word for word in unit if word != ".") for unit in zip(*krippendorff, strict=True)]
    assert alpha([unit for unit in units if unit.total() > 1]) == pytest.approx(0.743, abs=0.0005)
    yes_no = [("yes", "yes")] * 20 + [("yes", "no")] * 5 + [("no", "yes")] * 10 + [("no", "no")] * 15
    assert cohen_kappa(dict(enumerate(a for a, _ in yes_no)), dict(enumerate(b for _, b in yes_no))) == pytest.approx(
        0.4
    )


def test_a_judge_against_people_whichever_answer_stood_first():
    rows = []
    for at in range(20):
        rows += [Judgment("x", "y", "a", f"q{at}", who) for who in ("ann", "bob")]
        rows.append(Judgment("y", "x", "b" if at < 15 else "a", f"q{at}", "judge"))
    told = agreement(rows, judges=["judge"])
    assert [(one.things, one.agree) for one in told.judges] == [(20, 0.75)]
    assert {(one.first, one.second): one.agree for one in told.pairs}["ann", "bob"] == 1
    assert agreement(rows[:0]).alpha is None and agreement(rows[:1]).things == 0


# ---- what is written


def test_all_files_of_a_leaderboard_whatever_the_names(tmp_path):
    names = ['<b>&"', "=SUM(A1)", "a|b_c*d", r"10%\$~{^}"]
    pairs = [(a, b) for a in names for b in names if a != b]
    rows = [Judgment(*pair, "ab"[at % 2], f"q{at}", category=str(at % 2)) for at in range(20) for pair in pairs]
    told = rate(Judgments(rows), orderings=10)
    files = {file.name: file.read_text() for file in write_files(told, tmp_path / "out")}
    for name in ("leaderboard.csv", "wins.csv"):
        table = list(csv.reader(io.StringIO(files[name])))
        assert len(table) == 5 and len({len(row) for row in table}) == 1
        assert not any(cell.startswith("=") for row in table for cell in row)
    picture = ElementTree.fromstring(files["leaderboard.svg"])
    assert picture.get("role") == "img" and all(name in picture.get("aria-label") for name in names)
    assert {len(line.replace(r"\|", "").split("|")) for line in markdown_of(told).splitlines()[:6]} == {8}
    assert r"10\%\textbackslash{}\$\textasciitilde{}\{\textasciicircum{}\}" in latex_of(told.standings)
    kept = json.loads(files["ratings.json"])
    assert set(kept["categories"]) == {"0", "1"} and set(kept["elo"]) == set(names)
    assert svg_of(()) and standings_of(rows[:1], orderings=1)


def test_the_command_prints_json_for_scripts_and_a_table_for_people(tmp_path, capsys, home):
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row.to_json()) + "\n" for row in ROWS) + "{broken\n")
    assert main(["ratings", str(file), "--json", "--k", "4", "--orderings", "100", "--seed", "1"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["elo"] == pytest.approx(dict(zip("012", elo(Games.of(ROWS), 4, 100, 1), strict=True)), abs=0.01)
    assert set(said["bradley_terry"]["0"]) == {"rating", "low", "high"}
    assert said["bad_rows"] == [{"line": 121, "code": "ratings.no_json", "sentence": said["bad_rows"][0]["sentence"]}]
    assert main(["ratings", str(file), "--orderings", "10", "--out", str(tmp_path / "out")]) == 0
    assert "line 121" in capsys.readouterr().out and (tmp_path / "out" / "leaderboard.svg").is_file()


@pytest.mark.parametrize(
    ("given", "code"),
    [
        *(({"k": k}, "ratings.bad_k") for k in (math.nan, math.inf, -5, 0)),
        ({"seed": -1}, "ratings.bad_seed"),
        ({"judges": ["nobody"]}, "ratings.no_such_rater"),
    ],
)
def test_what_rates_nothing_is_refused(given, code):
    with refused(code):
        rate(Judgments(ROWS[:20]), orderings=10, **given)


def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path, capsys, home):
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps(ROWS[0].to_json()) + "\n")
    assert main(["ratings", str(file), "--orderings", "10", "--out", str(file / "x")]) != 0
    assert "Choose another folder" in capsys.readouterr().err


def test_from_python_it_is_the_same(tmp_path, home):
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row.to_json()) + "\n" for row in ROWS))
    told = qlora_app.ratings(file, k=4, orderings=20)
    assert told == qlora_app.ratings([row.to_json() for row in ROWS], k=4, orderings=20)
    assert set(told) >= {"elo", "bradley_terry"}


# ---- names


def test_one_name_of_two_models_is_rated_apart_and_said(tmp_path):
    """A run that was trained further, or one of another home: what one of them won is not the other's."""
    early = [
        {"model_a": "mine", "checksum_a": "aaaa1111", "model_b": "base", "winner": "b", "question": i}
        for i in range(12)
    ]
    late = [row | {"checksum_a": "bbbb2222", "winner": "a"} for row in early]
    for name, rows in (("early", early), ("late", late)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    alone = rate(read_judgments(tmp_path / "late.jsonl"), orderings=1)
    assert {one.model for one in alone.standings} == {"mine", "base"}
    both = rate(read_judgments(tmp_path / "early.jsonl", tmp_path / "late.jsonl"), orderings=1)
    assert [one.model for one in both.standings] == ["mine #bbbb22", "base", "mine #aaaa11"]
    assert next(note for note in both.notes if note.code == "ratings.several_models").values["count"] == 2
    unknown = [Judgment("base", "mine", "a", "q")]
    apart = rate(Judgments([*read_judgments(tmp_path / "early.jsonl").rows, *unknown]), orderings=1)
    assert {one.model for one in apart.standings} == {"mine", "base"}, "nothing says that it is another one"
