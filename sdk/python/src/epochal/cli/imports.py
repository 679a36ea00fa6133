"""`epochal import`: what other trackers hold, moved in."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress, SpinnerColumn, TextColumn

from epochal.cli.output import Output, console, errors_console, print_json
from epochal.cli.session import OutputOption, session
from epochal.errors import InvalidArgument
from epochal.importing.folder import Folder
from epochal.importing.moving import Mover
from epochal.importing.records import Store
from epochal.importing.server import Server

app = typer.Typer(no_args_is_help=True, help="Move in what other trackers hold.")


@app.callback()
def group() -> None:
    """Keeps `mlflow` a command of its own."""


@app.command("mlflow")
def import_mlflow(
    uri: Annotated[str, typer.Option(help="Of a tracking server, http://... or https://...")] = "",
    folder: Annotated[
        Path | None, typer.Option(help="Of a file store, such as mlruns.", show_default=False)
    ] = None,
    token: Annotated[
        str, typer.Option(envvar="MLFLOW_SOURCE_TOKEN", help="Bearer token of the tracking server.")
    ] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count only, move nothing.")] = False,
    output: OutputOption = Output.table,
) -> None:
    """Move an MLflow store into your organisation; again adds only what is new.

    Experiments, runs with their ids, times, params, tags, metrics, datasets and artifacts, and
    registered models with versions, aliases, stages and tags. One that broke off goes on.

    For example:

        epochal import mlflow --uri http://mlflow.example.org:5000 --dry-run

        epochal import mlflow --folder ./mlruns -o json
    """
    if bool(uri) == (folder is not None):
        raise InvalidArgument("give one of --uri and --folder")
    if uri and not uri.startswith(("http://", "https://")):
        raise InvalidArgument(
            f"{uri!r} is no address of a tracking server: start one over the store "
            "(`mlflow server --backend-store-uri ...`) and give its http:// address"
        )
    store: Store = Folder(folder) if folder is not None else Server(uri, token)
    bar = Progress(
        SpinnerColumn(), TextColumn("{task.description}"), console=errors_console(), transient=True
    )
    with session("") as opened, bar:
        task = bar.add_task("looking")
        mover = Mover(
            store, opened.client, opened.org, lambda step: bar.update(task, description=step)
        )
        with closing(mover):
            summary = mover.count() if dry_run else mover.move()
    if output is Output.json:
        print_json({**asdict(summary), "dry_run": dry_run})
        return
    counted = ", ".join(f"{value:,} {key}" for key, value in asdict(summary).items() if value)
    verb = "there are" if dry_run else "moved"
    console().print(f"{verb} {counted or 'nothing'}", highlight=False)
