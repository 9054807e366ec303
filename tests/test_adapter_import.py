"""Adapters that other programs made: looked at before they are loaded, and runs like any other afterwards."""

import errno
import json
import os
import pickle
import shutil
import zipfile

import gradio as gr
import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from qlora_app import worker
from qlora_app.base_models import load_tokenizer
from qlora_app.base_models.choice import ModelChoice
from qlora_app.cli import main
from qlora_app.export.gguf_lora import write_lora
from qlora_app.inference.pool import ModelPool
from qlora_app.jobs import JobStore
from qlora_app.kinds.adapter_import import AdapterSpec, adapter_job, imported, linked_or_copied, spec_for
from qlora_app.methods.fitting import CONFIG, WEIGHTS
from qlora_app.other_adapters.forms import MLX, PICKLE, Form, form_in
from qlora_app.other_adapters.reading import describe
from qlora_app.other_adapters.unpacking import unpacked
from qlora_app.runs.labels import labels_of
from qlora_app.runs.proof import Proof
from qlora_app.runs.verdict import verdict
from qlora_app.start_from import problems_of
from qlora_app.starter import BASE
from qlora_app.storage.files import write_json
from qlora_app.ui.runs.run_pages import settings_page
from tests.conftest import short_recipe
from tests.hub_server import Repo
from tests.refusing import check_problem, refused
from tests.tiny_models import tiny_model

IDS = torch.tensor([[5, 9, 20, 33, 40]])
NAMES = ["q_proj", "v_proj", "down_proj"]


def made_in_peft(folder, **config):
    """An adapter of plain PEFT's on the starter, which says something else than its base; its logits."""
    torch.manual_seed(0)
    base = AutoModelForCausalLM.from_pretrained(str(BASE), dtype=torch.float32)
    given = {"r": 4, "lora_alpha": 8, "target_modules": NAMES, "task_type": "CAUSAL_LM"} | config
    model = get_peft_model(base, LoraConfig(**given)).eval()
    for name, parameter in model.named_parameters():
        if "lora_B" in name or "modules_to_save" in name:
            torch.nn.init.normal_(parameter, std=0.5)
    model.save_pretrained(str(folder))
    with torch.no_grad():
        return model(input_ids=IDS).logits


@pytest.fixture(scope="module")
def peft(tmp_path_factory):
    folder = tmp_path_factory.mktemp("theirs") / "helper"
    return folder, made_in_peft(folder)


@pytest.fixture
def theirs(peft, tmp_path):
    """A copy of one's own, and what it answers in PEFT."""
    return shutil.copytree(peft[0], tmp_path / "helper"), peft[1]


def changed(folder, **words):
    config = json.loads((folder / CONFIG).read_text()) | words
    (folder / CONFIG).write_text(json.dumps(config))


def retensored(folder, change):
    tensors = load_file(folder / WEIGHTS)
    save_file(dict(filter(None, (change(*one) for one in tensors.items()))), folder / WEIGHTS, {"format": "pt"})


def job_of(home, source, id, file=None, **more):
    return adapter_job(JobStore(home / "jobs"), AdapterSpec(source=source, id=str(id), **more), file)


def run_of(store, job):
    assert worker.main(job.folder) == 0, job.status().sentence
    return store.get(imported(job))


def logits_of(run):
    pool = ModelPool()
    session = pool.get(run)
    found = session.alone(lambda: session.model(input_ids=IDS).logits)
    pool.make_way()
    return found.detach()


def zipped(folder, file):
    with zipfile.ZipFile(file, "w") as archive:
        for one in folder.rglob("*"):
            archive.write(one, f"outer/{one.relative_to(folder)}")
    return file


def as_pickle(folder):
    torch.save(load_file(folder / WEIGHTS), folder / PICKLE)
    (folder / WEIGHTS).unlink()


