"""The evaluator `lm_eval`: whose tasks are asked, and how what lm-eval says is read.

It is not installed for the tests: data/lm_eval_results.json is what its version 0.4.13 said of the starter, three
questions a task, on tables of our own in the place of those of the Hub.
"""

import importlib.util
import json
from dataclasses import asdict
from pathlib import Path

import pytest
from pydantic import ValidationError

from qlora_app.chance import wilson
from qlora_app.errors import Stopped
from qlora_app.evaluate import EVALUATORS, Contestant, Length
from qlora_app.evaluate.decoding import AnswerDecoding
from qlora_app.evaluate.harness.documents import asked_in
from qlora_app.evaluate.harness.evaluator import LmEval
from qlora_app.evaluate.harness.process import HarnessProcess
from qlora_app.evaluate.harness.results import TaskResult, mean_of, result_of
from qlora_app.evaluate.harness.tasks import TASKS, HarnessTasks
from qlora_app.evaluate.kept_answers import KeptAnswers, rows_in
from qlora_app.evaluate.known_sets import questions_named
from qlora_app.kinds.evaluate import EvaluateSpec, check_questions, evaluate_job, spec_from
from qlora_app.settings import Settings
from tests.refusing import refused
from tests.test_evaluate import asked

is_installed = importlib.util.find_spec("lm_eval") is not None
FOUND = json.loads((Path(__file__).parent / "data/lm_eval_results.json").read_text())
THEIR = Contestant(who="file", file="answers.jsonl")


def said(task):
    return next(found for found in FOUND if task in found["results"])


def result(task="hellaswag", right=30, of=100, documents="same", cut=0):
    scores = [1.0] * right + [0.0] * (of - right)
    share = right / of
    return TaskResult(task, "acc", share, (share * (1 - share) / (of - 1)) ** 0.5, scores, documents, 0, cut)


@pytest.mark.parametrize(("task", "metric", "count"), [("hellaswag", "acc_norm", 3), ("mmlu", "acc", 171)])
def test_what_lm_eval_says_is_read_with_each_question(task, metric, count):
    read = result_of(task, said(task))
    figures = said(task)["results"][task]
    assert (read.value, read.stderr) == (figures[f"{metric},none"], figures[f"{metric}_stderr,none"])
    assert len(read.scores) == count and sum(read.scores) / count == pytest.approx(read.value)
    assert TaskResult.from_row(json.loads(json.dumps(read.to_row()))) == read


def test_of_several_filters_the_one_that_is_commonly_told_is_read():
    found = said("gsm8k")
    assert len(found["samples"]["gsm8k"]) == 6, "each question stands there once a filter"
    assert len(result_of("gsm8k", found).scores) == 3


@pytest.mark.parametrize("stderr", ["N/A", None, float("nan")])
def test_a_figure_without_a_standard_error_has_an_interval_all_the_same(stderr):
    found = json.loads(json.dumps(said("hellaswag")))
    found["results"]["hellaswag"]["acc_norm_stderr,none"] = stderr
    read = result_of("hellaswag", found)
    assert read.stderr is None
    figure = mean_of([read])
    assert (figure.low, figure.high) == wilson(1 / 3, 3)


def test_the_interval_is_that_of_the_standard_errors():
    one, other = result(right=300, of=1000), result("mmlu", right=1200, of=2000)
    figure = mean_of([one, other])
    margin = 1.96 * (one.stderr**2 + other.stderr**2) ** 0.5 / 2
    assert (figure.value, figure.questions) == (pytest.approx(0.45), 3000)
    assert (figure.low, figure.high) == pytest.approx((0.45 - margin, 0.45 + margin), abs=1e-3)
    for right in (0, 50):
        assert mean_of([result(right=right, of=50)]).low < mean_of([result(right=right, of=50)]).high


UNKNOWN = ("humaneval", "ifeval", "", ",", "hellaswag,../x", "/tmp/mine.yaml", "mmlu_anatomy", "HellaSwag")


@pytest.mark.parametrize("word", UNKNOWN)
def test_what_is_not_on_the_list_is_refused(word, home):
    with refused("evaluate.unknown_task"):
        questions_named(f"lm_eval:{word}", None)
    with pytest.raises(ValidationError):
        HarnessTasks(tasks=tuple(word.split(",")))


