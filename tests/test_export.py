"""A finished run as one file: made by its job, opened by the real llama.cpp, and answering in the chat's place."""

import hashlib
import json
import shlex
import shutil
import socket
import zipfile

import openai
import pytest
import yaml

from qlora_app import worker
from qlora_app.cli import main
from qlora_app.export import AdapterExporter, GgufExporter, MergedExporter
from qlora_app.export.modelfile import Asked
from qlora_app.inference.llama_cpp import NAME
from qlora_app.inference.pool import ModelPool
from qlora_app.kinds.export import export_job
from qlora_app.methods import METHODS, QaLoraMethod
from qlora_app.runs import AllJobs, RunStore
from qlora_app.runs import address_of as job_address
from qlora_app.runs.exports import FILES, MADE_HERE, REPORT, Export, Fidelity, file_of, identical_gguf, made_by
from qlora_app.runs.other_servers import PORT, asked_elsewhere, llama_server, vllm_config, vllm_problem
from qlora_app.runs.proof import Shares
from qlora_app.ui.exported import address_of
from tests.fixtures.damages import OLD
from tests.fixtures.serving import served
from tests.refusing import check_problem, refused

pytestmark = pytest.mark.slow
QUESTION = [{"role": "user", "content": "Hello"}]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QLORA_APP_HOME", str(folder))
        shutil.copytree(OLD / "finished", folder / "runs" / "finished")
        yield folder


@pytest.fixture(scope="module")
def run(home):
    return RunStore(home / "runs").get("finished")


@pytest.fixture(scope="module")
def job(run):
    made = export_job(run, GgufExporter(dtype="F16", questions=4))
    assert worker.main(made.folder) == 0, made.status().sentence
    return made


@pytest.fixture
def believed(job):
    """As if every answer had been the adapter's: a young adapter is torn between words."""
    kept = (job.folder / "result.json").read_text()
    told = json.loads(kept)
    told["fidelity"] |= {"same": told["fidelity"]["questions"]}
    (job.folder / "result.json").write_text(json.dumps(told))
    yield job
    (job.folder / "result.json").write_text(kept)


def said_by(session, **how):
    for said in session.write(QUESTION, longest=8, **how):  # noqa: B007
        pass
    return said


def test_its_figures_are_measured(job, run):
    made = made_by(job)
    measured = made.fidelity
    assert made.notes == (), "its template and its tokens are those of the training"
    assert measured.reader == NAME and measured.questions == 4 and measured.positions > 8
    assert measured.first_choice > 0.9 and measured.kl_mean < 0.01 and measured.same + len(measured.differing) == 4
    assert json.loads((job.folder / FILES / REPORT).read_text())["same"] == measured.same
    assert file_of(job, made).stat().st_size == made.files[file_of(job, made).name] > 5_000_000
    assert export_job(run, GgufExporter(dtype="F16", questions=4)).id == job.id, "what is there is not made again"
    assert AllJobs(RunStore(run.folder.parent), None, None).get(job_address(job)).id == job.id


def test_the_chat_is_answered_through_it_where_all_was_the_same(run, believed):
    assert identical_gguf(run) == file_of(believed, made_by(believed))
    pool = ModelPool()
    session = pool.get(run)
    fast = said_by(session)
    assert fast.engine == NAME and fast.tokens > 1
    assert said_by(session, base=True).engine == "transformers"
    slow = said_by(session, logprobs=0)
    assert slow.engine == "transformers" and str(slow).split()[:2] == str(fast).split()[:2]
    pool.make_way()


def test_a_file_that_is_another_one_now_is_not_asked(run, believed):
    file = file_of(believed, made_by(believed))
    kept = file.read_bytes()
    file.write_bytes(kept + b"0")
    try:
        assert identical_gguf(run) is None
        assert said_by(ModelPool().get(run)).engine == "transformers"
    finally:
        file.write_bytes(kept)


def test_a_file_that_came_with_a_folder_from_elsewhere_is_not_opened(run, believed, home):
    made = made_by(believed)
    mark = home / MADE_HERE / made.checksums[file_of(believed, made).name]
    mark.unlink()
    try:
        assert identical_gguf(run) is None
    finally:
        mark.touch()


def test_the_command_of_the_page_serves_it_to_the_official_client(run, job, capsys):
    import xllamacpp

    file = file_of(job, made_by(job))
    program, *words = shlex.split(llama_server(run, file))
    assert program == "llama-server" and words.pop() == "--jinja"
    how = dict(zip(words[::2], words[1::2], strict=True))
    params = xllamacpp.CommonParams()
    params.model.path, params.model_alias, params.hostnames = how["--model"], {how["--alias"]}, [how["--host"]]
    params.use_jinja, params.warmup, params.verbosity = True, False, 0
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        params.port = free.getsockname()[1]
    server = xllamacpp.Server(params)
    client = openai.OpenAI(base_url=f"{server.listening_address}/v1", api_key="none", max_retries=0)
    session = ModelPool().get(run)
    system = [{"role": "system", "content": session.template.system}] if session.template.system else []
    told = client.chat.completions.create(
        model=run.id, messages=[*system, *QUESTION], temperature=0, max_tokens=8, extra_body={"return_tokens": True}
    )
    ours = said_by(session)
    assert told.model == run.id and told.usage.prompt_tokens == ours.prompt_tokens, "the same prompt by its template"
    assert told.choices[0].message.content.split()[:2] == str(ours).split()[:2]
    exec(asked_elsewhere(run).replace(f":{PORT}", f":{params.port}"), {})
    assert capsys.readouterr().out.strip()
    del server


