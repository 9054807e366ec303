"""The look at the machine says what is there, gives advice for what is not good, and waits for nothing."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections import namedtuple
from types import SimpleNamespace

import huggingface_hub.constants
import pytest

from qlora_app import doctor, hardware
from qlora_app.cli import main
from qlora_app.doctor import BROKEN, GOOD, LIMITED
from qlora_app.settings import Settings

SEEN = {"torch": "2.13.0", "cuda": None, "gpu": None, "forward_error": 0.093, "backward_error": 0.092, "bf16_time": 4.8}
CARD = {"name": "NVIDIA T4", "memory": 16 * 2**30, "cuda": "12.9", "capability": "7.5", "bf16": False}


@pytest.fixture
def settings(home):
    return Settings.from_environment()


@pytest.fixture
def tried(monkeypatch):
    """Stands in for the process that tries things out: `tried` is what it prints, or how it ends."""
    says = SimpleNamespace(stdout=json.dumps(SEEN), stderr="", returncode=0)
    monkeypatch.setattr(doctor.subprocess, "run", lambda *_, **__: says)
    return says


def port_of_nobody() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.fixture
def hub(monkeypatch):
    """Points the Hub's address elsewhere."""

    def at(address, offline=False):
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", address)
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", offline)

    at(f"http://127.0.0.1:{port_of_nobody()}")
    return at


def test_whatever_is_not_good_comes_with_advice(settings, tried, hub):
    findings = list(doctor.examine(settings))
    assert len({finding.name for finding in findings}) == len(findings) >= 9
    for finding in findings:
        assert finding.level in (GOOD, LIMITED, BROKEN) and finding.value
        assert bool(finding.advice) == (finding.level != GOOD), finding
        assert not finding.advice or finding.advice[-1] in ".t", "one sentence, or a command"


def test_versions_are_compared_with_the_pins(monkeypatch):
    assert doctor._versions().level == GOOD and "torch 2." in doctor._versions().value, (
        "what the tests run with is what is pinned"
    )
    real = doctor.version
    monkeypatch.setattr(doctor, "version", lambda name: "1.2.3" if name == "peft" else real(name))
    assert (
        doctor._versions().level == LIMITED
        and "peft 0." in doctor._versions().advice
        and "torch" not in doctor._versions().advice
    )

    def missing(name):
        raise doctor.PackageNotFoundError

    monkeypatch.setattr(doctor, "version", missing)
    assert doctor._versions().level == BROKEN


def test_a_container_has_the_cores_it_was_given(tmp_path):
    all_of_them = hardware.usable_cores(tmp_path)
    assert all_of_them == len(os.sched_getaffinity(0))
    limits = {
        "max 100000": all_of_them,
        "100000 100000": 1,
        "50000 100000": 1,
        "99900000 100000": all_of_them,
        "": all_of_them,
    }
    for said, cores in limits.items():
        (tmp_path / "cpu.max").write_text(said)
        assert hardware.usable_cores(tmp_path) == cores


@pytest.mark.parametrize("free, level", [(0.5e9, BROKEN), (2e9, LIMITED), (20e9, GOOD)])
def test_memory(monkeypatch, free, level):
    monkeypatch.setattr(hardware, "here", lambda: hardware.Machine("cpu", 32e9, free))
    assert doctor._main_memory().level == level


@pytest.mark.parametrize("free, level", [(0.2e9, LIMITED), (50e9, GOOD)])
def test_disk_of_the_home_folder(settings, monkeypatch, free, level):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: namedtuple("Usage", "total used free")(0, 0, free))
    finding = doctor._home(settings)
    assert finding.level == level and str(settings.home) in finding.value
    assert doctor._downloads().level == level if free > 1e10 else LIMITED


def test_a_home_that_cannot_be_made_is_broken(tmp_path):
    (tmp_path / "file").touch()
    finding = doctor._home(Settings(home=tmp_path / "file" / "home"))
    assert finding.level == BROKEN and "QLORA_APP_HOME" in finding.advice


