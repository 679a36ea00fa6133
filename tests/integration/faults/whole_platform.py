"""A whole platform of a test's own, whose programs it may kill."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from epochal import config
from epochal.config import Connection
from epochal_embedded import control
from epochal_embedded.home import Home
from epochal_embedded.state import UnitReport


@contextmanager
def started(folder: Path) -> Iterator[tuple[Home, Connection]]:
    """Run a platform, and stop it at the end."""
    home = Home(folder / "home")
    control.start(home)
    try:
        control.wait_ready(home, lambda _: None)
        connection = config.read(home.client)
        assert connection is not None
        yield home, connection
    finally:
        control.stop(home, lambda _: None)


def unit_of(home: Home, name: str) -> UnitReport:
    """What the supervisor knows of a program."""
    report = control.observe(home)
    assert report is not None
    (found,) = (one for one in report.units if one.name == name)
    return found


def kill(home: Home, name: str) -> None:
    """Kill a program as a crash would."""
    mark = unit_of(home, name).mark
    process = mark.process() if mark is not None else None
    assert process is not None, f"{name} runs"
    os.kill(process.pid, signal.SIGKILL)
