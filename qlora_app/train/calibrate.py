"""Measures how fast this machine trains, in about a second, by a worker that waits: some steps of the starter on its
own rows, so that the first estimate is one of this machine.
"""

import time
from collections.abc import Callable
from contextlib import suppress

import torch

from .. import memory
from ..base_models import load_model, load_tokenizer
from ..hardware import here
from ..presets import Presets
from ..settings import Settings
from ..speed import Speed, keep, speed_here
from ..tasks import task_for
from ..tasks.dataset import EncodedExamples
from ..tasks.packing import pack
from ..training_data import load_examples

ROWS = 8  # in a step
STEPS = 8
LONGEST = 2.0  # seconds
# A run's own step takes less: what one step has made is used by the next. Measured (benchmarks/RESULTS.md, estimates).
AS_A_RUN = 0.8


def calibrate(settings: Settings, is_wanted: Callable[[], bool]) -> Speed | None:
    """The speed of this machine, measured now where it is not known, and kept; None on a GPU, whose steps tell little
    of other models. Left as soon as the worker `is_wanted` for a job.
    """
    known = speed_here(settings.home)
    if known is not None or here().kind != "cpu":
        return known
    speed = measured(settings, is_wanted)
    if speed is not None:
        with suppress(OSError):  # it is measured again
            keep(settings.home, speed)
    return speed


def measured(settings: Settings, is_wanted: Callable[[], bool] = lambda: False) -> Speed | None:
    """The middle one of some steps, on one thread, whose time is its own however busy the machine is."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _measured(settings, is_wanted)
    finally:
        torch.set_num_threads(threads)


def _measured(settings: Settings, is_wanted: Callable[[], bool]) -> Speed | None:
    recipe = Presets(settings.presets).load("starter")
    examples = load_examples(recipe.dataset, settings.data)
    rows = list(examples.train[: ROWS * STEPS])
    task = task_for(recipe.task, ("chat",), rows)
    tokenizer = load_tokenizer(recipe.base_model)
    base = load_model(recipe.base_model, task.auto_class, task.labels, quantize=not recipe.method.quantizes_itself)
    task.prepare(tokenizer, base)
    pack(base)
    model = recipe.method.attach(
        base, task.peft_type, memory.is_checkpointed(recipe, base.num_parameters(), here().kind)
    )
    encoded = EncodedExamples(rows, tokenizer, recipe.training.max_length, task)
    collate = task.collator(tokenizer, packing=True)
    optimizer = torch.optim.AdamW([one for one in model.parameters() if one.requires_grad], lr=1e-5)
    model.train()
    paces: list[float] = []
    began = time.monotonic()
    for start in range(0, len(rows), ROWS):
        places = range(start, min(start + ROWS, len(encoded)))
        batch = collate(encoded.__getitems__(list(places)))
        taken = time.thread_time()
        model(**batch).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        taken = time.thread_time() - taken
        characters = sum(len(turn["content"]) for place in places for turn in rows[place])
        paces.append(taken / max(1, characters))
        if is_wanted() or (time.monotonic() - began > LONGEST and len(paces) > 2):
            break
    if len(paces) < 3:
        return None
    settled = sorted(paces[1:])  # the first one is for warming up
    return Speed(AS_A_RUN * settled[len(settled) // 2])
