"""A judge: what it wrote is read as it is meant or not at all, and nothing an endpoint does is taken for a verdict."""

import json
import random
from pathlib import Path

import pytest

import qlora_app
from qlora_app import worker
from qlora_app.cli import main
from qlora_app.evaluate import Judge
from qlora_app.evaluate.changed import what_changed
from qlora_app.evaluate.figures import Figure
from qlora_app.evaluate.judge import judging
from qlora_app.evaluate.judge.budget import Budget, Cost, Estimate, Limits, Price
from qlora_app.evaluate.judge.client import Asking
from qlora_app.evaluate.judge.evaluator import SCALES, _by_contestant, _measured, spent_in
from qlora_app.evaluate.judge.judged import begun, judge_of, judged_in, lost_in, total_of
from qlora_app.evaluate.judge.judging import copies, judge_all, pairs_of, tasks_of, to_ask
from qlora_app.evaluate.judge.prompts import JudgePrompt
from qlora_app.evaluate.judge.report import JudgeReport, report_of, share_by_question
from qlora_app.evaluate.judge.verdicts import score_of, verdict_of
from qlora_app.jobs import JobStore
from qlora_app.kinds.evaluate import EvaluateSpec, evaluation_of
from qlora_app.kinds.judging import of_evaluation, of_files
from qlora_app.settings import Endpoint, Settings
from qlora_app.storage.digests import sha256_of
from qlora_app.ui.door import routes
from tests.fixtures.judge import KEPT, KEY, PASSING, TEXTS, FakeJudge, pairs
from tests.fixtures.serving import served
from tests.refusing import refused

PATIENT = Asking(attempts=3, seconds=60)
NO_LIMITS, FREE = Limits(), Price()
PROMPT = JudgePrompt.of("pairs")


class Bench:
    """One evaluation that is judged, again and again: its lines stay."""

    def __init__(self, endpoint, answered, prompt=PROMPT, asking=PATIENT, limits=NO_LIMITS, price=FREE):
        self.endpoint, self.prompt, self.asking, self.limits, self.price = endpoint, prompt, asking, limits, price
        self.tasks, self.lines, self.waited = tasks_of(answered, prompt, endpoint.model), [], []
        self.begun = []

    def judge(self, at_once=3, on_progress=lambda done, of: None):
        rows = judged_in(self.lines)
        left = to_ask(self.tasks, {row.key for row in rows if row.is_asked})
        self.budget = Budget(self.limits, self.price, total_of(self.lines))
        return judge_all(
            left, self.endpoint, self.prompt, self.asking, self.budget, at_once, self.lines.append, on_progress,
            has_texts=any(row.is_asked for row in rows), pause=self.waited.append,
            begin=lambda key, most: self.begun.append(begun(key, most)),
        )  # fmt: skip

    @property
    def rows(self):
        return judged_in(self.lines)

    def report(self, **more):
        cost = total_of(self.lines)
        told = {"judge": "fake", "model": "m", "way": self.prompt.way, "prompt": self.prompt.digest, "money": None}
        return report_of(self.rows, **told, expected=len(self.tasks), cost=cost, is_out_of_budget=False, **more)


# ---- reading


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("Reasons.\n1", 1), ("**2**", 2), ("[[A]]", 1), ("I think so. [[C]]", 3), ("Verdict: 1", 1), ("(2)", 2),
        ("Answer 2", 2), ("Final verdict: Assistant 2.", 2), ("It is a tie.", 3), ("They are equally good", 3),
        ("Assistant 1 is better than Assistant 2.", 1), ('{"winner": "B"}', 2), ('```json\n{"verdict": 3}\n```', 3),
        ("Both are equally polite.\n\n1", 1), ("<think>2</think>1", 1), ("1 (Assistant 1)", 1),
        ("Assistant 2 is not better than Assistant 1", None), ("They are not equal", None), ("1\n2", None), ("", None),
        ("1. It is short.\n2. It is right.", None), ("Both are equally clear, but Assistant 1 is right.", None),
        ("[[A]] rather than [[B]]", None), ("<think>1", None), ("<html>1</html>", None), ("The answer is 42", None),
        ("1/2", None), ('{"winner": true}', None), ("Answer 1 is worse than answer 2", None),
    ],
)  # fmt: skip
def test_a_verdict_is_read_as_it_is_meant_or_not_at_all(text, verdict):
    assert verdict_of(text) == verdict


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ("7", 7), ("Good.\nScore: 8", 8), ("Rating: [[9]]", 9), ("8/10", 8), ("**7.5** out of 10", 7.5), ("10", 10),
        ('{"score": 6}', 6), ("11", None), ("0", None), ("3 mistakes", None), ("5\n6", None), ("100/10", None),
    ],
)  # fmt: skip
def test_a_score_is_read_as_it_is_meant_or_not_at_all(text, score):
    assert score_of(text) == score


