"""Start, observe and stop a supervisor from another process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import psutil

from epochal_embedded.errors import EmbeddedError, FolderInUse, NotRunning, PlatformNotReady
from epochal_embedded.home import Home
from epochal_embedded.probes import Answer, probe_all
from epochal_embedded.sandboxes.mark import read_mark
from epochal_embedded.servers.children import ProcessMark, read_tail
from epochal_embedded.servers.folders import FolderLock
from epochal_embedded.state import EXIT_ALREADY_RUNNING, PlatformReport, UnitReport

_POLL_S = 0.05
_GRACE_S = 5.0

Told = Callable[[PlatformReport], None]


def observe(home: Home) -> PlatformReport | None:
    """Return what the supervisor of this folder says, or None when none lives."""
    report = PlatformReport.read(home)
    return report if report is not None and report.running else None


def observe_now(home: Home) -> PlatformReport | None:
    """Return what the supervisor says, corrected by what each program answers at this moment."""
    report = observe(home)
    if report is None:
        return None
    asked = [unit for unit in report.units if unit.probed and unit.state == "ready"]
    answers = dict(zip(asked, probe_all([unit.port for unit in asked]), strict=True))
    return replace(report, units=tuple(_corrected(u, answers.get(u)) for u in report.units))


def _corrected(unit: UnitReport, answer: Answer | None) -> UnitReport:
    if answer is None or answer.ready:
        return unit
    return replace(unit, state="not ready", last_error=answer.problems)


def is_locked(home: Home) -> bool:
    """Return whether a supervisor has this folder, even one that has not said anything yet."""
    if not home.lock.exists():
        return False
    lock = FolderLock(home.lock, "Epochal")
    try:
        lock.acquire()
    except FolderInUse:
        return True
    lock.release()
    return False


def start(home: Home) -> bool:
    """Start a detached supervisor; return False when one has the folder already.

    Raises:
        EmbeddedError: the supervisor's process did not start.
    """
    started = subprocess.run(
        [
            sys.executable,
            "-m",
            "epochal_embedded.supervisor",
            "--home",
            str(home.root),
            "--detach",
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if started.returncode == EXIT_ALREADY_RUNNING:
        return False
    if started.returncode != 0:
        raise EmbeddedError(f"The supervisor did not start:\n{started.stderr.strip()}")
    return True


def wait_ready(home: Home, told: Told, timeout_s: float = 150.0) -> PlatformReport:
    """Wait until every process serves, telling each report on the way.

    Raises:
        PlatformNotReady: a process gave up, the supervisor died, or the time is over.
    """
    mark = read_mark(home)
    timeout_s += mark.patience_s if mark is not None else 0.0
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        report = observe(home)
        if report is not None:
            told(report)
            if report.phase == "ready":
                return report
        elif not is_locked(home):
            last = PlatformReport.read(home)
            reason = last.message if last is not None and last.phase == "failed" else ""
            tail = reason or read_tail(home.log_of("supervisor"), limit_bytes=1_500)
            raise PlatformNotReady(
                f"The platform did not start; everything was stopped again and no data was lost.\n"
                f"{tail}\nAll logs are in {home.logs}."
            )
        time.sleep(_POLL_S)
    raise PlatformNotReady(
        f"The platform is not ready after {timeout_s:g} s and goes on starting. "
        "`epochal status` shows what it waits for, `epochal down` stops it."
    )


def stop(home: Home, told: Told, timeout_s: float = 90.0) -> PlatformReport:
    """Ask the supervisor to drain and stop; kill what still runs when the time is over.

    Raises:
        NotRunning: no supervisor has this folder.
    """
    report = observe(home)
    if report is None:
        last = PlatformReport.read(home)
        if last is None or not _kill_left(last):
            raise NotRunning(f"No platform runs in {home.root}.")
        return last
    supervisor = report.supervisor
    deadline = time.monotonic() + timeout_s
    _signal(supervisor, signal.SIGTERM)
    while supervisor.process() is not None and time.monotonic() < deadline:
        told(PlatformReport.read(home) or report)
        time.sleep(_POLL_S)
    _signal(supervisor, signal.SIGKILL)
    last = PlatformReport.read(home) or report
    _kill_left(last)
    return last


def _signal(mark: ProcessMark, number: signal.Signals) -> None:
    process = mark.process()
    if process is not None:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)


def _kill_left(report: PlatformReport) -> int:
    """Kill every process of a report that lives without its supervisor; return how many."""
    marks = [unit.mark for unit in report.units if unit.mark is not None]
    processes = [found for mark in marks if (found := mark.process()) is not None]
    # The kernel has told them to stop when the supervisor died; give them that time.
    _, alive = psutil.wait_procs(processes, timeout=_GRACE_S)
    for process in alive:
        with suppress(psutil.NoSuchProcess):
            os.kill(process.pid, signal.SIGKILL)
    psutil.wait_procs(alive, timeout=_GRACE_S)
    return len(processes)


def memory_bytes(mark: ProcessMark) -> int:
    """Return the memory of a process and all its children."""
    process = mark.process()
    if process is None:
        return 0
    with suppress(psutil.NoSuchProcess):
        return sum(_memory_bytes(each) for each in (process, *process.children(recursive=True)))
    return 0


def own_memory_bytes(mark: ProcessMark) -> int:
    """Return the memory of a process without its children."""
    process = mark.process()
    return _memory_bytes(process) if process is not None else 0


def _memory_bytes(process: psutil.Process) -> int:
    """Count shared pages once (PSS) where the system tells: PostgreSQL's buffers are shared."""
    try:
        detailed = process.memory_full_info()
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0
    return int(getattr(detailed, "pss", 0) or detailed.rss)
