"""`epochal audit fork` and `epochal audit compare`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer
from epochal.cli.audit import app as audit

from epochal_embedded.sandboxes.objects import Objects
from epochal_embedded.terminal import HomeOption, Output, errors_console, failed, home_of

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from epochal_kernel.ids import Position

    from epochal_embedded.sandboxes.comparing import TableComparison
    from epochal_embedded.sandboxes.forking import Forked

_Result = TypeVar("_Result")
_OutputOption = Annotated[Output, typer.Option("-o", "--output")]


def register() -> None:
    """Add the commands to `epochal audit`, once."""
    if "fork" not in {known.name for known in audit.registered_commands}:
        audit.command("fork")(fork)
        audit.command("compare")(compare)


def fork(
    to: Annotated[Path, typer.Option("--to", help="A new data folder, made or empty.")],
    home: HomeOption = None,
    from_database: Annotated[
        str, typer.Option(help="PostgreSQL URL of any platform, instead of one on this machine.")
    ] = "",
    until: Annotated[
        str, typer.Option(help="The last position, or an ISO time: the past beyond is left out.")
    ] = "",
    objects: Annotated[
        Objects, typer.Option(help="Artifacts: none, hard links (one disk), or copies.")
    ] = Objects.none,
    objects_from: Annotated[
        Path | None, typer.Option(help="Folder of the artifacts, for --from-database.")
    ] = None,
    views: Annotated[
        bool,
        typer.Option(
            "--views/--without-views", help="Copy read models, for `epochal audit compare`."
        ),
    ] = True,
    telemetry: Annotated[
        bool, typer.Option(help="Copy metrics, output and spans too; of all the log only.")
    ] = False,
    names: Annotated[
        bool,
        typer.Option(
            "--names/--without-names", help="Copy people's names; without, they read as erased."
        ),
    ] = True,
    output: _OutputOption = Output.table,
) -> None:
    """Clone a platform's history into a sandbox platform of this machine.

    The sandbox shows runs, registry, lineage and audit as of the fork, goes on with events of its
    own, and acts on nothing: no run is executed, no schedule fires, nobody is notified. The
    platform that is forked goes on undisturbed. Start it with `epochal up --home DIR`.

    For example:

        epochal audit fork --to ./sandbox

        epochal audit fork --to ./march --until 2026-03-31T23:59

        epochal audit fork --to ./sandbox --objects link --telemetry

        epochal audit fork --to ./sandbox --from-database postgresql://reader:PASSWORD@db/epochal
    """
    from epochal_embedded.errors import EmbeddedError
    from epochal_embedded.home import Home
    from epochal_embedded.sandboxes.forking import Wanted
    from epochal_embedded.sandboxes.forking import fork as fork_history

    target = Home(to.expanduser().absolute())
    with _told() as told:
        try:
            wanted = Wanted(
                home=None if from_database else home_of(home),
                database_url=from_database,
                until=_until(until),
                objects=objects,
                objects_folder=objects_from,
                views=views,
                telemetry=telemetry,
                names=names,
            )
            forked = _run(fork_history(wanted, target, told))
        except EmbeddedError as error:
            raise failed(errors_console(), str(error)) from None
        except KeyboardInterrupt:
            raise failed(
                errors_console(),
                f"Stopped. {target.root} says that it is not complete; the same command begins "
                "it again.",
            ) from None
    _show_fork(forked, output)


def compare(
    home: HomeOption = None,
    output: _OutputOption = Output.table,
) -> None:
    """Compare a fork's read models, as this release makes them, with those of its source.

    For upgrades: fork production, then run this under the new release. Each read model is rebuilt
    from the fork's history up to where the source's was, and compared row by row. Exit code 1 when
    a row differs. What only one release has, tables and columns, is named and is no difference.

    For example:

        epochal audit compare --home ./sandbox

        epochal audit compare --home ./sandbox -o json
    """
    from epochal_embedded.errors import EmbeddedError
    from epochal_embedded.sandboxes.comparing import compare as compare_views
    from epochal_embedded.sandboxes.databases import database_of
    from epochal_embedded.sandboxes.mark import read_mark
    from epochal_embedded.sandboxes.models import read_models

    place = home_of(home)

    async def compared() -> list[TableComparison]:
        mark = read_mark(place)
        if mark is None or not mark.complete:
            raise EmbeddedError(f"{place.root} is no fork: make one with `epochal audit fork`.")
        async with database_of(place) as url:
            return await compare_views(url, read_models(), told)

    with _told() as told:
        try:
            found = _run(compared())
        except EmbeddedError as error:
            raise failed(errors_console(), str(error)) from None
    _show_comparison(found, output)
    if not all(one.equal for one in found):
        raise typer.Exit(1)


def _run(work: Coroutine[object, object, _Result]) -> _Result:
    """Run it to its end; errors of the database become errors that people read.

    Raises:
        EmbeddedError: the database does not answer, or has no room.
    """
    from epochal_kernel.errors import EpochalError
    from epochal_kernel.postgres import adapting

    from epochal_embedded.errors import EmbeddedError

    try:
        with adapting():
            return asyncio.run(work)
    except EpochalError as error:
        raise EmbeddedError(
            f"{error.message}. What was begun says that it is not complete; the same command "
            "begins it again."
        ) from error


def _until(text: str) -> Position | datetime | None:
    from epochal_kernel.ids import Position

    from epochal_embedded.errors import EmbeddedError

    if not text:
        return None
    if text.isdecimal():
        return Position(int(text))
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise EmbeddedError(
            f"--until: {text!r} is neither a position nor an ISO time such as 2026-03-31T23:59."
        ) from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


@contextmanager
def _told() -> Iterator[Callable[[str, int, int], None]]:
    """Show on stderr what is done and how far it is."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    bars = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True, highlight=False),
    )
    tasks = {}

    def told(what: str, done: int, total: int) -> None:
        if what not in tasks:
            tasks[what] = bars.add_task(what, total=total or None)
        bars.update(tasks[what], completed=done, total=total or None)

    with bars:
        yield told


