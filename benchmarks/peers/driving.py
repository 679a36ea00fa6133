"""What the drivers of the peers share: processes, ports, clock and memory.

A driver runs in the environment of its peer, where nothing of this project is installed: this file
and the drivers beside it use the standard library and the peer, and nothing else. A driver prints a
line of JSON for each case that it has measured, so that what came before a failure is kept.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

ONE_BY_ONE = 30
CASE_S = 75.0
_START_S = 120.0
_STOP_S = 15.0


def say(case: str, *, store: str = "", note: str = "", **figures: float | Sequence[float]) -> None:
    """Print what one case gave."""
    words = {"case": case, "store": store, "note": note}
    document = {**words, "load_1m": os.getloadavg()[0], **figures}
    print(json.dumps(document), flush=True)


def free_port() -> int:
    """Returns a port that nobody listened at a moment ago."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def running(
    command: Sequence[str | Path], folder: Path, more: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server in a session of its own, and end all that it started afterwards."""
    # Whoever stops the driver must not leave the peer's processes behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with (folder / "servers.log").open("ab") as log:
        process = subprocess.Popen(
            [str(word) for word in command],
            cwd=folder,
            env={**os.environ, **(more or {})},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        started = list(_tree(process.pid))
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for pid in started:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


def wait_for(url: str) -> None:
    """Wait until something answers well at an address."""
    deadline = time.monotonic() + _START_S
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (OSError, urllib.error.URLError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def peak_mb(*roots: int) -> float:
    """Returns the greatest memory that processes and their children held, summed, in MiB."""
    total_kib = 0
    for pid in {pid for root in roots for pid in _tree(root)}:
        try:
            lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        except OSError:
            continue
        total_kib += sum(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    return total_kib / 1024


def python() -> str:
    """Returns the interpreter of the peer's environment."""
    return sys.executable


def _tree(root: int) -> Iterator[int]:
    """Yields a process and all that it started and that still run."""
    yield root
    try:
        tasks = list(Path(f"/proc/{root}/task").iterdir())
    except OSError:
        return
    for task in tasks:
        try:
            children = (task / "children").read_text().split()
        except OSError:
            continue
        for child in children:
            yield from _tree(int(child))
