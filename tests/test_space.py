"""The chat demo of a run: started as it lies in its folder, without this package, it says what the chat here says."""

import ast
import json
import shutil
import socket
import subprocess
import sys
import threading

import gradio as gr
import pytest
import torch
import yaml
from gradio_client import Client

from qlora_app import worker
from qlora_app.export import SpaceExporter
from qlora_app.export.space import LARGEST_BASE, TEMPLATES, told
from qlora_app.inference.session import ChatSession
from qlora_app.kinds.export import export_job
from qlora_app.methods.qalora import QaLoraMethod
from qlora_app.runs import RunStore
from qlora_app.runs.exports import FILES, made_by
from qlora_app.tasks.generate import context_of
from tests.fixtures.damages import OLD
from tests.refusing import check_problem, refused

ALONE = "import sys; sys.modules['qlora_app'] = None; import runpy; runpy.run_path(sys.argv[1], run_name='__main__')"
ZERO_GPU = "def GPU(function):\n    print('on a GPU:', function.__name__, flush=True)\n    return function\n"
PATIENCE = 600  # seconds, beside whatever else the machine does
ASKED = (("Hello!", False), ("Hello!", True), ("Where does Theo live?", False))  # of whom


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("QLORA_APP_HOME", str(tmp_path / "home"))
    shutil.copytree(OLD / "finished", tmp_path / "home" / "runs" / "finished")
    return RunStore(tmp_path / "home" / "runs").get("finished")


def changed(run, **parts):
    recipe = run.recipe()
    updates = {name: getattr(recipe, name).model_copy(update=values) for name, values in parts.items()}
    (run.folder / "recipe.yaml").write_text(recipe.model_copy(update=updates).to_yaml())


def made(run):
    job = export_job(run, SpaceExporter())
    worker.main(job.folder)
    return job


