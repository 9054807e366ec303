"""Contestants on the same questions, in a terminal."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from ..errors import UserError
from ..evaluate import EVALUATORS, Evaluation, Figure, Measure
from ..evaluate.decoding import AnswerDecoding
from ..evaluate.expected_time import expected_time
from ..evaluate.harness.tasks import TASKS
from ..jobs import Job
from ..kinds.evaluate import EvaluateSpec, evaluate_job, evaluation_of, spec_from
from ..settings import Settings
from .command import DONE, INTERRUPTED, add_command, add_no_watch, count, stdout
from .jobs import report, start_if_idle, watched

CONTESTANTS = "a run, RUN@STEP, base:RUN, endpoint:NAME of the settings, or file:PATH with answers"
QUESTIONS = "a file, held_out:RUN, vicuna, general, or mmlu:FOLDER (default: held out by the first run)"


def add_evaluate(commands: Any) -> None:
    """The command `evaluate` with its options."""
    parser = add_command(commands, "evaluate", evaluate_command)
    parser.add_argument("contestants", metavar="CONTESTANT", nargs="+", help=CONTESTANTS)
    parser.add_argument("--questions", metavar="QUESTIONS", help=QUESTIONS)
    words = f"benchmarks of lm-eval, which has to be installed: {', '.join(TASKS)}; several with commas"
    parser.add_argument("--lm-eval", metavar="TASK", help=words)
    words = f"{', '.join(EVALUATORS)}; a setting follows a colon, as in regex:pattern=^[0-9]+$. May be given again"
    parser.add_argument("--by", metavar="EVALUATOR", action="append", help=words)
    parser.add_argument(
        "--limit",
        metavar="N",
        type=count,
        help="only N questions, evenly of all categories; of lm-eval the first N of each task",
    )
    parser.add_argument("--max-new-tokens", metavar="N", type=count, default=256, help="the most of an answer")
    words = "of the sampling; 0, the default, takes the likeliest tokens"
    parser.add_argument("--temperature", metavar="T", type=float, default=0.0, help=words)
    parser.add_argument("--top-p", metavar="P", type=float, default=1.0, help="of the sampling")
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="of the sampling")
    parser.add_argument("--name", default="", help="of the evaluation")
    add_no_watch(parser)


def evaluate_command(given: argparse.Namespace, settings: Settings) -> int:
    """Ask several models the same questions and measure their answers."""
    spec = _spec(given, settings)
    job = evaluate_job(settings, spec, given.name)
    _say_how_long(given, spec, settings)
    return followed(given, job, settings)


def followed(
    given: argparse.Namespace, job: Job, settings: Settings, more: Callable[[Evaluation], None] = lambda made: None
) -> int:
    """Start it and tell what it found, or how far it is. more: shows what only some evaluations have."""
    start_if_idle(job, settings.runs, given.screen)
    if given.no_watch:
        return report(given, job, job.status())
    ended = watched(job, given.screen)
    if ended is None:
        return INTERRUPTED
    found = evaluation_of(job)
    if ended.state != "done" or found is None:
        return report(given, job, ended)
    if given.json:
        print(json.dumps(as_json(job, found), ensure_ascii=False))
    else:
        show(job, found)
        more(found)
    return DONE


def _say_how_long(given: argparse.Namespace, spec: EvaluateSpec, settings: Settings) -> None:
    file = spec.questions.file
    expected = expected_time(spec, settings, file.parent if file else Path())
    if expected and expected.seconds:
        given.screen.print(Text(expected.words), soft_wrap=True)


def _spec(given: argparse.Namespace, settings: Settings) -> EvaluateSpec:
    """What the words of a command line mean. Raises UserError."""
    decoding = AnswerDecoding(
        max_new_tokens=given.max_new_tokens, temperature=given.temperature, top_p=given.top_p, seed=given.seed
    )
    questions = given.questions
    if given.lm_eval is not None:
        if questions:
            raise UserError("evaluate.questions_twice", "--lm-eval brings its own questions. Leave out --questions.")
        questions = f"lm_eval:{given.lm_eval}"
    measures = given.by or ["exact_match" if given.lm_eval is None else "lm_eval"]
    return spec_from(given.contestants, settings, questions, measures, given.limit, decoding)


def as_json(job: Job, found: Evaluation) -> dict[str, Any]:
    """The whole result, with its folder."""
    return {"evaluation": job.id, "folder": str(job.folder), **found.to_json()}


def show(job: Job, found: Evaluation) -> None:
    out = stdout()
    out.print(Text(f"{found.asked:,} questions of {found.questions}"), soft_wrap=True)
    for measure in found.measures:
        out.print(_table(measure))
        for words in (*[str(pair.sentence) for pair in measure.pairs], *measure.notes):
            out.print(Text(words), soft_wrap=True)
    out.print(Text(f"All answers side by side: {Path(job.folder) / 'rows.jsonl'}"), soft_wrap=True)


def _table(measure: Measure) -> Table:
    table = Table("contestant", measure.title, "95 % interval", "questions", box=None, pad_edge=False)
    for one in measure.contestants:
        figure = next(iter(one.figures.values()))
        table.add_row(one.contestant, *_figure(figure, measure.unit), f"{figure.questions:,}")
    return table


def _figure(figure: Figure, unit: str) -> tuple[str, str]:
    if not figure.questions:
        return "-", "-"
    if unit == "share":
        return f"{figure.value:.1%}", f"{figure.low:.1%} to {figure.high:.1%}"
    return f"{figure.value:.4g} {unit}", f"{figure.low:.4g} to {figure.high:.4g}"
