"""How long do ratings take for as many judgments as the QLoRA paper made of the Vicuna benchmark?  make ratings

Eight models of made-up strength, 80 questions, 4,467 judgments by a coin. Elo over 10,000 orders against one order in
plain Python as many times; Bradley and Terry with intervals by question; everything from the file to the JSON. Prints
seconds and adds them, with date and machine, to RESULTS.md.
"""

import argparse
import json
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from measuring import record, used_by_others

from qlora_app.evaluate.ratings import Games, Judgment, bradley_terry, elo, rate, read_judgments

JUDGMENTS, ORDERINGS, QUESTIONS = 4467, 10_000, 80
STRENGTHS = (1350, 1020, 990, 975, 965, 915, 900, 880)


def judgments() -> list[Judgment]:
    draw, rows = random.Random(0), []
    for _ in range(JUDGMENTS):
        a, b = draw.sample(range(len(STRENGTHS)), 2)
        wins = 1 / (1 + 10 ** ((STRENGTHS[b] - STRENGTHS[a]) / 400))
        winner = "tie" if draw.random() < 0.2 else "ba"[draw.random() < wins]
        rows.append(Judgment(f"model {a}", f"model {b}", winner, f"question {draw.randrange(QUESTIONS)}", "coin"))
    return rows


def one_by_one(games: Games, k: float) -> list[float]:
    """One order, as it would be written without arrays."""
    ratings = [1000.0] * len(games.models)
    for a, b, score in zip(games.first.tolist(), games.second.tolist(), games.score.tolist(), strict=True):
        change = k * (score - 1 / (1 + 10 ** ((ratings[b] - ratings[a]) / 400)))
        ratings[a] += change
        ratings[b] -= change
    return ratings


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("--orderings", type=int, default=ORDERINGS, help="of Elo")
    orderings, others = ask.parse_args().orderings, used_by_others()
    rows = judgments()
    games = Games.of(rows)
    vectorised = seconds(lambda: elo(games, 4.0, orderings))
    plain = min(seconds(lambda: one_by_one(games, 4.0)) for _ in range(10)) * orderings
    fitted = seconds(lambda: bradley_terry(games))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "judgments.jsonl"
        file.write_text("".join(json.dumps(row.to_json()) + "\n" for row in rows))
        whole = seconds(lambda: json.dumps(rate(read_judgments(file), k=4.0, orderings=orderings).to_json()))
    figures = {
        "judgments": f"{JUDGMENTS:,}",
        "orders": f"{orderings:,}",
        "Elo, s": f"{vectorised:.2f}",
        "plain Python / Elo": f"{plain / vectorised:.1f}",
        "Bradley-Terry, ms": f"{1000 * fitted:.1f}",
        "file to JSON, s": f"{whole:.2f}",
    }
    print(*(f"{name}: {figure}" for name, figure in figures.items()), sep="\n")
    record("ratings", figures, others, keep=orderings == ORDERINGS)


if __name__ == "__main__":
    main()