def started(folder, place):
    """(the process, its address), once it is served; `place`: of modules that are there besides."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    kept = {"PATH": "/usr/bin:/bin", "HOME": str(place), "GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_OFFLINE": "1"}
    kept["OMP_NUM_THREADS"] = str(torch.get_num_threads())  # sums in another order may turn a near tie
    process = subprocess.Popen(
        [sys.executable, "-c", ALONE, str(folder / "app.py")],
        cwd=place,
        env=kept | {"GRADIO_SERVER_PORT": str(port), "PYTHONPATH": str(place), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    said = []
    for line in process.stdout:
        said.append(line)
        if "Running on local URL" in line:
            return process, f"http://127.0.0.1:{port}", said
    raise AssertionError("".join(said))


@pytest.mark.slow
def test_it_says_what_the_chat_here_says(run, tmp_path):
    job = made(run)
    assert job.status().state == "done", job.status().sentence
    folder, place = tmp_path / "taken along", tmp_path / "elsewhere"
    shutil.copytree(job.folder / FILES, folder)
    place.mkdir()
    (place / "spaces.py").write_text(ZERO_GPU)
    process, address, said = started(folder, place)
    try:
        client = Client(address, verbose=False, httpx_kwargs={"timeout": PATIENCE})
        theirs = [client.predict(*one, api_name="/chat") for one in ASKED]
    finally:
        process.kill()
        process.wait()
    session = ChatSession.open(run.base_model(), run.recipe().method, run.adapter, run.task())
    ours = []
    for question, base in ASKED:
        *_, answer = session.write([{"role": "user", "content": question}], longest=256, base=base)
        ours.append(answer)
    assert theirs == ours and len(set(ours)) == 3
    assert {line.strip() for line in said if "GPU" in line} == {"on a GPU: talked", "on a GPU: answered"}


def parts_of_the_app(**given):
    """Its functions, on a model that is loaded already."""
    tree = ast.parse((TEMPLATES / "space.txt").read_text())
    tree.body = [one for one in tree.body if isinstance(one, ast.ImportFrom | ast.Import | ast.FunctionDef)]
    tree.body = [one for one in tree.body if not getattr(one, "decorator_list", [])]
    exec(compile(tree, "app.py", "exec"), given)  # what lies in the package
    return given


def test_a_conversation_of_any_length_gets_an_answer_or_a_sentence(run, monkeypatch):
    session = ChatSession.open(run.base_model(), run.recipe().method, run.adapter, run.task())
    model, tokenizer = session.model, session.tokenizer
    app = parts_of_the_app(model=model, tokenizer=tokenizer, TOLD=told(run), LONGEST=256, DEVICE="cpu")
    most = context_of(model)
    many = most // 8
    for turns in (0, 1, 5, many):
        talk = [{"role": ("user", "assistant")[n % 2], "content": f"It is number {n}."} for n in range(2 * turns)]
        ids, room = app["read"]([*talk, {"role": "user", "content": "The last of all?"}])
        text = tokenizer.decode(ids["input_ids"][0])
        assert ids["input_ids"].shape[1] + room <= most and room >= most // 8 and "The last of all?" in text
        assert ("It is number 0." in text) == (0 < turns < many)
        assert turns == 0 or f"It is number {2 * turns - 1}." in text
    with pytest.raises(gr.Error, match=f"{most:,} tokens"):
        list(app["said"]([{"role": "user", "content": "word " * most}]))
    monkeypatch.setattr(model, "generate", lambda *_, **__: 1 / 0)
    monkeypatch.setattr(threading, "excepthook", lambda _: None)  # the log
    with pytest.raises(gr.Error, match="cannot answer: division"):
        list(app["said"]([{"role": "user", "content": "Hello"}]))


def test_what_lies_in_the_folder(run, tmp_path):
    changed(run, dataset={"source": "file", "id": "ab-patients.jsonl"}, training={"sample_questions": ["Is Ann ill?"]})
    job = made(run)
    folder = job.folder / FILES
    front = yaml.safe_load((folder / "README.md").read_text().split("---")[1])
    assert front["sdk"] == "gradio" and front["app_file"] == "app.py"
    pinned = dict(line.split("==") for line in (folder / "requirements.txt").read_text().split() if "==" in line)
    assert pinned["gradio"] == front["sdk_version"] and {"transformers", "peft", "bitsandbytes"} <= set(pinned)
    assert json.loads((folder / "adapter" / "adapter_config.json").read_text())["base_model_name_or_path"] == "base"
    whole = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    for planted in (str(tmp_path), "/opt/guanaco", "patients", "Is Ann ill?", "is_local", "local_files_only"):
        assert planted.encode() not in whole, planted
    assert len((folder / "app.py").read_text().splitlines()) < 150
    assert made_by(job).fidelity.questions == 0 and "proof.json" not in whole.decode("latin-1")


def test_a_base_of_the_hub_is_named_and_not_taken_along(run):
    changed(run, base_model={"source": "hub", "id": "tiny/llama", "revision": "0" * 40})
    job = made(run)
    told = json.loads((job.folder / FILES / "model.json").read_text())
    assert (told["base"], told["revision"]) == ("tiny/llama", "0" * 40) and not (job.folder / FILES / "base").exists()
    assert "models:\n- tiny/llama\n" in (job.folder / FILES / "README.md").read_text()


def test_what_is_no_chat_of_plain_peft_is_refused(run):
    (run.folder / "task.json").write_text(json.dumps({"name": "text_to_text"}))
    with refused("export.space_task"):
        export_job(run, SpaceExporter())
    (run.folder / "task.json").unlink()
    qalora = run.recipe().model_copy(update={"method": QaLoraMethod()})
    (run.folder / "recipe.yaml").write_text(qalora.to_yaml())
    with refused("export.space_method"):
        export_job(run, SpaceExporter())


def test_a_large_base_of_this_machine_does_not_go_along(run, tmp_path):
    base = tmp_path / "large"
    shutil.copytree(run.base_model().folder, base)
    with open(base / "more.safetensors", "wb") as file:
        file.truncate(LARGEST_BASE)  # takes no room
    changed(run, base_model={"source": "folder", "id": str(base)})
    check_problem(made(run).status().sentence, "export.space_base_large")
