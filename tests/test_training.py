"""The training itself, in this process: real NF4, real LoRA, real data, on the starter."""

import json
import re
import shutil
from types import SimpleNamespace

import bitsandbytes as bnb
import pytest
import torch
from peft import PeftModel, get_peft_model_state_dict
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM

from qlora_app import starter, worker
from qlora_app.base_models import ModelChoice, load_model, load_tokenizer
from qlora_app.inference.pool import ModelPool
from qlora_app.methods import LoraMethod
from qlora_app.runs import Run, RunStatus, RunStore
from qlora_app.runs.checkpoints import newest_complete
from qlora_app.runs.held_out_answers import held_out_answers
from qlora_app.runs.proof import Proof
from qlora_app.runs.proof_words import proof_words
from qlora_app.tasks.chat import Chat, encode, held_out_loss
from qlora_app.tasks.dataset import EncodedExamples, micro_batches
from qlora_app.tasks.packing import (
    ATTENTION,
    IGNORED,
    collator,
    on_device,
    pack,
    packed,
    places,
)
from qlora_app.train.callbacks import due
from qlora_app.train.card import model_card
from qlora_app.train.failures import NotANumber, cause_of
from qlora_app.train.proof import data_figures
from qlora_app.train.trainer import MethodTrainer, walked_once
from qlora_app.training_data import DatasetChoice, load_examples
from tests.conftest import UNASKED, short_recipe, write_status
from tests.refusing import refused

TALK = [
    {"role": "user", "content": "Where does Mira live?"},
    {"role": "assistant", "content": "Mira lives on Orchard Lane."},
    {"role": "user", "content": "And Otto?"},
    {"role": "assistant", "content": "Otto lives there too."},
]


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer(ModelChoice())


@pytest.fixture
def model():
    torch.manual_seed(0)
    return LoraMethod(dropout=0).attach(load_model(ModelChoice()))


def batch_of(tokenizer, packing=True, count=6):
    examples = EncodedExamples(load_examples(DatasetChoice(), None).train[:count], tokenizer, 256)
    return collator(tokenizer, packing)([examples[i] for i in range(count)])


def weights_of_base(model):
    return {n: p.detach().clone() for n, p in model.named_parameters() if "lora_" not in n}


# ---- 4 bit is really 4 bit


def test_the_base_is_held_in_four_bits():
    model = load_model(ModelChoice())
    layers = [m for m in model.modules() if isinstance(m, bnb.nn.Linear4bit)]
    assert len(layers) == 7 * model.config.num_hidden_layers
    for layer in layers:
        state = layer.weight.quant_state
        assert state.quant_type == "nf4" and state.nested, "NF4 with double quantization was asked for"
        scales = state.absmax.numel() * state.absmax.element_size() + state.state2.absmax.numel() * 4
        bits = 8 * (layer.weight.numel() * layer.weight.element_size() + scales) / state.shape.numel()
        assert 4.1 <= bits <= 4.6, f"{bits:.2f} bits a parameter"
    assert not isinstance(model.lm_head, bnb.nn.Linear4bit)


@pytest.mark.slow
def test_training_leaves_every_bit_of_the_base_alone(model, tokenizer):
    before = weights_of_base(model)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    losses = []
    model.train()
    for _ in range(4):
        loss = model(**batch_of(tokenizer), use_cache=False).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    after = weights_of_base(model)
    assert all(torch.equal(before[name], after[name]) for name in before)


def gradients(model, batch):
    model.train()
    model.zero_grad()
    model(**batch, use_cache=False).loss.backward()
    return {n: p.grad.clone() for n, p in model.named_parameters() if p.requires_grad}


@pytest.mark.slow
def test_gradients_are_the_same_before_and_after_an_evaluation(model, tokenizer):
    batch = batch_of(tokenizer)
    before = gradients(model, batch)
    held_out_loss(model, [batch])
    after = gradients(model, batch)
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert any(g.any() for g in before.values())


def test_a_merge_after_an_evaluation_is_what_was_trained(model, tokenizer, tmp_path):
    batch = batch_of(tokenizer, packing=False, count=2)
    with torch.no_grad():
        for name, part in model.named_parameters():
            if "lora_B" in name:
                part.normal_(0, 0.02)
        model.eval()
        adapter = model(**batch).logits
        model.save_pretrained(str(tmp_path))
        base = model.unload().dequantize()  # NF4 -> floating point: the exact values that were trained on
        merged = PeftModel.from_pretrained(base, str(tmp_path)).merge_and_unload()(**batch).logits
    assert (merged - adapter).norm() / adapter.norm() < 1e-4


