"""A run as it happens: a live table over its output; Ctrl-C ends only the watching."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import epochal_proto.v1 as pb
from epochal_proto.v1.services import RunService
from rich.live import Live
from rich.table import Table
from rich.text import Text

from epochal.cli.families import counts, ordered_children
from epochal.cli.output import between, console, errors_console, number
from epochal.cli.session import Session
from epochal.cli.statuses import ENDED, PIPELINES, logged_metrics, status_colour, status_text
from epochal.cli.tailing import Lines, follow
from epochal.client import Client
from epochal.errors import EpochalError
from epochal.names import project_of
from epochal.retrying import Backoff

_METRICS: Final = 8
_COUNT_S: Final = 1.0
_COUNTED: Final = 10_000


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
    view = _View(run)
    with Live(view.table(), console=screen, refresh_per_second=4, transient=False) as live:

        def show(lines: Lines) -> None:
            for line in lines:
                screen.print(Text.from_ansi(line.text), soft_wrap=True)

        tail = threading.Thread(target=_tail, args=(client, run.name, show), daemon=True)
        tail.start()
        try:
            if run.kind in PIPELINES:
                threading.Thread(target=_count, args=(client, view, live), daemon=True).start()

            def changed(seen: pb.Run) -> None:
                view.run = seen
                live.update(view.table())

            run = wait(client, run, changed)
            tail.join(10.0)  # the last lines arrive a moment after the end
            if run.kind in PIPELINES:
                children = ordered_children(Session(client, project_of(run.name)), run, _COUNTED)
                view.progress = counts(children)
                live.update(view.table())
        except KeyboardInterrupt:
            live.stop()
            goes_on(run)
            return 130
    if run.status != pb.RUN_STATUS_SUCCEEDED and run.message:
        errors_console().print(Text(run.message.rstrip()))
    return exit_code(run)


def goes_on(run: pb.Run) -> None:
    """Says, after Ctrl-C, what goes on and how it is seen and ended."""
    errors_console().print(
        f"stopped watching; {run.display_name} goes on. See it with `epochal runs logs -f "
        f"{run.uid[:13]}`, end it with `epochal runs stop {run.uid[:13]}`",
        highlight=False,
    )


@dataclass
class _View:
    """What is shown of a run: itself, and how far its children are."""

    run: pb.Run
    progress: str = ""

    def table(self) -> Table:
        run = self.run
        table = Table(box=None, header_style="bold", pad_edge=False)
        pipeline = run.kind in PIPELINES
        for title in ("RUN", "STATUS", "" if pipeline else "ATTEMPT", "TOOK"):
            table.add_column(title, overflow="fold")
        table.add_column("PROGRESS" if pipeline else "METRICS", overflow="fold")
        table.add_row(
            run.display_name,
            Text(status_text(run), style=status_colour(run)),
            "" if pipeline else str(run.attempt or ""),
            between(run.start_time if run.start_time.seconds else run.create_time, run.end_time),
            self.progress if pipeline else _metrics(run),
        )
        return table


def _metrics(run: pb.Run) -> str:
    shown = logged_metrics(run)[:_METRICS]
    metrics = "  ".join(f"{name}={number(run.metrics[name].last)}" for name in shown)
    more = len(logged_metrics(run)) - len(shown)
    return f"{metrics}  and {more} more" if more else metrics


def _count(client: Client, view: _View, live: Live) -> None:
    """Asks the scheduler each second how far a pipeline is; only it knows without listing."""
    while view.run.status not in ENDED:
        try:
            found = client.call(RunService.EXPLAIN_RUN, pb.ExplainRunRequest(name=view.run.name))
        except EpochalError:
            return  # what is shown stays; the run itself is still followed
        told = [item.message for item in found.items if item.kind == "pipeline"]
        if view.run.status in ENDED:
            return
        if told and told[0] != view.progress:
            view.progress = told[0]
            live.update(view.table())
        time.sleep(_COUNT_S)


def _tail(client: Client, name: str, show: Callable[[Lines], None]) -> None:
    try:
        follow(client, name, show)
    except EpochalError as error:
        errors_console().print(f"the output cannot be followed: {error.message}", highlight=False)
