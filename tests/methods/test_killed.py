"""Workers of their own process that are killed with -9 in the middle: resumed, they end with the bytes of one that
never was.
"""

import os
import signal
import subprocess
import sys

import pytest

from qlora_app import worker
from qlora_app.runs.checkpoints import newest_complete
from tests.conftest import wait_for
from tests.methods.resuming import losses, recipe_of

pytestmark = pytest.mark.slow

KILLED = [
    ("llama", "chat", "adalora", True),
    ("llama", "chat", "adamix", False),
    ("roberta", "fill_mask", "lora", False),
]


def worker_of(run):
    return subprocess.Popen(
        [sys.executable, "-m", "qlora_app.worker", str(run.folder)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


@pytest.mark.parametrize("family, task, name, packing", KILLED)
def test_a_killed_worker_is_resumed_exactly(family, task, name, packing, bases, rows, store):
    recipe = recipe_of(bases(family, 0.1), name, packing, 0.2, task, max_steps=60, epochs=99, checkpoints=6)
    whole, killed = store.create(recipe), store.create(recipe)
    running = worker_of(killed)
    assert worker.main(whole.folder) == 0
    wait_for(lambda: newest_complete(killed.checkpoints, deep=False) or running.poll() is not None)
    if running.poll() is None:
        os.kill(running.pid, signal.SIGKILL)
    assert running.wait() == -signal.SIGKILL and newest_complete(killed.checkpoints) and killed.status().state != "done"
    assert worker_of(killed).wait() == 0 and killed.status().state == "done", killed.status().sentence
    assert losses(killed) == losses(whole) and len(losses(whole)) == 60
    files = sorted(path.name for path in whole.adapter.glob("*.safetensors"))
    assert files == sorted(path.name for path in killed.adapter.glob("*.safetensors")) == ["adapter_model.safetensors"]
    assert all((whole.adapter / name).read_bytes() == (killed.adapter / name).read_bytes() for name in files)
