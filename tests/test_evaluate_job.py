"""The kind `evaluate`: answers are kept, shared and never asked twice; an endpoint may fail in any way."""

import json
import math
import os
import shutil
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from safetensors.torch import load_file, save_file

from qlora_app import worker
from qlora_app.cli import main
from qlora_app.evaluate import Contestant, ExactMatch, Length, stream
from qlora_app.evaluate.contenders import HereContender
from qlora_app.evaluate.decoding import AnswerDecoding
from qlora_app.evaluate.expected_time import expected_time
from qlora_app.evaluate.kept_answers import LEFT_AFTER, KeptAnswers
from qlora_app.evaluate.mmlu import MmluScore
from qlora_app.evaluate.multiple_choice import Mmlu
from qlora_app.evaluate.pace import TimeLeft
from qlora_app.evaluate.perplexity import Perplexity
from qlora_app.evaluate.question_sets import QuestionFile, SetQuestion
from qlora_app.inference.pool import ModelPool
from qlora_app.jobs import JobStore
from qlora_app.jobs.status import Status
from qlora_app.kinds.evaluate import EvaluateSpec, evaluate_job, evaluation_of
from qlora_app.kinds.judging import of_evaluation
from qlora_app.launch import local
from qlora_app.runs import AllJobs, address_of
from qlora_app.settings import Settings
from qlora_app.storage.reading import read_lines
from qlora_app.tasks import Question
from qlora_app.tidy import IN_USE, tidy, usage
from tests.conftest import wait_for
from tests.fixtures.finished import finished_run
from tests.fixtures.jobs import write_status
from tests.refusing import refused


