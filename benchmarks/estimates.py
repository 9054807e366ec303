"""Does the time that a fresh page names come true, on this processor and on others?  make bench

Measures the speed of the machine as a waiting worker does, estimates the starter's run by it, and trains that run, in
processor seconds of one thread: so it can be told on a busy machine too. Other processors are emulated by taking
instructions away from the libraries. Adds a line for each to RESULTS.md.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from measuring import ROOT, record

from qlora_app.effort import epochs_meant, steps_of, work_of
from qlora_app.preflight import examples_of
from qlora_app.presets import Presets
from qlora_app.recipe import Recipe
from qlora_app.runs import RunStore

CASES = {  # by what the libraries may use
    "as it is": {},
    "AVX2 only": {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"},
    "SSE4 only": {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2"},
}
CALIBRATE = (
    "from qlora_app.settings import Settings; from qlora_app.train.calibrate import measured; "
    "print(measured(Settings.from_environment()).pace)"
)
IMPORTED = "from qlora_app import worker; [worker.importlib.import_module(one) for one in worker.KINDS.values()]"


def environment(home: Path, limits: dict[str, str]) -> dict[str, str]:
    return {**os.environ, **limits, "OMP_NUM_THREADS": "1", "QLORA_APP_HOME": str(home), "PYTHONPATH": str(ROOT)}


def processor_seconds(command: list[str], env: dict[str, str]) -> float:
    """Of a program, with all that it starts."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, env=env, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def so_long(effort: str, data: Path) -> Recipe:
    """The starter's recipe with an effort."""
    recipe = Presets().load("starter")
    epochs = epochs_meant(recipe, data)[effort]
    return recipe.model_copy(update={"training": recipe.training.model_copy(update={"epochs": epochs})})


def compared(limits: dict[str, str], effort: str, home: Path) -> tuple[int, float, float]:
    """(steps, seconds said, seconds taken)"""
    env = environment(home, limits)
    made = subprocess.run([sys.executable, "-c", CALIBRATE], env=env, check=True, capture_output=True, text=True)
    recipe = so_long(effort, home / "data")
    examples = examples_of(recipe.dataset, home / "data")
    said = float(made.stdout.split()[-1]) * work_of(recipe, examples, recipe.training.epochs)
    run = RunStore(home / "runs").create(recipe)
    importing = processor_seconds([sys.executable, "-c", IMPORTED], env)
    taken = processor_seconds([sys.executable, "-m", "qlora_app.worker", str(run.folder)], env) - importing
    return steps_of(recipe, home / "data"), said, taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=CASES, action="append")
    parser.add_argument("--effort", default="quick", choices=("quick", "balanced", "thorough"))
    given = parser.parse_args()
    for name in given.only or CASES:
        with tempfile.TemporaryDirectory() as home:
            steps, said, taken = compared(CASES[name], given.effort, Path(home))
        figures = {
            "instructions": name,
            "steps": f"{steps:,}",
            "said, s": f"{said:.0f}",
            "taken, s": f"{taken:.0f}",
            "said / taken": f"{said / taken:.2f}",
        }
        print(figures)
        # Processor seconds are the same whatever others do.
        record("estimates", figures, others=0.0)


if __name__ == "__main__":
    main()
