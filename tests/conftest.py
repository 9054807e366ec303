"""What several tests use: a home of their own, and short real runs on the starter."""

import os
import sys
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
if "PYTEST_XDIST_WORKER" in os.environ:  # the processes share the cores; what they start inherits this
    os.environ.setdefault("OMP_NUM_THREADS", "1")
# Some machines forbid Python to keep what it has compiled. Then every process that the tests start compiles the package
# anew (a second each), and every one of theirs each test (nine).
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

import hypothesis
import pytest
from hypothesis import HealthCheck

from qlora_app import hardware
from qlora_app.recipe import Recipe
from qlora_app.runs import RunStore
from tests.fixtures.answering import answering_run
from tests.fixtures.hub import hub, llama, server, talk, tiny
from tests.fixtures.jobs import hold, impatient, write_status
from tests.fixtures.page import page, unserved, workshop
from tests.fixtures.speeds import (
    pytest_addoption,
    pytest_collection_finish,
    pytest_collection_modifyitems,
    pytest_generate_tests,
    pytest_runtest_call,
    pytest_terminal_summary,
)

sys.dont_write_bytecode = False

# The same examples every time, however long a busy machine takes for one.
_UNTROUBLED = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
hypothesis.settings.register_profile("steady", deadline=None, derandomize=True, suppress_health_check=_UNTROUBLED)
hypothesis.settings.load_profile("steady")

PATIENCE = 240  # seconds; a busy machine must not make a test fail


@pytest.fixture(autouse=True)
def enough_memory(monkeypatch):
    """What is shown of a fit may not depend on what else this machine computes now."""
    machine = hardware.Machine("cpu", 32 * 2**30, 24 * 2**30)
    monkeypatch.setattr(hardware, "_main_memory", lambda when: machine)


def wait_for(what: Callable[[], Any], seconds: float = PATIENCE) -> Any:
    """The first answer of `what` that counts as true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := what():
            return value
        time.sleep(0.05)
    raise AssertionError(f"waited {seconds} s in vain")


# Of a short recipe whose test looks at no answer and no measurement in the middle: half of its time.
UNASKED = {"samples": 0, "scored_questions": 0, "evaluations": 0}


def short_recipe(**training) -> Recipe:
    """A few real steps on the starter, measured on few questions."""
    base = {
        "learning_rate": 3e-3,
        "optimizer": "adamw_torch",
        "max_steps": 6,
        "checkpoints": 2,
        "evaluations": 2,
        "samples": 1,
        "scored_questions": 4,
        "general_questions": 0,
        "measured_examples": 8,
        "max_length": 256,
    }
    return Recipe.from_dict({"method": {"rank": 8, "alpha": 16}, "training": base | training})


@pytest.fixture
def home(tmp_path, monkeypatch):
    """QLORA_APP_HOME for this test, in this process and in the workers it starts."""
    monkeypatch.setenv("QLORA_APP_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def store(home):
    return RunStore(home / "runs")


def train_tab(settings: Any, supervisor: Any = None) -> Any:
    """The Train tab of a page with these settings, and the values its controls have when it is opened."""
    import gradio as gr

    from qlora_app.ui.context import AppContext
    from qlora_app.ui.runs.run_card import RunCards
    from qlora_app.ui.train.tab import TrainTab

    context = AppContext(settings, RunStore(settings.home / "runs"), supervisor=supervisor, sessions=None)
    with unserved(), gr.Blocks():
        tab = TrainTab(context, RunCards(context))
        tab.build()
        tab.wire(gr.Tabs())
    return tab


@pytest.fixture
def values(tab):
    """The form of a fresh page, as {control: value}."""
    from qlora_app.ui.train.form_values import show

    return show(tab.controls.first)