# ---- what carries loss


def learned(tokenizer, example):
    return tokenizer.decode([i for i in example.labels if i != IGNORED])


def test_only_the_assistant_is_learned_with_its_end(tokenizer):
    example = encode(tokenizer, TALK, 256)
    end = tokenizer.eos_token
    assert learned(tokenizer, example) == f" Mira lives on Orchard Lane.{end} Otto lives there too.{end}"
    assert all(label in (IGNORED, i) for label, i in zip(example.labels, example.input_ids, strict=True))


CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


PLAIN = (
    "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}{% if add_generation_prompt "
    "%}assistant:{% endif %}"
)


@pytest.mark.parametrize(
    "template, end",
    [
        (CHATML, "<|im_end|>"),
        (PLAIN, "<|endoftext|>"),
    ],
)
def test_a_template_without_marks_gives_the_same_mask(template, end):
    tokenizer = load_tokenizer(ModelChoice())
    tokenizer.chat_template = template
    said = learned(tokenizer, encode(tokenizer, TALK, 400))
    assert "Mira lives on Orchard Lane." in said and "Otto lives there too." in said and said.endswith(end)
    assert "Where does" not in said and "And Otto" not in said and "user" not in said


def test_a_turn_that_is_not_to_be_trained_carries_no_loss(tokenizer):
    talk = [*TALK[:1], {**TALK[1], "train": False}, *TALK[2:]]
    assert learned(tokenizer, encode(tokenizer, talk, 256)).strip() == "Otto lives there too.<|endoftext|>"


def test_a_long_example_is_cut_and_says_so(tokenizer):
    whole, cut = encode(tokenizer, TALK, 256), encode(tokenizer, TALK, 20)
    assert not whole.is_cut and cut.is_cut
    assert cut.input_ids == whole.input_ids[:20] and cut.labels == whole.labels[:20]


# ---- packing


def test_packed_examples_do_not_see_each_other(tokenizer):
    model = load_model(ModelChoice())
    examples = EncodedExamples(load_examples(DatasetChoice(), None).train[:8], tokenizer, 256)
    alone = held_out_loss(model, list(micro_batches(examples, 1, collator(tokenizer, False))))
    assert pack(model)
    assert held_out_loss(model, list(micro_batches(examples, 8, collator(tokenizer, True)))) == pytest.approx(
        alone, abs=1e-5
    )


@pytest.mark.slow
def test_packed_examples_teach_what_padded_ones_do(tokenizer, model):
    def gradients(batch):
        model(**batch, use_cache=False).loss.backward()
        found = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
        model.zero_grad()
        return found

    model.train()
    padded = gradients(batch_of(tokenizer, packing=False, count=8))
    assert pack(model.get_base_model())
    apart = gradients(batch_of(tokenizer, packing=True, count=8))
    assert apart.keys() == padded.keys() and max(float(g.abs().max()) for g in padded.values()) > 1e-3
    for name, gradient in padded.items():
        assert torch.allclose(apart[name], gradient, rtol=1e-3, atol=1e-5), name


@pytest.mark.parametrize("lengths", [[1], [3, 3, 3], [9, 1, 4, 2, 8, 5], [100, 2, 51, 50, 49]])
def test_every_token_of_a_packed_row_is_looked_at_once_and_comes_back_to_its_place(lengths):
    groups, back = places(lengths)
    row = torch.arange(sum(lengths))
    assert torch.equal(torch.cat([row[place].flatten()[real] for place, real in groups])[back], row)
    owner = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    for place, _ in groups:
        assert (owner[place] == owner[place[:, :1]]).all(), "a line of a group holds one example only"


@pytest.mark.parametrize("family", ["llama", "mistral", "qwen2", "qwen3", "gemma3_text", "phi3"])
def test_usual_families_keep_packed_examples_apart(family):
    """Also where a token looks back over a few others only, as in Mistral and Gemma: here over four."""
    config = AutoConfig.for_model(
        family,
        vocab_size=64,
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        sliding_window=4,
        max_position_embeddings=64,
        pad_token_id=0,
    )
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config)
    assert pack(model) and model.config._attn_implementation == ATTENTION