# ---- asking


def test_a_prompt_lacks_no_placeholder_and_an_answer_is_none():
    with refused("judge.prompt_lacks"):
        JudgePrompt.of("pairs", "{question} {answer_1}")
    with refused("judge.prompt_unknown"):
        JudgePrompt.of("single", "{question} {answer} {answers}")
    asked = JudgePrompt.of("pairs", 'JSON {"winner": 1} {question}|{answer_1}|{answer_2}|{expected}')
    sent = asked.messages("", question="{answer_1}", answer_1="{answer_2}", answer_2="B", expected="")
    assert sent[1]["content"] == 'JSON {"winner": 1} {answer_1}|{answer_2}|B|'
    assert "step-by-step" in PROMPT.messages("math", question="q", answer_1="a", answer_2="b")[1]["content"]
    assert asked.digest != PROMPT.digest != JudgePrompt.of("single").digest


def test_both_orders_are_asked_and_a_bias_for_the_first_shows():
    with FakeJudge().serving() as endpoint:
        fair = Bench(endpoint, pairs(12))
        assert fair.judge()
    told = fair.report()
    assert (told.readable, told.unreadable, told.left, told.calls) == (24, 0, 0, 24)
    assert told.orders_agree.value == 1 and told.first_won.value == 0.5
    over_all = told.standings[0]
    assert (over_all.win, over_all.tie, over_all.loss) == (6, 0, 6) or over_all.win + over_all.loss == 12
    with FakeJudge(prefers=lambda first, second: 1).serving() as endpoint:
        biased = Bench(endpoint, pairs(12))
        biased.judge()
    told = biased.report()
    assert told.first_won.value == 1 and told.orders_agree.value == 0 and told.standings[0].tie == 12
    assert {one.code for one in told.words} >= {"judge.favours_first", "judge.says_little"}
    assert JudgeReport.from_json(json.loads(json.dumps(told.to_json()))) == told


@pytest.mark.parametrize("seed", range(8))
def test_whatever_an_endpoint_does_nothing_is_lost_repeated_or_made_up(seed):
    chance = random.Random(seed)
    faults = [chance.choice((*KEPT, *PASSING, "good", "good", "too_long")) for _ in range(30)]
    judge = FakeJudge(faults)
    with judge.serving() as endpoint:
        bench = Bench(endpoint, pairs(6))
        for _ in range(30):
            try:
                bench.judge(at_once=chance.choice((1, 3)))
            except Exception as error:
                assert getattr(error, "code", "") == "judge.never_answers", error
            if not bench.report().left:
                break
    told = bench.report()
    assert told.left == 0 and told.readable + told.unreadable == told.expected == 12
    assert judge.repeated == 0
    assert told.calls == judge.calls == sum(line["calls"] for line in bench.lines)
    texts = list(judge.texts.values())
    for row in bench.rows:
        assert row.text in [text.replace(KEY, "…") for text in texts]
        assert row.winner is None or (verdict_of(row.text) is not None and not row.was_cut)
    assert KEY not in json.dumps(bench.lines)


@pytest.mark.parametrize("fault", PASSING)
def test_a_fault_that_stays_is_a_sentence_and_no_verdict(fault):
    judge = FakeJudge([fault] * 99)
    with judge.serving() as endpoint:
        bench = Bench(endpoint, pairs(6), asking=Asking(attempts=2, seconds=60))
        with refused("judge.never_answers"):
            bench.judge()
    assert bench.rows and not any(row.is_asked or row.winner or row.text for row in bench.rows)
    assert all(row.problem for row in bench.rows) and bench.report().calls == judge.calls
    assert KEY not in json.dumps(bench.lines)


