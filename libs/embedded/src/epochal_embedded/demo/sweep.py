"""The six runs of the demo: submitted through the scheduler, watched in one table."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import epochal_proto.v1 as pb
from epochal.client import Client
from epochal.errors import EpochalError
from epochal_proto.v1.services import RunService
from rich.console import Console
from rich.live import Live
from rich.table import Table

EPOCHS = 40
SETTINGS = (
    (0.0001, 0.1),
    (0.0001, 0.01),
    (0.001, 0.1),
    (0.001, 0.01),
    (0.01, 0.1),
    (0.01, 0.001),
)
DONE = frozenset({pb.RUN_STATUS_SUCCEEDED, pb.RUN_STATUS_FAILED, pb.RUN_STATUS_STOPPED})
FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the runs are: those that ended, and epochs seen in all."""

    ended: int
    epochs: int


def submit(client: Client, project: str) -> list[str]:
    """Submit one run for each setting and return their names."""
    spec = (FOLDER / "digits.yaml").read_bytes()
    names: list[str] = []
    for alpha, eta in SETTINGS:
        run = client.call(
            RunService.CREATE_RUN,
            pb.CreateRunRequest(
                parent=project,
                spec=spec,
                display_name=f"digits alpha={alpha:g} eta={eta:g}",
                params={
                    "alpha": pb.Value(double_value=alpha),
                    "eta": pb.Value(double_value=eta),
                    "epochs": pb.Value(int_value=EPOCHS),
                    "script": pb.Value(string_value=str(FOLDER / "train_digits.py")),
                },
            ),
        )
        names.append(run.name)
    return names


def watch(
    client: Client,
    project: str,
    names: Sequence[str],
    console: Console,
    meanwhile: Callable[[Progress], None],
    timeout_s: float,
) -> list[pb.Run]:
    """Show the runs until all have ended; `meanwhile` is told of every look.

    Raises:
        TimeoutError: they did not end in time.
    """
    deadline = time.monotonic() + timeout_s
    runs: list[pb.Run] = []
    with Live(table(runs), console=console, refresh_per_second=4, transient=False) as live:
        while True:
            try:
                listed = client.call(
                    RunService.LIST_RUNS, pb.ListRunsRequest(parent=project, page_size=100)
                )
            except EpochalError as error:
                if not error.retryable:
                    raise
                time.sleep(0.3)  # the tracker is being killed just now
                continue
            runs = sorted(
                (run for run in listed.runs if run.name in names), key=lambda run: run.display_name
            )
            live.update(table(runs))
            ended = sum(run.status in DONE for run in runs)
            meanwhile(
                Progress(
                    ended, sum(run.metrics["loss"].points for run in runs if "loss" in run.metrics)
                )
            )
            if ended == len(names):
                return runs
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(names) - ended} runs have not ended in {timeout_s:g} s")
            time.sleep(0.3)


def table(runs: Sequence[pb.Run]) -> Table:
    """Return the table of the runs."""
    shown = Table("run", "status", "epochs", "loss", "accuracy", title="Runs", title_justify="left")
    for run in runs:
        status = pb.RunStatus.Name(run.status).removeprefix("RUN_STATUS_").lower()
        colour = {"succeeded": "green", "failed": "red"}.get(status, "yellow")
        loss, accuracy = run.metrics.get("loss"), run.metrics.get("accuracy")
        shown.add_row(
            run.display_name,
            f"[{colour}]{status}[/{colour}]",
            str(loss.points if loss else 0),
            f"{loss.last:.4f}" if loss else "",
            f"{accuracy.last:.4f}" if accuracy else "",
        )
    return shown
