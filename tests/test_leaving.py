"""What leaves this machine says nothing of it: planted secrets, folders and names, in every place that holds text."""

import json
import re
import shutil
from random import Random
from urllib.parse import quote

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from safetensors.torch import load_file, save_file

from qlora_app import starter, worker
from qlora_app.export import (
    AdapterExporter,
    GgufExporter,
    GgufLoraExporter,
    MergedExporter,
    OllamaExporter,
    ScriptExporter,
    SpaceExporter,
)
from qlora_app.export.public_names import public_id, public_title
from qlora_app.export.published import check_says_nothing
from qlora_app.kinds.export import export_job
from qlora_app.kinds.publish import PublishSpec, files_of, publish_job
from qlora_app.runs import Run, RunStore
from qlora_app.runs.exports import FILES
from qlora_app.runs.labels import relabel
from qlora_app.settings import Settings
from qlora_app.storage.digests import sha256_of
from tests.fixtures.damages import OLD
from tests.refusing import refused

TOKEN = "hf_" + "good" * 9


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A finished one whose base is on the Hub, on data of its owner."""
    home = tmp_path / "home of Ann"
    monkeypatch.setenv("QLORA_APP_HOME", str(home))
    shutil.copytree(OLD / "finished", home / "runs" / "finished")
    run = RunStore(home / "runs").get("finished")
    recipe = run.recipe()
    base = recipe.base_model.model_copy(update={"source": "hub", "id": "tiny/llama", "revision": "0" * 40})
    data = recipe.dataset.model_copy(update={"source": "file", "id": "ab-patients.jsonl"})
    (run.folder / "recipe.yaml").write_text(recipe.model_copy(update={"base_model": base, "dataset": data}).to_yaml())
    return run


@pytest.mark.parametrize("id", ["ab-patients", "2026-patients-of-ann", "2026-11-30-1755-patients", "p"])
def test_whatever_the_folder_of_a_run_is_called_its_name_stays_here(run, id, tmp_path):
    """One that was copied by hand bears no minute."""
    other = Run(run.folder.rename(run.folder.with_name(id)))
    assert re.fullmatch(r"(run|2026-11-30-1755)-[0-9a-f]{8}", public_id(other))
    assert "patients" not in public_title(other) and public_title(other).endswith(" adapter")
    recipe = other.recipe()
    folder = shutil.copytree(starter.BASE, tmp_path / "ab-patients-model")
    base = recipe.base_model.model_copy(update={"source": "folder", "id": str(folder), "revision": ""})
    (other.folder / "recipe.yaml").write_text(recipe.model_copy(update={"base_model": base}).to_yaml())
    assert public_title(other) == "An adapter"


ENDPOINT = {"name": "far", "url": "https://far.example/v1", "model": "m", "key": "key-of-far"}
SECRETS = {
    "QLORA_APP_HUB_TOKEN": TOKEN,
    "QLORA_APP_WANDB_KEY": "wandb-key-of-mine",
    "QLORA_APP_PASSWORD": 'a "löng" password',
    "QLORA_APP_ENDPOINTS (far)": "key-of-far",
}


def keeping(run, password='a "löng" password'):
    keys = {"wandb_key": "wandb-key-of-mine", "user": "ann", "password": password}
    return Settings(home=run.folder.parent.parent, hub_token=TOKEN, endpoints=[ENDPOINT], **keys)


@pytest.mark.parametrize("setting", SECRETS)
def test_every_secret_of_the_settings_is_found_wherever_it_stands(run, tmp_path, setting):
    """As it is, as JSON writes it, in an address, in the header of weights, in what is said of a picture; the sentence
    names the setting, and not what it is set to.
    """
    secret, settings = SECRETS[setting], keeping(run)
    planted = PngInfo()
    planted.add_itxt("made by", secret, zip=True)
    Image.new("L", (4, 4)).save(tmp_path / "loss.png", pnginfo=planted)
    weights = load_file(run.adapter / "adapter_model.safetensors")
    save_file(weights, tmp_path / "adapter_model.safetensors", {"format": "pt", "x": "x" * 2_000_000 + f" {secret}"})
    texts = {
        "chat_template.jinja": "{# " + secret + " #}",
        "README.md": f"https://ann:{quote(secret, safe='')}@far.example",
        "tokenizer_config.json": json.dumps({"note": secret}),
        "adapter_config.json": json.dumps({"note": secret}, ensure_ascii=False),
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    for name in (*texts, "loss.png", "adapter_model.safetensors"):
        with refused("publish.holds_setting", setting, name) as said:
            check_says_nothing({name: tmp_path / name}, run, settings)
        assert secret not in str(said.value)
    shutil.copy(tmp_path / "adapter_model.safetensors", run.adapter)
    assert files_of(run, PublishSpec(repository="me/mine"), run.folder / "sent", settings), "the header stays here"
    shutil.copy(tmp_path / "chat_template.jinja", run.adapter)
    with refused("publish.holds_setting", setting):
        files_of(run, PublishSpec(repository="me/mine"), run.folder / "sent", settings)


WRITTEN = {
    "alone": "{}",
    "behind a new line": "line\n{}",
    "behind a tab": "line\t{}\tmore",
    "behind a letter": "é{}é",
    "behind a name": "TOKEN_{}_X",
    "in brackets": "<{}>",
}
HOW = {
    "text": str,
    "JSON": json.dumps,
    "JSON of every letter": lambda text: json.dumps(text, ensure_ascii=False),
    "JSON in JSON": lambda text: json.dumps({"a": json.dumps({"b": text})}),
    "a notebook": lambda text: json.dumps({"cells": [{"source": text.splitlines(keepends=True)}]}),
    "an address": lambda text: "https://far.example/?q=" + quote(text, safe=""),
    "an address in JSON": lambda text: json.dumps("https://far.example/?q=" + quote(text, safe="")),
}


@pytest.mark.parametrize("how", HOW)
def test_however_a_secret_is_written_it_is_found(run, tmp_path, how):
    """Also one that the settings do not know, which looks like a token."""
    settings, file = keeping(run), tmp_path / "some.json"
    for words in WRITTEN.values():
        for setting, secret in SECRETS.items():
            file.write_text(HOW[how](words.format(secret)))
            with refused("publish.holds_setting", setting):
                check_says_nothing({"some.json": file}, run, settings)
        file.write_text(HOW[how](words.format("hf_" + "q" * 34)))
        with refused("publish.holds_secret"):
            check_says_nothing({"some.json": file}, run, settings)
        file.write_text(HOW[how](words.format(f"{run.folder}/x")))
        with refused("publish.names_folder"):
            check_says_nothing({"some.json": file}, run, settings)
        file.write_text(HOW[how](words.format("guanacos and tokens of hf_ are words")))
        check_says_nothing({"some.json": file}, run, keeping(run, "guanaco"))


PROVIDERS = ["hf_1" + "q" * 33, "ghp_" + "a1" * 18, "AKIA" + "A7" * 8, "AIza" + "b" * 35, "glpat-" + "c" * 20]


@pytest.mark.parametrize("token", PROVIDERS)
def test_the_tokens_of_providers_are_known_by_their_front(run, tmp_path, token):
    (file := tmp_path / "some.json").write_text(f'{{"note": "{token}"}}')
    with refused("publish.holds_secret"):
        check_says_nothing({"some.json": file}, run, keeping(run))


@pytest.mark.parametrize("password", ["guanaco", "the", "llama"])
def test_a_password_that_is_a_word_of_everybody_stops_nothing_but_where_somebody_wrote_it(run, password):
    assert files_of(run, PublishSpec(repository="me/mine"), run.folder / "sent", keeping(run, password))
    (run.adapter / "chat_template.jinja").write_text("{# un" + password + "ed " + password + "s #}")
    assert files_of(run, PublishSpec(repository="me/mine"), run.folder / "sent", keeping(run, password))
    (run.adapter / "chat_template.jinja").write_text("{# my password: " + password + " #}")
    with refused("publish.holds_setting", "QLORA_APP_PASSWORD"):
        files_of(run, PublishSpec(repository="me/mine"), run.folder / "sent", keeping(run, password))


def damaged(kind, tensors):
    """Tensors of an adapter as something went wrong with them."""
    names, random = sorted(tensors), Random(kind)
    if kind == "half of them":
        return {name: tensors[name] for name in names[::2]}
    if kind == "other shapes":
        return {name: tensor.T.contiguous() for name, tensor in tensors.items()}
    if kind == "no number":
        return tensors | {random.choice(names): tensors[names[0]] * float("nan")}
    one, other = random.sample(names, 2)
    return tensors | {one: tensors[other], other: tensors[one]}


@pytest.mark.parametrize("kind", ["half of them", "other shapes", "no number", "two changed places"])
def test_an_adapter_that_was_damaged_since_is_neither_published_nor_handed_out(run, kind):
    weights, proof = run.adapter / "adapter_model.safetensors", run.adapter / "proof.json"
    proof.write_text(json.dumps(json.loads(proof.read_text()) | {"weights": sha256_of(weights)}))
    save_file(damaged(kind, load_file(weights)), weights, {"format": "pt"})
    with refused("export.adapter_changed"):
        publish_job(run, PublishSpec(repository="me/mine"), keeping(run))
    with refused("export.adapter_changed"):
        export_job(run, AdapterExporter())


@pytest.mark.parametrize("size", [0, 7, 500, -1])
def test_half_of_a_file_and_one_with_more_at_its_end_are_not_published(run, size):
    """Also of a run whose weights nobody knows by their checksum."""
    weights = run.adapter / "adapter_model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:size] if size >= 0 else whole + b"\0")
    with refused("model.damaged_file", "adapter_model.safetensors"):
        publish_job(run, PublishSpec(repository="me/mine"), keeping(run))


PLANTED = ("needle-of-ann", "/srv/needle", "needle-host.example")


def planted(run):
    """The run with needles in every place that holds text and is nobody's own words to take along."""
    words = " ".join(PLANTED)
    recipe = run.recipe()
    starter = recipe.base_model.model_copy(update={"source": "starter", "id": "", "revision": ""})
    data = recipe.dataset.model_copy(update={"source": "starter", "id": "helper"})
    (run.folder / "recipe.yaml").write_text(
        recipe.model_copy(update={"base_model": starter, "dataset": data, "note": words}).to_yaml()
    )
    relabel(run, note=words, add_tags=["needle-of-ann"])
    for name in ("log.txt", "samples.jsonl", "environment.json", "events.jsonl", "launch.json"):
        with open(run.folder / name, "a") as file:
            file.write(json.dumps({"text": words, "host": PLANTED[2]}) + "\n")
    for name in ("tokenizer_config.json", "adapter_config.json"):
        told = json.loads((run.adapter / name).read_text())
        where = {"name_or_path": PLANTED[1], "base_model_name_or_path": PLANTED[1], "_name_or_path": PLANTED[1]}
        (run.adapter / name).write_text(json.dumps(told | where | {"local_files_only": True}))
    proof = json.loads((run.adapter / "proof.json").read_text())
    (run.adapter / "proof.json").write_text(json.dumps(proof | {"note": words, "host": PLANTED[2]}))
    weights = run.adapter / "adapter_model.safetensors"
    save_file(load_file(weights), weights, {"format": "pt", "made by": words})
    return run


@pytest.mark.slow
def test_no_export_says_where_or_by_whom_it_was_made(run):
    """Of what stands in the folder of a run nothing gets into what others open, but the adapter's own files."""
    planted(run)
    made = [MergedExporter(dtype="fp32", questions=1), GgufExporter(dtype="F16", questions=1), OllamaExporter()]
    made += [ScriptExporter(), SpaceExporter(), GgufLoraExporter(), AdapterExporter()]
    for exporter in made:
        job = export_job(run, exporter)
        assert worker.main(job.folder) == 0, job.status().sentence
        for path in sorted((job.folder / FILES).rglob("*")):
            is_own = isinstance(exporter, AdapterExporter) and path.name.startswith(("adapter_", "proof"))
            if path.is_file() and not is_own:
                content = path.read_bytes()
                assert not [one for one in PLANTED if one.encode() in content], (exporter.name, path.name)
                assert str(run.folder.parent.parent).encode() not in content, (exporter.name, path.name)