def test_a_hub_that_answers_anything_is_reached(hub):
    with socket.create_server(("127.0.0.1", 0)) as server:
        hub(f"http://127.0.0.1:{server.getsockname()[1]}")

        def answer():
            connection, _ = server.accept()
            assert connection.recv(1000).startswith(b"HEAD / ")
            connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            connection.close()

        answering = threading.Thread(target=answer)
        answering.start()
        assert doctor._network().level == GOOD
        answering.join()


def test_a_silent_hub_is_not_waited_for(hub, monkeypatch):
    monkeypatch.setattr(doctor, "LONGEST_WAIT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as server:  # takes the connection and says nothing
        hub(f"http://127.0.0.1:{server.getsockname()[1]}")
        finding = doctor._network()
    assert finding.level == LIMITED and re.search("no answer within|timed out", finding.value), finding.value


def test_no_network_and_a_network_switched_off_are_two_sentences(hub):
    refused = doctor._network()
    hub("http://127.0.0.1:1", offline=True)
    off = doctor._network()
    assert refused.level == off.level == LIMITED
    assert "refused" in refused.value.lower() and "HF_HUB_OFFLINE" in off.value


def test_a_name_that_is_looked_up_forever_is_not_waited_for(hub, monkeypatch):
    monkeypatch.setattr(doctor, "LONGEST_WAIT", 0.2)
    ended, found = threading.Event(), []
    monkeypatch.setattr(doctor, "_ask", lambda _: found.append(ended.wait(60)) or "")
    assert doctor._network().level == LIMITED and found == []
    ended.set()


@pytest.mark.parametrize(
    "seen, level, word",
    [
        ({"gpu": {**CARD, "bf16": True}}, GOOD, "16.0 GB"),
        ({"gpu": CARD}, LIMITED, "fp16 with scaled losses"),
        ({}, LIMITED, "NVIDIA"),
    ],
)
def test_gpu(seen, level, word, monkeypatch):
    monkeypatch.setattr(hardware, "here", lambda: hardware.Machine("cpu", 8e9, 8e9))
    finding = doctor.gpu_finding({**SEEN, **seen})
    assert finding.level == level and word in finding.value + finding.advice


def test_a_gpu_that_torch_does_not_see_is_noticed(monkeypatch):
    monkeypatch.setattr(hardware, "here", lambda: hardware.Machine("cuda", 8e9, 8e9))
    monkeypatch.setattr(shutil, "which", lambda _: "/usr/bin/nvidia-smi")
    assert "built without CUDA" in doctor.gpu_finding(SEEN).value
    assert "built for CUDA 12.9" in doctor.gpu_finding({**SEEN, "cuda": "12.9"}).value


def test_bf16_on_a_cpu_is_a_matter_of_its_instructions():
    slow, fast = doctor.bf16_finding(4.8), doctor.bf16_finding(0.4)
    assert slow.level == LIMITED and "4.8 times as slow" in slow.value and "auto" in slow.advice
    assert fast.level == GOOD and "2.5 times as fast" in fast.value


@pytest.mark.parametrize(
    "forward, backward, level",
    [
        (0.09, 0.09, GOOD),
        (0.27, 0.09, BROKEN),
        (0.09, 1.4, BROKEN),
        (float("nan"), 0.09, BROKEN),
        (0.09, float("nan"), BROKEN),
    ],
)
def test_a_layer_that_computes_wrongly_is_noticed(forward, backward, level):
    assert doctor.layer_finding({**SEEN, "forward_error": forward, "backward_error": backward}).level == level


@pytest.mark.parametrize(
    "stdout, stderr, code, said",
    [
        ("", "Traceback\nImportError: libcudart.so.12", 1, "libcudart"),
        ("", "", -4, "code -4"),
        ("noise\n{}x", "", 0, "code 0"),
    ],
)
def test_a_trial_that_dies_is_a_finding(tried, stdout, stderr, code, said):
    tried.stdout, tried.stderr, tried.returncode = stdout, stderr, code
    findings = list(doctor.tried_out())
    assert len(findings) == 1 and findings[0].level == BROKEN and said in findings[0].value


# ---- the command


def test_the_command_says_everything_and_ends_with_its_verdict(home, tried, hub, capsys):
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    names = (
        "Versions:",
        "System:",
        "Processor:",
        "Memory:",
        "Home:",
        "Network:",
        "GPU:",
        "bf16 on the CPU:",
        "4-bit layer:",
    )
    assert all(name in out for name in names) and str(home) in out and "Training works here." in out


def test_exit_code_1_when_nothing_can_be_trained(home, tried, hub, capsys):
    tried.stdout = json.dumps({**SEEN, "forward_error": 1.2})
    assert main(["doctor", "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert said["can_train"] is False
    broken = [finding for finding in said["findings"] if finding["level"] == BROKEN]
    assert [finding["name"] for finding in broken] == ["4-bit layer"] and "bitsandbytes" in broken[0]["advice"]


@pytest.mark.slow
def test_a_real_4_bit_layer_computes_forwards_and_backwards():
    seen = json.loads(
        subprocess.run(
            [sys.executable, "-m", "qlora_app.doctor"],
            capture_output=True,
            text=True,
            timeout=300,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        ).stdout.splitlines()[-1]
    )
    for error in (seen["forward_error"], seen["backward_error"]):
        assert 0.08 < error < 0.105, "the rounding to NF4 and nothing else"
    assert doctor.layer_finding(seen).level == GOOD and seen["bf16_time"] > 0


def test_a_model_folder_and_a_preset_that_cannot_be_used_are_named(tmp_path):
    (tmp_path / "models" / "torn").mkdir(parents=True)
    (tmp_path / "models" / "torn" / "config.json").write_text("[1]")
    (tmp_path / "presets").mkdir()
    (tmp_path / "presets" / "odd.yaml").write_text("a: [")
    finding = doctor._models_and_presets(Settings(home=tmp_path))
    assert finding.level == doctor.LIMITED and "torn" in finding.advice and "odd" in finding.advice
    assert doctor._models_and_presets(Settings(home=tmp_path / "none")).level == doctor.GOOD


@pytest.mark.parametrize(
    ("environment", "keep", "level", "value"),
    [
        ({}, None, doctor.LIMITED, "ada/w, nothing outlives a restart"),
        ({}, "ada/runs", doctor.LIMITED, "ada/w, nothing was sent to ada/runs yet"),
        ({"SPACES_ZERO_GPU": "true"}, "ada/runs", doctor.LIMITED, "ada/w, on ZeroGPU"),
    ],
)
def test_a_space_says_what_outlives_its_sleep(settings, monkeypatch, environment, keep, level, value):
    assert "Space" not in [found.name for found in doctor.looked_at(settings)]
    for name, told in {"SPACE_ID": "ada/w", **environment}.items():
        monkeypatch.setenv(name, told)
    found = {one.name: one for one in doctor.looked_at(settings.model_copy(update={"keep_runs": keep}))}["Space"]
    assert (found.level, found.value) == (level, value) and found.advice


@pytest.mark.parametrize(
    ("told", "level", "value"),
    [
        ({"repository": "ada/runs", "sent": "now"}, doctor.GOOD, "runs were last sent to ada/runs at 20"),
        ({"repository": "ada/runs", "sent": 86400}, doctor.LIMITED, "runs were last sent to ada/runs at 1970-01-02 00"),
        ({"repository": "ada/other", "sent": "now"}, doctor.LIMITED, "nothing was sent to ada/runs yet"),
        ({"repository": "ada/runs", "sent": 1e300}, doctor.LIMITED, "nothing was sent to ada/runs yet"),
        (["torn"], doctor.LIMITED, "nothing was sent to ada/runs yet"),
    ],
)
def test_kept_runs_are_told_by_when_they_were_sent(settings, monkeypatch, told, level, value):
    monkeypatch.setenv("SPACE_ID", "ada/w")
    settings.make_home()
    text = json.dumps(told).replace('"now"', str(time.time()))
    (settings.home / "kept_runs.json").write_text(text)
    keeps = settings.model_copy(update={"keep_runs": "ada/runs"})
    found = {one.name: one for one in doctor.looked_at(keeps)}["Space"]
    assert found.level == level and found.value.startswith(f"ada/w, {value}") and found.advice