def a_file(folder, count, name="asked.jsonl"):
    file = folder / name
    rows = [{"question": f"Who is number {i}?", "answer": f"Number {i}", "category": "ab"[i % 2]} for i in range(count)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def an_evaluation(contestants, file, *evaluators, tokens=2, limit=None):
    spec = EvaluateSpec(
        contestants=tuple(contestants),
        questions=QuestionFile(path=str(file)),
        decoding=AnswerDecoding(max_new_tokens=tokens),
        evaluators=evaluators or (ExactMatch(),),
        limit=limit,
    )
    return evaluate_job(Settings.from_environment(), spec)


def kept(home):
    """{file: its lines} of all answers that are kept."""
    return {file: file.read_text().splitlines() for file in sorted((home / "evaluations/answers").glob("*.jsonl"))}


def test_what_cannot_be_measured_is_said_before_there_is_a_job(home):
    file, answers = home / "open.jsonl", home / "answers.jsonl"
    file.write_text('{"question": "Why?"}\n')
    answers.write_text('{"question": "Why?", "answer": "So."}\n')
    with refused("evaluate.no_expected"):
        an_evaluation([Contestant(who="file", file=str(answers))], file)
    assert not (home / "evaluations").exists()


# ---- models of this machine


@pytest.mark.slow
def test_the_command_compares_a_run_with_its_base_and_gives_the_figures(answering_run, home, capsys):
    file = a_file(home, 6)
    command = ["evaluate", "latest", "base:latest", "--questions", str(file), "--max-new-tokens", "2", "--json"]
    assert main([*command, "--by", "exact_match", "--by", "length"]) == 0
    made = json.loads(capsys.readouterr().out)
    run = answering_run.id
    assert made["contestants"] == [run, f"base:{run}"] and made["asked"] == 6
    exact, length = made["measures"]
    assert exact["contestants"][0]["figures"]["exact_match"]["questions"] == 6
    assert set(exact["contestants"][0]["categories"]) == {"a", "b"} and len(exact["pairs"]) == 1
    assert length["evaluator"] == "length" and len(kept(home)) == 2, "both evaluators read the same answers"
    assert {len(lines) for lines in kept(home).values()} == {7}
    assert main([*command, "--by", "token_f1"]) == 0 and len(kept(home)) == 2, "nothing was asked again"
    assert main(["jobs", "--json"]) == 0
    assert [row["kind"] for row in json.loads(capsys.readouterr().out.splitlines()[-1])] == ["train"] + 2 * ["evaluate"]
    job = AllJobs.of(Settings.from_environment()).evaluations.list()[0]
    assert AllJobs.of(Settings.from_environment()).get(address_of(job)).folder == job.folder


def test_the_time_is_that_of_earlier_answers_and_else_that_of_a_training(answering_run, home):
    settings = Settings.from_environment()
    spec = EvaluateSpec(
        contestants=(Contestant(run=answering_run.id),),
        questions=QuestionFile(path=str(a_file(home, 20))),
        evaluators=(ExactMatch(),),
    )
    by_training = expected_time(spec, settings, home)
    assert not by_training.is_measured and "trains" in by_training.words
    loaded_as = answering_run.base_model().model_dump(mode="json")
    for seconds, at_once in ((2.0, 16), (4.0, 16), (3.0, 1)):
        made_by = {"contestant": {"adapter": str(seconds), "loaded_as": loaded_as}, "questions": "q", "decoding": {}}
        answers = KeptAnswers(home / "evaluations", made_by)
        with answers.held(lambda: None):
            for place in range(16):  # at once: the wall clock showed a sixteenth of their sum
                answers.append({"id": str(place), "tokens": 10, "seconds": seconds, "at_once": at_once})
        newest = seconds + 10 / at_once
        os.utime(answers.path, (newest, newest))
        expected = expected_time(spec, settings, home)
        letters = sum(len(f"Number {place}") for place in range(20))
        assert expected.is_measured and expected.seconds == pytest.approx(seconds / 10 / at_once * letters / 4)
    kept_here = {"contestant": HereContender(spec.contestants[0], settings, ModelPool(), {}).made_of}
    kept_here |= {"questions": spec.questions.read(home, settings).digest, **ExactMatch().kept_for(spec.decoding)}
    known = KeptAnswers(home / "evaluations", kept_here)
    ids = [one.id for one in spec.questions.read(home, settings).questions]
    with known.held(lambda: None):
        for some, left in ((ids[:5], 0.75), (ids[5:15], 0.25), (ids[15:], 0.0)):
            for id in some:
                known.append({"id": id})
            os.utime(known.path, (1, 1))  # the pace is that of others
            assert expected_time(spec, settings, home).seconds == pytest.approx(left * expected.seconds), (
                "of what lacks"
            )
    nothing = expected_time(spec, settings, home)
    assert nothing.is_kept and nothing.seconds == 0 and "kept already" in nothing.words
    with_another = spec.model_copy(update={"evaluators": (ExactMatch(), Perplexity())})
    assert not expected_time(with_another, settings, home).is_measured, "nobody was asked how likely an answer is"


def test_what_is_left_is_told_by_what_was_asked_since_this_start():
    """Rounds of 20 questions, the first ten of which take twice as long to read: half of the time in a third."""
    questions = [SetQuestion(str(i), "", Question([], ""), ("x" * (2 if i < 10 else 1),)) for i in range(20)]
    clock = [0.0]
    left = TimeLeft(questions, 2, now=lambda: clock[0])
    clock[0] = 100.0  # loading
    left.begin(questions)
    left.ready()
    for one in questions:
        assert (left.seconds is None) == (int(one.id) < 8)
        if int(one.id) == 9:
            assert left.seconds == pytest.approx(12 + 30)
        clock[0] += len(one.pieces[0])
        left.took(one.id)
    assert left.seconds == pytest.approx(30)
    left.begin(questions[15:])
    assert left.seconds == pytest.approx(5)


@pytest.mark.slow
def test_killed_in_the_middle_it_repeats_no_answer(answering_run, home):
    job = an_evaluation([Contestant(run=answering_run.id)], a_file(home, 60), tokens=40)
    process = local.launch(job)
    wait_for(lambda: any(len(lines) > 5 for lines in kept(home).values()))
    process.kill()
    process.wait()
    ((file, before),) = kept(home).items()
    assert 5 < len(before) < 61 and job.status().state == "interrupted"
    assert local.launch(job).wait() == 0 and job.status().state == "done"
    after = file.read_text().splitlines()
    assert after[: len(before)] == before, "what was kept is as it was"
    ids = Counter(json.loads(line)["id"] for line in after[1:])
    assert len(ids) == 60 and set(ids.values()) == {1}


# ---- endpoints


class Endpoint(BaseHTTPRequestHandler):
    """Answers "Number N" to "Who is number N?", when it is not its turn to fail."""

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        asked = body["messages"][-1]["content"]
        number = asked.split()[-1].rstrip("?")
        self.server.asked[number] += 1
        how = self.server.fails(number, self.server.asked[number])
        if isinstance(how, int):
            self.send_response(how)
            self.end_headers()
            self.wfile.write(b'{"error": {"message": "not now"}}')
            return
        self.send_response(200)
        self.end_headers()
        for piece in ("Number ", number):
            if how == "cut":
                return
            chunk = {"choices": [{"index": 0, "delta": {"content": piece}}]}
            self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())
        self.wfile.write(b"data: [DONE]\n\n")

    def log_message(self, *_):
        pass


