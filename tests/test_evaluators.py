"""What each evaluator scores, in figures that published libraries give too (rouge-score 0.1.2, sacreBLEU 2.5.1)."""

import json
import math
import random

import pytest

from qlora_app.chance import student, wilson
from qlora_app.cli.evaluating import _figure as told_figure
from qlora_app.evaluate import EVALUATORS
from qlora_app.evaluate.compare import compared
from qlora_app.evaluate.contestants import Contestant
from qlora_app.evaluate.figures import Figure
from qlora_app.evaluate.general_rules import General, GeneralRules
from qlora_app.evaluate.mmlu import macro
from qlora_app.evaluate.mmlu_subjects import CATEGORY, category_of
from qlora_app.evaluate.multiple_choice import Mmlu
from qlora_app.evaluate.question_sets import QuestionSet, SetQuestion
from qlora_app.settings import Settings
from qlora_app.tasks import Question
from tests.refusing import refused
from tests.test_evaluate import asked, measured


def score(name, answer, expected, **settings):
    return EVALUATORS[name].model_validate(settings).score(Question([], expected), answer)


@pytest.mark.parametrize(
    ("answer", "expected", "rouge", "chrf"),
    [
        ("police killed the gunman", "police kill the gunman", 0.75, 0.816239),
        ("The cat sat, on the mat.", "the cat is on the mat", 0.833333, 0.565935),
        ("Guten Morgen, Welt!", "Guten Abend, Welt!", 0.666667, 0.444553),
        ("a", "a b c d e f g", 0.25, 0.172414),
        ("", "x", 0.0, 0.0),
        ("42 apples", "forty-two apples", 0.4, 0.299136),
        ("ab", "ab", 1.0, 1.0),
    ],
)
def test_rouge_l_and_chrf_are_those_of_their_libraries(answer, expected, rouge, chrf):
    assert score("rouge_l", answer, expected) == pytest.approx(rouge, abs=1e-6)
    assert score("chrf", answer, expected) == pytest.approx(chrf, abs=1e-6)


@pytest.mark.parametrize(
    ("name", "answer", "expected", "settings", "right"),
    [
        ("contains", "It is Mira, of course.", "mira", {}, 1.0),
        ("contains", "It is Mira.", "mira", {"ignore_case": False}, 0.0),
        *(("contains", answer, "5", {}, 0.0) for answer in ("15", "It is 1.5", "5,2 in all", "minus: -5", "5th", "")),
        *(("contains", answer, "5", {}, 1.0) for answer in ("It is 5.", "2+3=5", "3-5 of them", "(5)", "5, I think")),
        ("contains", "I know nothing", "no", {}, 0.0),
        ("contains", "Oh no!", "no", {}, 1.0),
        ("contains", "Written in C++ and C", "c++", {}, 1.0),
        ("contains", "中国的首都是北京。", "北京", {}, 1.0),
        ("contains", "anything", "  ", {}, 0.0),
        ("regex", "about 42", "", {"pattern": r"\d+$"}, 1.0),
        ("regex", "42 or so", "", {"pattern": r"^\d+$"}, 0.0),
        ("json_valid", '{"a": 1}', "", {}, 1.0),
        ("json_valid", '```json\n{"a": 1}\n```', "", {}, 1.0),
        ("json_valid", '```json\n{"a": 1}\n```', "", {"fenced": False}, 0.0),
        ("json_valid", '{"a": NaN}', "", {}, 0.0),
        ("json_valid", 'Here: {"a": 1}', "", {}, 0.0),
        ("json_fields", '{"b": [1, 2], "a": "x"}', '{"a": "x", "b": [1, 2]}', {}, 1.0),
        ("json_fields", '{"a": "x", "b": [1, 3]}', '{"a": "x", "b": [1, 2]}', {}, 2 / 3),
        ("json_fields", '{"a": "x", "c": 1}', '{"a": "x"}', {}, 1 / 2),
        ("json_fields", '{"a": true}', '{"a": 1}', {}, 0.0),
        ("json_fields", "no JSON", '{"a": 1}', {}, 0.0),
        ("labels", " Positive\n", "positive", {}, 1.0),
        ("length", "four words are here", "", {}, 4.0),
    ],
)
def test_what_an_answer_scores(name, answer, expected, settings, right):
    assert score(name, answer, expected, **settings) == pytest.approx(right)


