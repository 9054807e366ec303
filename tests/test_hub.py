"""Models of the Hub: found, recognised, downloaded, refused. The real client libraries, against a server of our own."""

import errno
import json
import os
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from qlora_app.base_models import (
    describe_folder,
    facts_of,
    facts_of_folder,
    folder_of,
    kept_models,
    look_up,
    search,
)
from qlora_app.base_models.download import fetch
from qlora_app.errors import Stopped, UserError
from qlora_app.hub import RemoteFile
from qlora_app.hub import download as downloading
from qlora_app.launch.local import launch
from qlora_app.recipe import Recipe
from qlora_app.storage.outside import confined
from tests.conftest import short_recipe, wait_for
from tests.fixtures.hub import CHOICE, CONFIG, INDEX, PARAMETERS, go_offline
from tests.fixtures.hub import MODEL as ID
from tests.hub_server import EXPIRED, GOOD, STRANGER, Repo
from tests.refusing import refused

WEIGHTS = RemoteFile("config.json", 1)  # of a model that is here
NEVER = lambda: False  # noqa: E731
SILENT = lambda *_: None  # noqa: E731


def sentence(choice=CHOICE, token=None):
    """What a person reads when a model cannot be had; the same from looking it up and from downloading it."""
    with pytest.raises(UserError) as looked:
        look_up(choice, token)
    with pytest.raises(UserError) as fetched:
        fetch(choice, token, SILENT, NEVER)
    assert str(looked.value) == str(fetched.value)
    assert "Traceback" not in str(looked.value) and "\n" not in str(looked.value)
    return str(looked.value)


# ---- search


def test_a_search_says_what_is_known_of_each_hit(hub, llama):
    hub.add(
        Repo(
            "big/llama-gated", {}, gated=True, licence="llama3", downloads=5_000_000, parameters={"BF16": 8_030_261_248}
        )
    )
    hub.add(Repo("other/thing", {}))
    found = search("llama")
    assert [hit.id for hit in found] == ["big/llama-gated", ID]
    assert found[0].summary() == "8.0 B parameters · licence llama3 · gated · 5,000,000 downloads"
    assert found[1].summary() == "1.5 M parameters · licence apache-2.0 · 321 downloads"
    assert search("nothing like this") == []


FOUND = {  # what is found with no words, by task
    "chat": ["talks/llama", "older/gpt2"],
    "text_to_text": ["google/t5"],
    "fill_mask": ["hidden/bert"],
    "classification": ["talks/llama", "hidden/bert", "labels/deberta", "older/gpt2"],
    "auto": ["talks/llama", "google/t5", "hidden/bert", "labels/deberta", "older/gpt2"],
}


@pytest.mark.parametrize("task", FOUND)
def test_a_search_finds_what_can_learn_the_task(hub, task):
    hub.repos.clear()
    for id, family, architecture, tags in (
        ("talks/llama", "llama", "LlamaForCausalLM", ["text-generation"]),
        ("google/t5", "t5", "T5ForConditionalGeneration", ["t5"]),
        ("sees/vit", "vit", "ViTForImageClassification", ["image-classification"]),
        ("hidden/bert", "bert", "BertForMaskedLM", ["fill-mask", "bert"]),
        ("labels/deberta", "deberta-v2", "DebertaV2ForSequenceClassification", ["text-classification"]),
        ("older/gpt2", "gpt2", "GPT2LMHeadModel", ["text-generation"]),
    ):
        hub.add(Repo(id, {}, config={"model_type": family, "architectures": [architecture]}, tags=tuple(tags)))
    packed = {
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "quantization_config": {"quant_method": "gptq"},
    }
    hub.add(Repo("packed/llama", {}, config=packed))
    found = search("", task=task)
    assert [hit.id for hit in found] == FOUND[task]
    said = {hit.id: hit.summary() for hit in found}
    assert "for text to text" in said.get("google/t5", "for text to text") and "for " not in said.get("talks/llama", "")


def test_a_search_without_the_hub_says_so(hub, monkeypatch):
    go_offline(hub, monkeypatch)
    with refused("hub.offline"):
        search("llama")
    assert hub.asked == []


