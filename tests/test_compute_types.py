"""Which type of number a machine computes in, and that nothing else changes with it: a table of cards, the CPU's trial,
real runs.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from qlora_app import worker
from qlora_app.base_models import (
    ModelChoice,
    cards_here,
    load_model,
    loading,
    trial,
)
from qlora_app.base_models.cards import (
    CLEARLY,
    CPU,
    MOST_UNPACKED,
    Card,
    Trial,
    compute_type,
    device_map,
    kept_bytes,
    optimizer,
    problems,
)
from qlora_app.inference.session import ChatSession
from qlora_app.methods import (
    METHODS,
    AdaMixMethod,
    Ia3Method,
    LoraMethod,
    QaLoraMethod,
)
from qlora_app.train import computing
from qlora_app.train.callbacks import MetricsCallback
from qlora_app.train.trainer import arguments
from qlora_app.train.world import ALONE
from tests.conftest import UNASKED, short_recipe
from tests.tiny_models import tiny_model

GB = 2**30
CARDS = {  # name: (card, what most models compute in there, what those compute in that overflow in fp16)
    "P100": (Card("Tesla P100", (6, 0), 16 * GB), "fp16", "fp32"),
    "1080": (Card("GeForce GTX 1080", (6, 1), 8 * GB), "fp32", "fp32"),
    "V100": (Card("Tesla V100", (7, 0), 32 * GB), "fp16", "fp32"),
    "T4": (Card("Tesla T4", (7, 5), 16 * GB), "fp16", "fp32"),
    "2080": (Card("GeForce RTX 2080", (7, 5), 8 * GB), "fp16", "fp32"),
    "A100": (Card("A100", (8, 0), 80 * GB), "bf16", "bf16"),
    "3090": (Card("GeForce RTX 3090", (8, 6), 24 * GB), "bf16", "bf16"),
    "4090": (Card("GeForce RTX 4090", (8, 9), 24 * GB), "bf16", "bf16"),
    "L4": (Card("L4", (8, 9), 24 * GB), "bf16", "bf16"),
    "H100": (Card("H100", (9, 0), 80 * GB), "bf16", "bf16"),
    "H200": (Card("H200", (9, 0), 141 * GB), "bf16", "bf16"),
    "B200": (Card("B200", (10, 0), 180 * GB), "bf16", "bf16"),
    "5090": (Card("GeForce RTX 5090", (12, 0), 32 * GB), "bf16", "bf16"),
    "MI300": (Card("AMD Instinct MI300X", None, 192 * GB, is_amd=True), "bf16", "bf16"),
    "CPU": (CPU, "fp32", "fp32"),
}
OLD = Card("Tesla M40", (5, 2), 12 * GB)


@pytest.mark.parametrize("name", CARDS)
def test_each_card_computes_in_what_it_has(name):
    card, usual, careful = CARDS[name]
    for family in ("llama", "qwen3", "bert", "gpt2"):
        assert compute_type(card, family=family).taken == usual
    for family in ("t5", "mt5", "gemma2", "gemma3_text"):
        assert compute_type(card, family=family).taken == careful
    if card is not CPU:
        assert card.name in compute_type(card).why and compute_type(card).why.endswith(".")


@given(
    st.sampled_from([card for card, *_ in CARDS.values()]),
    st.sampled_from(["bf16", "fp16", "fp32"]),
    st.sampled_from(["nf4", "fp4", "int8", "bf16"]),
    st.sampled_from(["llama", "t5"]),
)
def test_what_a_person_chose_is_taken(card, wanted, precision, family):
    assert compute_type(card, precision, wanted, family).taken == wanted
    assert compute_type(card, "fp32", wanted, family).taken == "fp32"


@given(st.floats(1e-6, 10), st.floats(1e-6, 10))
def test_a_cpu_computes_in_bf16_only_where_that_is_clearly_faster(fp32, bf16):
    decided = compute_type(CPU, trial=Trial(fp32, bf16))
    assert decided.taken == ("bf16" if bf16 / fp32 <= CLEARLY else "fp32") and f"{bf16 / fp32:.0%}" in decided.why


def seen_by_torch(monkeypatch, *found, hip=None):
    """As if torch saw these GPUs: (name, capability, bytes)."""
    facts = [
        SimpleNamespace(name=name, major=major, minor=minor, total_memory=memory)
        for name, (major, minor), memory in found
    ]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(facts))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(facts))
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: facts[number])
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: True)
    monkeypatch.setattr(torch.version, "hip", hip)


def test_bf16_that_is_only_emulated_is_not_taken(monkeypatch):
    seen_by_torch(monkeypatch, ("Tesla T4", (7, 5), 16 * GB))
    assert torch.cuda.is_bf16_supported() and compute_type(cards_here()[0]).taken == "fp16"


def test_torch_calls_amd_cuda_and_numbers_it_otherwise(monkeypatch):
    seen_by_torch(monkeypatch, ("AMD Instinct MI300X", (9, 4), 192 * GB), hip="6.4")
    (card,) = cards_here()
    assert (
        card.is_gpu and card.capability is None and compute_type(card).taken == "bf16" and problems(card, "int8") == {}
    )


def test_without_a_gpu_there_is_the_cpu(monkeypatch):
    seen_by_torch(monkeypatch)
    assert cards_here() == [CPU]


def test_what_a_card_cannot_run_is_said_before_it_is_tried():
    assert "6.0" in problems(OLD, "nf4")["precision"] and OLD.name in problems(OLD, "nf4")["precision"]
    assert "7.5" in problems(CARDS["V100"][0], "int8")["precision"]
    assert (
        not any(problems(card, "nf4") for card, *_ in CARDS.values())
        and not problems(OLD, "fp32")
        and not problems(CPU, "int8")
    )


@pytest.mark.parametrize("wanted", ["paged_adamw_8bit", "paged_adamw_32bit", "adamw_torch"])
def test_the_optimizer_is_one_that_the_machine_has(wanted):
    from transformers.training_args import OptimizerNames

    everywhere = {name: optimizer(card, wanted) for name, (card, *_) in (CARDS | {"old": (OLD,)}).items()}
    assert {decided.taken for decided in everywhere.values()} <= {name.value for name in OptimizerNames}
    if wanted == "adamw_torch":
        assert {(decided.taken, decided.why) for decided in everywhere.values()} == {("adamw_torch_fused", "")}
        return
    assert everywhere["T4"] == everywhere["MI300"] == (wanted, "") and everywhere["old"].taken == "adamw_torch_fused"
    assert (
        "paged" not in everywhere["CPU"].taken or wanted == "paged_adamw_32bit"
    )  # bitsandbytes itself pages nothing on a CPU
    assert everywhere["CPU"].why and wanted in everywhere["old"].why


@given(
    st.lists(st.sampled_from([card for card, *_ in CARDS.values()]), min_size=1, max_size=8), st.floats(0, 2000 * GB)
)
def test_a_model_is_put_where_it_fits_and_never_half_on_a_cpu(found, weights):
    gpus, made = [card for card in found if card.is_gpu], device_map(found, weights)
    if not gpus:
        assert made == {"": "cpu"}
    elif made == "balanced":
        assert len(gpus) > 1 and all(weights > 0.8 * card.memory for card in gpus)
    else:
        number = made[""]
        assert len(gpus) == 1 or weights <= 0.8 * gpus[number].memory


# ---- on this processor


SIZES = [(256, 256), (256, 512), (512, 256)]


def test_a_trial_is_made_once_and_remembered(tmp_path, monkeypatch):
    kept = tmp_path / "home" / "cpu_types.json"
    first = trial.trial_of(SIZES, kept)
    assert first.fp32 > 0 and first.bf16 > 0
    monkeypatch.setattr(trial, "measured", lambda sizes: pytest.fail("it was known"))
    assert trial.trial_of([*SIZES, SIZES[0]], kept) == first, "a size that comes twice is the same trial"
    monkeypatch.setattr(trial, "measured", lambda sizes: Trial(1.0, 2.0))
    monkeypatch.setattr(torch, "__version__", "9.9")
    assert trial.trial_of(SIZES, kept) == (1.0, 2.0), "another torch is another trial"
    assert len(json.loads(kept.read_text())) == 2


@pytest.mark.parametrize("text", ["", "[1]", "{", '{"a": [1]}', '{"a": "b"}', "null", "\x00"])
def test_a_damaged_file_of_trials_costs_only_the_trial(text, tmp_path, monkeypatch):
    kept = tmp_path / "cpu_types.json"
    kept.write_text(text)
    monkeypatch.setattr(trial, "measured", lambda sizes: Trial(1.0, 2.0))
    assert trial.trial_of(SIZES, kept) == (1.0, 2.0) and trial.trial_of(SIZES, kept) == (1.0, 2.0)
    assert [*json.loads(kept.read_text()).values()] == [[1.0, 2.0]]


def test_where_nothing_can_be_written_the_trial_is_made_each_time(tmp_path):
    (tmp_path / "file").touch()
    assert trial.trial_of([(64, 64)], tmp_path / "file" / "cpu_types.json").fp32 > 0


@pytest.mark.slow
def test_without_bf16_instructions_fp32_is_taken_and_that_is_known_at_once():
    """oneDNN is told to do without; its stand-in is a hundred times slower, so it must not be tried on anything
    large.
    """
    code = (
        "import time\nimport torch\nfrom qlora_app.base_models.cards import CPU, compute_type\n"
        "from qlora_app.base_models.trial import measured\n"
        "began = time.process_time()\ntrial = measured([(2048, 2048), (2048, 5632)])\n"
        "print(compute_type(CPU, trial=trial).taken, time.process_time() - began)"
    )
    said = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[1],
        env=os.environ | {"ONEDNN_MAX_CPU_ISA": "AVX2"},
    ).stdout.split()
    assert said[0] == "fp32" and float(said[1]) < 1.0


# ---- a run keeps its type


def losses(run):
    return [row["loss"] for row in run.metrics()[0] if "loss" in row]


@pytest.mark.slow
def test_a_run_that_began_in_bf16_goes_on_in_it_bit_for_bit_whatever_is_faster_by_then(store, monkeypatch):
    faster = {"bf16": Trial(1.0, 0.2), "fp32": Trial(1.0, 5.0)}
    monkeypatch.setattr(computing, "trial_of", lambda sizes, kept: faster["bf16"])
    recipe = short_recipe(max_steps=3, checkpoints=1, **UNASKED)
    whole, parts = store.create(recipe), store.create(recipe)
    assert worker.main(whole.folder) == 0 and whole.status().state == "done"
    assert (
        whole.computes_in().taken == "bf16"
        and "20%" in whole.computes_in().why
        and whole.recipe().base_model.compute_type == "auto"
    )
    parts.request("stop")
    assert worker.main(parts.folder) == 0 and parts.status().state == "stopped"
    monkeypatch.setattr(computing, "trial_of", lambda sizes, kept: faster["fp32"])  # another machine
    assert worker.main(parts.folder) == 0 and parts.status().state == "done"
    assert losses(parts) == losses(whole)
    a, b = (load_file(run.adapter / "adapter_model.safetensors") for run in (whole, parts))
    assert all(torch.equal(a[name], b[name]) for name in a) and {tensor.dtype for tensor in a.values()} == {
        torch.float32
    }
    assert whole.proof()["reload"]["max_difference"] == 0.0 and whole.base_model().compute_type == "bf16"
    session = ChatSession.open(whole.base_model(), whole.recipe().method, whole.adapter, whole.task())
    assert session.model.dtype == torch.bfloat16, "it is asked in what it learned in"


@pytest.mark.slow
def test_a_run_from_before_types_were_kept_goes_on_as_it_began(store, monkeypatch):
    run = store.create(short_recipe(max_steps=2, checkpoints=1, **UNASKED))
    run.request("stop")
    assert worker.main(run.folder) == 0
    (run.folder / "compute.json").unlink()
    monkeypatch.setattr(computing, "trial_of", lambda sizes, kept: Trial(1.0, 0.1))
    assert worker.main(run.folder) == 0 and run.computes_in() == ("fp32", "")


@pytest.mark.parametrize(
    "kind, card, says",
    [
        ("fp16", CPU, "fp32"),
        ("bf16", CARDS["T4"][0], "Tesla T4"),
        ("bf16", CPU, ""),
        ("bf16", CARDS["A100"][0], ""),
        ("fp16", CARDS["A100"][0], ""),
    ],
)
def test_a_run_that_is_resumed_elsewhere_says_what_it_goes_on_in(kind, card, says):
    said = computing.goes_on(kind, card)
    assert says in said and bool(said) == bool(says)


@pytest.mark.parametrize("damage", ["[1]", "{", '{"type": "int3"}', '{"type": null}', ""])
def test_a_damaged_note_of_the_type_is_none(damage, store):
    run = store.create(short_recipe())
    (run.folder / "compute.json").write_text(damage)
    assert run.computes_in() is None and run.base_model().compute_type == "auto"


def test_embeddings_that_learn_whole_are_computed_in_32_bits_where_16_would_lose_their_steps(store, monkeypatch):
    monkeypatch.setattr(computing, "trial_of", lambda sizes, kept: Trial(1.0, 0.1))
    recipe = short_recipe().model_copy(update={"method": LoraMethod(train_embeddings=True)})
    assert computing.decide(recipe, CPU).taken == computing.decide(recipe, CARDS["T4"][0]).taken == "fp32"
    assert (
        computing.decide(short_recipe(), CPU).taken == "bf16"
        and computing.decide(short_recipe(), CARDS["T4"][0]).taken == "fp16"
    )


# ---- in 16 bits it learns the same


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """{type: run} of 20 steps on the starter."""
    from qlora_app.runs import RunStore

    home = tmp_path_factory.mktemp("home")
    before, runs = os.environ.get("QLORA_APP_HOME"), {}
    os.environ["QLORA_APP_HOME"] = str(home)
    try:
        for kind in ("fp32", "bf16"):
            recipe = short_recipe(max_steps=20, measured_examples=32, checkpoints=0, **UNASKED)
            runs[kind] = RunStore(home / "runs").create(
                recipe.model_copy(update={"base_model": ModelChoice(compute_type=kind)})
            )
            assert worker.main(runs[kind].folder) == 0 and runs[kind].status().state == "done"
    finally:
        if before is None:
            del os.environ["QLORA_APP_HOME"]
        else:
            os.environ["QLORA_APP_HOME"] = before
    return runs


@pytest.mark.slow
def test_twenty_steps_in_bf16_end_where_those_in_fp32_end(trained):
    ends = {kind: run.proof()["heldout"]["loss"] for kind, run in trained.items()}
    assert ends["fp32"]["after"] < 0.5 * ends["fp32"]["before"]
    assert ends["bf16"]["before"] == pytest.approx(ends["fp32"]["before"], abs=5e-3)
    assert ends["bf16"]["after"] == pytest.approx(ends["fp32"]["after"], rel=0.02)
    assert trained["bf16"].computes_in().why == "Computed in bf16, as chosen."


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.title())
def test_what_learns_is_kept_in_32_bits_beside_a_base_in_16(method, tmp_path):
    base = ModelChoice(source="folder", id=str(tiny_model("llama", tmp_path)), precision="bf16")
    if "bf16" not in method.precisions:
        base = base.model_copy(update={"precision": "nf4", "compute_type": "bf16"})
    model = method().attach(load_model(base, quantize=not method().quantizes_itself))
    learned = {name: p.dtype for name, p in model.named_parameters() if p.requires_grad}
    assert learned and set(learned.values()) == {torch.float32}


def test_a_new_head_learns_in_32_bits_and_comes_back(tmp_path):
    base = ModelChoice(source="folder", id=str(tiny_model("bert", tmp_path)), compute_type="bf16")
    opened = [load_model(base, "AutoModelForSequenceClassification", ("a", "b")) for _ in range(2)]
    method = LoraMethod(dropout=0.0)
    model = method.attach(opened[0], "SEQ_CLS")
    assert {p.dtype for p in model.parameters() if p.requires_grad} == {torch.float32} and opened[0].new_parts
    torch.manual_seed(0)
    batch = {"input_ids": torch.randint(5, 100, (8, 12)), "labels": torch.tensor([0, 1] * 4)}
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    for _ in range(3):
        model.train()(**batch).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    method.save(model, tmp_path / "adapter")
    with torch.no_grad():
        logits = model.eval()(**batch).logits
        assert torch.equal(method.load(opened[1], tmp_path / "adapter").eval()(**batch).logits, logits)


IN_FP16 = [LoraMethod(dropout=0.1), LoraMethod(weight_decomposed=True), AdaMixMethod(), Ia3Method(), QaLoraMethod()]


@pytest.mark.parametrize("method", IN_FP16, ids=lambda method: method.title())
def test_fp16_learns_with_scaled_losses(method, tmp_path, monkeypatch):
    """What a T4 does, with the CPU's own autocast and scaler: gradients arrive in 32 bits, unscaled, and every step is
    taken.
    """
    monkeypatch.setattr(loading, "compute_type", lambda choice: torch.float16)
    precision = "fp32" if method.quantizes_itself else "nf4"
    base = ModelChoice(source="folder", id=str(tiny_model("llama", tmp_path)), precision=precision)
    torch.manual_seed(0)
    model = method.attach(load_model(base, quantize=not method.quantizes_itself)).train()
    learned = [p for p in model.parameters() if p.requires_grad]
    scaler, optimizer = torch.amp.GradScaler("cpu", init_scale=2.0**12), torch.optim.AdamW(learned, lr=5e-3)
    batch = {"input_ids": torch.randint(5, 400, (4, 16))}
    losses = []
    for _ in range(12):
        with torch.autocast("cpu", torch.float16):
            loss = model(**batch, labels=batch["input_ids"], use_cache=False).loss
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        assert all(p.grad is None or p.grad.isfinite().all() for p in learned)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < losses[0] and scaler.get_scale() == 2.0**12


@pytest.mark.parametrize(
    "card, kind, bf16, fp16", [("T4", "fp16", False, True), ("A100", "bf16", True, False), ("T4", "fp32", False, False)]
)
def test_the_trainer_is_told_the_type_and_copies_the_model_nowhere(card, kind, bf16, fp16, store, monkeypatch):
    made = {}

    class Asked:
        n_gpu = 2

        def __init__(self, **words):
            made.update(words)

    monkeypatch.setattr("qlora_app.train.trainer.TrainingArguments", Asked)
    named = CARDS[card][0]
    seen_by_torch(monkeypatch, *[(named.name, named.capability, named.memory)] * 2)
    recipe = short_recipe(optimizer="paged_adamw_8bit").model_copy(
        update={"base_model": ModelChoice(compute_type=kind)}
    )
    run = store.create(recipe)
    job = SimpleNamespace(recipe=recipe, run=run, train=range(10), micro_batch=2, packing=True, world=ALONE)
    assert arguments(job)._n_gpu == 1
    assert (made["bf16"], made["fp16"], made["use_cpu"], made["optim"]) == (bf16, fp16, False, "paged_adamw_8bit")


def test_what_is_kept_is_planned_for(tmp_path):
    small, large = 50_000_000, MOST_UNPACKED + 1
    assert kept_bytes(small, "nf4", "fp32", "cpu") == 4 * small and kept_bytes(small, "fp4", "bf16", "cpu") == 2 * small
    assert kept_bytes(large, "nf4", "fp32", "cpu") == kept_bytes(small, "nf4", "bf16", "cuda") == 0
    assert kept_bytes(small, "int8", "fp32", "cpu") == 0


def test_a_resumed_run_says_where_its_optimizer_is_not_paged(store, hold):
    run = store.create(short_recipe(optimizer="paged_adamw_8bit"))
    out = hold(run)
    reporter = MetricsCallback(out, [], 0)
    settled = computing.settle(out, run.recipe(), reporter, began=False)
    assert (
        any("paged" in warning for warning in reporter.status.warnings)
        and settled.base_model.compute_type == run.computes_in().taken
    )