def test_a_regular_expression_that_runs_for_ever_is_ended(monkeypatch):
    monkeypatch.setattr("qlora_app.evaluate.patterns.PATIENCE", 0.2)
    with refused("evaluate.endless_pattern"):
        score("regex", "a" * 200 + "b", "", pattern="(a|aa)+$")


def test_macro_f1_counts_a_rare_label_as_much_as_a_frequent_one():
    found = measured(EVALUATORS["labels"](), asked(*"aaaaaaaaab"), lazy=["a"] * 10)
    figures = found.of("lazy").figures
    assert figures["accuracy"].value == 0.9 and figures["macro_f1"].value == pytest.approx((18 / 19) / 2)
    assert figures["macro_f1"].low <= figures["macro_f1"].value <= figures["macro_f1"].high


def test_questions_without_a_right_answer_are_counted_apart():
    found = measured(EVALUATORS["exact_match"](), asked("a", "", "c"), one=["a", "b", "x"])
    assert found.of("one").figures["exact_match"].questions == 2 and "1 of 3" in found.notes[0]


# ---- two on the same questions


def test_right_or_wrong_is_told_apart_by_mcnemars_exact_test():
    found = compared("one", "other", [1.0] * 12 + [0.0] * 8, [0.0] * 10 + [1.0] * 2 + [0.0] * 8)
    assert (found.first_better, found.second_better) == (10, 0) and found.p == pytest.approx(2 / 2**10)
    assert (
        found.verdict.code == "evaluate.more_than_chance"
        and "one is right where other is wrong on 10" in found.sentence
    )
    equal = compared("one", "other", [1.0, 0.0], [0.0, 1.0])
    assert equal.p == 1.0 and equal.verdict.code == "evaluate.no_more_than_chance"


@pytest.mark.parametrize("gap", [0.0, 0.3])
def test_scores_are_called_different_about_as_often_as_they_should(gap):
    """At 95 %: of equal ones about 5 in 100, of ones that far apart nearly all."""
    chance, surely = random.Random(0), 0
    for _ in range(60):
        one = [chance.gauss(0.5, 0.3) for _ in range(40)]
        surely += compared("a", "b", [score + gap + chance.gauss(0, 0.2) for score in one], one).is_sure
    assert surely > 57 if gap else surely < 9


def test_where_less_is_better_the_lower_one_is():
    found = compared("a", "b", [0.5, 1.0, 1.5] * 5, [1.0, 1.7, 1.6] * 5, "lower")
    assert (found.first_better, found.second_better) == (15, 0) and "a does better on 15" in found.sentence


def test_a_single_question_says_nothing_of_others():
    assert compared("a", "b", [0.3], [0.4]).low is None
    figure = Figure.mean_of([0.3])
    assert (figure.low, figure.high) == (0.0, 1.0)


@pytest.mark.parametrize("count", [2, 5, 80])
@pytest.mark.parametrize(("lowest", "highest"), [(0.0, 1.0), (1.0, 10.0), (0.0, math.inf)])
@pytest.mark.parametrize("place", [0.0, 0.3, 1.0])
def test_scores_that_are_all_alike_make_no_figure_certain(count, lowest, highest, place):
    """More of them make it surer; how far it may be off is said whatever the scale."""
    value = lowest + place * (min(highest, 100.0) - lowest)
    some, more = (Figure.mean_of([value] * times, lowest, highest) for times in (count, 4 * count))
    assert lowest <= some.low <= some.value <= some.high <= highest and some.low < some.high
    assert more.high - more.low < some.high - some.low


def test_a_figure_whose_every_draw_is_the_same_is_not_certain_either():
    figure = measured(EVALUATORS["labels"](), asked(*"aabb"), one=list("aabb")).of("one").figures["macro_f1"]
    assert figure.value == figure.high == 1.0 and figure.low < 0.6