def test_a_model_that_mixes_packed_examples_is_noticed():
    """GPT-2 without its attention's last word: what a model does that passes over what it is told."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(
        AutoConfig.for_model("gpt2", vocab_size=64, n_embd=32, n_layer=2, n_head=4, n_positions=64)
    )
    assert pack(model), "GPT-2 takes the groups"
    forward = model.forward
    model.forward = lambda example_groups=None, back_in_row=None, **rest: forward(**rest)
    assert not pack(model)
    assert model.config._attn_implementation == ATTENTION, "it is left as it was"


def test_only_what_is_learned_passes_the_head(tokenizer):
    model = load_model(ModelChoice())
    assert pack(model)
    batch = packed([{"input_ids": list(range(5, 15)), "labels": [IGNORED] * 6 + list(range(11, 15))}] * 2)
    assert model(**on_device(batch, model.device), use_cache=False).logits.numel() == 8 * model.config.vocab_size


def test_due_spreads_evenly_and_ends_with_the_last():
    assert [s for s in range(1, 11) if due(s, 10, 4)] == [3, 5, 8, 10]
    assert [s for s in range(1, 4) if due(s, 3, 8)] == [1, 2, 3]
    assert not any(due(s, 10, 0) for s in range(1, 11))


# ---- whole runs


def losses(run):
    return [(row["step"], row["loss"]) for row in run.metrics()[0] if "loss" in row]


def test_while_it_is_trained_a_model_is_walked_through_only_where_something_changes():
    model = torch.nn.Sequential(torch.nn.Linear(2, 2).requires_grad_(False), torch.nn.Linear(2, 1)).eval()
    model.training = True  # as PEFT wraps a base: it counts as training, what is inside does not
    with walked_once(model):
        assert all(part.training for part in model.modules())
        model.eval()
        assert not any(part.training for part in model.modules())
        assert model.train() is model and all(part.training for part in model.modules())
        model(torch.ones(1, 2)).sum().backward()
        assert model[1].weight.grad is not None
        model.zero_grad()
        assert all(p.grad is None for p in model.parameters())
    assert "train" not in vars(model) and "zero_grad" not in vars(model)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run from its first step to its proof; who changes it takes a copy."""
    home = tmp_path_factory.mktemp("whole")
    run = RunStore(home / "runs").create(short_recipe())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QLORA_APP_HOME", str(home))
        assert worker.main(run.folder) == 0 and run.status().state == "done"
    return run


@pytest.mark.slow
def test_stopped_and_resumed_equals_never_stopped_bit_for_bit(whole, store):
    parts = store.create(whole.recipe())
    parts.request("stop")
    assert worker.main(parts.folder) == 0
    stopped = parts.status()
    assert (stopped.state, stopped.step) == ("stopped", 1) and newest_complete(parts.checkpoints).name == "checkpoint-1"
    assert parts.newest_adapter() == newest_complete(parts.checkpoints) and parts.proof() is None
    assert worker.main(parts.folder) == 0 and parts.status().state == "done"
    assert losses(parts) == losses(whole)
    a, b = (load_file(run.adapter / "adapter_model.safetensors") for run in (whole, parts))
    assert a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.slow
def test_a_run_that_died_while_measured_is_proven_without_another_step(whole, store):
    run = Run(shutil.copytree(whole.folder, store.root / whole.id))
    learned, steps, done = load_file(run.adapter / "adapter_model.safetensors"), losses(run), run.status()
    shutil.rmtree(run.adapter)
    write_status(run, RunStatus("running", step=done.step, total=done.total, sentence="Measuring what it learned."))
    run.request("start")
    assert worker.main(run.folder) == 0 and not run.is_asked("start")
    again, status = load_file(run.adapter / "adapter_model.safetensors"), run.status()
    assert losses(run) == steps and all(torch.equal(again[name], learned[name]) for name in learned)
    assert (status.state, status.step, status.total, status.loss) == ("done", done.step, done.total, done.loss)


