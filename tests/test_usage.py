"""How busy the machine is while a run trains: what is known is true, and what is not known is left out."""

import os
import sys
import time
from types import SimpleNamespace

import pytest

from qlora_app.cli.jobs import as_row
from qlora_app.cli.watching import usage_line
from qlora_app.runs import RunStatus
from qlora_app.storage.files import write_json
from qlora_app.ui.language import translated
from qlora_app.ui.runs.card_machine import machine_strip
from qlora_app.usage import FILE, Usage, UsageMeter, kept_in, usage_in
from tests.conftest import short_recipe, wait_for

PID = os.getpid()
FULL = Usage(0.83, 0.8, 5e9, 16e9, 2e9, 0.97, 20 * 2**30, 24 * 2**30, 19 * 2**30, 71, 310, 350)


class NVMLError(Exception):
    pass


@pytest.fixture
def nvml(monkeypatch):
    """NVIDIA's library with one card, as pynvml has it; what is set to an error is not told."""

    def handle(name):
        if name not in fake.cards:
            raise NVMLError("Not Found")
        return name

    def told(name):
        def ask(card, *_):
            fake.looked_at.add(card)
            if isinstance(fake.told[name], Exception):
                raise fake.told[name]
            return fake.told[name]

        return ask

    fake = SimpleNamespace(NVMLError=NVMLError, NVML_TEMPERATURE_GPU=0, cards=("GPU-one", 1), looked_at=set())
    fake.told = {
        "MemoryInfo": SimpleNamespace(used=20, total=24),
        "UtilizationRates": SimpleNamespace(gpu=97, memory=40),
        "ComputeRunningProcesses": [
            SimpleNamespace(pid=1, usedGpuMemory=1),
            SimpleNamespace(pid=PID, usedGpuMemory=19),
        ],
        "Temperature": 71,
        "PowerUsage": 310_000,
        "EnforcedPowerLimit": 350_000,
    }
    fake.nvmlInit = lambda: None
    fake.nvmlDeviceGetHandleByUUID = fake.nvmlDeviceGetHandleByIndex = handle
    for name in fake.told:
        setattr(fake, f"nvmlDeviceGet{name}", told(name))
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    return fake


def test_a_card_says_what_is_used_of_it_and_by_the_run(nvml):
    usage = UsageMeter(PID, "GPU-one").read()
    assert (usage.gpu, usage.gpu_memory, usage.gpu_memory_total, usage.process_gpu_memory) == (0.97, 20, 24, 19)
    assert (usage.temperature, usage.power, usage.power_limit) == (71, 310, 350)
    assert nvml.looked_at == {"GPU-one"}


