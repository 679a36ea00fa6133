"""System metrics: the machine, this process with its children, and NVIDIA GPUs, under `system/`.

A thread of its own samples, so the training pays nothing but the interpreter's share: a few
milliseconds every ten seconds. Nothing happens in the first seconds, so short runs have none. What
a machine does not tell (no /proc, no GPU, no driver) is left out, never guessed.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from epochal.errors import EpochalError
from epochal.gpus import Gpus, find_gpus

FIRST_S: Final = 5.0
EVERY_S: Final = 10.0

_SECTOR_BYTES: Final = 512  # of /proc/diskstats, whatever the device's own are
_TICKS: Final = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096

Add = Callable[[str, float, int | None], None]


class SystemSampler:
    """Samples until it is closed or the run takes no more points."""

    def __init__(
        self,
        add: Add,
        *,
        every_s: float = EVERY_S,
        root: Path = Path("/"),
        pid: int | None = None,
        gpus: Callable[[], Gpus | None] = find_gpus,
    ) -> None:
        """Takes where to log, how often, and where the machine's files are."""
        self._add = add
        self._every_s = every_s
        self._root = root
        self._pid = pid or os.getpid()
        self._find_gpus = gpus
        self._gpus: Gpus | None = None
        self._totals: dict[str, float] = {}
        self._at = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="epochal-sampler", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def close(self) -> None:
        """Ends the thread."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        if self._stop.wait(min(FIRST_S, self._every_s)):
            return
        self._gpus = self._find_gpus()
        try:
            self.sample(time.monotonic())  # rates need two looks: this is the first
            while not self._stop.wait(self._every_s):
                for name, value in self.sample(time.monotonic()).items():
                    self._add(f"system/{name}", value, None)
        except EpochalError:
            return  # the run takes no more points, and says so to the training
        finally:
            if self._gpus is not None:
                self._gpus.close()

    def sample(self, now: float) -> Mapping[str, float]:
        """Looks once, and returns what there is to tell since the look before."""
        found: dict[str, float] = {}
        for look in (self._cpu, self._memory, self._disk, self._network, self._process):
            try:
                found.update(look(now - self._at))
            except (OSError, ValueError, IndexError, KeyError):
                continue  # not on this machine, or not now
        if self._gpus is not None:
            found.update(self._gpus.sample())
        self._at = now
        return found

    def _cpu(self, since_s: float) -> Iterator[tuple[str, float]]:
        ticks = [int(part) for part in self._read("proc/stat").split("\n", 1)[0].split()[1:9]]
        idle = ticks[3] + ticks[4]
        busy, every = self._grown("busy", sum(ticks) - idle), self._grown("ticks", sum(ticks))
        if busy is not None and every:
            yield "cpu.percent", 100.0 * busy / every

    def _memory(self, since_s: float) -> Iterator[tuple[str, float]]:
        lines = self._read("proc/meminfo").splitlines()
        sizes = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines if ":" in line}
        used = sizes["MemTotal"] - sizes["MemAvailable"]
        yield "memory.used_bytes", float(used)
        yield "memory.percent", 100.0 * used / sizes["MemTotal"]

    def _disk(self, since_s: float) -> Iterator[tuple[str, float]]:
        usage = shutil.disk_usage(".")
        yield "disk.percent", 100.0 * usage.used / usage.total
        whole = set(os.listdir(self._root / "sys/block"))
        fields = [line.split() for line in self._read("proc/diskstats").splitlines()]
        disks = [
            one for one in fields if one[2] in whole and not one[2].startswith(("loop", "ram"))
        ]
        for name, place in (("read", 5), ("written", 9)):
            total = sum(int(one[place]) for one in disks) * _SECTOR_BYTES
            yield from self._rate(f"disk.{name}_bytes_per_s", total, since_s)

    def _network(self, since_s: float) -> Iterator[tuple[str, float]]:
        received = sent = 0
        for line in self._read("proc/net/dev").splitlines()[2:]:
            name, _, rest = line.partition(":")
            numbers = rest.split()
            if name.strip() != "lo":
                received += int(numbers[0])
                sent += int(numbers[8])
        yield from self._rate("network.received_bytes_per_s", received, since_s)
        yield from self._rate("network.sent_bytes_per_s", sent, since_s)

    def _process(self, since_s: float) -> Iterator[tuple[str, float]]:
        ticks = pages = threads = count = 0
        for pid in self._tree(self._pid):
            try:
                # The name in parentheses may hold anything; what follows the last one is fields.
                fields = self._read(f"proc/{pid}/stat").rpartition(")")[2].split()
                pages += int(self._read(f"proc/{pid}/statm").split()[1])
            except OSError:
                continue  # it ended meanwhile
            ticks += int(fields[11]) + int(fields[12])
            threads += int(fields[17])
            count += 1
        if not count:
            return
        yield "process.memory_bytes", float(pages * _PAGE_BYTES)
        yield "process.threads", float(threads)
        yield "process.count", float(count)
        grown = self._grown("process.ticks", ticks)
        if grown is not None and since_s > 0:
            yield "process.cpu_percent", 100.0 * max(0.0, grown) / _TICKS / since_s

    def _tree(self, pid: int) -> Iterator[int]:
        yield pid
        for task in (self._root / f"proc/{pid}/task").glob("*/children"):
            try:
                children = task.read_text().split()
            except OSError:
                continue
            for child in children:
                yield from self._tree(int(child))

    def _rate(self, name: str, total: int, since_s: float) -> Iterator[tuple[str, float]]:
        grown = self._grown(name, total)
        if grown is not None and grown >= 0 and since_s > 0:
            yield name, grown / since_s

    def _grown(self, name: str, total: float) -> float | None:
        """How much a total has grown since the look before; None at the first."""
        before, self._totals[name] = self._totals.get(name), total
        return None if before is None else total - before

    def _read(self, path: str) -> str:
        return (self._root / path).read_text()