def test_no_task_of_the_list_reaches_out_of_its_folder():
    assert all(".." not in task.folder and not Path(task.folder).is_absolute() for task in TASKS.values())


@pytest.mark.parametrize("contestant", [THEIR, Contestant(who="endpoint", endpoint="big")])
def test_only_models_of_this_machine_are_measured(contestant):
    with refused("evaluate.no_likelihoods"):
        LmEval().check(contestant)


@pytest.mark.skipif(is_installed, reason="lm-eval is installed")
def test_where_it_is_not_installed_the_start_and_the_process_say_how_to(home):
    spec = EvaluateSpec(contestants=(THEIR,), questions=HarnessTasks.of("piqa"), evaluators=(LmEval(),))
    with refused("evaluate.no_lm_eval"):
        evaluate_job(Settings.from_environment(), spec)
    wanted = {"contestant": Contestant(run="one").model_dump(), "tasks": ["piqa"], "limit": None, "shots": None}
    with refused("evaluate.no_lm_eval"), HarnessProcess(wanted) as process:
        list(process.lines(lambda: None))


def test_a_stop_ends_the_process():
    def check():
        raise Stopped

    process = HarnessProcess({})
    with pytest.raises(Stopped), process:
        list(process.lines(check))
    assert process.has_ended


def test_its_questions_and_its_measure_belong_together(home):
    tasks = HarnessTasks.of("piqa,boolq,piqa")
    assert tasks.tasks == ("piqa", "boolq")
    others = EvaluateSpec(contestants=(THEIR,), questions=tasks, evaluators=(Length(),))
    with refused("evaluate.measured_otherwise"):
        check_questions(others, tasks.read(home, Settings()))
    assert not LmEval().scored(asked("a", "b")) and len(LmEval().scored(tasks.read(home, Settings()))) == 2


def test_a_limit_is_one_of_each_task(home):
    file = home / "a.jsonl"
    file.write_text('{"question": "a", "answer": "b"}\n')
    here, how = Settings.from_environment(), AnswerDecoding()
    spec = spec_from([f"file:{file}"], here, "lm_eval:piqa,boolq", ["lm_eval"], 7, how)
    assert spec.limit is None and spec.evaluators[0].limit == 7 and len(spec.questions.tasks) == 2


def test_contestants_are_compared_question_by_question_where_they_were_asked_the_same():
    tasks = HarnessTasks.of("hellaswag,mmlu").read(Path(), Settings())

    def measured(other):
        some = {"one": [result(), result("mmlu", cut=9)], "two": [result(right=50), other]}
        rows = {name: {one.task: one.to_row() for one in results} for name, results in some.items()}
        return EVALUATORS["lm_eval"](limit=100).measure(rows, tasks, None, None)

    found = measured(result("mmlu", right=31))
    (pair,) = found.pairs
    assert (pair.questions, pair.first_better, pair.second_better) == (200, 0, 21)
    assert found.of("one").categories["hellaswag"].value == 0.3 and found.of("one").figures["lm_eval"].questions == 200
    assert len(found.notes) == 2 and "first 100" in found.notes[0] and "9 prompts of mmlu" in found.notes[1]
    assert not measured(result("mmlu", documents="others")).pairs
    assert asdict(found)["contestants"][1]["figures"]["lm_eval"]["value"] == pytest.approx(0.405)


# As lm-eval 0.4.13 logs them, shortened.
CHOICE = {
    "doc_id": 0,
    "doc_hash": "a",
    "filter": "none",
    "target": 1,
    "arguments": [
        ["Buying: Emil walks in. He counts.\n\nBuying: Lena walks in. He", f" {one}"]
        for one in ("buys a loaf and pays.", "flies.", "eats the oven and the door.")
    ],
    "resps": [[[-60.0, False]], [[-21.0, False]], [[-67.0, False]]],
    "filtered_resps": [[-60.0, False], [-21.0, False], [-67.0, False]],
}
WRITTEN = {
    "target": "3 + 8 = 11\n#### 11",
    "arguments": [["Question: 9 and 2?\nAnswer: 11\n\nQuestion: 3 and 8?\nAnswer:", {"until": ["Question:"]}]],
    "resps": [[" 11, I think"]],
    "filtered_resps": ["[invalid]"],
}
SINGLE = {"target": " lake", "arguments": [["They swam in the", " lake"]], "filtered_resps": [[-2.0, False]]}
SAME_END = {
    "target": 0,
    "arguments": [["The cup fits, as the cup", " is small."], ["The cup fits, as the box", " is small."]],
    "filtered_resps": [[-3.0, False], [-2.0, False]],
}