@pytest.mark.slow
def test_a_finished_run_proves_itself(whole):
    run, steps = whole, whole.recipe().training.max_steps
    status, proof = run.status(), run.proof()
    assert status.state == "done" and status.step == steps and status.loss < status.first_loss
    assert proof["heldout"]["loss"]["after"] < proof["heldout"]["loss"]["before"]
    assert set(proof["heldout"]["exact_match"]) == {"before", "after"} and proof["heldout"]["questions"] == 4
    answers = held_out_answers(run)
    assert sum(one.is_right for one in answers) == 4 * proof["heldout"]["exact_match"]["after"]
    assert len({one.key for one in answers}) == 4 and all(one.question and one.expected for one in answers)
    assert proof["update"]["zero_layers"] == 0 and proof["update"]["layers"] == 7 * 4
    assert proof["reload"]["max_difference"] == 0.0 and proof["data"]["cut"] == 0
    assert {row["step"] for row in run.samples()} == {0, steps} and all(row["expected"] for row in run.samples())
    assert run.curve().held_out[-1][0] == steps and len(run.curve().points()["x"]) == steps
    measured = [(row["step"], row["held_out_loss"]) for row in run.metrics()[0] if "held_out_loss" in row]
    assert measured == sorted(measured, key=lambda one: one[0]) and measured[0][0] == 0
    assert status.held_out_loss == measured[-1][1] and next(row["step"] for row in run.samples()) == 0
    card = (run.adapter / "README.md").read_text(encoding="utf-8")
    assert proof["data"]["fingerprint"] in card and "learning_rate: 0.003" in card
    assert all(f"- {line}\n" in card for line in proof_words(proof)) and "On 4 held-out questions it never saw" in card
    opened = opened_as_said(run)
    assert (
        opened["model"].get_base_model().config._name_or_path == str(starter.BASE) and opened["tokenizer"].chat_template
    )
    saved = load_file(run.adapter / "adapter_model.safetensors")
    inside = get_peft_model_state_dict(opened["model"])
    assert saved.keys() == inside.keys() and all(torch.equal(saved[name], inside[name]) for name in saved)
    files = {p.name for p in run.adapter.iterdir()}
    assert {
        "adapter_config.json",
        "adapter_model.safetensors",
        "tokenizer.json",
        "chat_template.jinja",
        "proof.json",
    } <= files
    assert not [p for p in run.adapter.iterdir() if p.suffix in (".bin", ".pt", ".pth")]


def opened_as_said(run):
    """What the code on its model card leaves."""
    code, names = (
        re.search(r"```python\n(.*?)```", (run.adapter / "README.md").read_text(encoding="utf-8"), re.S)[1],
        {},
    )
    exec(code.replace("path/to/this/folder", str(run.adapter)), names)
    return names


def test_the_card_opens_a_base_of_the_hub_at_the_commit_it_was_trained_at(store):
    base = ModelChoice(source="hub", id="some/model", revision="0" * 40)
    proof = {
        "heldout": {},
        "update": {"parameters": 1},
        "method": {},
        "versions": {},
        "data": {"rows": 2, "trained": 2, "held_out": 0, "left_out": 0, "cut": 0, "fingerprint": "abc"},
    }
    card = model_card(short_recipe().model_copy(update={"base_model": base}), Chat(), Proof.from_json(proof))
    assert (
        f"AutoModelForCausalLM.from_pretrained('some/model', revision='{'0' * 40}'" in card
        and "base_model: some/model" in card
    )


@pytest.mark.slow
def test_what_was_also_learned_is_counted_and_a_resumed_run_says_its_proof(store, home):
    (home / "data").mkdir()
    for name, answer, numbers in (("learned", "yes", range(20)), ("measured", "no", (3, 50, 60, 7))):
        rows = [{"instruction": f"Is it {i}?", "output": answer} for i in numbers]
        (home / "data" / f"{name}.json").write_text(json.dumps(rows))
    data = DatasetChoice(source="file", id="learned.json", held_out_from="measured.json")
    run = store.create(short_recipe(max_steps=2, samples=0, evaluations=0).model_copy(update={"dataset": data}))
    run.request("stop")
    assert worker.main(run.folder) == 0 and run.status().state == "stopped"
    assert worker.main(run.folder) == 0 and run.status().state == "done"
    words = proof_words(run.proof())
    assert words[0].startswith("On 4 held-out questions (2 also learned, with another answer): ") and words[
        -1
    ].startswith("Trained for ")


@pytest.mark.slow
def test_padding_trains_too_and_what_is_cut_is_counted(store):
    run = store.create(short_recipe(packing=False, max_steps=2, max_length=20, **UNASKED))
    assert worker.main(run.folder) == 0 and run.status().state == "done"
    assert run.proof()["data"]["cut"] > 0


@pytest.mark.slow
def test_the_step_does_not_depend_on_the_micro_batch(store, monkeypatch):
    first = []
    for tokens in (64, 4096):
        monkeypatch.setattr("qlora_app.memory.TOKENS_AT_ONCE", {"cpu": tokens, "cuda": tokens})
        run = store.create(short_recipe(max_steps=1, batch_size=16, checkpoints=0, **UNASKED))
        assert worker.main(run.folder) == 0
        first.append(losses(run)[0][1])
    assert first[0] == pytest.approx(first[1], abs=2e-4)


# ---- failures are sentences


def test_a_file_that_is_gone_is_a_sentence(store):
    recipe = short_recipe().model_copy(update={"dataset": DatasetChoice(source="file", id="abc-gone.json")})
    run = store.create(recipe)
    assert worker.main(run.folder) == 1
    status = run.status()
    assert status.state == "failed" and "gone.json" in status.sentence and "Traceback" not in status.sentence


