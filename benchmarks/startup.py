"""`epochal up`: time to ready, cold and warm, and memory of the idle platform."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from epochal_embedded import control
from epochal_embedded.control import memory_bytes, own_memory_bytes
from epochal_embedded.home import Home

from benchmarks.report import Row


async def run(seconds: float) -> list[Row]:
    """Start from nothing, stop, start again three times."""
    del seconds  # starts take what they take
    return measure()


def measure() -> list[Row]:
    """Measure from outside, as a person at the terminal would."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="epochal-bench-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        home = Home(folder / "home")
        for attempt in ("cold", "warm 1", "warm 2", "warm 3"):
            started = time.perf_counter()
            control.start(home)
            report = control.wait_ready(home, lambda _: None)
            target = "<= 6 s" if attempt != "cold" else ""
            rows.append(Row(f"up, {attempt}", time.perf_counter() - started, "s", target))
            if attempt == "warm 3":
                total = own_memory_bytes(report.supervisor)
                for unit in report.units:
                    used = memory_bytes(unit.mark) if unit.mark else 0
                    total += used
                    rows.append(Row(f"memory, {unit.name}", used / 1e6, "MB"))
                rows.append(Row("memory, all", total / 1e6, "MB", "<= 600 MB"))
            control.stop(home, lambda _: None)
    return rows