@pytest.mark.parametrize(("gap", "largest"), [(0.0, 1.0), (1.0, 1.0), (4.0, 9.0), (-2.0, 9.0)])
def test_differences_that_are_all_alike_are_not_certain(gap, largest):
    pair = compared("x", "y", [max(gap, 0.0)] * 20, [max(-gap, 0.0)] * 20, largest=largest)
    assert pair.low < pair.high and -largest <= pair.low <= pair.difference <= pair.high <= largest
    assert compared("x", "y", [5.0] * 20, [2.0] * 20).low is None  # where nothing bounds a difference


@pytest.mark.parametrize("draw", range(20))
def test_an_interval_holds_no_difference_where_it_may_be_chance_and_only_there(draw):
    chance = random.Random(draw)
    gap, spread = chance.choice([-0.1, 0.0, 0.1]), chance.choice([0.0, 0.05, 0.3])
    one = [0.5 + gap + chance.uniform(-spread, spread) for _ in range(chance.choice([4, 8, 20]))]
    pair = compared("x", "y", one, [0.5] * len(one), largest=1.0)
    assert pair.low <= pair.difference <= pair.high
    if pair.is_sure:
        assert pair.low >= 0.0 or pair.high <= 0.0
    else:
        assert pair.low <= 0.0 <= pair.high


def test_where_all_that_are_drawn_are_alike_the_interval_holds_the_true_mean_as_often_as_it_says():
    """One of ten scores 10 and not 5: of samples that do not show it, as many as there are hold it all the same."""
    chance, holds = random.Random(0), 0
    for _ in range(300):
        figure = Figure.mean_of([10.0 if chance.random() < 0.1 else 5.0 for _ in range(12)], 1.0, 10.0)
        holds += figure.low <= 5.5 <= figure.high
    assert holds > 0.9 * 300


@pytest.mark.parametrize(
    ("degrees", "quantile"), [(1, 12.7062), (6, 2.4469), (10, 2.2281), (30, 2.0423), (1000, 1.9623)]
)
def test_students_quantile_is_that_of_the_tables(degrees, quantile):
    assert student(degrees) == pytest.approx(quantile, abs=2e-3)


# ---- multiple choice


DEV = 'What is 1+1?,1,2,3,4,B\n"Read this.\n\nWhere?",here,"there, or so",up,down,D\n'
TEST = "Who bakes?,Mira,Otto,Ida,Tom,A\nWho is late?,Mira,Otto,Ida,Tom,C\n"
PROMPT = (
    "The following are multiple choice questions (with answers) about  high school biology.\n\n"
    "What is 1+1?\nA. 1\nB. 2\nC. 3\nD. 4\nAnswer: B\n\n"
    "Read this.\n\nWhere?\nA. here\nB. there, or so\nC. up\nD. down\nAnswer: D\n\n"
    "Who bakes?\nA. Mira\nB. Otto\nC. Ida\nD. Tom\nAnswer:"
)


@pytest.fixture
def mmlu(tmp_path):
    for part, text in (("dev", DEV), ("test", TEST)):
        (tmp_path / "mmlu" / part).mkdir(parents=True)
        (tmp_path / "mmlu" / part / f"high_school_biology_{part}.csv").write_text(text)
    return tmp_path / "mmlu"


def read(place):
    return Mmlu(path=str(place)).read(place.parent, Settings())


def test_a_multiple_choice_prompt_is_that_of_the_qlora_repository(mmlu):
    found = read(mmlu).questions
    assert "".join(found[0].pieces) == PROMPT and [one.expected for one in found] == ["A", "C"]
    assert found[0].category == "high_school_biology"


@pytest.mark.parametrize("lines", [True, False], ids=["JSONL", "JSON"])
def test_the_json_of_the_qlora_repository_is_the_same_questions(mmlu, tmp_path, lines):
    rows = [{"subject": "high_school_biology", "input": PROMPT, "output": "A"}]
    file = tmp_path / "five_shot.json"
    file.write_text("\n".join(map(json.dumps, rows)) if lines else json.dumps(rows))
    assert read(file).questions[0].pieces == read(mmlu).questions[0].pieces


