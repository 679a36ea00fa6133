"""What an attempt uses of its machine, read from /proc: one pass over it for a whole process tree.

Without /proc (proc(5)) there is nothing to read, and nothing is reported.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
GPU_S = 5.0
_GPU_QUERY = "--query-gpu=index,utilization.gpu,memory.used"


@dataclass(frozen=True, slots=True)
class _Process:
    """One process: its parent, processor time in ticks, resident pages."""

    pid: int
    parent: int
    ticks: int
    pages: int


class UsageMeter:
    """Measures one process tree; processor time is told as what was used between two samples."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._last: dict[int, int] = {}
        self._at: float | None = None
        self._network = _network()

    def sample(self, now: float) -> dict[str, float]:
        """Returns what the tree uses now, by metric; empty when it is gone.

        Args:
            now: monotonic time in seconds.
        """
        tree = _tree(self._pid)
        if not tree:
            return {}
        read, written = _disk(process.pid for process in tree)
        received, sent = _network()
        found = {
            "sys/memory_bytes": float(sum(process.pages for process in tree) * PAGE_BYTES),
            "sys/processes": float(len(tree)),
            "sys/disk_read_bytes": float(read),
            "sys/disk_write_bytes": float(written),
            "sys/host_net_received_bytes": float(received - self._network[0]),
            "sys/host_net_sent_bytes": float(sent - self._network[1]),
        }
        used = sum(process.ticks - self._last.get(process.pid, 0) for process in tree)
        if self._at is not None and now > self._at:
            found["sys/cpu_percent"] = 100.0 * used / TICKS / (now - self._at)
        self._last, self._at = {process.pid: process.ticks for process in tree}, now
        return found


async def gpus() -> dict[str, float]:
    """Returns what the machine's NVIDIA GPUs do, by metric; empty without `nvidia-smi`."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return {}
    try:
        async with asyncio.timeout(GPU_S):
            process = await asyncio.create_subprocess_exec(
                program, _GPU_QUERY, "--format=csv,noheader,nounits",
                stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
            )  # fmt: skip
            said, _ = await process.communicate()
    except (OSError, TimeoutError):
        return {}
    return parse_gpus(said.decode(errors="replace"))


def parse_gpus(text: str) -> dict[str, float]:
    """Reads lines of index, utilization in percent, and memory in MiB; what is no number is not."""
    found: dict[str, float] = {}
    for line in text.splitlines():
        index, *values = (word.strip() for word in line.split(","))
        for name, factor, value in zip(
            ("utilization_percent", "memory_bytes"), (1.0, 2.0**20), values, strict=False
        ):
            try:
                found[f"sys/gpu.{index}.{name}"] = float(value) * factor
            except ValueError:
                continue  # "[N/A]": this GPU does not say
    return found


def _tree(root: int) -> list[_Process]:
    """Returns a process and all that descend from it."""
    children: dict[int, list[_Process]] = defaultdict(list)
    found: list[_Process] = []
    for process in _processes():
        if process.pid == root:
            found.append(process)
        children[process.parent].append(process)
    for process in found:  # grows while it is walked
        found.extend(children[process.pid])
    return found


def _processes() -> Iterator[_Process]:
    try:
        names = [entry.name for entry in os.scandir("/proc") if entry.name.isdigit()]
    except OSError:
        return
    for name in names:
        try:
            text = Path("/proc", name, "stat").read_text(errors="replace")
        except OSError:
            continue  # gone meanwhile
        # The program's name stands in parentheses and may hold anything, also parentheses.
        fields = text.rpartition(")")[2].split()
        yield _Process(
            int(name), int(fields[1]), int(fields[11]) + int(fields[12]), int(fields[21])
        )


def _disk(pids: Iterator[int]) -> tuple[int, int]:
    read = written = 0
    for pid in pids:
        try:
            lines = Path(f"/proc/{pid}/io").read_text().splitlines()
        except OSError:
            continue
        values = dict(line.split(": ", 1) for line in lines)
        read += int(values.get("read_bytes", 0))
        written += int(values.get("write_bytes", 0))
    return read, written


def _network() -> tuple[int, int]:
    """Returns bytes received and sent by the machine: Linux does not count them by process."""
    received = sent = 0
    try:
        lines = Path("/proc/net/dev").read_text().splitlines()[2:]
    except OSError:
        return 0, 0
    for line in lines:
        name, _, rest = line.partition(":")
        if name.strip() != "lo":
            fields = rest.split()
            received, sent = received + int(fields[0]), sent + int(fields[8])
    return received, sent