@pytest.mark.slow
def test_data_without_a_trainable_token_is_refused(store, home):
    (home / "data").mkdir()
    rows = [{"instruction": "word " * 400, "output": "yes"}] * 3
    (home / "data" / "abc-long.json").write_text(json.dumps(rows))
    recipe = short_recipe(max_length=64).model_copy(
        update={"dataset": DatasetChoice(source="file", id="abc-long.json")}
    )
    run = store.create(recipe)
    assert worker.main(run.folder) == 1 and "No example has a token to learn from" in run.status().sentence


def test_a_second_worker_on_the_same_run_leaves(store, impatient):
    run = store.create(short_recipe())
    with run.hold():
        assert worker.main(run.folder) == 73
    assert not (run.folder / "status.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "broken_at, words", [(1, "no learning rate is to blame"), (3, "Lower the learning rate (it is 0.003)")]
)
def test_a_loss_that_is_no_number_ends_the_run_with_advice(broken_at, words, store, monkeypatch):
    step = MethodTrainer.training_step

    def sometimes(self, *a, **k):
        return step(self, *a, **k) * (float("nan") if self.state.global_step + 1 == broken_at else 1)

    monkeypatch.setattr("qlora_app.train.trainer.MethodTrainer.training_step", sometimes)
    run = store.create(short_recipe(stop_when_broken=False, **UNASKED))
    assert worker.main(run.folder) == 1
    status = run.status()
    assert status.state == "failed" and f"step {broken_at} is nan" in status.sentence and words in status.sentence


@pytest.mark.slow
def test_a_loss_that_is_no_number_leaves_the_best_adapter_proven(store, monkeypatch):
    step = MethodTrainer.training_step

    def broken(self, *a, **k):
        return step(self, *a, **k) * (float("nan") if self.state.global_step == 4 else 1)

    monkeypatch.setattr("qlora_app.train.trainer.MethodTrainer.training_step", broken)
    run = store.create(short_recipe(samples=0))
    assert worker.main(run.folder) == 0 and run.status().state == "done"
    assert [event["code"] for event in run.events()] == ["event.broken"] and run.proof() is not None


def test_rows_that_have_no_loss_are_named_as_the_cause(model, monkeypatch):
    batch, task, error = {"labels": torch.tensor([[1, 2]])}, Chat(), NotANumber(5, float("nan"), is_first=False)
    monkeypatch.setattr(
        Chat, "measure", lambda task, model, batches: {"loss": float("nan") if "step" in batches[0] else 1.0}
    )
    assert cause_of(error, task, model, [batch | {"step": 1}]) == "rows"
    assert cause_of(error, task, model, [{"labels": torch.tensor([[IGNORED, IGNORED]])}]) == "rows"
    assert cause_of(error, task, model, [batch]) == "rate"
    assert cause_of(NotANumber(1, float("nan"), is_first=True), task, model, [batch]) == "method"


@pytest.mark.slow
def test_an_adapter_is_not_laid_over_other_weights(store, tmp_path):
    """A base trained anew in the same folder has the same shapes: without a check the old adapter would answer
    nonsense.
    """
    base = tmp_path / "base"
    shutil.copytree(starter.BASE, base)
    recipe = short_recipe(max_steps=2, **UNASKED)
    run = store.create(recipe.model_copy(update={"base_model": ModelChoice(source="folder", id=str(base))}))
    assert worker.main(run.folder) == 0
    ModelPool().get(run)

    weights = bytearray((base / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (base / "model.safetensors").write_bytes(weights)
    with refused("run.base_changed", "base"):
        ModelPool().get(run)
    assert worker.main(run.folder) == 1 and "start a new run" in run.status().sentence


@pytest.mark.parametrize(("source", "foreign"), [("starter", True), ("hub", None)])
def test_the_proof_says_whether_the_starter_has_ever_read_about_its_data(source, foreign):
    sums = [[{"role": "user", "content": f"{i} + 2?"}, {"role": "assistant", "content": f"{i + 2}"}] for i in range(9)]
    job = SimpleNamespace(
        examples=SimpleNamespace(train=sums, held_out=[], left_out=[], fingerprint="x", rows=9),
        recipe=SimpleNamespace(base_model=SimpleNamespace(source=source)),
        train=SimpleNamespace(count_cut=lambda: 0),
        not_learned=0,
        max_length=64,
        micro_batch=1,
        packing=False,
    )
    assert data_figures(job).foreign is foreign
