"""What a measuring worker does: which steps it makes, what it reads of the memory, how long answers take."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from transformers import TrainerControl, TrainerState

from qlora_app.recipe import Recipe, Training
from qlora_app.tasks import Question
from qlora_app.tasks.asked import Asked
from qlora_app.tasks.token_cache import Encoded
from qlora_app.train import answer_times, measure
from qlora_app.train.order import TrialOrder


def trial_of(monkeypatch, examples, **parts) -> measure._Trial:
    monkeypatch.setattr(measure, "total_steps", lambda setup: 40)
    setup = SimpleNamespace(train=EncodedLike(examples), micro_batch=1, **parts)
    return measure._Trial(setup, None, None, 0.0)  # type: ignore[arg-type]


class EncodedLike(list):
    """(tokens of the input, of the labels) of each example."""

    def encoded(self, place: int) -> Encoded:
        read, learned = self[place]
        return Encoded([1] * read, [1] * learned, False)


def test_the_largest_step_is_that_with_the_most_input_and_output(monkeypatch):
    """An encoder-decoder's output is no part of its input."""
    trial = trial_of(
        monkeypatch, [(9, 1), (2, 30), (8, 8)], recipe=Recipe(training=Training(batch_size=1)), packing=False
    )
    assert trial._order(trial.setup).places[0] == 1


def test_samples_are_measured_for_a_recipe_without_them(monkeypatch):
    """One of the same cost may have some."""
    monkeypatch.setattr(measure, "sample_seconds", lambda setup: 5.0)
    monkeypatch.setattr(measure, "answering_seconds", lambda setup, training: 0.0)
    trial = trial_of(monkeypatch, [(1, 1)], recipe=Recipe(training=Training(samples=0)), held_out_batches=[])
    assert trial._costs(measure._Step(0.0, 1.0, 0.0, 0)).samples == 5.0


def test_a_peak_is_the_highest_of_all_steps(monkeypatch):
    """The first has no optimizer's state yet."""
    memory = SimpleNamespace(synchronize=lambda: None, peak=iter([616.0, 771.0, 700.0]).__next__)
    clock = measure._Clock(memory, False, TrialOrder([0], 0, 1))  # type: ignore[arg-type]
    for step in (1, 2, 3):
        clock.on_step_end(None, TrainerState(global_step=step, max_steps=9), TrainerControl())
    assert clock.peak == 771.0 and len(clock.usual) == 1


def test_memory_without_a_peak_of_the_system_is_what_is_seen(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: "Name: python\n")
    memory = measure._Memory()
    assert memory.peak() == memory.seen > 0


@pytest.mark.parametrize("longest", [8, 16, 64])
def test_answers_take_as_long_as_their_tokens(monkeypatch, longest):
    """A second for each token."""
    setup = SimpleNamespace(
        questions=SimpleNamespace(held_out=[], learned=[]), model=torch.nn.Linear(1, 1), tokenizer=None
    )
    monkeypatch.setattr(answer_times, "context_of", lambda model: None)
    monkeypatch.setattr(answer_times, "_likeliest", lambda setup, questions: 0.0)
    monkeypatch.setattr(answer_times, "_seconds", lambda setup, asked, length: float(min(answer_times.TOKENS, length)))
    asked = [Asked(Question([{"role": "user", "content": "?"}], ""), 1, 4, longest)]
    assert answer_times._scored(setup, asked) == 2 * longest, "base and adapter"
