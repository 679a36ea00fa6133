"""A whole platform for benchmarks that need its doors."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from epochal import config
from epochal.config import Connection
from epochal_embedded import control
from epochal_embedded.home import Home


def peak_mb(home: Home, unit: str) -> float:
    """Returns the greatest memory that a program of the platform has held, in MiB."""
    lines = (_process(home, unit) / "status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:"))


def cpu_s(home: Home, unit: str) -> float:
    """Returns the processor time that a program of the platform has taken, in seconds."""
    fields = (_process(home, unit) / "stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _process(home: Home, unit: str) -> Path:
    report = control.observe(home)
    marks = [found.mark for found in report.units if found.name == unit] if report else []
    process = marks[0].process() if marks and marks[0] is not None else None
    if process is None:
        raise RuntimeError(f"{unit} does not run")
    return Path(f"/proc/{process.pid}")


@contextmanager
def running_platform() -> Iterator[tuple[Home, Connection]]:
    """Start a platform, yield its folder and how to reach it, stop it."""
    with tempfile.TemporaryDirectory(prefix="epochal-bench-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        home = Home(folder / "home")
        os.environ["EPOCHAL_SYSTEM_METRICS_S"] = "0"  # points that no benchmark counts
        control.start(home)
        try:
            control.wait_ready(home, lambda _: None)
            connection = config.read(home.client)
            assert connection is not None
            yield home, connection
        finally:
            control.stop(home, lambda _: None)