def test_a_csv_with_a_header_and_numbers_is_read_and_one_that_is_none_is_refused(tmp_path):
    file = tmp_path / "anatomy_dev.csv"
    file.write_text("question,choice0,choice1,choice2,choice3,answer\nWhere?,a,b,c,d,3\n")
    assert read(file).questions[0].expected == "D"
    file.write_text("Where?,a,b,c,D\n")
    with refused("evaluate.no_choice_row"):
        read(file)
    (tmp_path / "empty").mkdir()
    with refused("evaluate.no_choices"):
        read(tmp_path / "empty")


def test_every_subject_has_its_category():
    assert len(CATEGORY) == 57 and category_of("high school us history") == "humanities"
    assert {category: list(CATEGORY.values()).count(category) for category in CATEGORY.values()} == {
        "STEM": 19,
        "humanities": 13,
        "social sciences": 12,
        "other": 13,
    }


def test_the_mean_over_subjects_has_the_standard_error_of_a_mean_of_means():
    figure = macro([[1.0] * 8 + [0.0] * 2, [1.0] * 2 + [0.0] * 2])
    square = (0.8 * 0.2 / 9 + 0.5 * 0.5 / 3) / 4
    assert figure.value == pytest.approx(0.65)
    assert (figure.low, figure.high) == pytest.approx(wilson(0.65, 0.65 * 0.35 / square))


def test_subjects_without_a_spread_make_nothing_surer():
    one_each = macro([[1.0], [0.0], [1.0], [0.0]])
    assert one_each.low < 0.2 and one_each.high > 0.8
    rare = macro([[1.0, 0.0, 0.0], *[[0.0] * 3] * 5])
    assert 0 < rare.low < 1 / 18 and rare.high > 0.2
    assert macro([[1.0] * 2, [1.0]]).low < 0.5


def test_a_difference_is_no_larger_than_there_can_be():
    pair = compared("x", "y", [1.0, 0.5, 1.0], [0.0, 0.5, 0.0], largest=1.0)
    assert -1 <= pair.low <= pair.difference <= pair.high <= 1


def test_of_nothing_no_figure_is_told():
    assert told_figure(Figure.mean_of([]), "share") == ("-", "-")
    assert told_figure(Figure.mean_of([1.0, 0.0]), "share")[0] == "50.0%"


def test_a_limit_takes_turns_over_the_categories():
    asked = [SetQuestion(f"{name}{place}", name, Question([], "")) for name in "abc" for place in range(4)]
    some = QuestionSet.of("some", asked)
    assert [one.id for one in some.first(5).questions] == ["a0", "a1", "b0", "b1", "c0"]
    assert some.first(None) == some == some.first(99) and some.first(5).digest == some.digest
    plain = QuestionSet.of("plain", [SetQuestion(str(place), "", Question([], "")) for place in range(4)])
    assert [one.id for one in plain.first(2).questions] == ["0", "1"]


@pytest.mark.parametrize("name", ["perplexity", "mmlu"])
@pytest.mark.parametrize("who", ["endpoint", "file"])
def test_who_says_no_likelihoods_is_refused(name, who):
    with pytest.raises(Exception, match="only a model of this machine") as error:
        EVALUATORS[name]().check(Contestant(who=who, endpoint="e", file="f"))
    assert error.value.code.startswith("evaluate.no_l")


def test_the_general_questions_are_a_set_that_its_rules_judge(tmp_path):
    questions = General().read(tmp_path, Settings())
    assert len(questions.questions) == 60 and len(questions.categories) == 4
    found = measured_of(GeneralRules(), questions, ["I cannot help with that."] * 60)
    assert found.categories["refusal"].value == 8 / 15 and found.categories["arithmetic"].value == 0.0


def measured_of(evaluator, questions, answers):
    rows = {one.id: {"answer": answer} for one, answer in zip(questions.questions, answers, strict=True)}
    return evaluator.measure({"one": rows}, questions, None, None).of("one")