def test_a_search_on_a_busy_hub_says_so(hub):
    hub.status = 503
    with refused("hub.no_answer", 503):
        search("llama")


# ---- recognised


def test_a_model_is_recognised_without_its_weights(hub, llama):
    facts = look_up(CHOICE)
    total = sum(len(content) for content in llama.files.values())
    assert (facts.family, facts.context, facts.dtype, facts.parameters) == ("Llama", 512, "fp32", PARAMETERS)
    assert (facts.commit, facts.missing) == (
        llama.commit,
        total - len(llama.files["config.json"]) - len(llama.files[INDEX]),
    )
    assert facts.summary().startswith("Llama · 1.5 M parameters · fp32 · reads 512 tokens · no chat template")
    assert not [name for name in hub.files_asked() if name.endswith(".safetensors")]


def test_the_header_of_the_weights_says_the_same_as_the_hub(tiny):
    facts = facts_of_folder(tiny)
    assert (facts.parameters, facts.dtype, facts.missing) == (PARAMETERS, "fp32", 0)


def test_weights_that_were_cut_off_are_noticed_before_loading(tiny, tmp_path):
    for file in tiny.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    shard = sorted(tmp_path.glob("model-*.safetensors"))[0]
    shard.write_bytes(shard.read_bytes()[:-7])
    with refused("model.damaged_file", "model.file_size"):
        facts_of_folder(tmp_path)
    shard.write_bytes(struct.pack("<Q", 2**60) + b"{}")
    with refused("model.damaged_file", "model.header_too_long"):
        facts_of_folder(tmp_path)


# ---- refused, before any weight is fetched


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (
            {"auto_map": {"AutoModelForCausalLM": "modeling_evil.Evil"}},
            ("model.wants_program", "modeling_evil.Evil"),
        ),
        ({"trust_remote_code": True}, ("model.wants_program",)),
        ({"architectures": ["WhisperForConditionalGeneration"]}, ("model.no_trainable_kind",)),
        ({"quantization_config": {"quant_method": "gptq"}}, ("model.quantized_already", "gptq")),
    ],
)
def test_a_config_that_cannot_be_trained_is_refused_with_its_reason(hub, llama, tmp_path, change, why):
    config = json.loads(llama.files["config.json"]) | change
    llama.files["config.json"] = json.dumps(config).encode()
    with refused(*why):
        look_up(CHOICE)
    assert sentence()
    assert {name for name in hub.files_asked()} == {"config.json"}
    (tmp_path / "config.json").write_bytes(llama.files["config.json"])
    with refused(*why):
        describe_folder(tmp_path)


def test_an_unknown_family_is_refused_before_its_weights_come(hub, llama):
    llama.files["config.json"] = json.dumps(CONFIG | {"model_type": "llama99"}).encode()
    with refused("model.family_unknown", "llama99"):
        fetch(CHOICE, None, SILENT, NEVER)
    assert not [name for name in hub.files_asked() if name.endswith(".safetensors")]


@pytest.mark.parametrize(
    ("names", "why"),
    [
        (["pytorch_model.bin"], "only pytorch_model.bin, a pickle"),
        (["model.gguf"], "only model.gguf, a format for answering"),
        (["adapter_model.safetensors"], "If it is an adapter, choose its base model instead"),
        ([], "holds no weights"),
    ],
)
def test_without_safetensors_not_a_byte_of_weights_is_fetched(hub, llama, names, why):
    llama.files = {k: v for k, v in llama.files.items() if not k.startswith("model")} | {
        name: b"x" * 100_000 for name in names
    }
    assert why in sentence()
    assert set(hub.files_asked()) <= {"config.json"}


def test_an_index_that_points_elsewhere_is_refused(hub, llama):
    llama.files[INDEX] = json.dumps({"weight_map": {"a": "../../../etc/passwd.safetensors"}}).encode()
    assert "points outside its folder" in sentence()


@pytest.mark.parametrize("id", ["../../etc", "a/b/c", "http://evil/x", "-x/..", "a b"])
def test_what_is_no_hub_id_is_refused_without_asking(hub, id):
    with refused("recipe.wrong_settings", "hub.no_id"):
        Recipe.from_dict({"base_model": {"source": "hub", "id": id}})
    assert hub.asked == []