@pytest.mark.parametrize(
    ("visible", "card"), [("1", 1), ("GPU-one,1", "GPU-one"), ("", None), ("-1", None), ("7", None)]
)
def test_it_is_the_card_that_the_run_may_see(visible, card, nvml, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    usage = UsageMeter(PID).read()
    assert usage.gpu == (None if card is None else 0.97) and nvml.looked_at == ({card} - {None})


def test_what_a_card_does_not_tell_is_left_out(nvml):
    nvml.told |= dict.fromkeys(("PowerUsage", "Temperature", "UtilizationRates"), NVMLError("Not Supported"))
    nvml.told["ComputeRunningProcesses"] = [SimpleNamespace(pid=PID, usedGpuMemory=None)]
    known = UsageMeter(PID, "GPU-one").read().to_json()
    assert known.keys() >= {"gpu_memory", "gpu_memory_total"}
    assert not known.keys() & {"gpu", "power", "temperature", "process_gpu_memory"}


def test_a_divided_card_is_not_taken_for_another_one(nvml):
    assert UsageMeter(PID, "GPU-part-of-one").read().gpu is None and nvml.looked_at == set()


@pytest.mark.parametrize(("told", "own"), [({"rss": 9, "shared": 4}, 5), ({"rss": 9}, 9), ({"rss": 4, "shared": 9}, 0)])
def test_files_that_a_process_has_mapped_are_not_its_memory(told, own, monkeypatch):
    meter = UsageMeter(PID)
    monkeypatch.setattr(meter, "_process", SimpleNamespace(memory_info=lambda: SimpleNamespace(**told)))
    monkeypatch.setattr(meter, "_cpu", lambda: (None, None))
    assert meter.read().process_memory == own


@pytest.mark.parametrize("error", [NVMLError("Driver Not Loaded"), OSError("no library")])
def test_without_a_driver_the_rest_is_known(error, nvml):
    def init():
        raise error

    nvml.nvmlInit = init
    assert not [name for name in UsageMeter(PID).read().to_json() if "gpu" in name]


def test_the_use_of_the_processor_is_that_since_the_last_look(monkeypatch):
    meter = UsageMeter(PID)
    with monkeypatch.context() as patch:
        patch.setattr("qlora_app.usage._SHORTEST", 1e9)
        assert meter.read().cpu is None, "too short a time says nothing"
    began, worked = time.monotonic(), time.process_time()
    while time.process_time() - worked < 0.1 or time.monotonic() - began < 0.3:
        sum(range(1000))
    usage = meter.read()
    assert 0 < usage.process_cpu <= 1 and 0 < usage.cpu <= 1
    assert 0 < usage.process_memory < usage.memory_total and 0 < usage.memory <= usage.memory_total


def test_in_a_container_its_own_share_counts(tmp_path):
    (tmp_path / "cpu.max").write_text("100000 100000")
    (tmp_path / "cpu.stat").write_text("usage_usec 5000000\nuser_usec 4000000\n")
    meter = UsageMeter(PID, groups=tmp_path)
    if meter._cores == len(meter._mine):
        pytest.skip("a machine with one core")
    began = meter._seen[0]
    time.sleep(0.25)
    (tmp_path / "cpu.stat").write_text("usage_usec 5100000\n")
    assert meter.read().cpu == pytest.approx(0.1 / (meter._seen[0] - began))


def test_it_stands_in_the_folder_while_somebody_works(store, monkeypatch, hold):
    run = store.create(short_recipe())
    monkeypatch.setattr("qlora_app.usage.EVERY", 0.05)
    out = hold(run)
    out.status = RunStatus("running", step=1, total=9)
    out.write_status()
    said = out.said_at
    with kept_in(run.folder):
        assert wait_for(lambda: usage_in(run.folder)).process_memory > 1e6
        assert as_row(run)["usage"]["process_memory"] > 1e6
    assert out.said_at == said, "what is measured is no word of the training: one that hangs is seen to hang"
    assert usage_in(run.folder) is None and as_row(run)["usage"] == {}


@pytest.mark.parametrize("kept", [None, {}, [], {"cpu": 0.5}, {"at": "x", "cpu": 1}, {"at": True}, {"at": 1e18}, 30.0])
def test_what_is_old_or_damaged_says_nothing(kept, tmp_path):
    if isinstance(kept, float):  # seconds ago
        kept = {"at": time.monotonic() - kept, "cpu": 0.5}
    write_json(tmp_path / FILE, kept)
    assert usage_in(tmp_path) is None


def test_the_strip_is_german_whole():
    german = translated(machine_strip(FULL), "de")
    assert "310 von 350 W" in german and "20,0 von 24 GB" in german


def test_the_strip_shows_what_is_known_and_nothing_else():
    whole = machine_strip(FULL)
    for words in ("83%", "this run 80%", "97%", "20.0 of 24 GB", "71 °C", "310 of 350 W"):
        assert words in whole, words
    alone = machine_strip(Usage(memory=5e9, memory_total=16e9))
    assert alone.count("<dt>") == 1 and "this run" not in alone
    assert machine_strip(None) == machine_strip(Usage(process_cpu=0.5)) == ""
    assert usage_line(FULL) == "· CPU 83% · GPU 97% · 71 °C · 310 W" and usage_line(Usage(cpu=0.0)) == "· CPU 0%"
