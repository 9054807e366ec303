"""How many rows a second from a file to its tokens on disk, against `datasets`; in how much memory; and how soon are
the first rows seen?

make bench measures a small file; `data.py --mb 1000` one of a gigabyte, which takes about a quarter of an hour. Prints
rows a second, megabytes and seconds and adds them, with date and machine, to RESULTS.md.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

from measuring import interleaved, ratio, record, spread, used_by_others

from qlora_app.base_models import ModelChoice, load_tokenizer
from qlora_app.settings import Settings
from qlora_app.tasks.dataset import EncodedExamples
from qlora_app.tasks.packing import IGNORED
from qlora_app.tasks.token_cache import TokenCache, cache_folder
from qlora_app.training_data import DatasetChoice, import_file, load_examples

WORDS = [
    "the",
    "of",
    "and",
    "to",
    "in",
    "is",
    "was",
    "that",
    "for",
    "it",
    "as",
    "on",
    "with",
    "his",
    "by",
    "at",
    "from",
    "her",
    "they",
    "this",
    "had",
    "not",
    "are",
    "but",
    "be",
    "she",
    "or",
    "which",
    "you",
    "one",
    "we",
    "all",
    "were",
    "when",
    "there",
    "been",
    "their",
    "more",
    "if",
    "no",
    "man",
    "out",
    "so",
    "what",
    "up",
    "said",
    "who",
    "about",
]
LENGTH = 512  # tokens
SMALL = 1  # megabytes of the file whose first rows must come no sooner than those of the other


def make_file(path: Path, megabytes: float) -> int:
    """Questions and answers of 50 to 300 words, about a kilobyte each. Returns how many."""
    chance, rows, size = random.Random(0), 0, 0
    with path.open("w", encoding="utf-8") as file:
        while size < megabytes * 1e6:
            asked, more, said = (
                " ".join(chance.choices(WORDS, k=chance.randint(*span))) for span in ((15, 60), (10, 40), (40, 220))
            )
            size += file.write(
                json.dumps({"instruction": f"{rows}: {asked}?", "input": more if rows % 3 else "", "output": said})
                + "\n"
            )
            rows += 1
    return rows


def ours(path: Path) -> int:
    """Imported, read and cut into tokens as the page and the worker do it, in a home of its own. Returns the
    examples.
    """
    with tempfile.TemporaryDirectory() as folder:
        home, tokenizer = Settings(home=Path(folder)), load_tokenizer(ModelChoice())
        examples = load_examples(
            DatasetChoice(source="file", id=import_file(path, home.data, path.name, home)), home.data
        )
        kept = cache_folder(home.tokens, examples.fingerprint, tokenizer, LENGTH)
        for name, part in (("train", examples.train), ("held-out", examples.held_out)):
            cache = TokenCache(len(part), kept / name, home.max_cache_mb)
            encoded = EncodedExamples(part, tokenizer, LENGTH, cache=cache)
            encoded.encode_those(range(len(encoded)))
            cache.save()
        return len(examples.train) + len(examples.held_out)


def theirs(path: Path) -> int:
    """The same file by `datasets.load_dataset` and a plain `map`, which checks nothing. Returns the examples."""
    import datasets

    tokenizer = load_tokenizer(ModelChoice())

    def tokens(row: dict[str, str]) -> dict[str, list[int]]:
        question = f"{row['instruction']}\n\n{row['input']}" if row["input"] else row["instruction"]
        messages = [{"role": "user", "content": question}, {"role": "assistant", "content": row["output"]}]
        made = tokenizer.apply_chat_template(messages, return_dict=True, return_assistant_tokens_mask=True)
        ids = made["input_ids"][:LENGTH]
        return {
            "input_ids": ids,
            "labels": [i if said else IGNORED for i, said in zip(ids, made["assistant_masks"], strict=False)],
        }

    datasets.disable_progress_bars()
    with tempfile.TemporaryDirectory() as folder:
        rows = datasets.load_dataset("json", data_files=str(path), split="train", cache_dir=folder)
        return len(rows.map(tokens, remove_columns=rows.column_names))


def peak(path: Path) -> float:
    """Megabytes of this process at most, when it has done all of `ours`."""
    import resource

    ours(path)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e3 if sys.platform == "linux" else 1e6)


def over_start(path: Path) -> float:
    """Megabytes that the import of a file, and the split of its rows, take over what the process has at its start."""
    import resource

    import datasets  # noqa: F401  what the tables need is there before
    import pyarrow.ipc  # noqa: F401

    from qlora_app.preflight import examples_of
    from qlora_app.training_data import import_files

    began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with tempfile.TemporaryDirectory() as folder:
        home = Settings(home=Path(folder))
        id = import_files([path], home.data, home)
        examples_of(DatasetChoice(source="file", id=id), home.data)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - began) / (1e3 if sys.platform == "linux" else 1e6)


def stall(path: Path) -> float:
    """Seconds for which no other thread of the page runs at most while a file is brought to it."""
    import threading

    longest, last, done = 0.0, time.monotonic(), threading.Event()

    def beat() -> None:
        nonlocal longest, last
        while not done.wait(0.005):
            now = time.monotonic()
            longest, last = max(longest, now - last), now

    preview(path)  # what is imported the first time is the start's
    last = time.monotonic()
    thread = threading.Thread(target=beat)
    thread.start()
    preview(path)
    done.set()
    thread.join()
    return longest


def preview(path: Path) -> float:
    """Seconds from the end of the upload to the first rows on the page, which goes on reading meanwhile."""
    import gradio as gr

    from qlora_app.recipe import Recipe
    from qlora_app.runs import RunStore
    from qlora_app.ui.context import AppContext
    from qlora_app.ui.train.data_import import DataImport
    from qlora_app.ui.train.form_values import DATA
    from qlora_app.ui.train.recipe_form import RecipeForm

    settings = Settings(home=path.parent / f"page-{path.stem}")
    with gr.Blocks():
        nobody = SimpleNamespace(wake=lambda: None)  # who would start the job: the first rows do not wait for it
        page = AppContext(settings, RunStore(settings.runs), nobody, None)
        controls = RecipeForm(settings, Recipe())
        controls.controls[DATA] = gr.Dropdown()
        importer = DataImport(page, controls)
        importer.build()
        chosen = gr.File()
    began = time.monotonic()
    answer = importer.take({chosen: [str(path)]})
    if not (answer[importer.id] or 'class="rows"' in answer[importer.line]):
        raise RuntimeError(f"neither the first rows nor all of them: {answer[importer.line]}")
    return time.monotonic() - began


def alone(what: str, path: Path) -> float:
    """`what` in a process of its own, so that nothing else is in its memory."""
    done = subprocess.run([sys.executable, __file__, "--only", what, str(path)], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return float(done.stdout.split()[-1])


def seconds_a_row(work: Callable[[Path], int], path: Path) -> float:
    began = time.monotonic()
    rows = work(path)
    return (time.monotonic() - began) / rows


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("--mb", type=float, default=20, help="size of the file in megabytes")
    ask.add_argument("--times", type=int, default=3, help="how often each is measured; the middle one counts")
    ask.add_argument("--only", nargs=2, metavar=("WHAT", "FILE"), help=argparse.SUPPRESS)
    given = ask.parse_args()
    if given.only:
        works = {"peak": peak, "preview": preview, "over_start": over_start, "stall": stall}
        print(works[given.only[0]](Path(given.only[1])), flush=True)
        os._exit(0)  # the first rows are there; the rest is read no further
    others = used_by_others()
    with tempfile.TemporaryDirectory() as folder:
        path, small = Path(folder) / "rows.jsonl", Path(folder) / "small.jsonl"
        rows = make_file(path, given.mb)
        make_file(small, SMALL)
        first = [[alone("preview", one) for _ in range(given.times)] for one in (small, path)]
        megabytes = alone("peak", path)
        for work in (ours, theirs):  # what they import is not measured
            work(small)
        a_row = interleaved(
            given.times, ours=lambda: seconds_a_row(ours, path), theirs=lambda: seconds_a_row(theirs, path)
        )
    speed = {name: [1 / seconds for seconds in values] for name, values in a_row.items()}
    faster = ratio(speed["ours"], speed["theirs"])
    print(
        f"{rows:,} rows, {given.mb:,.0f} MB: {spread(speed['ours'], '{:.0f}')} rows/s from the file to its tokens on "
        f"disk, "
        f"{spread(speed['theirs'], '{:.0f}')} by load_dataset and map, ratio {faster:.2f}\nat most {megabytes:,.0f} "
        f"MB of memory\n"
        f"first rows of {SMALL} MB after {spread(first[0])} s, of {given.mb:,.0f} MB after {spread(first[1])} s"
    )
    figures = {
        "MB": f"{given.mb:,.0f}",
        "rows/s": spread(speed["ours"], "{:.0f}"),
        "`datasets`, rows/s": spread(speed["theirs"], "{:.0f}"),
        "ours / `datasets`": f"{faster:.2f}",
        "peak memory MB": f"{megabytes:,.0f}",
        "first rows of 1 MB, s": spread(first[0]),
        "of all, s": spread(first[1]),
    }
    record("data", figures, others)


if __name__ == "__main__":
    main()