def as_mlx(folder):
    tensors, config = load_file(folder / WEIGHTS), json.loads((folder / CONFIG).read_text())
    names = {"lora_A": "lora_a", "lora_B": "lora_b"}
    made = {}
    for name, tensor in tensors.items():
        stem, part = name.removeprefix("base_model.model.").removesuffix(".weight").rsplit(".", 1)
        made[f"{stem}.{names[part]}"] = tensor.t().contiguous()
    for file in (WEIGHTS, CONFIG):
        (folder / file).unlink()
    save_file(made, folder / MLX)
    scale = config["lora_alpha"] / config["r"]
    mlx = {"fine_tune_type": "lora", "lora_parameters": {"rank": config["r"], "scale": scale}, "model": str(BASE)}
    (folder / CONFIG).write_text(json.dumps(mlx))


# ---- what can be imported answers as it did where it was made


@pytest.mark.slow
@pytest.mark.parametrize("form", ["folder", "zip", "pickle", "mlx", "gguf"])
def test_it_answers_as_it_did_where_it_was_made(form, theirs, store, home, tmp_path):
    folder, logits = theirs
    if form == "pickle":
        as_pickle(folder)
    if form == "mlx":
        as_mlx(folder)
    if form == "gguf":
        file = tmp_path / "helper.gguf"
        write_lora(folder, json.loads((BASE / "config.json").read_text()), "Helper", file)
        run = run_of(store, job_of(home, "file", file.name, file, base=ModelChoice()))
    elif form == "zip":
        run = run_of(store, job_of(home, "file", "helper.zip", zipped(folder, tmp_path / "helper.zip")))
    else:
        run = run_of(store, job_of(home, "folder", folder))
    assert float((logits_of(run) - logits).abs().max()) <= 1e-4 * float(logits.abs().max())
    assert run.status().state == "done" and run.base_model().source == "starter" and run.check_base()
    proof = Proof.from_json(run.proof())
    assert proof.heldout.distance.nats > 0.01 and (verdict(proof).code, verdict(proof).colour) == ("imported", "fair")
    assert sorted(run.recipe().method.layer_names) == sorted(NAMES) and run.recipe().method.rank == 4
    further = run.recipe().model_copy(
        update={"training": run.recipe().training.model_copy(update={"start_from": run.id})}
    )
    assert problems_of(further, store.root) == {}, "a training may begin with it"


@pytest.mark.slow
def test_what_learned_whole_comes_along(store, home, tmp_path):
    """modules_to_save; and the embeddings that PEFT saves unasked, which the config need not name."""
    logits = made_in_peft(tmp_path / "head", modules_to_save=["lm_head"])
    run = run_of(store, job_of(home, "folder", tmp_path / "head"))
    assert float((logits_of(run) - logits).abs().max()) <= 1e-4 * float(logits.abs().max())
    changed(tmp_path / "head", modules_to_save=None)
    again = run_of(store, job_of(home, "folder", tmp_path / "head"))
    assert float((logits_of(again) - logits).abs().max()) <= 1e-4 * float(logits.abs().max())


TARGETS = {"in": ["q_proj", "embed_tokens"], "out": ["q_proj", "lm_head"], "only in": ["embed_tokens"]}
BESIDE = {
    "": {}, "head": {"modules_to_save": ["lm_head"]}, "embeddings": {"modules_to_save": ["embed_tokens"]},
    "tokens": {"trainable_token_indices": [3, 5]}, "tied": {"ensure_weight_tying": True},
}  # fmt: skip


@pytest.fixture(scope="module", params=[False, True], ids=["untied", "tied base"])
def small_base(request, tmp_path_factory):
    return tiny_model("llama", tmp_path_factory.mktemp("base"), tie_word_embeddings=request.param)


def opened(base):
    return AutoModelForCausalLM.from_pretrained(str(base), dtype=torch.float32)


def said_by(model):
    with torch.no_grad():
        return model.eval()(input_ids=IDS).logits


def changed_by_peft(base, folder, **config):
    """What it says with a LoRA that has learned something, which is saved; None where PEFT cannot make that."""
    try:
        model = get_peft_model(opened(base), LoraConfig(task_type="CAUSAL_LM", r=4, **config))
    except (ValueError, TypeError):  # both on the same layer
        return None
    for parameter in model.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.1)
    model.save_pretrained(str(folder))
    return said_by(model)