def test_what_is_no_revision_is_refused_without_asking(hub):
    with refused("recipe.wrong_settings", "hub.no_revision_name"):
        Recipe.from_dict({"base_model": {"source": "hub", "id": ID, "revision": "../../main"}})


# ---- every way of not getting it is a sentence of its own


def gated(hub, llama, monkeypatch):
    llama.gated = True


def gated_for_this_token(hub, llama, monkeypatch):
    llama.gated = True
    return STRANGER


def private(hub, llama, monkeypatch):
    llama.private = True


def missing(hub, llama, monkeypatch):
    hub.repos.clear()
    return GOOD


def token_refused(hub, llama, monkeypatch):
    return EXPIRED


def offline(hub, llama, monkeypatch):
    go_offline(hub, monkeypatch)


def unreachable(hub, llama, monkeypatch):
    hub.close()


def too_many(hub, llama, monkeypatch):
    hub.status = 429


def out_of_order(hub, llama, monkeypatch):
    hub.status = 500


WAYS = {
    gated: ["tiny/llama is gated", "accept them", "/tiny/llama", "settings/tokens", "QLORA_APP_HUB_TOKEN"],
    gated_for_this_token: ["tiny/llama is gated", "not on its list yet", "/tiny/llama"],
    private: ["tiny/llama is private, or there is nothing of that name", "Check the spelling", "QLORA_APP_HUB_TOKEN"],
    missing: ["The Hub has nothing called tiny/llama", "Check the spelling"],
    token_refused: ["does not accept the token", "expired", "make a new one"],
    offline: ["offline mode is on", "Unset HF_HUB_OFFLINE"],
    unreachable: ["cannot be reached", "Check the network"],
    too_many: ["asks for a pause", "Wait five minutes"],
    out_of_order: ["cannot answer at the moment (error 500)", "Try again"],
}


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_each_refusal_is_said_with_the_next_step(hub, llama, monkeypatch, way):
    said = sentence(token=way(hub, llama, monkeypatch))
    assert [words for words in WAYS[way] if words not in said] == []


def test_a_revision_that_does_not_exist_is_named(hub, llama):
    said = sentence(CHOICE.model_copy(update={"revision": "v9"}))
    assert "tiny/llama has no revision v9" in said and "Leave the revision empty" in said


def test_no_two_refusals_say_the_same(hub, llama):
    firsts = [words[0] + words[1] for words in WAYS.values()]
    assert len(set(firsts)) == len(WAYS)


def test_a_disk_without_room_is_said_before_the_first_byte(hub, llama, monkeypatch):
    monkeypatch.setattr(downloading.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1_000_000})())
    with refused("hub.no_room", "tiny/llama", "5.8 MB", "1.0 MB"):
        fetch(CHOICE, None, SILENT, NEVER)
    assert not [name for name in hub.files_asked() if name.endswith(".safetensors")]


def test_a_disk_that_fills_up_on_the_way_is_a_sentence_and_keeps_what_came(hub, llama, monkeypatch):
    real, written = downloading._Progress.add, []

    def add(self, count):
        real(self, count)
        written.append(count)
        if sum(written) > 3_000_000:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(downloading._Progress, "add", add)
    with refused("hub.disk_full", "tiny/llama"):
        fetch(CHOICE, None, SILENT, NEVER)
    monkeypatch.setattr(downloading._Progress, "add", real)
    assert look_up(CHOICE).missing < 4_000_000


# ---- downloaded


def shards(llama):
    return {name: content for name, content in llama.files.items() if name.endswith(".safetensors")}


