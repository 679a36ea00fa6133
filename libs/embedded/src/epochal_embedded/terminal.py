"""What the commands of the embedded platform share: their options, and how they speak."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from epochal_embedded.home import Home


class Output(StrEnum):
    """How a result is printed."""

    table = "table"
    json = "json"


HomeOption = Annotated[
    Path | None,
    typer.Option(
        "--home",
        envvar="EPOCHAL_HOME",
        help="Data folder. Default: ~/.local/share/epochal, for root /var/lib/epochal.",
        show_default=False,
    ),
]


def home_of(given: Path | None) -> Home:
    """Return the data folder: as given, or the default one."""
    from epochal.config import home as default_home

    from epochal_embedded.home import Home

    return Home((given or default_home()).expanduser().absolute())


def errors_console() -> Console:
    """Return the console for what is no result."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def failed(console: Console, error: object) -> typer.Exit:
    """Say what went wrong; raise what is returned."""
    console.print(str(error), style="red", markup=False)
    return typer.Exit(1)