def test_an_answer_that_never_ends_is_given_up():
    judge = FakeJudge(["drip"] * 99)
    with judge.serving() as endpoint, refused("judge.never_answers"):
        Bench(endpoint, pairs(6), asking=Asking(attempts=1, seconds=0.2)).judge(at_once=4)
    assert judge.calls <= 12


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("key", "judge.refused"),
        ("gone", "judge.refused"),
        ("moved", "judge.refused"),
        ("wait_long", "judge.asks_to_wait"),
    ],
)
def test_an_endpoint_that_refuses_altogether_ends_the_job(fault, code):
    judge = FakeJudge(["good", "good", *[fault] * 99])
    with judge.serving() as endpoint:
        bench = Bench(endpoint, pairs(9))
        with refused(code) as refusal:
            bench.judge(at_once=1)
    assert judge.calls == 3 and sum(row.is_readable for row in bench.rows) == 2
    assert KEY not in str(refusal.value) and KEY not in json.dumps(bench.lines)


def test_nobody_listens():
    nobody = Endpoint(name="fake", url="http://127.0.0.1:9/v1", model="m", key=KEY)
    for count in (1, 6):
        with refused("judge.never_answers"):
            Bench(nobody, pairs(count)).judge()
    with refused("judge.bad_endpoint"):
        Bench(Endpoint(name="fake", url="http://a\x01/v1", model="m", key=KEY), pairs(1)).judge()


def test_questions_that_an_endpoint_refuses_hold_up_no_others():
    judge = FakeJudge(["good", *["too_long"] * 11])
    with judge.serving() as endpoint:
        bench = Bench(endpoint, pairs(8))
        assert bench.judge(at_once=1)
        assert bench.report().left == 11 and bench.report().failed == 11 and judge.calls == 16
        assert bench.judge() and bench.report().left == 0
    judge = FakeJudge(["too_long"] * 99)
    with judge.serving() as endpoint, refused("judge.never_answers"):
        Bench(endpoint, pairs(50)).judge()
    assert judge.calls < 20


def test_what_an_endpoint_will_not_be_told_is_not_told_again():
    judge = FakeJudge(["temperature", "max_tokens"])
    with judge.serving() as endpoint:
        bench = Bench(endpoint, pairs(2))
        assert bench.judge(at_once=1)
    assert judge.calls == 6 and bench.report().readable == 4
    assert "temperature" in judge.bodies[0] and "max_tokens" in judge.bodies[1]
    for body in judge.bodies[2:]:
        assert "temperature" not in body and "max_tokens" not in body and body["max_completion_tokens"] == 1024
    assert not bench.waited


def test_it_waits_as_long_as_it_is_asked_to():
    judge = FakeJudge(["busy", "broken", "busy"])
    with judge.serving() as endpoint:
        bench = Bench(endpoint, pairs(1), asking=Asking(attempts=5, seconds=60))
        bench.judge(at_once=1)
    assert [waited == 0 for waited in bench.waited] == [True, False, True]


def test_who_stops_keeps_what_is_judged_and_goes_on_there(monkeypatch):
    monkeypatch.setattr(judging, "GRACE", 60.0)  # of a busy machine too

    class Enough(BaseException):
        pass

    def stop(done, of):
        if done >= 3:
            raise Enough

    judge = FakeJudge()
    with judge.serving() as endpoint:
        bench = Bench(endpoint, pairs(9))
        with pytest.raises(Enough):
            bench.judge(on_progress=stop)
        assert len(bench.rows) >= 3
        bench.lines.append({"key": "torn"})  # as a crash may leave it
        bench.judge()
    assert judge.repeated == 0 and judge.calls == 18 and bench.report().readable == 18


# ---- what it costs


@pytest.mark.parametrize("limits", [Limits(calls=7), Limits(tokens=9000), Limits(money=0.013)])
@pytest.mark.parametrize("at_once", [1, 4])
def test_no_call_goes_beyond_the_budget(limits, at_once):
    faults = ["usage_none", "broken", "good", "usage_lies", "half"] * 20
    judge, price = FakeJudge(faults), Price(1.0, 10.0)
    with judge.serving() as endpoint:
        bench = Bench(endpoint, pairs(30), limits=limits, price=price)
        assert not bench.judge(at_once)
        spent = total_of(bench.lines)
        assert spent == bench.budget.spent and spent.calls == judge.calls
        assert not bench.judge(at_once) or limits.calls is None
    spent = total_of(bench.lines)
    assert spent.calls == judge.calls > 0
    assert limits.calls is None or spent.calls == limits.calls
    assert limits.tokens is None or spent.tokens <= limits.tokens
    assert limits.money is None or price.of(spent.tokens_in, spent.tokens_out) <= limits.money