def test_what_is_needed_comes_into_the_hub_s_own_cache_and_nothing_else(hub, llama):
    llama.files |= {
        "pytorch_model.bin": b"x" * 1000,
        "original/consolidated.pth": b"x" * 1000,
        "evil.py": b"1",
        "README.md": b"#",
    }
    told = []
    folder, warning = fetch(CHOICE, None, lambda done, total: told.append((done, total)), NEVER)
    assert warning == "" and folder == folder_of(CHOICE) and folder.name == llama.commit
    assert all((folder / name).read_bytes() == content for name, content in shards(llama).items())
    assert not {"pytorch_model.bin", "consolidated.pth", "evil.py", "README.md"} & set(hub.files_asked())
    assert [done for done, _ in told] == sorted(done for done, _ in told) and told[-1][0] == told[-1][1] > 5_800_000
    assert look_up(CHOICE).missing == 0 and [choice.id for choice in kept_models()] == [ID]
    from huggingface_hub import snapshot_download

    assert snapshot_download(ID, allow_patterns=["*.safetensors", "*.json"], token=False) == str(folder)


def test_a_second_run_fetches_nothing_again(hub, llama):
    fetch(CHOICE, None, SILENT, NEVER)
    hub.asked.clear()
    fetch(CHOICE, None, SILENT, NEVER)
    assert hub.files_asked() == []


def test_a_commit_that_is_here_needs_no_hub_at_all(hub, llama):
    fetch(CHOICE, None, SILENT, NEVER)
    hub.asked.clear()
    pinned = CHOICE.model_copy(update={"revision": llama.commit})
    assert fetch(pinned, None, SILENT, NEVER)[0].name == llama.commit and look_up(pinned).parameters == PARAMETERS
    assert hub.asked == []


def test_without_the_hub_the_copy_on_this_machine_is_used_and_that_is_said(hub, llama, monkeypatch):
    fetch(CHOICE, None, SILENT, NEVER)
    go_offline(hub, monkeypatch)
    folder, warning = fetch(CHOICE, None, SILENT, NEVER)
    assert folder.name == llama.commit and "used as it is on this machine" in warning
    assert facts_of(CHOICE).parameters == PARAMETERS


def test_a_copy_on_this_machine_is_used_when_the_hub_gives_it_no_more(hub, llama):
    fetch(CHOICE, None, SILENT, NEVER)
    hub.repos.clear()
    folder, warning = fetch(CHOICE, None, SILENT, NEVER)
    assert folder.name == llama.commit and "private, or there is nothing of that name" in warning


@pytest.mark.parametrize("closed", ["gated", "private"])
def test_what_the_owner_s_token_brought_is_not_every_member_s(hub, llama, tmp_path, monkeypatch, closed):
    setattr(llama, closed, True)
    folder, _ = fetch(CHOICE, GOOD, SILENT, NEVER)
    pinned = CHOICE.model_copy(update={"revision": llama.commit})
    for goes in (lambda: None, lambda: go_offline(hub, monkeypatch)):
        goes()
        with confined([tmp_path]):
            assert kept_models() == []
            for choice in (CHOICE, pinned):
                for has in (look_up, facts_of, folder_of, lambda one: fetch(one, None, SILENT, NEVER)):
                    with pytest.raises(UserError):
                        has(choice)
            with pytest.raises(UserError):
                downloading.fetch_files(CHOICE.repository, llama.commit, (WEIGHTS,), None, SILENT, NEVER)
    assert folder_of(pinned) == folder, "its owner goes on with it"


def test_what_everybody_may_have_is_fetched_once_for_all(hub, llama, tmp_path, monkeypatch):
    folder, _ = fetch(CHOICE, GOOD, SILENT, NEVER)
    hub.asked.clear()
    with confined([tmp_path]):
        assert fetch(CHOICE, None, SILENT, NEVER)[0] == folder_of(CHOICE) == folder and hub.files_asked() == []
        (brought,) = hub.cache.glob("models--*/.open-*")
        brought.unlink()  # as where another program fetched it
        assert kept_models() == []
        look_up(CHOICE)
        go_offline(hub, monkeypatch)
        assert [one.id for one in kept_models()] == [ID] and fetch(CHOICE, None, SILENT, NEVER)[0] == folder


def test_a_connection_that_breaks_goes_on_where_it_broke(hub, llama, monkeypatch):
    monkeypatch.setattr(downloading, "CHUNK", 65536)
    name = max(shards(llama), key=lambda name: len(llama.files[name]))
    hub.cut_after[name] = 1_000_000
    folder, _ = fetch(CHOICE, None, SILENT, NEVER)
    assert (folder / name).read_bytes() == llama.files[name]
    ranges = [headers.get("range") for how, path, headers in hub.asked if how == "GET" and path.endswith(name)]
    assert len(ranges) == 2 and ranges[0] is None and 900_000 <= int(ranges[1][6:-1]) <= 1_000_000
    assert hub.bytes_sent[name] <= len(llama.files[name]) + 2 * 65536


