"""`epochal up`, `down` and `status`: commands added to the CLI through its entry point group.

What is heavy is imported inside the commands: every other command of the CLI loads this module.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from epochal_embedded.terminal import HomeOption, Output, errors_console, failed, home_of

if TYPE_CHECKING:
    from rich.console import Console

    from epochal_embedded.home import Home
    from epochal_embedded.state import PlatformReport

EXIT_NOT_RUNNING = 3


def register(app: typer.Typer) -> None:
    """Add the commands of the embedded platform."""
    app.command("up")(up)
    app.command("down")(down)
    app.command("status")(status)
    from epochal_embedded.sandboxes.command import register as register_sandboxes

    register_sandboxes()


def up(
    home: HomeOption = None,
    foreground: Annotated[
        bool, typer.Option("--foreground", help="Stay attached; Ctrl-C stops the platform.")
    ] = False,
    output: Annotated[Output, typer.Option("-o", "--output")] = Output.table,
) -> None:
    """Start the whole platform on this machine, or say where it runs already.

    PostgreSQL, NATS, five services and one agent, on loopback, under one data folder. A second `up`
    resumes with all data. EPOCHAL_DATABASE_URL and EPOCHAL_NATS_URL replace the embedded servers.

    For example:

        epochal up

        epochal up --home ./platform

        epochal up --foreground
    """
    place = home_of(home)
    err = errors_console()
    if foreground:
        _up_in_foreground(place, err)
        return
    fresh, report = start_and_wait(place)
    if output is Output.json:
        print(json.dumps(_as_json(place, report), indent=2))
        return
    err.print(f"{'Epochal is ready' if fresh else 'Epochal runs already'} at {report.url}")
    if banner := _banner(place):
        err.print(banner, markup=False)
    err.print(f"Data and logs: {place.root}   Credentials of this machine: {place.client}")
    err.print("Next: `epochal demo`, `epochal status`, `epochal down`.")


def down(
    home: HomeOption = None,
    timeout_s: Annotated[
        float, typer.Option("--timeout", help="Seconds to drain before processes are killed.")
    ] = 90.0,
) -> None:
    """Stop the platform: work drains first, nothing keeps running, all data is kept.

    For example:

        epochal down

        epochal down --home ./platform --timeout 10
    """
    from epochal_embedded import control
    from epochal_embedded.errors import EmbeddedError, NotRunning

    place = home_of(home)
    err = errors_console()
    progress = _Progress(err, before=control.observe(place))
    try:
        with progress:
            report = control.stop(place, progress.show, timeout_s)
    except NotRunning as error:
        err.print(str(error))
        return
    except EmbeddedError as error:
        raise failed(err, error) from None
    except KeyboardInterrupt:
        err.print("Stopped waiting. The platform goes on stopping; `epochal status` shows it.")
        raise typer.Exit(130) from None
    names = ", ".join(unit.name for unit in report.units)
    err.print(f"Stopped {names or 'the supervisor'}. All data is kept in {place.root}.")


def status(
    home: HomeOption = None,
    output: Annotated[Output, typer.Option("-o", "--output")] = Output.table,
) -> None:
    """Show every process of the platform. Exit code 0: all serve; 1: some do not; 3: not running.

    For example:

        epochal status

        epochal status -o json
    """
    from epochal_embedded import control
    from epochal_embedded.state import unready

    place = home_of(home)
    report = control.observe_now(place)
    if output is Output.json:
        print(json.dumps(_as_json(place, report), indent=2))
    elif report is None:
        errors_console().print(f"No platform runs in {place.root}. Start it with `epochal up`.")
    else:
        _print_table(report, _banner(place))
    if report is None:
        raise typer.Exit(EXIT_NOT_RUNNING)
    if report.phase != "ready" or unready(report.units):
        raise typer.Exit(1)


def start_and_wait(place: Home) -> tuple[bool, PlatformReport]:
    """Start the platform unless it runs, and wait until it is ready; return whether it was started.

    Raises:
        typer.Exit: it does not start, and why was printed; or Ctrl-C.
    """
    from epochal_embedded import control
    from epochal_embedded.errors import EmbeddedError

    err = errors_console()
    progress = _Progress(err)
    try:
        fresh = control.start(place)
        with progress:
            return fresh, control.wait_ready(place, progress.show)
    except EmbeddedError as error:
        raise failed(err, error) from None
    except KeyboardInterrupt:
        err.print(
            "Stopped waiting. The platform goes on starting: `epochal status` shows it, "
            "`epochal down` stops it."
        )
        raise typer.Exit(130) from None


class _Progress:
    """Shows on stderr what the platform does; on a terminal with a moving line."""

    def __init__(self, console: Console, before: PlatformReport | None = None) -> None:
        self._console = console
        self._status = console.status("waiting for the supervisor")
        known = before.units if before is not None else ()
        self._seen: dict[str, str] = {unit.name: unit.state for unit in known}

    def __enter__(self) -> _Progress:
        if self._console.is_terminal:
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._status.stop()

    def show(self, report: PlatformReport) -> None:
        """Print what became ready or stopped since the last report."""
        for unit in report.units:
            if self._seen.get(unit.name) == unit.state:
                continue
            self._seen[unit.name] = unit.state
            if unit.state == "ready":
                self._console.print(f"  {unit.name:<10} ready after {unit.ready_after_s:.1f} s")
            elif unit.state == "stopped":
                self._console.print(f"  {unit.name:<10} stopped")
            elif unit.state == "backing off":
                reason = unit.last_error.splitlines()[0] if unit.last_error else ""
                self._console.print(f"  {unit.name:<10} starts again: {reason}")
        busy = [unit.name for unit in report.units if unit.state in ("starting", "stopping")]
        self._status.update(f"{report.phase}: {', '.join(busy) or 'the supervisor'}")


def _up_in_foreground(place: Home, err: Console) -> None:
    from epochal_embedded.errors import EmbeddedError
    from epochal_embedded.supervisor import lock_home, supervise

    progress = _Progress(err)
    announced: list[str] = []

    def told(report: PlatformReport) -> None:
        progress.show(report)
        if report.phase == "ready" and not announced:
            announced.append(report.url)
            err.print(f"Epochal is ready at {report.url}; Ctrl-C stops it.")

    try:
        lock = lock_home(place)
        try:
            supervise(place, told)
        finally:
            lock.release()
    except EmbeddedError as error:
        raise failed(err, error) from None
    err.print(f"Everything is stopped. All data is kept in {place.root}.")


def _print_table(report: PlatformReport, banner: str = "") -> None:
    from rich.console import Console
    from rich.table import Table

    from epochal_embedded.control import memory_bytes, own_memory_bytes

    table = Table(title=f"Epochal, {report.phase}: {report.url}", title_justify="left")
    table.add_column("process")
    table.add_column("state")
    for title in ("pid", "port", "restarts", "memory"):
        table.add_column(title, justify="right")
    table.add_column("last error", overflow="fold")
    total = 0
    for unit in report.units:
        used = memory_bytes(unit.mark) if unit.mark else 0
        total += used
        colour = "green" if unit.state == "ready" else "yellow"
        table.add_row(
            unit.name,
            f"[{colour}]{unit.state}[/{colour}]",
            str(unit.mark.pid) if unit.mark else "",
            str(unit.port or ""),
            str(unit.restarts),
            _mega(used),
            unit.last_error.splitlines()[0] if unit.last_error else "",
        )
    used = own_memory_bytes(report.supervisor)
    table.add_row("supervisor", "", str(report.supervisor.pid), "", "", _mega(used), "")
    table.caption = f"{_mega(total + used)} in all"
    if banner:
        Console().print(banner, markup=False, highlight=False)
    Console().print(table)


def _mega(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.0f} MB"


def _as_json(place: Home, report: PlatformReport | None) -> dict[str, object]:
    from epochal_embedded.control import memory_bytes

    fork = _fork_as_json(place)
    if report is None:
        return {"phase": "stopped", "home": str(place.root), "url": "", "processes": [], **fork}
    return {
        **fork,
        "phase": report.phase,
        "home": str(place.root),
        "url": report.url,
        "supervisor": report.supervisor.pid,
        "processes": [
            {
                "name": unit.name,
                "state": unit.state,
                "pid": unit.mark.pid if unit.mark else None,
                "port": unit.port,
                "restarts": unit.restarts,
                "memoryBytes": memory_bytes(unit.mark) if unit.mark else 0,
                "readyAfterS": unit.ready_after_s,
                "lastError": unit.last_error,
            }
            for unit in report.units
        ],
    }


def _banner(place: Home) -> str:
    """Say what a fork is and what it may do; empty for a platform of its own."""
    from epochal_kernel.acts import Act

    from epochal_embedded.sandboxes.mark import ALLOWS, may, read_mark

    mark = read_mark(place)
    if mark is None:
        return ""
    acts = [act.value for act in Act if may(mark, act)]
    does = f"it may {' and '.join(acts)}" if acts else f"nothing in it acts, see {ALLOWS}"
    whole = f"up to position {mark.position}" if mark.complete else "that was not completed"
    return f"This is a fork of {mark.source} {whole}; {does}."


def _fork_as_json(place: Home) -> dict[str, object]:
    from epochal_embedded.sandboxes.mark import read_mark

    mark = read_mark(place)
    if mark is None:
        return {}
    fields = {
        "id": mark.fork_id,
        "source": mark.source,
        "position": mark.position,
        "forkedAt": mark.forked_at,
        "complete": mark.complete,
    }
    return {"fork": fields}