def test_the_price_is_said_before_the_start_and_holds():
    with FakeJudge().serving() as endpoint:
        bench = Bench(endpoint, pairs(5))
        estimate = Estimate.of([PROMPT.messages("", question="q", answer_1="a", answer_2="b")] * 10, 500, Price(2, 8))
        assert estimate.likely.calls == 10 and estimate.most.tokens_out == 5000
        assert estimate.most_money == pytest.approx((estimate.most.tokens_in * 2 + 5000 * 8) / 1e6)
        assert str(Estimate.of([], 500, Price()).sentence) and estimate.sentence.code == "judge.calls_and_price"
        bench.judge()
    assert not to_ask(bench.tasks, {row.key for row in bench.rows})


def test_what_was_on_its_way_when_the_process_died_is_counted():
    judge = FakeJudge(["good", "busy", "half"])
    with judge.serving() as endpoint:
        bench = Bench(endpoint, pairs(4))
        bench.judge()
        assert lost_in(bench.begun, bench.lines) == Cost() and len(bench.begun) == judge.calls == 10
        del bench.lines[-2:]  # as if it had been killed before these were written
        lost = lost_in(bench.begun, bench.lines)
        assert lost.calls == judge.calls - total_of(bench.lines).calls >= 2 and lost.tokens_out == lost.calls * 1024
        bench.judge()
    assert (total_of(bench.lines) + lost_in(bench.begun, bench.lines)).calls == judge.calls
    assert lost_in([1, {}, {"key": "x"}], bench.lines) == Cost()


def test_the_same_words_are_asked_once_for_all_who_said_them():
    models = ("one", "two", "three")
    answered = [one for one in pairs(2, models) if one.model_a == "one"]  # two and three answer alike
    judge = FakeJudge()
    with judge.serving() as endpoint:
        bench = Bench(endpoint, answered)
        bench.judge()
    assert judge.calls == 4 and len(bench.tasks) == 8
    known = {row.key: row for row in bench.rows}
    bench.lines += [row.to_json() for row in copies(bench.tasks, known, bench.rows)]
    told = bench.report()
    assert told.readable == 8 and told.calls == 4
    assert {(one.model_a, one.model_b): one.rate for one in told.standings if not one.category} == {
        ("one", "two"): told.standings[0].rate, ("one", "three"): told.standings[0].rate
    }  # fmt: skip
    assert not list(copies(bench.tasks, known, bench.rows))


def test_whatever_makes_a_judge_another_one_asks_again():
    told = {"name": "x", "model": "default", "url": "https://me:word@one.example/v1?key=s3"}
    words = judge_of(Endpoint(**told), 0.2)
    assert "word" not in words and "s3" not in words and "me" not in json.loads(words)[0].split("//")[1].split(".")[0]
    others = [judge_of(Endpoint(**told), 0.0)]
    for more in ({"url": "https://two.example/v1"}, {"url": "https://one.example/v2"}, {"model": "m"}):
        others.append(judge_of(Endpoint(**told | more), 0.2))
    assert len({words, *others}) == 5 and judge_of(Endpoint(**told | {"name": "y"}), 0.2) == words
    keys = {task.key for judge in (words, *others) for task in tasks_of(pairs(1), PROMPT, judge)}
    assert len(keys) == 10


# ---- what comes of it


@pytest.mark.parametrize("prefers", [lambda one, other: 3, lambda one, other: 1, None])
def test_one_share_has_one_interval_in_the_table_and_in_the_report(prefers):
    with FakeJudge(prefers=prefers).serving() as endpoint:
        bench = Bench(endpoint, pairs(8))
        bench.judge()
    told = bench.report().standings[0].rate
    table = _measured("one", _by_contestant(bench.rows, "pairs")["one"], SCALES["pairs"]).figures["judge"]
    assert table == told and told.low < told.high


def test_several_pairs_of_a_question_are_one_observation():
    alike = share_by_question([("1", 0.5), ("1", 0.5), ("2", 0.5), ("2", 0.5)])
    assert alike == Figure.mean_of([0.5, 0.5]) and alike.low < 0.5 < alike.high
    assert share_by_question([(str(n), float(n < 6)) for n in range(8)]) == Figure.mean_of([1.0] * 6 + [0.0] * 2)
    assert share_by_question([("1", 1.0), ("1", 1.0)]).low < 0.5


