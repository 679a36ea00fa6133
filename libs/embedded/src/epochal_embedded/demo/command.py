"""`epochal demo`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from epochal_embedded.cli import start_and_wait
from epochal_embedded.terminal import HomeOption, home_of


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("demo")(demo)


def demo(
    home: HomeOption = None,
    down: Annotated[
        bool, typer.Option("--down", help="Stop the platform afterwards; all data is kept.")
    ] = False,
) -> None:
    """Start a platform and show, in under two minutes, what it does; exit 1 if a claim is untrue.

    Six real training runs on scikit-learn's digits, a service killed in the middle, the best model
    registered with its lineage, a signed webhook, the history as events, and a replay of the log.

    For example:

        epochal demo

        epochal demo --home ./demo --down
    """
    from epochal import config
    from epochal.client import Client
    from rich.console import Console

    from epochal_embedded import control
    from epochal_embedded.demo.checks import Claims
    from epochal_embedded.demo.story import Story

    started = time.monotonic()
    place = home_of(home)
    console = Console()
    console.print("[bold]Epochal demo[/bold]: from nothing to a proved model.")
    start_and_wait(place)
    connection = config.read(place.client)
    assert connection is not None, "the platform is up, so its credentials are there"
    claims = Claims(console)
    try:
        with Client(connection) as client:
            Story(place, client, console, claims).tell()
    finally:
        if down:
            control.stop(place, lambda _: None)
    took = time.monotonic() - started
    if claims.failed:
        console.print(f"\n[bold red]{len(claims.failed)} claims are not true:[/bold red]")
        for claim in claims.failed:
            console.print(f"  {claim}")
        raise typer.Exit(1)
    _farewell(console, place.root, took, running=not down)


def _farewell(console: object, root: Path, took_s: float, *, running: bool) -> None:
    from rich.console import Console

    assert isinstance(console, Console)
    console.print(f"\n[bold green]All of it is true.[/bold green] It took {took_s:.0f} s.")
    console.print(f"Everything is in {root}: database, artifacts, logs.", soft_wrap=True)
    if running:
        console.print("The platform goes on running. Try next:")
        for line in (
            "epochal runs ls --project demo",
            "epochal models ls --project demo",
            "epochal events --limit 20",
            "epochal status",
            "epochal down",
        ):
            console.print(f"  {line}")
    else:
        console.print("The platform is stopped; `epochal up` resumes it with all data.")