@pytest.mark.parametrize("beside", BESIDE)
@pytest.mark.parametrize("targets", TARGETS)
def test_whatever_peft_opens_says_the_same_here(targets, beside, small_base, tmp_path):
    """LoRA on embeddings and head too, beside which PEFT saves the base's own weights."""
    torch.manual_seed(0)
    logits = changed_by_peft(small_base, tmp_path, target_modules=TARGETS[targets], **BESIDE[beside])
    if logits is None:
        return
    plain = said_by(PeftModel.from_pretrained(opened(small_base), str(tmp_path)))
    described = describe(tmp_path, ModelChoice(source="folder", id=str(small_base)), "fp32")
    here = said_by(described.method.load(opened(small_base), tmp_path))
    assert torch.allclose(here, plain, atol=1e-6) and torch.allclose(here, logits, atol=1e-6)
    assert described.method.layer_names


def test_one_that_brings_other_embeddings_for_its_base_is_refused(small_base, tmp_path):
    changed_by_peft(small_base, tmp_path, target_modules=["embed_tokens"])
    retensored(tmp_path, lambda name, tensor: (name, tensor + 1 if "base_layer" in name else tensor))
    with refused("import.other_base"):
        describe(tmp_path, ModelChoice(source="folder", id=str(small_base)), "fp32")


@pytest.mark.slow
def test_one_that_does_nothing_is_red(theirs, store, home):
    folder, _ = theirs
    retensored(folder, lambda name, tensor: (name, tensor * 0 if "lora_B" in name else tensor))
    proof = Proof.from_json(run_of(store, job_of(home, "folder", folder)).proof())
    assert (verdict(proof).code, verdict(proof).colour) == ("does_nothing", "bad")


@pytest.mark.slow
def test_one_of_the_hub_brings_its_own_files_only(theirs, store, home, hub, peft):
    folder, logits = theirs
    (folder / "evil.py").write_text("raise SystemExit")
    hub.add(Repo.of_folder("somebody/helper", folder))
    run = run_of(store, job_of(home, "hub", "somebody/helper"))
    assert float((logits_of(run) - logits).abs().max()) <= 1e-4 * float(logits.abs().max())
    assert set(hub.files_asked()) <= {CONFIG, WEIGHTS}
    job = job_of(home, "hub", "somebody/nothing")
    assert worker.main(job.folder) == 1 and job.status().sentence


@pytest.mark.slow
def test_its_base_is_downloaded_where_somebody_says_so_and_else_it_is_said_how_much_that_is(theirs, store, home, hub):
    folder, logits = theirs
    changed(folder, base_model_name_or_path="org/base")
    hub.add(Repo.of_folder("org/base", BASE, config=json.loads((BASE / "config.json").read_text())))
    job = job_of(home, "folder", folder)
    assert worker.main(job.folder) == 1
    check_problem(job.status().sentence, "import.base_to_download")
    assert "MB to download" in job.status().sentence
    assert not any(name.endswith(".safetensors") for name in hub.files_asked())
    run = run_of(store, job_of(home, "folder", folder, downloads=True, precision="bf16"))
    assert run.base_model().id == "org/base" and run.base_model().precision == "bf16" and run.check_base()
    assert float((logits_of(run) - logits).abs().max()) <= 0.1 * float(logits.abs().max())


# ---- what is not


def half(folder):
    kept = iter(range(10**6))
    retensored(folder, lambda *one: one if next(kept) % 2 else None)


def other_shapes(folder):
    retensored(folder, lambda name, tensor: (name, tensor[:, :7].contiguous() if "lora_A" in name else tensor))


def other_names(folder):
    retensored(folder, lambda name, tensor: (name.replace("model.model.", "model.language_model.model."), tensor))


def gguf(folder):
    for file in (WEIGHTS, CONFIG):
        (folder / file).unlink()
    (folder / "helper.gguf").write_bytes(b"GGUF\x03\0\0\0")


def without_config(folder):
    (folder / WEIGHTS).rename(folder / "my-lora.safetensors")
    (folder / CONFIG).unlink()


def whole_model(folder):
    shutil.rmtree(folder)
    shutil.copytree(BASE, folder)