@pytest.fixture
def endpoint(home, monkeypatch):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    server.asked, server.fails = Counter(), lambda number, times: None
    threading.Thread(target=server.serve_forever, daemon=True).start()
    told = [{"name": "big", "url": f"http://127.0.0.1:{server.server_port}/v1", "model": "m"}]
    monkeypatch.setenv("QLORA_APP_ENDPOINTS", json.dumps(told))
    monkeypatch.setattr(stream, "PAUSE", 0.01)
    yield server
    server.shutdown()
    server.server_close()


BIG = Contestant(who="endpoint", endpoint="big")


@pytest.mark.parametrize("how", [429, 500, 503, "cut"])
def test_an_endpoint_that_fails_for_a_moment_is_asked_again(endpoint, home, how):
    endpoint.fails = lambda number, times: how if number in "37" and times < 3 else None
    job = an_evaluation([BIG], a_file(home, 10))
    assert worker.main(job.folder) == 0
    figure = evaluation_of(job).measures[0].of("endpoint:big").figures["exact_match"]
    assert (figure.value, figure.questions) == (1.0, 10)
    assert endpoint.asked["3"] == endpoint.asked["7"] == 3 and endpoint.asked["5"] == 1


def test_a_question_that_was_refused_is_left_open_and_asked_again_on_resume(endpoint, home):
    endpoint.fails = lambda number, times: 400 if number == "3" else None
    job = an_evaluation([BIG], a_file(home, 10))
    assert worker.main(job.folder) == 1
    assert job.status().state == "failed" and "1 of 10 questions" in job.status().sentence
    assert evaluation_of(job).asked == 9, "the others are measured"
    endpoint.fails = lambda number, times: None
    assert worker.main(job.folder) == 0 and evaluation_of(job).asked == 10
    assert endpoint.asked["3"] == 2 and endpoint.asked["5"] == 1, "only the one that was open"


def test_an_endpoint_that_refuses_everything_is_given_up(endpoint, home):
    endpoint.fails = lambda number, times: 401
    job = an_evaluation([BIG], a_file(home, 100))
    assert worker.main(job.folder) == 1 and "401" in job.status().sentence
    assert sum(endpoint.asked.values()) < 20 and evaluation_of(job) is None


def test_one_that_cannot_be_asked_keeps_nobody_else_from_being_measured(endpoint, home):
    endpoint.fails = lambda number, times: 401
    theirs = home / "theirs.jsonl"
    theirs.write_text(
        "".join(json.dumps({"question": f"Who is number {i}?", "answer": "No"}) + "\n" for i in range(20))
    )
    job = an_evaluation([BIG, Contestant(who="file", file=str(theirs))], a_file(home, 20))
    assert worker.main(job.folder) == 1 and "endpoint:big did not answer 20 of 20" in job.status().sentence
    found = evaluation_of(job)
    assert found.contestants == ["file:theirs.jsonl"] and found.asked == 20
    endpoint.fails = lambda number, times: None
    assert worker.main(job.folder) == 0 and evaluation_of(job).contestants == ["endpoint:big", "file:theirs.jsonl"]


# ---- answers that somebody has