def test_people_who_judged_the_same_are_compared_with_it():
    with FakeJudge().serving() as endpoint:
        bench = Bench(endpoint, pairs(6))
        bench.judge()
    said = {row.question: row.winner for row in bench.rows}
    turned = {"a": "b", "b": "a"}
    votes = [{"question": q, "model_a": "two", "model_b": "one", "winner": turned[w]} for q, w in said.items()]
    found = bench.report(people=votes).people
    assert found.judgments == 6 and found.agree.value == 1 and found.kappa in (None, 1.0)
    against = [{"question": q, "model_a": "two", "model_b": "one", "winner": w} for q, w in said.items()]
    assert bench.report(people=against).people.agree.value == 0
    assert bench.report(people=[{"question": "other"}]).people is None


def test_single_answers_get_scores():
    with FakeJudge(["nonsense"]).serving() as endpoint:
        bench = Bench(endpoint, pairs(4), prompt=JudgePrompt.of("single"))
        bench.judge()
    told = bench.report()
    assert (told.expected, told.readable, told.unreadable) == (4, 3, 1)
    assert 1 <= told.scores["one"].low <= told.scores["one"].value <= told.scores["one"].high <= 10


def test_only_what_both_answered_is_a_pair():
    rows = {q: {"id": q, "question": q, "category": "", "answer": "a", "expected": ""} for q in "123"}
    found, missing = pairs_of({"one": rows, "two": {"1": rows["1"]}, "three": rows}, against="three")
    assert [(one.model_a, one.model_b, one.question) for one in found] == [
        ("one", "three", "1"), ("one", "three", "2"), ("one", "three", "3"), ("two", "three", "1")
    ]  # fmt: skip
    assert missing == 2 and Cost(1, 2, 3) + Cost(1, 1, 1) == Cost(2, 3, 4) and set(TEXTS) < set(KEPT)


# ---- the whole path


@pytest.fixture
def judge(home, monkeypatch):
    """A fake endpoint of the settings, called "fake"."""
    fake = FakeJudge()
    with fake.serving() as endpoint:
        told = [{"name": "fake", "url": endpoint.url, "model": "m", "key": KEY}]
        monkeypatch.setenv("QLORA_APP_ENDPOINTS", json.dumps(told))
        yield fake


def answer_files(home, count, models=("one", "two")):
    """FastChat's to Vicuna's questions, or ours, which say what was asked."""
    files = []
    for place, model in enumerate(models):
        rows = [
            {"question": f"Why {n}?", "answer": "so " * (1 + (n + place) % 3), "category": "ab"[n % 2]}
            for n in range(count)
        ]
        files.append(home / f"{model}.jsonl")
        files[-1].write_text("".join(json.dumps(row) + "\n" for row in rows))
    return files


def judged_here(what, **how):
    """The job of files, or of an evaluation, worked on by this process; and what its judge found."""
    settings, judge = Settings.from_environment(), Judge(endpoint="fake", **how)
    if isinstance(what, list):
        with of_files(what, None, settings) as found:
            calls, job = found.with_judge(judge, settings)[1].likely.calls, found.job(judge, settings)
    else:
        found = of_evaluation(what, settings)
        calls, job = found.with_judge(judge, settings)[1].likely.calls, found.job(judge, settings)
    assert worker.main(job.folder) == 0, job.status().sentence
    return job, calls, JudgeReport.from_json(evaluation_of(job).measures[0].more["report"])


def judged_by_command(home, capsys, *more):
    code = main(["judge", *more, "--judge", "fake", "--yes", "--json"])
    said = capsys.readouterr()
    return code, json.loads(said.out) if code == 0 else {}, said.err