def test_a_stop_keeps_what_came_and_the_next_start_asks_only_for_the_rest(hub, llama, monkeypatch):
    monkeypatch.setattr(downloading, "CHUNK", 65536)
    monkeypatch.setattr(downloading, "AT_ONCE", 1)
    total, seen = sum(map(len, shards(llama).values())), []
    with pytest.raises(Stopped):
        fetch(CHOICE, None, lambda done, _: seen.append(done), lambda: bool(seen) and seen[-1] > 3_000_000)
    left = look_up(CHOICE).missing
    assert total - 3_200_000 < left < total - 2_800_000
    hub.bytes_sent.clear()
    folder, _ = fetch(CHOICE, None, SILENT, NEVER)
    assert all((folder / name).read_bytes() == content for name, content in shards(llama).items())
    assert sum(hub.bytes_sent.get(name, 0) for name in shards(llama)) <= left + 4 * 65536


def test_what_arrives_damaged_is_thrown_away(hub, llama, monkeypatch):
    name = min(shards(llama))
    blob = hub.cache / "models--tiny--llama" / "blobs"
    blob.mkdir(parents=True)
    from tests.hub_server import etag

    (blob / f"{etag(name, llama.files[name])}.incomplete").write_bytes(b"rubbish" * 100)
    with refused("hub.damaged_file"):
        fetch(CHOICE, None, SILENT, NEVER)
    folder, _ = fetch(CHOICE, None, SILENT, NEVER)
    assert (folder / name).read_bytes() == llama.files[name]