@pytest.mark.parametrize(
    "line",
    [
        lambda i: {"question_id": i + 1, "choices": [{"index": 0, "turns": [f"Number {i}"]}]},
        lambda i: {"question": f"Who is number {i}?", "answer": f"Number {i}"},
        lambda i: {"question_id": i + 1, "text": "as asked", "category": "a", "generation": f"Number {i}"},
    ],
    ids=["FastChat", "ours", "QLoRA"],
)
def test_files_of_answers_are_contestants(home, line):
    file = home / "theirs.jsonl"
    file.write_text("".join(json.dumps(line(i)) + "\n" for i in range(4)))
    job = an_evaluation([Contestant(who="file", file=str(file))], a_file(home, 4))
    assert worker.main(job.folder) == 0
    assert evaluation_of(job).measures[0].of("file:theirs.jsonl").figures["exact_match"].value == 1.0


def test_two_contestants_of_a_kind_are_told_apart_or_refused(home):
    file = a_file(home, 2)
    one = Contestant(who="file", file=str(file))
    with refused("evaluate.twice"):
        an_evaluation([one, one], file, Length())
    with refused("evaluate.files_alike"):
        an_evaluation([one], file, Length())


def test_the_rows_of_an_evaluation_are_questions_and_contestants_at_once(home):
    rows = [{"id": str(i), "question": f"Who is number {i}?", "expected": f"Number {i}"} for i in range(4)]
    for i, row in enumerate(rows):
        row["answers"] = {"good": f"Number {i}", "bad": "Otto"}
    file = home / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    both = [Contestant.of(f"file:{file}#{name}", Settings.from_environment()) for name in ("good", "bad")]
    job = an_evaluation(both, file)
    assert worker.main(job.folder) == 0
    (measure,) = evaluation_of(job).measures
    assert [one.figures["exact_match"].value for one in measure.contestants] == [1.0, 0.0]
    assert [one.contestant for one in measure.contestants] == ["file:rows.jsonl#good", "file:rows.jsonl#bad"]


def test_answers_go_when_no_evaluation_reads_them_and_not_before(home):
    settings = Settings.from_environment()
    contestant = Contestant(who="file", file=str(a_file(home, 3, "answers.jsonl")))
    one, other = (an_evaluation([contestant], a_file(home, 3), ExactMatch()) for _ in range(2))
    assert [worker.main(job.folder) for job in (one, other)] == [0, 0]
    waits = an_evaluation([contestant], a_file(home, 3), ExactMatch())
    assert len(kept(home)) == 1, "the same answers to the same questions"
    long_ago = time.time() - IN_USE - 60
    for file in kept(home):
        os.utime(file, (long_ago, long_ago))
    store = JobStore(settings.evaluations)
    store.delete(other.id)
    assert tidy(settings) == 0, "the first one reads them too"
    store.delete(one.id)
    assert tidy(settings) == 0, "what has not begun may read them"
    (waits.folder / "reads.jsonl").write_text('{"file": "of-the-first-contestant.jsonl"}\n')
    for state in ("running", "stopped", "failed"):
        write_status(waits, Status(state))
        assert tidy(settings) == 0, f"{state} at the first of its contestants, it may read those of the next"
    weeks_ago = time.time() - LEFT_AFTER - 60
    for file in waits.folder.iterdir():
        os.utime(file, (weeks_ago, weeks_ago))
    (mine,) = kept(home)
    write_reads = (waits.folder / "reads.jsonl").write_text
    write_reads(json.dumps({"file": mine.name}) + "\n")
    os.utime(waits.folder / "reads.jsonl", (weeks_ago, weeks_ago))
    assert tidy(settings) == 0, "nobody went on with it for weeks, and these are what it has begun"
    write_reads('{"file": "of-the-first-contestant.jsonl"}\n')
    assert tidy(settings) == 0, "somebody went on with it a moment ago"
    os.utime(waits.folder / "reads.jsonl", (weeks_ago, weeks_ago))
    waits.request("start")
    assert tidy(settings) == 0, "it waits for its turn"
    shutil.rmtree(waits.folder / "requests")
    assert usage(settings).tidied > 0 and tidy(settings) > 0 and not kept(home)
    store.delete(waits.id)


