"""Peers' figures as rows beside ours, each with a ratio: above 1 ours does better."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.peers.environments import PINS, interpreter
from benchmarks.report import Row, percentile

# Benchmarks that have drivers, and how long one peer may take for all of its cases.
LIMITS_S: Mapping[str, float] = {"schedule": 420.0, "orchestrate": 540.0}
_SHOWN = ("runs", "took_s")


@dataclass(frozen=True, slots=True)
class Measured:
    """One line of a driver.

    Attributes:
        case: what was done, a key of the tables below.
        store: where the peer kept its state, when it was measured with several.
        note: what differs from our way of doing it.
        figures: numbers by name.
        started_s: seconds from submitting to a process, one for each run.
    """

    case: str
    store: str
    note: str
    figures: Mapping[str, float]
    started_s: Sequence[float] = field(default=())


def peer_rows(benchmark: str, ours: Sequence[Row], peers: Sequence[str], folder: Path) -> list[Row]:
    """Measure peers one after the other; a peer that fails has a row that says so."""
    rows: list[Row] = []
    for peer in peers:
        label = " ".join((peer.capitalize(), PINS[peer][-1].rpartition("==")[2]))
        try:
            for measured in _drive(benchmark, peer, folder):
                rows += _rows(label, measured, ours)
        except subprocess.SubprocessError as error:
            failed = f"{label}: gave up, see above ({type(error).__name__})"
            rows.append(Row(failed, 0.0, "cases"))
    return rows


def _drive(benchmark: str, peer: str, folder: Path) -> Iterator[Measured]:
    """Yields what a driver prints, as it prints it.

    Raises:
        subprocess.SubprocessError: the peer could not be installed, failed, or took too long.
    """
    python = interpreter(peer, folder)
    driver = Path(__file__).with_name(f"{peer}_driver.py")
    with tempfile.TemporaryDirectory(prefix=f"epochal-bench-{peer}-") as name:
        command = ["timeout", "--signal=INT", f"{LIMITS_S[benchmark]:g}", str(python), str(driver)]
        with subprocess.Popen(
            [*command, benchmark, name], stdout=subprocess.PIPE, stderr=sys.stderr, text=True
        ) as process:
            assert process.stdout is not None
            try:
                for line in process.stdout:
                    if line.startswith("{"):
                        print(f"{peer}: {line.strip()[:200]}", file=sys.stderr)
                        yield _measured(line)
            except BaseException:
                process.send_signal(signal.SIGINT)
                raise
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, command)


def _measured(line: str) -> Measured:
    found = json.loads(line)
    words = {name: str(found.pop(name)) for name in ("case", "store", "note")}
    started_s = tuple(float(value) for value in found.pop("started_s", ()))
    figures = {name: float(value) for name, value in found.items()}
    return Measured(words["case"], words["store"], words["note"], figures, started_s)


def _rows(label: str, measured: Measured, ours: Sequence[Row]) -> Iterator[Row]:
    """Yields the rows of one case."""
    label += f", {measured.store}" if measured.store else ""
    also = {name: value for name, value in measured.figures.items() if name not in _SHOWN}
    if measured.case == "started":
        for name, share in (("p50", 0.5), ("p99", 0.99)):
            case = f"submit -> process started, {name}"
            value = percentile(measured.started_s, share) * 1e3
            own = _own(ours, case)
            more = {**also, "runs": float(len(measured.started_s))}
            yield Row(
                f"{label}: {case}", value, "ms", also=_with(more, value, own), note=measured.note
            )
        return
    runs, took_s = measured.figures["runs"], measured.figures["took_s"]
    prefix, all_of_ours, words = {
        "at_once": (
            "200 runs at once, a process each, silent",
            0,
            "{} runs at once, a process each",
        ),
        "noop": ("1000 runs, no-op executor", 0, "{} runs without a process"),
        "dag": ("1000-step DAG", 1_000, "{}-step DAG"),
        "sweep": ("10000-trial sweep", 10_000, "fan-out of {}"),
    }[measured.case]
    own = _own(ours, prefix)
    # Of what we give as a time for all, the peer may do fewer: what is compared is runs a second.
    own_rate = all_of_ours / own if all_of_ours and own else own
    also = _with(also, own_rate, runs / took_s)
    name = f"{label}: {words.format(int(runs))}"
    if all_of_ours:
        yield Row(name, took_s, "s", also=also, note=measured.note)
    else:
        yield Row(name, runs / took_s, "runs/s", also=also, note=measured.note)


def _own(ours: Sequence[Row], prefix: str) -> float:
    """Returns our figure of a case, 0 when it was not measured."""
    return next((row.value for row in ours if row.name.startswith(prefix)), 0.0)


def _with(also: Mapping[str, float], better: float, worse: float) -> dict[str, float]:
    """Returns figures with the ratio, when there are two figures to compare."""
    return {**also, "ratio": better / worse} if better and worse else dict(also)