def test_two_workers_get_the_same_model_once(hub, llama, monkeypatch):
    folders = []
    threads = [threading.Thread(target=lambda: folders.append(fetch(CHOICE, None, SILENT, NEVER)[0])) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(folders) == 2 and folders[0] == folders[1]
    for name, content in shards(llama).items():
        assert hub.bytes_sent[name] == len(content)


def test_the_token_goes_to_the_hub_and_one_that_lies_around_does_not(hub, llama, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", STRANGER)
    llama.gated = True
    fetch(CHOICE, GOOD, SILENT, NEVER)
    assert {headers.get("authorization") for _, _, headers in hub.asked} == {f"Bearer {GOOD}"}
    hub.asked.clear()
    search("llama")
    assert {headers.get("authorization") for _, _, headers in hub.asked} == {None}


def test_a_dataset_comes_through_the_same_server(hub):
    rows = b'{"instruction": "Hello?", "output": "Good morning."}\n' * 3
    hub.add(Repo("tiny/rows", {"train.jsonl": rows, "README.md": b"# rows"}, kind="datasets"))
    program = (
        "from datasets import load_dataset; rows = load_dataset('tiny/rows')['train']; print(len(rows), "
        "rows[2]['output'])"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=200)
    assert said.stdout == "3 Good morning.\n", said.stderr


# ---- on the command line


def run_command(capsys, *words):
    from qlora_app.cli import main

    code = main(["models", *words, "--json"])
    said = capsys.readouterr()
    return code, json.loads(said.out) if said.out else said.err


def test_the_command_line_lists_searches_and_describes(hub, llama, tiny, home, capsys):
    (home / "models").mkdir()
    (home / "models" / "mine").symlink_to(tiny)
    code, rows = run_command(capsys)
    assert code == 0 and [Path(row["model"]).name for row in rows] == ["starter", "mine"]
    assert rows[1]["parameters"] == PARAMETERS and rows[1]["here"] == "fits" and hub.asked == []
    found = run_command(capsys, "llama")[1]
    assert [(row["model"], row["parameters"], row["gated"]) for row in found] == [(ID, PARAMETERS, False)]
    row = run_command(capsys, ID)[1][0]
    assert (row["commit"], row["context"]) == (llama.commit, 512) and row["fit"].startswith("Fits: ")
    fetch(CHOICE, None, SILENT, NEVER)
    assert [row["model"] for row in run_command(capsys)[1]][-1] == ID
    llama.gated = True
    assert run_command(capsys, "tiny/other") == (
        2,
        "error: tiny/other is private, or there is nothing of that name: without a token the "
        "Hub does not say which. Check the spelling; if it is yours, make a token that may read it, "
        "set QLORA_APP_HUB_TOKEN to it and start the app again.\n",
    )


def test_a_terminal_shows_the_bytes():
    from qlora_app.cli.watching import figures
    from qlora_app.runs import RunStatus

    status = RunStatus("starting", sentence="Downloading tiny/llama: 3 of 6 MB.", downloaded=0.5)
    assert figures(status) == status.sentence and status.progress == 0.5


def test_training_something_that_cannot_be_had_ends_before_there_is_a_run(hub, llama, home, store, capsys):
    from qlora_app.cli import main

    llama.gated = True
    assert main(["train", "starter", "base_model.source=hub", f"base_model.id={ID}"]) == 2
    assert "tiny/llama is gated" in capsys.readouterr().err and store.list() == []


# ---- a whole run, with a worker of its own


@pytest.mark.slow
def test_a_run_downloads_stops_goes_on_and_trains(hub, llama, store, monkeypatch):
    """Gated, with a token; stopped in the middle of the download; resumed, trained two steps, opened again from what it
    saved.
    """
    llama.gated = True
    monkeypatch.setenv("QLORA_APP_HUB_TOKEN", GOOD)
    hub.before_chunk = lambda name, sent: time.sleep(0.2) if name.endswith(".safetensors") else None
    recipe = short_recipe(max_steps=2, samples=1, scored_questions=2, measured_examples=2).model_copy(
        update={"base_model": CHOICE}
    )
    run = store.create(recipe)
    worker = launch(run)
    status = wait_for(lambda: (s := run.status()).downloaded is not None and s)
    assert (
        status.state == "starting"
        and status.sentence.startswith("Downloading tiny/llama: ")
        and " of 5.9 MB" in status.sentence
    )
    assert 0 <= status.progress < 1 and status.seconds == 0
    run.request("stop")
    assert worker.wait() == 0
    stopped = run.status()
    assert (
        stopped.state == "stopped" and "What was downloaded is kept" in stopped.sentence and stopped.downloaded is None
    )

    hub.before_chunk = lambda name, sent: None
    before = look_up(CHOICE, GOOD).missing
    assert before < 5_900_000
    hub.bytes_sent.clear()
    assert launch(run).wait() == 0, run.log_tail()
    assert run.status().state == "done" and run.status().step == 2, run.status().sentence
    assert sum(hub.bytes_sent.get(name, 0) for name in shards(llama)) <= before
    assert run.base_model().revision == llama.commit
    config = json.loads((run.adapter / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == ID
    card = (run.adapter / "README.md").read_text()
    assert f"revision: {llama.commit}" in card and f"from_pretrained('{ID}', revision='{llama.commit}', " in card
    assert run.proof()["update"]["zero_layers"] == 0

    written = [path for folder in (run.folder, hub.cache) for path in folder.rglob("*") if path.is_file()]
    assert len(written) > 15 and not [path for path in written if GOOD.encode() in path.read_bytes()]
    assert [path for _, path, headers in hub.asked if headers.get("authorization") != f"Bearer {GOOD}"] == []

    hub.close()  # from here on everything is on this machine
    from qlora_app.inference.session import ChatSession

    session = ChatSession.open(run.base_model(), run.recipe().method, run.adapter)
    assert session.answer_all([[{"role": "user", "content": "Where does Mira live?"}]], max_new_tokens=3)


@pytest.mark.slow
def test_a_run_that_cannot_have_its_model_says_why(hub, llama, store):
    from qlora_app import worker

    llama.gated = True
    run = store.create(short_recipe().model_copy(update={"base_model": CHOICE}))
    assert worker.main(run.folder) == 1
    status = run.status()
    assert (
        status.state == "failed"
        and "tiny/llama is gated" in status.sentence
        and os.listdir(run.folder).count("adapter") == 0
    )
