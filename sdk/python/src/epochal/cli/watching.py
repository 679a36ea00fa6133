"""A run as it happens: a live table over its output; Ctrl-C ends only the watching."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

import epochal_proto.v1 as pb
from epochal_proto.v1.services import RunService
from rich.live import Live
from rich.table import Table
from rich.text import Text

from epochal.cli.output import between, console, errors_console, number
from epochal.cli.statuses import ENDED, status_colour, status_text
from epochal.cli.tailing import Lines, follow
from epochal.client import Client
from epochal.errors import EpochalError
from epochal.retrying import Backoff

_METRICS: Final = 8


def wait(client: Client, run: pb.Run, show: Callable[[pb.Run], None] = lambda _: None) -> pb.Run:
    """Waits until the run has ended, showing each change; goes on through broken streams.

    Raises:
        EpochalError: The platform refuses, or stays away for long.
    """
    backoff = Backoff()
    while run.status not in ENDED:
        try:
            for seen in client.stream(RunService.WATCH_RUN, pb.WatchRunRequest(name=run.name)):
                run = seen
                show(run)
                backoff.succeeded()
        except EpochalError as error:
            if not error.retryable or backoff.failures >= 10:
                raise
            time.sleep(backoff.next_delay_s(error))
            client.relocate()
    return run


def exit_code(run: pb.Run) -> int:
    """What a command that waited for the run ends with."""
    return 0 if run.status == pb.RUN_STATUS_SUCCEEDED else 1


def watch(client: Client, run: pb.Run) -> int:
    """Shows status, metrics and output until the run has ended; returns the exit code.

    Raises:
        EpochalError: The platform refuses, or stays away for long.
    """
    screen = console()
    with Live(_table(run), console=screen, refresh_per_second=4, transient=False) as live:

        def show(lines: Lines) -> None:
            for line in lines:
                screen.print(Text.from_ansi(line.text), soft_wrap=True)

        tail = threading.Thread(target=_tail, args=(client, run.name, show), daemon=True)
        tail.start()
        try:
            run = wait(client, run, lambda seen: live.update(_table(seen)))
            tail.join(10.0)  # the last lines arrive a moment after the end
        except KeyboardInterrupt:
            live.stop()
            errors_console().print(
                f"stopped watching; {run.display_name} goes on. See it with `epochal runs logs -f "
                f"{run.uid[:13]}`, end it with `epochal runs stop {run.uid[:13]}`",
                highlight=False,
            )
            return 130
    if run.status != pb.RUN_STATUS_SUCCEEDED and run.message:
        errors_console().print(Text(run.message.rstrip()))
    return exit_code(run)


def _tail(client: Client, name: str, show: Callable[[Lines], None]) -> None:
    try:
        follow(client, name, show)
    except EpochalError as error:
        errors_console().print(f"the output cannot be followed: {error.message}", highlight=False)


def _table(run: pb.Run) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for title in ("RUN", "STATUS", "ATTEMPT", "TOOK", "METRICS"):
        table.add_column(title, overflow="fold")
    shown = sorted(run.metrics)[:_METRICS]
    metrics = "  ".join(f"{name}={number(run.metrics[name].last)}" for name in shown)
    if more := len(run.metrics) - len(shown):
        metrics += f"  and {more} more"
    table.add_row(
        run.display_name,
        Text(status_text(run), style=status_colour(run)),
        str(run.attempt or ""),
        between(run.start_time, run.end_time),
        metrics,
    )
    return table
