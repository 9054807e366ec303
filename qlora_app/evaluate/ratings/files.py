"""A leaderboard to take along: CSV, Markdown, LaTeX, JSON and a picture."""

import csv
import io
import json
import re
from collections.abc import Sequence
from pathlib import Path

from ...storage.files import replace_file
from .leaderboard import Ratings, Standing
from .picture import svg_of, words_of

HEAD = ("rank", "model", "rating", "low", "high", "elo", "matches", "wins", "ties", "enough votes")
LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "|": r"\textbar{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
}


def write_files(ratings: Ratings, folder: Path) -> list[Path]:
    """Everything, in a folder that is made where it is missing. Returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = {
        "leaderboard.csv": csv_of(ratings.standings),
        "leaderboard.md": markdown_of(ratings),
        "leaderboard.tex": latex_of(ratings.standings),
        "leaderboard.svg": svg_of(ratings.standings),
        "wins.csv": wins_of(ratings),
        "ratings.json": json.dumps(ratings.to_json(), ensure_ascii=False, indent=1) + "\n",
    }
    for name, text in texts.items():
        replace_file(folder / name, text)
    return [folder / name for name in texts]


def csv_of(standings: Sequence[Standing]) -> str:
    """All figures, a model a line."""
    rows = [
        (
            one.rank,
            _no_formula(one.model),
            *(f"{value:.2f}" for value in (one.rating, one.low, one.high, one.elo)),
            one.matches,
            f"{one.wins:g}",
            one.ties,
            "yes" if one.has_enough else "no",
        )
        for one in standings
    ]
    return _table(HEAD, rows)


def wins_of(ratings: Ratings) -> str:
    """What the model of a line got against that of a column."""
    models = [one.model for one in ratings.standings]
    names = [_no_formula(model) for model in models]
    rows = []
    for model, name in zip(models, names, strict=True):
        got = [ratings.wins[model].get(other) for other in models]
        rows.append((name, *("" if one is None else f"{one:g}" for one in got)))
    return _table(("", *names), rows)


def markdown_of(ratings: Ratings) -> str:
    """The table, what a reader has to know, and the picture's words."""
    lines = [
        "| rank | model | rating | 95 % interval | Elo | matches |",
        "|---:|---|---:|---:|---:|---:|",
    ]
    for one in ratings.standings:
        lines.append(
            f"| {one.rank} | {_marked(one.model)} | {one.rating:.0f} | {one.low:.0f} to {one.high:.0f} | {one.elo:.0f} "
            f"| {_matches(one)} |"
        )
    facts = (
        f"{ratings.judgments:,} judgments of {ratings.questions:,} questions. Rating: Bradley and Terry, ties half a "
        f"win, intervals by question. Elo: K {ratings.k:g}, mean over "
        f"{ratings.orderings:,} orders, seed {ratings.seed}. "
        "Models of equal rank are not told apart."
    )
    notes = [f"- {_marked(str(note))}" for note in ratings.notes]
    picture = f"![{_marked(words_of(ratings.standings))}](leaderboard.svg)"
    return "\n".join([*lines, "", facts, "", *notes, *([""] if notes else []), picture, ""])


def latex_of(standings: Sequence[Standing]) -> str:
    """A table for booktabs."""
    lines = [r"\begin{tabular}{rlrrrr}", r"\toprule", r"Rank & Model & Rating & 95\,\% interval & Elo & Matches \\"]
    lines.append(r"\midrule")
    for one in standings:
        model = "".join(LATEX.get(sign, sign) for sign in one.model)
        lines.append(
            f"{one.rank} & {model} & {one.rating:.0f} & [{one.low:.0f}, {one.high:.0f}] & {one.elo:.0f} & "
            f"{one.matches} \\\\"
        )
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def _matches(one: Standing) -> str:
    return f"{one.matches:,}" + ("" if one.has_enough else " (not enough)")


def _table(head: Sequence[object], rows: Sequence[Sequence[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([head, *rows])
    return text.getvalue()


def _no_formula(name: str) -> str:
    """A program of tables would compute what begins so."""
    return f"'{name}" if name.startswith(("=", "+", "-", "@", "\t", "\r")) else name


def _marked(text: str) -> str:
    """Text that Markdown and HTML take for nothing else."""
    return re.sub(r"([\\`*_|<>\[\]!])", r"\\\1", text.replace("\n", " "))
