"""A file of questions scored, in a terminal."""

import argparse
import json
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from ..evaluate import EVALUATORS, Figure
from ..evaluate.questions import questions_for, questions_with_answers
from ..inference.answerer import SessionAnswerer
from ..overrides import recipe_from
from ..runs import Run
from ..settings import Settings
from ..tasks.task import same_answer
from ..training_data import DatasetChoice
from .asking import open_session
from .command import DONE, add_command, add_reading, add_run, count, find_run

BY_ANSWER = [name for name, kind in EVALUATORS.items() if kind.goes_by_answer()]


def score(
    run: Run,
    file: Path,
    *,
    evaluator: str,
    base: bool,
    limit: int | None,
    misses: int,
    limits: Settings,
    screen: Console,
    told: DatasetChoice | None = None,
) -> dict[str, Any]:
    """Ask everything that the rows of a file ask, greedily, and compare with each assistant turn.

    Returns {run, file, base, evaluator, questions, exact, share, interval, figures, left_out, out_of_reach, seconds,
    misses: [{question, expected, answer}]}; `share` is the evaluator's figure with its 95 % `interval`, `out_of_reach`
    are questions that are longer than the model reads together with their answer, and were not asked.
    """
    data = questions_with_answers(run, file, limits, told)
    session = open_session(run, screen)
    began = time.monotonic()
    questions = questions_for(session, run, file, data, told, limit)
    answerer = SessionAnswerer(session, "base" if base else run.id, base)
    with screen.status("") as line:

        def show(done: int, of: int) -> None:
            line.update(f"{done:,} of {of:,} questions answered")

        answers = answerer.answers(questions.asked, show)
    asked = [one.question for one in questions.asked]
    scores = [EVALUATORS[evaluator]().score(*pair) for pair in zip(asked, answers, strict=True)]
    missed = [place for place, score in enumerate(scores) if score < 1]
    figure, expected = Figure.mean_of(scores), [one.expected for one in asked]
    return {
        "run": run.id,
        "file": str(file),
        "base": base,
        "evaluator": evaluator,
        "questions": figure.questions,
        "exact": sum(map(same_answer, answers, expected)),
        "share": figure.value,
        "interval": [round(figure.low, 4), round(figure.high, 4)],
        "figures": session.task.scores(answers, expected),
        "left_out": questions.left_out,
        "out_of_reach": questions.out_of_reach,
        "seconds": round(time.monotonic() - began, 1),
        "misses": [
            {"question": asked[place].text, "expected": expected[place], "answer": answers[place]}
            for place in missed[:misses]
        ],
    }


def show_score(result: dict[str, Any], base: bool, name: str) -> None:
    """What `score` returns, in words."""
    who = "The base" if base else "The adapter"
    low, high = result["interval"]
    print(
        f"{who} answered {result['exact']:,} of {result['questions']:,} questions of {name} word for word: "
        f"{result['exact'] / result['questions']:.1%}"
    )
    title = EVALUATORS[result["evaluator"]].title
    print(f"{title}: {result['share']:.1%} (95 % interval from {low:.1%} to {high:.1%}).")
    for miss in result["misses"]:
        print(f"\n  asked     {miss['question']}\n  expected  {miss['expected']}\n  answered  {miss['answer']}")


def add_score(commands: Any) -> None:
    parser = add_command(commands, "score", score_command)
    add_run(parser)
    parser.add_argument(
        "file", metavar="FILE", type=Path, help="data in any supported format; a row's last answer is the expected one"
    )
    parser.add_argument("--evaluator", choices=BY_ANSWER, default="exact_match", help="how right an answer is")
    parser.add_argument("--base", action="store_true", help="score the base without the adapter")
    parser.add_argument("--limit", metavar="N", type=count, help="only the first N rows")
    parser.add_argument("--misses", metavar="N", type=int, default=0, help="show the first N wrong answers")
    add_reading(parser)


def score_command(given: argparse.Namespace, settings: Settings) -> int:
    """Answer every row of a file and measure how right the answers are."""
    run = find_run(given.run, settings, with_adapter=True)
    told = recipe_from("starter", given.changes, settings).dataset if given.changes else None
    result = score(
        run,
        given.file,
        evaluator=given.evaluator,
        base=given.base,
        limit=given.limit,
        misses=given.misses,
        limits=settings,
        screen=given.screen,
        told=told,
    )
    if given.json:
        print(json.dumps(result, ensure_ascii=False))
    else:
        show_score(result, given.base, given.file.name)
    return DONE
