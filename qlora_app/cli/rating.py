"""Ratings of judgments, in a terminal."""

import argparse
import json
from pathlib import Path
from typing import Any

from rich.table import Table

from ..errors import UserError
from ..settings import Settings
from .command import DONE, add_command, count, stdout


def add_ratings(commands: Any) -> None:
    parser = add_command(commands, "ratings", ratings_command)
    words = "JSONL or CSV with question, model_a, model_b, winner (a, b or tie) and rater; several are read as one"
    parser.add_argument("files", metavar="FILE", type=Path, nargs="+", help=words)
    parser.add_argument(
        "--k", metavar="K", type=float, default=32.0, help="of Elo: the most a match moves a rating (32)"
    )
    parser.add_argument(
        "--orderings", metavar="N", type=count, default=10_000, help="Elo is the mean over so many orders (10000)"
    )
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="which orders are drawn (0)")
    words = "a rater who is no person, to be compared with what most people say; may be given again"
    parser.add_argument("--judge", metavar="RATER", action="append", default=[], help=words)
    words = "also write the leaderboard as CSV, Markdown, LaTeX, JSON and a picture into this folder"
    parser.add_argument("--out", metavar="FOLDER", type=Path, help=words)


def ratings_command(given: argparse.Namespace, settings: Settings) -> int:
    """Rate models by judgments of pairs: Elo, and Bradley-Terry with intervals by question."""
    from ..evaluate.ratings import rate, read_judgments, write_files  # numpy is imported with it

    judged = read_judgments(*given.files)
    ratings = rate(judged, k=given.k, orderings=given.orderings, seed=given.seed, judges=given.judge)
    if given.out is not None:
        try:
            write_files(ratings, given.out)
        except OSError as error:
            raise UserError(
                "ratings.cannot_write",
                "{folder} cannot be written ({why}). Choose another folder.",
                folder=given.out,
                why=error.strerror or type(error).__name__,
            ) from error
    if given.json:
        print(json.dumps(ratings.to_json(), ensure_ascii=False))
    else:
        show_ratings(ratings)
    return DONE


def show_ratings(ratings: Any) -> None:
    """What `rate` found, for people."""
    table = Table("rank", "model", "rating", "95 % interval", "Elo", "matches", "won", box=None, pad_edge=False)
    for one in ratings.standings:
        table.add_row(
            str(one.rank),
            one.model,
            f"{one.rating:.0f}",
            f"{one.low:.0f} to {one.high:.0f}",
            f"{one.elo:.0f}",
            f"{one.matches:,}",
            f"{one.wins / one.matches:.0%}",
        )
    stdout().print(table)
    agreed = ratings.agreement
    print(f"\n{ratings.judgments:,} judgments of {ratings.questions:,} questions. Equal ranks are not told apart.")
    if agreed.alpha is not None:
        print(f"Raters agree with alpha {agreed.alpha:.2f} on {agreed.things:,} questions that several judged.")
    for one in agreed.judges:
        print(f"{one.first} agrees with most people on {one.agree:.0%} of {one.things:,} questions.")
    for note in ratings.notes:
        print(note)
    for row in ratings.judged.bad:
        print(f"line {row.line}: {row.problem}")
