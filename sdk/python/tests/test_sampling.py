"""The machine as it was written down, sampled; and GPUs as a fake driver tells of them."""

from __future__ import annotations

import threading
from types import ModuleType, SimpleNamespace

import epochal
import pytest
from epochal.gpus import find_gpus
from epochal.sampling import SystemSampler


def machine(root, *, busy, read, received, ticks):
    """Writes the files of a small machine: process 7 with a child 8."""
    files = {
        "proc/stat": f"cpu {busy} 0 0 {1000 - busy} 0 0 0 0 0 0\ncpu0 1 1\n",
        "proc/meminfo": "MemTotal: 1000 kB\nMemFree: 1 kB\nMemAvailable: 250 kB\n",
        "proc/diskstats": (
            f"8 0 sda 1 0 {read} 0 1 0 20 0 0 0 0\n8 1 sda1 1 0 999 0 1 0 999 0 0 0 0\n"
            "7 0 loop0 1 0 999 0 1 0 999 0 0 0 0\n"
        ),
        "proc/net/dev": (
            f"head\nhead\n    lo: 999 0 0 0 0 0 0 0 999 0\n  eth0: {received} 0 0 0 0 0 0 0 50 0\n"
        ),
    }
    for pid, name in ((7, "a) (b"), (8, "child")):
        fields = f"S 1 1 1 0 0 0 0 0 0 0 {ticks} 0 0 0 20 0 3 0 0"
        files[f"proc/{pid}/stat"] = f"{pid} ({name}) {fields}\n"
        files[f"proc/{pid}/statm"] = "100 10 0 0 0 0 0\n"
        files[f"proc/{pid}/task/{pid}/children"] = "8 9\n" if pid == 7 else ""
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    for disk in ("sda", "loop0"):
        (root / "sys/block" / disk).mkdir(parents=True, exist_ok=True)


def test_rates_are_of_what_grew_between_two_looks(tmp_path):
    sampler = SystemSampler(lambda *_: None, root=tmp_path, pid=7, gpus=lambda: None)
    machine(tmp_path, busy=100, read=10, received=1000, ticks=0)
    first = sampler.sample(100.0)
    assert "cpu.percent" not in first
    assert first["memory.percent"] == 75.0
    assert first["memory.used_bytes"] == 750 * 1024
    machine(tmp_path, busy=100, read=30, received=3000, ticks=50)
    (tmp_path / "proc/stat").write_text("cpu 400 0 0 1600 0 0 0 0 0 0\n")
    found = sampler.sample(102.0)
    assert found["cpu.percent"] == 30.0
    assert found["disk.read_bytes_per_s"] == 20 * 512 / 2
    assert found["disk.written_bytes_per_s"] == 0
    assert found["network.received_bytes_per_s"] == 1000
    assert found["process.count"] == 2
    assert found["process.threads"] == 6
    assert found["process.cpu_percent"] == pytest.approx(50, rel=0.01)  # 100 ticks of 100 Hz
    assert 0 < found["disk.percent"] <= 100


def test_a_machine_that_tells_nothing_gives_nothing(tmp_path):
    sampler = SystemSampler(lambda *_: None, root=tmp_path, pid=7, gpus=lambda: None)
    assert set(sampler.sample(1.0)) <= {"disk.percent"}


def test_samples_are_logged_until_the_run_takes_no_more():
    logged, twice = [], threading.Event()

    def add(name, value, step):
        logged.append((name, step))
        if len([one for one in logged if one[0] == "system/cpu.percent"]) == 2:
            twice.set()
            raise epochal.RunClosed

    sampler = SystemSampler(add, every_s=0.01, gpus=lambda: None)
    sampler.start()
    assert twice.wait(20)
    sampler.close()
    assert all(name.startswith("system/") and step is None for name, step in logged)


class FakeNvml(ModuleType):
    """A driver with two cards, of which the second has no power sensor."""

    NVML_TEMPERATURE_GPU = 0

    class NVMLError(Exception):
        pass

    def __init__(self, *, works=True):
        super().__init__("pynvml")
        self.works, self.open = works, False

    def nvmlInit(self):
        if not self.works:
            raise self.NVMLError
        self.open = True

    def nvmlShutdown(self):
        self.open = False

    def nvmlDeviceGetCount(self):
        return 2

    def nvmlDeviceGetHandleByIndex(self, number):
        return number

    def nvmlDeviceGetMemoryInfo(self, handle):
        return SimpleNamespace(used=25 * (handle + 1), total=100)

    def nvmlDeviceGetUtilizationRates(self, handle):
        return SimpleNamespace(gpu=90 - handle)

    def nvmlDeviceGetPowerUsage(self, handle):
        if handle:
            raise self.NVMLError
        return 123_500

    def nvmlDeviceGetTemperature(self, handle, sensor):
        return 60 + handle


def test_gpus_tell_what_they_can():
    nvml = FakeNvml()
    gpus = find_gpus(lambda name: nvml)
    assert gpus is not None
    assert gpus.sample() == {
        "gpu.0.memory_used_bytes": 25.0,
        "gpu.0.memory_percent": 25.0,
        "gpu.0.utilization_percent": 90.0,
        "gpu.0.power_watts": 123.5,
        "gpu.0.temperature_celsius": 60.0,
        "gpu.1.memory_used_bytes": 50.0,
        "gpu.1.memory_percent": 50.0,
        "gpu.1.utilization_percent": 89.0,
        "gpu.1.temperature_celsius": 61.0,
    }
    gpus.close()
    assert not nvml.open


def test_without_extra_or_driver_there_are_no_gpus():
    def missing(name):
        raise ImportError(name)

    assert find_gpus(missing) is None
    assert find_gpus(lambda name: FakeNvml(works=False)) is None


def test_a_run_samples_its_machine(platform, monkeypatch):
    monkeypatch.setenv("EPOCHAL_SYSTEM_METRICS_S", "0.02")
    with epochal.init() as run:
        sampled = threading.Event()

        def there() -> bool:
            run._telemetry.flush()
            return any(name.startswith("system/") for name in platform.world.points(run.name))

        for _ in range(500):
            if there():
                break
            sampled.wait(0.02)
    points = platform.world.points(run.name)
    assert "system/memory.percent" in points
    assert [step for step, _ in points["system/memory.percent"]][:1] == [0]
