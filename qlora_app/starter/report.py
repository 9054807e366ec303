"""Train every starter preset with several seeds, score the test files once, write the tables into the model card:

    python -m qlora_app.starter.report --seeds 0 1 2

Everything goes through the app's own command line in processes of its own, so the figures are those of a person who
presses Start. About 25 minutes on two cores.
"""

import argparse
import csv
import datetime
import io
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from . import BASE, DATA, FOLDER

PRESETS = {"helper": "starter", "sailor": "sailor", "orders": "orders"}
FILES = {
    "": "held-out facts",
    "_free": "unseen wordings",
    "_unknown": "outside questions",
    "_unknown_fresh": "outside questions, second list",
    "_follow_up": "second turn with he or she",
    "_new_words": "words never seen",
}
CARD = BASE / "README.md"
BEGIN, END = "<!-- scores of {task}: written by qlora_app.starter.report -->", "<!-- end of {task} -->"
Figures = dict[str, float]  # part of the test -> share of exact answers


def test_files(task: str) -> dict[str, Path]:
    """{part: file} of one task's test files that exist"""
    paths = {part: DATA / "held_out" / f"{task}{part}" for part in FILES}
    found = {part: next(path.parent.glob(path.name + ".*"), None) for part, path in paths.items()}
    return {part: path for part, path in found.items() if path}


def joined(files: list[Path], folder: Path) -> Path:
    """All test files of a task as one, so that the model is loaded once to answer them"""
    out = folder / f"all{files[0].suffix}"
    texts = [path.read_text(encoding="utf-8") for path in files]
    if out.suffix == ".json":
        text = json.dumps([row for part in texts for row in json.loads(part)])
    else:  # the other CSV files leave out their header
        others = texts[1:]
        if out.suffix == ".csv":  # without their lines of names
            others = [part.split("\n", 1)[1] for part in others]
        text = texts[0] + "".join(others)
    out.write_text(text, encoding="utf-8", newline="")
    return out


def last_turns(path: Path) -> list[tuple[str, str]]:
    """(question, expected answer) of every row, as the score command reports its misses"""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".jsonl":
        conversations = [json.loads(line)["messages"] for line in text.strip("\n").split("\n")]
        return [(turns[-2]["content"], turns[-1]["content"]) for turns in conversations]
    if path.suffix == ".json":
        rows = json.loads(text)
    else:
        rows = csv.DictReader(io.StringIO(text))
    return [(row["instruction"], row["output"]) for row in rows]


def app(*arguments: str, runs: Path) -> dict:
    """Run the app's command line and return the JSON it prints last. Raises RuntimeError with what it said."""
    done = subprocess.run(
        [sys.executable, "-m", "qlora_app", *arguments, "--json"],
        capture_output=True,
        text=True,
        cwd=FOLDER.parents[1],
        env=os.environ | {"QLORA_APP_HOME": str(runs)},
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments)} failed: {done.stdout[-500:]} {done.stderr[-1500:]}")
    return json.loads(done.stdout.splitlines()[-1])


def scores(run: str, task: str, runs: Path, base: bool = False) -> Figures:
    """Exact match in percent for every test file of a task"""
    files = test_files(task)
    whole = joined(list(files.values()), runs)
    options = ["--base"] if base else []
    answer = app("score", run, str(whole), "--misses", "100000", *options, runs=runs)
    missed = {(miss["question"], miss["expected"]) for miss in answer["misses"]}
    shares = {}
    for part, path in files.items():
        shares[part] = 100 * statistics.mean(turn not in missed for turn in last_turns(path))
    return shares


def measure(task: str, seeds: list[int], runs: Path) -> tuple[list[Figures], Figures, list[float]]:
    """(figures of each seed, figures of the base, seconds of each training)"""
    by_seed, seconds, run = [], [], {}
    for seed in seeds:
        run = app("train", f"presets/{PRESETS[task]}.yaml", f"training.seed={seed}", runs=runs)
        seconds.append(run["proof"]["seconds"]["training"])
        by_seed.append(scores(run["run"], task, runs))
        print(
            task,
            seed,
            f"{seconds[-1]:.0f} s",
            {part or "held out": round(value, 1) for part, value in by_seed[-1].items()},
            flush=True,
        )
    return by_seed, scores(run["run"], task, runs, base=True), seconds


def processor() -> str:
    """The machine in general words: kind of processor and how many of its cores"""
    text = ""
    if Path("/proc/cpuinfo").exists():
        text = Path("/proc/cpuinfo").read_text()
    model = next(
        (line.split(":")[1].strip() for line in text.splitlines() if line.startswith("model name")),
        platform.processor(),
    )
    return f"{os.cpu_count()} cores of {model.replace('(R)', '') or platform.machine()}"


def table(task: str, by_seed: list[Figures], base: Figures, seconds: list[float], seeds: list[int]) -> str:
    """The scores of a task as Markdown: one row for each test file"""
    lines = [
        f"| {task} (questions) | base | " + " | ".join(f"seed {s}" for s in seeds) + " | mean | spread |",
        "|---" * (4 + len(seeds)) + "|",
    ]
    for part, path in test_files(task).items():
        values = [figures[part] for figures in by_seed]
        cells = [
            f"{FILES[part]} ({len(last_turns(path))})",
            f"{base[part]:.1f}",
            *(f"{v:.1f}" for v in values),
            f"**{statistics.mean(values):.1f}**",
            f"{max(values) - min(values):.1f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    times = ", ".join(f"{s:.0f}" for s in seconds)
    return "\n".join(
        [
            *lines,
            "",
            f"Exact match in percent, greedy answers, {datetime.date.today()}. "
            f"Seconds of training on {processor()}: {times}.",
        ]
    )


def write_card(task: str, text: str) -> None:
    """Put a task's table between its two marks of the model card"""
    begin, end = BEGIN.format(task=task), END.format(task=task)
    before, rest = CARD.read_text(encoding="utf-8").split(begin)
    CARD.write_text(before + begin + "\n" + text + "\n" + end + rest.split(end)[1], encoding="utf-8")


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    ask.add_argument("--tasks", nargs="+", choices=list(PRESETS), default=list(PRESETS))
    ask.add_argument("--print", action="store_true", help="only print the tables; the card stays as it is")
    given = ask.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for task in given.tasks:
            text = table(task, *measure(task, given.seeds, Path(folder)), given.seeds)
            print(text, flush=True)
            if not given.print:  # after every task, so that an interrupted report keeps what it has
                write_card(task, text)


if __name__ == "__main__":
    main()