@pytest.mark.parametrize(
    ("sample", "metric", "has_shots", "question", "expected", "answer"),
    [
        (CHOICE, "acc", True, "Buying: Lena walks in. He", "flies.", "flies."),
        (CHOICE, "acc_norm", True, "Buying: Lena walks in. He", "flies.", "eats the oven and the door."),
        (WRITTEN, "exact_match", True, "Question: 3 and 8?\nAnswer:", "3 + 8 = 11\n#### 11", "11, I think"),
        (SINGLE, "acc", False, "They swam in the", "lake", "…"),
        (SAME_END, "acc", False, "The cup fits, as the cup", "The cup fits, as the cup", "The cup fits, as the box"),
        ({"doc_id": 1}, "acc", False, "", "", ""),
        ({"arguments": 7, "filtered_resps": {}}, "acc", False, "", "", ""),
    ],
)
def test_a_question_of_lm_eval_is_kept_as_people_read_it(sample, metric, has_shots, question, expected, answer):
    found = asked_in(sample, "task", metric, has_shots)
    assert found == {"category": "task", "question": question, "expected": expected, "answer": answer}


def test_each_question_of_a_task_is_a_row_that_is_shown_with_the_answers_of_all():
    found = {"results": {"arc_easy": {"acc_norm,none": 0.5}}, "n-shot": {"arc_easy": 5}}
    samples = [CHOICE | {"doc_id": n, "acc_norm": float(n)} for n in range(2)]
    mine = result_of("arc_easy", found | {"samples": {"arc_easy": samples}})
    theirs = result_of("arc_easy", found | {"samples": {"arc_easy": [one | {"acc_norm": 0.0} for one in samples]}})
    rows = {name: json.loads(json.dumps(one.to_row())) for name, one in (("mine", mine), ("theirs", theirs))}
    first, second = LmEval().lines(rows)
    assert first["id"] == "arc_easy.1" and second["scores"] == {"lm_eval": {"mine": 1.0, "theirs": 0.0}}
    assert second["expected"] == "flies." and set(second["answers"]) == {"mine", "theirs"}
    early = {name: value for name, value in rows["mine"].items() if name != "asked"}
    assert LmEval().lines(rows | {"theirs": early}) == [], "kept by an earlier version"
    assert LmEval().lines(rows | {"theirs": rows["theirs"] | {"documents": "others"}}) == []


def test_a_task_of_ten_thousand_questions_is_kept_whole_and_a_torn_one_is_asked_again(tmp_path):
    """The questions of hellaswag and MMLU are megabytes: more than is read of one line."""
    asked_of_it = {"category": "hellaswag", "question": "w" * 350, "expected": "e" * 120, "answer": "ä" * 120}
    rows = {
        task: TaskResult(task, "acc", 0.5, 0.1, [1.0] * count, "x", 0, 0, [asked_of_it | {"category": task}] * count)
        for task, count in (("arc_easy", 3), ("hellaswag", 10_042), ("winogrande", 1_267))
    }
    kept = KeptAnswers(tmp_path, {"of": "tasks"})
    with kept.held(lambda: None):
        for result in rows.values():
            kept.append(result.to_row())
    assert {task: TaskResult.from_row(row) for task, row in kept.rows().items()} == rows
    assert rows_in(kept.path).keys() == rows.keys()

    lines = kept.path.read_bytes().splitlines(keepends=True)
    of_hellaswag = [place for place, line in enumerate(lines) if b'"piece_of": "hellaswag"' in line]
    for lost in (of_hellaswag[0], of_hellaswag[3], of_hellaswag[-1]):
        kept.path.write_bytes(b"".join(lines[:lost] + lines[lost + 1 :]))
        assert kept.rows().keys() == {"arc_easy", "winogrande"}
    kept.path.write_bytes(b"".join(lines[: of_hellaswag[3]]))  # the program ended there
    kept.append(rows["hellaswag"].to_row())
    assert TaskResult.from_row(kept.rows()["hellaswag"]) == rows["hellaswag"]