def _show_fork(forked: Forked, output: Output) -> None:

    mark = forked.fork
    if output is Output.json:
        fields = {
            "home": str(forked.home.root),
            "forkId": str(mark.fork_id),
            "source": mark.source,
            "position": mark.position,
            "head": forked.head,
            "chain": mark.chain.hex(),
            "origin": mark.origin,
            "sealedSize": forked.sealed_size,
            "objects": {"files": forked.objects.files, "sizeBytes": forked.objects.size_bytes},
            "views": [
                {"service": view.service, "version": view.version, "position": view.position}
                for view in forked.views
            ],
        }
        print(json.dumps(fields, indent=2))
        return
    console = errors_console()
    console.print(
        f"Forked {mark.position} events of {mark.source} into {forked.home.root}.", markup=False
    )
    if forked.sealed_size:
        console.print(
            f"Proved: the chain of all of them, and the tree that {mark.origin} signed at "
            f"{forked.sealed_size}.",
            markup=False,
        )
    else:
        console.print("Proved: the chain of all of them; the source has signed none of them.")
    console.print(f"Next: epochal up --home {forked.home.root}", markup=False)


def _show_comparison(found: list[TableComparison], output: Output) -> None:
    from dataclasses import asdict

    from rich.console import Console

    if output is Output.json:
        print(json.dumps([{**asdict(one), "equal": one.equal} for one in found], indent=2))
        return
    console = Console(highlight=False)
    for one in found:
        verdict = "[green]equal[/]" if one.equal else "[bold red]different[/]"
        console.print(
            f"{verdict}  {one.service}.{one.table}  {_count(one.original_rows)} there, "
            f"{_count(one.rows)} here  at {one.position}"
        )
        if one.added or one.removed:
            console.print(
                f"    columns only here: {', '.join(one.added) or 'none'}; "
                f"only there: {', '.join(one.removed) or 'none'}"
            )
        if one.first is not None:
            console.print(
                f"    {one.changed} changed, {one.only_original} only there, {one.only_here} only "
                "here; the first:"
            )
            for name, row in (("there", one.first.original), ("here", one.first.here)):
                shown = json.dumps(row, ensure_ascii=False)[:500] if row is not None else "no row"
                console.print(
                    f"      {name}: {json.dumps(one.first.key)} {shown}", markup=False, style="dim"
                )


def _count(rows: int | None) -> str:
    return "no table" if rows is None else f"{rows} rows"