# ---- likelihoods


@pytest.mark.slow
def test_perplexity_and_letters_are_those_of_the_model_itself(answering_run, home):
    """An adapter before its first step is its base: every figure of both is the same."""
    both = [Contestant(run=answering_run.id), Contestant(who="base", run=answering_run.id)]
    choices = home / "anatomy.csv"
    choices.write_text("".join(f"Who is number {i}?,Mira,Otto,Ida,Tom,{'ABCD'[i % 4]}\n" for i in range(20)))
    spec = EvaluateSpec(
        contestants=tuple(both), questions=Mmlu(path=str(choices)), evaluators=(MmluScore(shots=0), Perplexity())
    )
    with refused("evaluate.no_expected"):
        evaluate_job(Settings.from_environment(), spec)
    spec = spec.model_copy(update={"evaluators": (MmluScore(shots=0),)})
    job = evaluate_job(Settings.from_environment(), spec)
    assert worker.main(job.folder) == 0
    (mmlu,) = evaluation_of(job).measures
    one, other = mmlu.contestants
    assert one.figures == other.figures and one.figures["mmlu"].questions == 20 and mmlu.pairs[0].p == 1.0
    with refused("judge.without_answers"):
        of_evaluation(job, Settings.from_environment())
    job = an_evaluation(both, a_file(home, 5), Perplexity(), Length())
    assert worker.main(job.folder) == 0
    judged = of_evaluation(job, Settings.from_environment()).answers
    rows = read_lines(job.folder / "rows.jsonl", 0)[0]
    assert len(rows) == 5 and all(row["answers"].keys() == judged.keys() for row in rows), "whoever is measured first"
    for row in rows:
        assert row["answers"] == {name: found[row["id"]]["answer"] for name, found in judged.items()}
    assert any(row["answers"][answering_run.id] for row in rows)
    one, other = evaluation_of(job).measures[0].contestants
    assert one.figures["nats"].value == pytest.approx(other.figures["nats"].value, abs=1e-5)
    assert one.figures["nats"].value == pytest.approx(mean_loss(answering_run, 5), abs=1e-4)


@pytest.mark.slow
def test_a_model_that_computes_no_numbers_is_unanswered_and_takes_nobodys_figures_away(home):
    run = finished_run("llama", "chat", home)
    weights = run.newest_adapter() / "adapter_model.safetensors"
    save_file({name: tensor * 1e30 for name, tensor in load_file(weights).items()}, weights)
    both = [Contestant(run=run.id), Contestant(who="base", run=run.id)]
    job = an_evaluation(both, a_file(home, 2), Perplexity())
    worker.main(job.folder)
    found = evaluation_of(job)
    (measured,) = found.measures[0].contestants
    assert measured.contestant == f"base:{run.id}" and math.isfinite(measured.figures["nats"].value)
    assert [one.contestant for one in found.unanswered] == [run.id] and "no number" in found.unanswered[0].why


def mean_loss(run, count):
    """As transformers computes it: of the rendered conversation, over the tokens of the answer and its end."""
    import torch

    from qlora_app.base_models import load_model, load_tokenizer

    model, tokenizer = load_model(run.recipe().base_model), load_tokenizer(run.recipe().base_model)
    nats = tokens = 0.0
    for i in range(count):
        talk = [{"role": "user", "content": f"Who is number {i}?"}, {"role": "assistant", "content": f"Number {i}"}]
        whole = tokenizer.apply_chat_template(talk, tokenize=False)
        before = tokenizer.apply_chat_template(talk[:1], tokenize=False, add_generation_prompt=True)
        assert whole.startswith(before)
        ids = tokenizer(whole.rstrip("\n"), add_special_tokens=False)["input_ids"]
        begin = len(tokenizer(before, add_special_tokens=False)["input_ids"])
        with torch.no_grad():
            chances = model(torch.tensor([ids])).logits[0, :-1].log_softmax(-1)
        picked = [-float(chances[place - 1, ids[place]]) for place in range(begin, len(ids))]
        nats, tokens = nats + sum(picked), tokens + len(picked)
    return nats / tokens