def hostile(folder):
    as_pickle(folder)

    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(folder / "harmed"),)

    (folder / PICKLE).write_bytes(pickle.dumps({"a": Evil()}))


WRONG = {
    "half of it": (half, "adapter.does_not_fit"),
    "other shapes": (other_shapes, "adapter.does_not_fit"),
    "other names": (other_names, "adapter.does_not_fit"),
    "gguf": (gguf, "import.gguf_broken"),
    "without a config": (without_config, "import.no_config"),
    "a whole model": (whole_model, "import.whole_model"),
    "nothing": (shutil.rmtree, "import.no_folder"),
    "a pickle that is a program": (hostile, "import.pickle"),
    "a base that is not here": (lambda f: changed(f, base_model_name_or_path="org/Llama-9"), "import.base_missing"),
    "a base that was rounded": (
        lambda f: changed(f, base_model_name_or_path="unsloth/llama-3-8b-bnb-4bit"), "import.rounded_base"),
    "no base": (lambda f: changed(f, base_model_name_or_path=None), "import.no_base"),
    "another method": (lambda f: changed(f, peft_type="VERA"), "import.lora_only"),
    "another task": (lambda f: changed(f, task_type="TOKEN_CLS"), "import.task"),
    "another function": (lambda f: changed(f, made_by_a_newer_peft={"x": 1}), "import.other_function"),
    "a beginning that changes the base": (lambda f: changed(f, init_lora_weights="pissa"), "import.other_function"),
    "biases of the base": (lambda f: changed(f, bias="lora_only"), "adapter.changes_base"),
    "a damaged file": (lambda f: (f / WEIGHTS).write_bytes(b"torn"), "model.damaged_file"),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_what_cannot_be_imported_says_why_and_leaves_no_run(what, theirs, store, home):
    folder, _ = theirs
    spoil, code = WRONG[what]
    spoil(folder)
    job = job_of(home, "folder", folder)
    assert worker.main(job.folder) == 1
    check_problem(job.status().sentence, code)
    assert store.list() == [] and not (folder / "harmed").exists()


def test_another_base_is_refused_before_it_is_loaded(theirs, tmp_path):
    """By the headers of both files alone."""
    base = ModelChoice(source="folder", id=str(tiny_model("llama", tmp_path)))
    with refused("adapter.does_not_fit"):
        describe(theirs[0], base, "")


@pytest.mark.parametrize("name", ["../out.json", "/tmp/out.json", "a/../../out.json", "..\\out.json"])
def test_a_zip_writes_nowhere_else(name, home, store, tmp_path):
    file = tmp_path / "x.zip"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, "{}")
    job = job_of(home, "file", "x.zip", file)
    assert worker.main(job.folder) == 1
    check_problem(job.status().sentence, "import.zip_outside")
    assert not list(tmp_path.rglob("out.json"))


@pytest.mark.parametrize(
    "names",
    [["a", "a/b"], ["a/b", "a"], ["n" * 300], ["ü" * 200], ["/".join(["long"] * 300)], [""], ["."]],
    ids=lambda names: names[0][:8],
)
def test_a_zip_of_names_that_no_disk_holds_is_no_zip(names, tmp_path):
    file = tmp_path / "x.zip"
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(zipfile.ZipInfo(name), "x")
    with refused("import.no_zip"):
        unpacked(file, tmp_path / "out")
    assert not [one for one in tmp_path.rglob("*") if one.is_file() and one != file]


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_a_zip_whose_bytes_are_torn_is_no_zip(method, tmp_path):
    file = tmp_path / "x.zip"
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr("a", os.urandom(2000))
    held = bytearray(file.read_bytes())
    held[60:1500] = bytes(1440)
    file.write_bytes(held)
    with refused("import.no_zip"):
        unpacked(file, tmp_path / "out")


