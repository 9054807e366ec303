"""How much faster does a CPU learn in the type of number that is chosen for it, and unpacking 4-bit layers once?  make
bench

A step of the worker's own Trainer, in processor time: as before (32 bits, every layer as bitsandbytes and PEFT compute
it, or the whole app of another checkout), in fp32, in bf16, and which of the two the app takes by itself. In turn, each
in a process of its own. Prints ratios and adds them, with date and machine, to RESULTS.md.

    git worktree add /tmp/before c00f458; python benchmarks/cpu_types.py --against /tmp/before
    python benchmarks/cpu_types.py --run --against /tmp/before     # the default run from Start to its proof, seconds
    and scores
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
STEPS = {"starter": 24, "hidden 1024": 8, "hidden 2048": 6}
SKIPPED = 2  # first steps, slower than the others, that are not counted
HOPELESS = 5.0  # times as slow in the trial: bf16 is not waited for
NONE = "\N{EN DASH}"


def child(asked: dict[str, Any]) -> None:
    """In a process of its own: some steps with the app of `asked["checkout"]`; prints what they took and learned."""
    sys.path.insert(0, asked["checkout"])
    import qlora_app

    if asked["plain"] and Path(qlora_app.__file__).parents[1] == ROOT:
        _as_the_libraries_do()
    from transformers import TrainerCallback

    from qlora_app.base_models import ModelChoice
    from qlora_app.presets import Presets
    from qlora_app.runs import RunStore
    from qlora_app.train.callbacks import MetricsCallback
    from qlora_app.train.setup import prepare
    from qlora_app.train.trainer import build_trainer

    class Stopwatch(TrainerCallback):
        def __init__(self) -> None:
            self.times: list[float] = []

        def on_step_end(self, *_: Any, **__: Any) -> None:
            self.times.append(time.process_time())

    os.environ["QLORA_APP_HOME"] = asked["home"]
    starter = Presets().load("starter")
    base = {"source": "folder", "id": asked["folder"]} if asked["folder"] else {}
    training = {"max_steps": asked["steps"], "evaluations": 0, "measured_examples": 64, "samples": 0, "checkpoints": 0}
    recipe = starter.model_copy(
        update={
            "base_model": ModelChoice(compute_type=asked["type"], **base),
            "training": starter.training.model_copy(update=training),
        }
    )
    with RunStore(Path(asked["home"]) / "runs").create(recipe).hold() as out:
        job = prepare(out, recipe)
        watch, reporter = Stopwatch(), MetricsCallback(out, [], 0)
        build_trainer(job, reporter, [watch, reporter]).train()
    steps = [after - before for before, after in zip(watch.times[SKIPPED:], watch.times[SKIPPED + 1 :], strict=False)]
    held_out = job.task.measure(job.model, job.held_out_batches)["loss"]
    print(json.dumps({"ms": 1000 * statistics.median(steps), "held_out": held_out}))


def _as_the_libraries_do() -> None:
    """bitsandbytes' layers and PEFT's, unchanged."""
    from qlora_app.base_models import cpu_layers
    from qlora_app.methods.parts import cpu_lora

    cpu_layers.unpack_less = lambda model: None
    cpu_lora.in_one_step = lambda model: model


def steps_of(
    name: str, folder: str, kind: str, home: Path, before: Path | None = None, quick: bool = False
) -> dict[str, float]:
    """Milliseconds of a step, and held-out loss after the last one. `before` is a checkout to be measured instead; this
    one: plain.
    """
    asked = {
        "checkout": str(before or ROOT),
        "plain": before is not None,
        "folder": folder,
        "type": kind,
        "home": str(home),
        "steps": 4 if quick else STEPS[name],
    }
    return _answer_of(["--child", json.dumps(asked)])


def _answer_of(words: list[str]) -> dict[str, Any]:
    """The last line that this program prints with such words, in an environment as a worker has it."""
    from qlora_app import KEEP_MEMORY

    environment = {**KEEP_MEMORY, **os.environ, "HF_HUB_OFFLINE": "1"}
    environment.pop("PYTHONPATH", None)
    ended = subprocess.run([sys.executable, __file__, *words], capture_output=True, text=True, env=environment)
    if ended.returncode:
        raise RuntimeError(ended.stderr[-2000:])
    return json.loads(ended.stdout.splitlines()[-1])


def taken(folder: str, home: Path) -> tuple[str, float]:
    """(the type the app takes for a model on this machine, bf16's time in the trial as a share of fp32's)"""
    from qlora_app.base_models import ModelChoice, facts_of_folder, folder_of
    from qlora_app.base_models.cards import CPU, compute_type
    from qlora_app.base_models.shapes import shapes_of
    from qlora_app.base_models.trial import trial_of

    facts = facts_of_folder(folder_of(ModelChoice(source="folder", id=folder) if folder else ModelChoice()))
    block = shapes_of(facts.config, facts.parameters).block
    tried = trial_of([(matrix.inputs, matrix.outputs) for matrix in block], home / "cpu_types.json")
    return compute_type(CPU, trial=tried).taken, tried.bf16 / tried.fp32


def compare(name: str, folder: str, given: argparse.Namespace, home: Path) -> dict[str, str]:
    """Columns of RESULTS.md for one model: how many times as fast as before in fp32 and in bf16, and which is taken."""
    from measuring import interleaved, ratio

    chosen, share = taken(folder, home)
    kinds = ["fp32"] if share > HOPELESS else ["fp32", "bf16"]
    losses: dict[str, float] = {}

    def measure(label: str, kind: str, before: Path | None) -> float:
        found = steps_of(name, folder, kind, home, before, given.quick)
        losses[label] = found["held_out"]
        return found["ms"]

    ways = {"before": lambda: measure("before", "fp32", given.against)}
    for kind in kinds:
        ways[kind] = lambda kind=kind: measure(kind, kind, None)
    times = interleaved(given.rounds, **ways)
    gains = {kind: ratio(times["before"], times[kind]) for kind in kinds}
    apart = max(abs(losses[kind] - losses["before"]) for kind in kinds)
    print(
        f"{name}: {', '.join(f'{statistics.median(ms):.0f} ms {way}' for way, ms in times.items())} of processor time "
        f"a step; "
        f"{', '.join(f'{kind} {gain:.2f} times as fast' for kind, gain in gains.items())}; taken: {chosen} (trial "
        f"{share:.2f}); "
        f"held-out losses at most {apart:.1e} apart"
    )
    figures = {f"{name}, {kind}": f"{gains[kind]:.2f}" if kind in gains else NONE for kind in ("fp32", "bf16")}
    return figures | {f"{name} takes": chosen}


def whole_run(checkout: Path, kind: str, seed: int, home: Path) -> dict[str, Any]:
    """The default run by the command line of a checkout, from Start to its proof: seconds, and how many held-out
    questions are right.
    """
    words = ["train", "starter", "--json", f"base_model.compute_type={kind}", f"training.seed={seed}"]
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "qlora_app", *words],
        cwd=checkout,
        check=True,
        capture_output=True,
        env=os.environ | {"QLORA_APP_HOME": str(home), "PYTHONPATH": str(checkout)},
    )
    seconds = time.perf_counter() - began
    proof = json.loads(max(home.glob("runs/*/adapter/proof.json"), key=os.path.getmtime).read_text(encoding="utf-8"))
    return {
        "seconds": seconds,
        "right": proof["heldout"]["exact_match"]["after"],
        "loss": proof["heldout"]["loss"]["after"],
    }


def compare_runs(given: argparse.Namespace, home: Path) -> None:
    """Whole runs in turn, with three seeds: before, in the type that is taken, and in the other one. Printed, not
    recorded.
    """
    chosen, _ = taken("", home)
    for seed in range(3):
        for label, checkout, kind in (
            ("before", given.against, "fp32"),
            (f"{chosen}, taken", ROOT, chosen),
            *([("bf16", ROOT, "bf16")] if chosen == "fp32" and given.both else []),
        ):
            found = whole_run(checkout, kind, seed, home)
            print(
                f"seed {seed}, {label}: {found['seconds']:.0f} s, {found['right']:.1%} right, held-out loss "
                f"{found['loss']:.4f}",
                flush=True,
            )


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--rounds", type=int, default=3, help="how often each is measured; the middle ratio counts")
    ask.add_argument(
        "--against",
        type=Path,
        default=ROOT,
        help='checkout that is "before"; without one the libraries\' own layers are',
    )
    ask.add_argument(
        "--run", action="store_true", help="whole default runs with three seeds instead (about ten minutes)"
    )
    ask.add_argument("--both", action="store_true", help="with --run: in bf16 too where it is not taken")
    ask.add_argument(
        "--quick", action="store_true", help="a few steps on small models, to see that it runs; nothing is recorded"
    )
    ask.add_argument("--child", type=json.loads, help=argparse.SUPPRESS)
    given = ask.parse_args()
    if given.child:
        child(given.child)
        return
    from measuring import make_model, record, used_by_others

    others, figures = used_by_others(), {}
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        if given.run:
            compare_runs(given, home)
            return
        for name in STEPS:
            hidden = 0 if name == "starter" else int(name.split()[1])
            made = (
                str(make_model(home / f"hidden{hidden}", hidden=hidden // 8 if given.quick else hidden))
                if hidden
                else ""
            )
            figures |= compare(name, made, given, home)
    record("cpu_types", figures, others, keep=not given.quick)


if __name__ == "__main__":
    main()