def test_the_merged_model_is_what_the_adapter_was(run):
    job = export_job(run, MergedExporter(dtype="fp32", questions=4))
    assert worker.main(job.folder) == 0, job.status().sentence
    measured = made_by(job).fidelity
    assert measured.same == 4 and measured.logits < 1e-4 and measured.first_choice == 1.0
    config = json.loads((job.folder / FILES / "config.json").read_text())
    assert "quantization_config" not in config


def test_the_command_exports_and_says_what_it_made(run, job, capsys):
    assert main(["export", "finished", "gguf", "--dtype", "F16", "--questions", "4", "--json"]) in (0, 1)
    told = json.loads(capsys.readouterr().out)
    assert told["run"] == "finished" and Export.from_json(told) == made_by(job)
    assert main(["export", "finished", "gguf", "--dtype", "Q9"]) == 2 and "Q9" in capsys.readouterr().err
    assert main(["export", "finished", "script", "--questions", "4"]) == 2
    assert "questions is no setting of Script and notebook" in capsys.readouterr().err


def test_the_modelfile_names_a_merged_file_its_ends_and_its_length(run):
    lines = Asked.of(run).modelfile("run-Q8_0.gguf").splitlines()
    assert lines[0] == "FROM ./run-Q8_0.gguf" and not any(line.startswith("ADAPTER") for line in lines)
    assert 'PARAMETER stop "<|endoftext|>"' in lines
    assert f"PARAMETER num_ctx {run.recipe().training.max_length}" in lines
    assert {"PARAMETER temperature 0", "PARAMETER repeat_penalty 1"} <= {*lines}, "Ollama's own answer otherwise"


# ---- from the page


def test_what_was_made_is_saved_from_the_page_and_nothing_else_is(home, run, job, tmp_path):
    made = made_by(job)
    (job.folder / FILES / "out").symlink_to(run.folder / "recipe.yaml")
    with served(home) as site:
        whole = site.client.get(address_of(run, job)[1:])
        (tmp_path / "all.zip").write_bytes(whole.content)
        with zipfile.ZipFile(tmp_path / "all.zip") as archive:
            assert archive.testzip() is None
            sums = {name: hashlib.sha256(archive.read(name)).hexdigest() for name in archive.namelist()}
        assert sums == made.checksums
        one = site.client.get(address_of(run, job, f"{run.id}-F16.gguf")[1:], headers={"range": "bytes=0-3"})
        assert (one.status_code, one.content) == (206, b"GGUF")
        for name in ("out", "nothing", "../job.yaml", "..%2Fjob.yaml", "%2Fetc%2Fpasswd"):
            assert site.client.get(address_of(run, job, name)[1:]).status_code == 404, name
    (job.folder / FILES / "out").unlink()
    with served(home, host="0.0.0.0") as site:
        assert site.client.get(address_of(run, job)[1:]).status_code == 403, "a demonstration gives away no model"


# ---- what cannot be


def test_what_cannot_be_exported_is_refused(run, store, answering_run):
    kept = (answering_run.folder / "recipe.yaml").read_text()
    in_small_groups = answering_run.recipe().model_copy(update={"method": QaLoraMethod(group=16)})
    (answering_run.folder / "recipe.yaml").write_text(in_small_groups.to_yaml())
    with refused("export.no_codes", "16"):
        export_job(answering_run, GgufExporter(dtype="Q4_1"))
    (answering_run.folder / "recipe.yaml").write_text(kept)
    (answering_run.adapter / "proof.json").unlink()
    with refused("export.not_finished"):
        export_job(answering_run, AdapterExporter())


def test_every_method_says_whether_it_can_be_merged():
    cannot = {kind.model_fields["name"].default for kind in METHODS if not kind().can_merge}
    assert cannot == {"meft", "prefix", "prompt"}


# ---- other servers


def test_the_file_for_vllm_names_base_adapter_and_rank(run):
    told = yaml.safe_load(vllm_config(run))
    saved = json.loads((run.adapter / "adapter_config.json").read_text())
    assert told["max-lora-rank"] >= saved["r"] and told["lora-modules"] == [f"{run.id}={run.adapter}"]
    assert told["host"] == "127.0.0.1" and vllm_problem(run) is None


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"use_dora": True}, "vllm.not_lora"),
        ({"modules_to_save": ["lm_head"]}, "vllm.whole_layers"),
        ({"r": 600}, "vllm.rank"),
    ],
)
def test_vllm_is_not_offered_what_it_refuses(run, changes, code):
    config = run.adapter / "adapter_config.json"
    kept = config.read_text()
    config.write_text(json.dumps(json.loads(kept) | changes))
    try:
        check_problem(vllm_problem(run), code)
    finally:
        config.write_text(kept)


# ---- the report


@pytest.mark.parametrize(
    ("measured", "level"),
    [
        (Fidelity(), "unknown"),
        (Fidelity(questions=100, same=100), "green"),
        (Fidelity(questions=100, same=98), "amber"),
        (Fidelity(questions=100, same=96), "red"),
        (Fidelity(questions=100, same=100, positions=9, first_choice=0.98), "amber"),
        (Fidelity(questions=100, same=99, exact_match=Shares(0.9, 0.87)), "red"),
    ],
)
def test_a_report_has_a_level(measured, level):
    assert measured.level == level
    assert Export.from_json(json.loads(json.dumps(Export(fidelity=measured).to_json()))).fidelity == measured