@pytest.mark.parametrize("where", ["", "outer", "w/x", "a/b/c/d"])
def test_an_adapter_is_found_however_its_zip_was_made(where, tmp_path):
    """A Mac puts a shadow of every file beside it; checkpoints lie deeper than what was learned in the end."""
    for inner in ("", "checkpoint-5", "checkpoint-10", "__MACOSX", ".hidden"):
        folder = tmp_path / where / inner
        folder.mkdir(parents=True, exist_ok=True)
        for name in (CONFIG, WEIGHTS):
            (folder / name).write_text("{}")
    shadow = tmp_path / "__MACOSX"
    shadow.mkdir(exist_ok=True)
    for name in (CONFIG, WEIGHTS):
        (shadow / name).write_text("{}")
    assert form_in(tmp_path) == Form("peft", tmp_path / where)
    shutil.copytree(tmp_path / where / "checkpoint-5", tmp_path / where / ".." / "other", dirs_exist_ok=True)
    if where:
        with refused("import.several_adapters"):
            form_in(tmp_path)


def test_its_own_tokenizer_comes_along(theirs, home, store):
    folder, _ = theirs
    tokenizer = load_tokenizer(ModelChoice())
    tokenizer.chat_template = "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}{% endfor %}"
    tokenizer.save_pretrained(folder)
    run = run_of(store, job_of(home, "folder", folder))
    assert load_tokenizer(ModelChoice(source="folder", id=str(run.adapter))).chat_template == tokenizer.chat_template


def test_of_its_settings_only_what_its_files_say_is_shown(theirs, store):
    folder, _ = theirs
    changed(folder, r=1024, lora_alpha=4.5, lora_dropout=0.35)
    run = store.create(short_recipe())
    shutil.copytree(folder, run.adapter)
    write_json(run.adapter / "proof.json", Proof(imported="helper").to_json())
    shown = settings_page(run, may_change=True)
    assert shown.count("<th scope='row'>Rank</th>") == 1, "not those of the other methods too"
    assert all(said in shown for said in ("4.5", "1024", "0.35"))
    assert not any(said in shown for said in ("Learning rate", "Batch size", "recommended", "Recommended"))


# ---- by its name


def test_what_somebody_types_is_a_folder_a_file_or_an_id(tmp_path):
    (tmp_path / "a.zip").write_bytes(b"")
    found = [spec_for(text).source for text in (str(tmp_path), str(tmp_path / "a.zip"), "owner/name")]
    assert found == ["folder", "file", "hub"] and spec_for("owner/name", "starter").base == ModelChoice()
    with refused("import.nothing_there"):
        spec_for("nowhere at all")
    assert spec_for("owner/name", "org/not-here").base == ModelChoice(source="hub", id="org/not-here")


@pytest.mark.slow
def test_from_a_terminal(theirs, store, home, capsys):
    assert main(["import", str(theirs[0]), "--name", "from afar", "--json"]) == 0
    run = store.get(json.loads(capsys.readouterr().out)["run"])
    assert run.title == "from afar" and labels_of(run).tags == ("imported",)
    gguf(theirs[0])
    assert main(["import", str(theirs[0])]) == 1
    assert "GGUF" in capsys.readouterr().out


# ---- on the page


def test_what_is_typed_or_uploaded_becomes_a_job(workshop, page, theirs, tmp_path):
    box = workshop.runs.adapter
    how = {box.base: "", box.precision: "nf4", box.downloads: True}
    told = box.take({box.what: f" {theirs[0]} ", **how})
    spec = page.jobs.get(told[box.card]).spec(AdapterSpec)
    assert (spec.source, spec.id) == ("folder", str(theirs[0])) and page.supervisor.woken
    assert (spec.precision, spec.downloads) == ("nf4", True)
    file = zipped(theirs[0], tmp_path / "helper.zip")
    told = box.brought({box.upload: str(file), **how, box.base: "starter"})
    job = page.jobs.get(told[box.card])
    assert job.spec(AdapterSpec).base == ModelChoice() and (job.folder / "brought.zip").is_file()
    with refused("import.nothing_there", kind=gr.Error):
        box.take({box.what: "nowhere", **how})


def test_where_a_disk_has_no_links_what_was_brought_is_copied(tmp_path, monkeypatch):
    def refuses(*_):
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr("os.link", refuses)
    (tmp_path / "a.gguf").write_bytes(b"GGUF")
    linked_or_copied(tmp_path / "a.gguf", tmp_path / "b.gguf")
    assert (tmp_path / "b.gguf").read_bytes() == b"GGUF"
