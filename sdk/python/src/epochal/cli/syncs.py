"""`epochal sync`: send what runs left on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from epochal import config
from epochal.cli.failures import show
from epochal.cli.output import Output, console, errors_console, print_json
from epochal.cli.session import OutputOption, session
from epochal.errors import EpochalError, InvalidArgument
from epochal.spool.folder import RunFolder, run_folders
from epochal.syncing import Result, Synced, sync_folder


def sync(
    path: Annotated[
        Path | None, typer.Argument(help="Folder of a run, or of several; yours when left out.")
    ] = None,
    list_: Annotated[bool, typer.Option("--list", help="Only say what there is to send.")] = False,
    output: OutputOption = Output.table,
) -> None:
    """Send what runs left here: offline runs, killed ones, and those the platform was away for.

    It may be stopped and repeated at will: nothing arrives twice, and a folder is deleted only when
    the platform has all of it.

    For example:

        epochal sync

        epochal sync ./spool/0190f5c8-0000-7000-8000-000000000001-8e1d8b0a

        epochal sync --list
    """
    root = path or config.spool_root()
    folders = list(run_folders(root))
    if path is not None and not folders:
        raise InvalidArgument(f"{path} holds no run: is it the folder that the run named?")
    if list_:
        _list(folders, output)
        return
    done: list[Synced] = []
    failed = 0
    with session() as opened, _progress() as bars:
        for folder in folders:
            bar = bars.add_task(folder.name, total=None)
            try:
                synced = sync_folder(
                    folder,
                    opened.client,
                    progress=lambda sent, of, bar=bar: bars.update(bar, completed=sent, total=of),  # type: ignore[misc]  # default binds the loop's bar
                )
            except EpochalError as error:
                failed += 1
                show(error)
                errors_console().print(f"  kept in {folder}", highlight=False, soft_wrap=True)
                continue
            done.append(synced)
    if output is Output.json:
        print_json([_json(synced) for synced in done])
    else:
        _show(done, failed, root)
    if failed:
        raise typer.Exit(1)


def _show(done: list[Synced], failed: int, root: Path) -> None:
    for synced in done:
        console().print(f"{synced.result.value}  {synced.run}", highlight=False, soft_wrap=True)
        for note in synced.notes:
            errors_console().print(f"  {note}", highlight=False, markup=False)
    if not done and not failed:
        errors_console().print(f"nothing to send in {root}", highlight=False, soft_wrap=True)


def _list(folders: list[Path], output: Output) -> None:
    opened = [RunFolder.open(folder) for folder in folders]
    if output is Output.json:
        print_json([{"path": str(folder.path), "run": folder.run} for folder in opened])
        return
    for folder in opened:
        console().print(f"{folder.run}  {folder.path}", highlight=False, soft_wrap=True)


def _json(synced: Synced) -> dict[str, object]:
    return {
        "run": synced.run,
        "path": str(synced.path),
        "sent": synced.result is Result.SENT,
        "batches": synced.batches,
        "notes": list(synced.notes),
    }


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        console=errors_console(),
        transient=True,
    )