@pytest.mark.slow
def test_the_command_says_the_price_judges_and_counts(judge, home, capsys):
    files = [str(file) for file in answer_files(home, 6)]
    assert main(["judge", *files, "--judge", "fake"]) == 2 and judge.calls == 0, "nobody said yes"
    capsys.readouterr()
    code, made, err = judged_by_command(home, capsys, *files, "--price-in", "2", "--price-out", "8")
    assert code == 0 and "12 calls" in err and judge.calls == 12
    measure = made["measures"][0]
    report = JudgeReport.from_json(measure["more"]["report"])
    assert (report.readable, report.expected, report.calls) == (12, 12, 12) and report.money > 0
    shares = {one["contestant"]: one["figures"]["judge"]["value"] for one in measure["contestants"]}
    assert sum(shares.values()) == pytest.approx(1) and set(measure["contestants"][0]["categories"]) == {"a", "b"}
    assert {one.category for one in report.standings} == {"", "a", "b"}
    lines = [json.loads(line) for line in (Path(made["folder"]) / "judgments.jsonl").read_text().splitlines()]
    assert main(["ratings", str(Path(made["folder"]) / "judgments.jsonl"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["judgments"] == 12 == len(lines)
    assert {line["rater"] for line in lines} == {"fake"} and {line["first"] for line in lines} == {"a", "b"}
    code, again, err = judged_by_command(home, capsys, made["evaluation"])
    assert code == 0 and judge.calls == 12 and "no call" in err, "the same words are asked once"
    assert again["measures"][0]["contestants"] == measure["contestants"]
    said = []
    made = qlora_app.judge(files, "fake", way="single", agree=lambda words: not said.append(words))
    assert "12 calls" in said[0] and made["measures"][0]["unit"] == "of 10" and judge.calls == 24
    assert qlora_app.judge(files, "fake", most_calls=1, way="single", agree=lambda words: False) == {}
    for file in home.rglob("*"):
        assert not file.is_file() or KEY not in file.read_text(errors="replace"), file


def test_a_job_that_ran_out_of_budget_says_so_and_a_larger_one_goes_on(judge, home):
    files = answer_files(home, 5)
    job, calls, report = judged_here(files, most_calls=4)
    assert calls == 10 and report.is_out_of_budget and report.left == 6 and judge.calls == 4
    assert "judge.budget_ended" in {one.code for one in report.words}
    assert spent_in(job.folder).calls == 4
    with (job.folder / "begun.jsonl").open("a") as file:  # of a call that was on its way when it was killed
        file.write(json.dumps({"key": "x", "tokens_in": 1, "tokens_out": 1}) + "\n")
    assert spent_in(job.folder).calls == 5
    job, calls, report = judged_here(files)
    assert (calls, report.left, report.calls, judge.calls) == (6, 0, 6, 10)
    assert judged_here(job)[1] == 0 and judge.calls == 10


def test_what_was_cut_off_is_asked_again_where_it_may_be_longer(judge, home):
    judge.faults = iter(["cut", "cut"])
    files = answer_files(home, 2)
    assert judged_here(files, longest=8)[2].cut == 2 and judge.calls == 4
    assert judged_here(files, longest=8)[1] == 0
    _, calls, report = judged_here(files, longest=64)
    assert (calls, report.cut, report.readable, judge.calls) == (2, 0, 4, 6)
    assert judged_here(files, longest=8)[2].readable == 4 and judge.calls == 6


def test_fastchats_files_are_answers_to_vicunas_questions(judge, home):
    files = []
    for model, word in (("one", "so"), ("two", "so so")):
        rows = [{"question_id": n, "choices": [{"turns": [word]}]} for n in range(1, 81)]
        files.append(home / f"{model}.jsonl")
        files[-1].write_text("".join(json.dumps(row) + "\n" for row in rows))
    job, calls, _ = judged_here(files, way="single", at_once=8)
    made = evaluation_of(job)
    files[0].write_text("".join(files[0].read_text().splitlines(True)[:30]))
    assert evaluation_of(judged_here(files, way="single")[0]).asked == 30, "and no more of the other"
    assert judge.calls == 160 and calls == 160 and made.questions == "Vicuna" and made.asked == 80
    assert any("How can I improve my time management skills?" in str(body["messages"]) for body in judge.bodies)
    figure = made.measures[0].contestants[0].figures["judge"]
    assert figure.questions == 80 and 1 <= figure.low <= figure.value <= figure.high <= 10


@pytest.mark.parametrize(
    ("more", "code"),
    [
        (["--prompt", "bad.txt"], "lacks"),
        (["--judge", "nobody"], "nobody"),
        (["--most-money", "1"], "price"),
        (["--against", "nobody"], "nobody"),
    ],
)
def test_what_cannot_be_judged_is_said_before_anything_is_asked(judge, home, capsys, monkeypatch, more, code):
    monkeypatch.chdir(home)
    (home / "bad.txt").write_text("Which is better, {question}?")
    files = [str(file) for file in answer_files(home, 2)]
    assert main(["judge", *files, "--yes", *more]) == 2 and code in capsys.readouterr().err and judge.calls == 0
    assert main(["judge", "nothing-there", "--yes"]) == 2
    assert main(["judge", files[0], "--yes"]) == 2, "one alone is no pair"


def test_votes_of_an_arena_are_compared_with_the_judge(judge, home):
    files = answer_files(home, 4)
    job, _, report = judged_here(files)
    assert report.people is None
    lines = [json.loads(line) for line in (job.folder / "judgments.jsonl").read_text().splitlines()]
    sums = {tuple(sha256_of(file)[:12] for file in files)}
    assert {(line["checksum_a"], line["checksum_b"]) for line in lines} == sums, "a name may stand for others elsewhere"
    arena = home / "evaluations" / "arena"
    arena.mkdir()
    rows = (job.folder / "rows.jsonl").read_text().replace("file:one.jsonl", "x").replace("file:two.jsonl", "y")
    (arena / "answers.jsonl").write_text(rows)
    (arena / "votes.jsonl").write_text('{"question": "Why 1?", "model_a": "y", "model_b": "x", "winner": "a"}\n' * 2)
    people = judged_here(job)[2].people
    assert people.judgments == 2 and people.agree.value == 1


def test_an_endpoint_that_refuses_fails_the_job_and_resume_asks_the_rest(judge, home, capsys):
    files = answer_files(home, 3)
    judge.faults = iter(["good", "good", "key"])
    settings = Settings.from_environment()
    with of_files(files, None, settings) as found:
        job = found.job(Judge(endpoint="fake", at_once=1), settings)
    assert worker.main(job.folder) == 1 and job.status().state == "failed"
    assert "401" in job.status().sentence and KEY not in job.status().sentence
    assert worker.main(job.folder) == 0 and judge.calls == 7 and judge.repeated == 0
    assert JudgeReport.from_json(evaluation_of(job).measures[0].more["report"]).calls == 7


@pytest.mark.slow
def test_our_own_endpoint_judges(home, monkeypatch):
    """The starter answers nonsense: what it says is kept, and none of it makes anything of a sum that is wrong."""
    from tests.test_serving import Served

    served = Served(home)
    try:
        told = [{"name": "fake", "url": served.url, "model": "finished"}]
        monkeypatch.setenv("QLORA_APP_ENDPOINTS", json.dumps(told))
        prompt = "{question}\n1: {answer_1}\n2: {answer_2}\nWhich is better, 1 or 2?"
        job, calls, report = judged_here(answer_files(home, 3), prompt=prompt, longest=24, at_once=2)
    finally:
        served.close()
    assert calls == report.calls == report.expected == 6 and report.left == 0 and not report.is_estimated
    lines = [json.loads(line) for line in (job.folder / "judgments.jsonl").read_text().splitlines()]
    assert len(lines) == 6 and all(line["text"] for line in lines) and report.tokens_out > 0
    assert report.readable == sum(line["winner"] is not None for line in lines)


# ---- its page


@pytest.fixture
def page(judge, home):
    """(the served page, an evaluation of files that was judged)"""
    job, _, _ = judged_here(answer_files(home, 30, ("one", "two", "<b>three")), price_in=2, price_out=8)
    with served(home, endpoints=Settings.from_environment().endpoints) as site:
        yield site.client, job


def test_the_page_of_a_judge_shows_all_it_wrote_and_starts_another(page, judge, home):
    client, job = page
    address = f"/evaluations/{job.id}/judge"
    shown = client.get(address).text
    assert (
        "Found: 90 of 90." in shown and "Both orders" in shown and "&lt;b&gt;three" in shown and "<b>three" not in shown
    )
    assert KEY not in shown and shown.count('class="judged"') == 25
    assert "Beide Reihenfolgen" in client.get(address, headers={"accept-language": "de"}).text
    assert "Where people judged the same" not in shown
    arena = home / "evaluations" / "arena"
    arena.mkdir()
    (arena / "answers.jsonl").write_text((job.folder / "rows.jsonl").read_text())
    vote = {"question": "Why 1?", "model_a": "file:one.jsonl", "model_b": "file:two.jsonl", "winner": "b"}
    (arena / "votes.jsonl").write_text(json.dumps(vote) + "\n")
    assert "Where people judged the same, it agrees in 100%" in client.get(address).text
    found = client.get(address, params={"find": "Why 29?", "page": "0"}).text
    assert found.count('class="judged"') == 3 and "Why 28?" not in found
    cost = client.get(f"{address}/cost", params={"way": "single", "price_in": "2,5"}).json()
    assert cost["starts"] and "90 calls" in cost["said"]
    bad = {"prompt": "Which, {question}?", "most_calls": "x"}
    for typed, word in (
        ({"prompt": bad["prompt"]}, "answer_1"),
        ({"most_calls": "x"}, "x"),
        ({"most_money": "1"}, "price"),
    ):
        told = client.get(f"{address}/cost", params=typed).json()
        assert not told["starts"] and word in told["said"]
    kept = client.post(f"{address}/start", data=bad)
    assert kept.status_code == 400 and "Which, {question}?" in kept.text and 'value="x"' in kept.text
    before = judge.calls
    started = client.post(f"{address}/start", data={"endpoint": "fake", "way": "single", "most_calls": "5"})
    assert started.status_code == 303 and judge.calls == before
    new = JobStore(home / "evaluations").get(started.headers["location"].split("/")[-2])
    assert new.is_asked("start") and new.spec(EvaluateSpec).evaluators[0].most_calls == 5
    assert client.get(started.headers["location"]).status_code == 200
    assert client.post(f"{address}/start", data={}, headers={"origin": "https://evil.example"}).status_code == 403
    for other in ("nobody", "answers", ".."):
        assert client.get(f"/evaluations/{other}/judge").status_code in (400, 404)


def test_what_changed_is_grouped_by_what_says_which_is_better():
    rows = [
        {"id": "1", "question": "a", "answers": {"x": "A", "y": "B"}, "scores": {"exact": {"x": 0.0, "y": 1.0}}},
        {"id": "2", "question": "b", "answers": {"x": "A", "y": "B"}, "scores": {"exact": {"x": 1.0, "y": 0.0}}},
        {"id": "3", "question": "c", "answers": {"x": "A", "y": "B"}, "scores": {"exact": {"x": 1.0, "y": 1.0}}},
        {"id": "4", "question": "d", "answers": {"x": "A ", "y": "A"}, "scores": {}},
        {"id": "5", "question": "e", "answers": {"x": "A"}, "scores": {}},
    ]
    found = what_changed(rows, "x", "y", {"exact": True})
    assert [one.kind for one in found.changed] == ["better", "worse", "other"] and found.alike == 1
    assert found.counts == {"better": 1, "worse": 1, "other": 1}
    turned = what_changed(rows, "y", "x", {"exact": True})
    assert [one.kind for one in turned.changed] == ["worse", "better", "other"]
    assert what_changed(rows, "x", "y", {"exact": False}).counts == turned.counts
    assert json.loads(json.dumps(found.to_json()))["counts"]["better"] == 1


def test_a_judge_says_which_answer_is_better_before_any_score():
    with FakeJudge().serving() as endpoint:
        bench = Bench(endpoint, pairs(4))
        bench.judge()
    rows = [
        {"id": one.question, "question": one.text, "answers": {"one": one.answer_a, "two": one.answer_b}}
        for one in pairs(4)
    ]
    found = what_changed(rows, "one", "two", {}, bench.rows)
    winners = {row.question: row.winner for row in bench.rows}
    assert [one.kind for one in found.changed] == [{"a": "worse", "b": "better"}[winners[row["id"]]] for row in rows]
    assert {one.by for one in found.changed} == {"judge"}


def test_the_page_of_what_changed_is_searched_and_grouped(page):
    client, job = page
    shown = client.get(f"/evaluations/{job.id}/changed").text
    assert "&lt;b&gt;three" in shown and "<b>three" not in shown
    found = client.get(f"/evaluations/{job.id}/changed", params={"find": "Why 2?", "first": "file:two.jsonl"}).text
    assert found.count('class="judged"') == 1 and "Why 3?" not in found
    kinds = [client.get(f"/evaluations/{job.id}/changed", params={"show": kind}).text for kind in ("better", "worse")]
    assert all(one.count('class="judged"') > 0 for one in kinds)
    german = client.get(f"/evaluations/{job.id}/changed", headers={"accept-language": "de"}).text
    assert "Besser:" in german and "Wortgleich beantwortet" in german and "Better" not in german


def test_addresses_of_a_judge_are_the_owners():
    for path in (
        "/evaluations/x/judge",
        "/evaluations/x/judge/cost",
        "/evaluations/x/judge/start",
        "/evaluations/x/changed",
    ):
        assert routes.who_may(path) == "owner"
