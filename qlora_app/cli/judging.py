"""Answers judged by a model behind an endpoint, in a terminal: its cost is said, and agreed to, before it starts."""

import argparse
import sys
from pathlib import Path
from typing import Any

from rich.text import Text

from ..errors import UserError
from ..evaluate import Evaluation, Judge
from ..evaluate.judge.report import JudgeReport
from ..kinds.judging import judgeable
from ..settings import Settings
from ..storage.reading import read_text
from .command import NOT_DONE, add_command, add_no_watch, count, stdout
from .evaluating import followed


def add_judge(commands: Any) -> None:
    """What is judged, by whom, what it is asked, and what that may cost."""
    parser = add_command(commands, "judge", judge_command)
    words = "an evaluation (its name, the beginning of one, or `latest`), or files of answers"
    parser.add_argument("what", metavar="EVALUATION_OR_FILE", nargs="+", help=words)
    words = "an endpoint of QLORA_APP_ENDPOINTS (default: the first)"
    parser.add_argument("--judge", metavar="ENDPOINT", default="", help=words)
    parser.add_argument("--single", action="store_true", help="each answer alone, from 1 to 10")
    words = "a text with {question}, {answer_1} and {answer_2} (or {answer}); default: the words of the QLoRA paper"
    parser.add_argument("--prompt", metavar="FILE", type=Path, help=words)
    parser.add_argument("--questions", metavar="QUESTIONS", help="what the files answer: a file, or vicuna")
    parser.add_argument("--against", metavar="CONTESTANT", default="", help="compare all others with this one only")
    add_price(parser)
    parser.add_argument("--at-once", metavar="N", type=count, default=4, help="judgments asked for at the same time")
    parser.add_argument("--name", default="", help="of the new evaluation")
    parser.add_argument("--yes", action="store_true", help="start without asking")
    add_no_watch(parser)


def add_price(parser: argparse.ArgumentParser) -> None:
    money: dict[str, Any] = {"metavar": "MONEY", "type": float}
    parser.add_argument("--price-in", default=0.0, help="for a million tokens that the judge reads", **money)
    parser.add_argument("--price-out", default=0.0, help="for a million tokens that it writes", **money)
    parser.add_argument("--most-money", help="no call is made that might go beyond it", **money)
    parser.add_argument("--most-tokens", metavar="N", type=count, help="nor beyond so many tokens")
    parser.add_argument("--most-calls", metavar="N", type=count, help="nor more calls than that")


def judge_command(given: argparse.Namespace, settings: Settings) -> int:
    """Let a model behind an endpoint say which answers are better."""
    judge = judge_of(given)
    with judgeable(given.what, given.questions or "", settings) as found:
        _, estimate = found.with_judge(judge, settings)
        said = f"{found.questions:,} questions, {len(found.answers):,} contestants. {estimate.sentence}"
        given.screen.print(Text(said), soft_wrap=True)
        if estimate.likely.calls and not given.yes and not agreed(given):
            return NOT_DONE
        job = found.job(judge, settings, given.name)
    return followed(given, job, settings, _show_standings)


def _show_standings(made: Evaluation) -> None:
    show_standings(JudgeReport.from_json(made.measures[0].more["report"]))


def judge_of(given: argparse.Namespace) -> Judge:
    """Raises UserError for a prompt that cannot be read, or a limit without a price."""
    if given.most_money is not None and not (given.price_in or given.price_out):
        raise UserError("judge.no_price", "A limit in money needs prices: for what is read and for what is written.")
    return Judge(
        endpoint=given.judge,
        way="single" if given.single else "pairs",
        prompt=_prompt(given.prompt) if given.prompt else "",
        against=given.against,
        at_once=given.at_once,
        price_in=given.price_in,
        price_out=given.price_out,
        most_money=given.most_money,
        most_tokens=given.most_tokens,
        most_calls=given.most_calls,
    )


def agreed(given: argparse.Namespace) -> bool:
    """Does somebody at the terminal say yes? A script says it beforehand."""
    if not sys.stdin.isatty():
        raise UserError("judge.say_yes", "Nothing was started: with --yes it starts without asking.")
    given.screen.print("Start? [y/N] ", end="")
    return sys.stdin.readline().strip().lower() in ("y", "yes", "j", "ja")


def show_standings(found: JudgeReport) -> None:
    out = stdout()
    for one in found.standings:
        if not one.category:
            rate = f"{one.rate.value:.0%} (95 % interval {one.rate.low:.0%} to {one.rate.high:.0%})"
            words = f"{one.model_a} against {one.model_b}: {one.win:,} won, {one.tie:,} ties, {one.loss:,} lost: {rate}"
            out.print(Text(words), soft_wrap=True)


def _prompt(file: Path) -> str:
    try:
        return read_text(file)
    except (OSError, ValueError) as error:
        raise UserError("judge.prompt_unread", "{file} cannot be read as text.", file=file) from error
