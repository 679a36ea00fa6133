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
from epochal.importing.database import SCHEME, Database
from epochal.importing.folder import Folder
from epochal.importing.moving import Mover
from epochal.importing.records import Store
from epochal.importing.server import Server

app = typer.Typer(no_args_is_help=True, help="Move in what other trackers hold.")


@app.callback()
def group() -> None:
    """Keeps `mlflow` a command of its own."""


def _store(uri: str, artifacts: Path | None, token: str) -> Store:
    if uri.startswith(SCHEME):
        return Database(uri, artifacts)
    if artifacts is not None:
        raise InvalidArgument("--artifacts goes with --uri sqlite:///...: a server reads its own")
    if uri.startswith(("http://", "https://")):
        return Server(uri, token)
    raise InvalidArgument(
        f"{uri!r} is no address of a tracking server and no SQLite database: start a server over "
        "the store (`mlflow server --backend-store-uri ...`) and give its http:// address"
    )


@app.command("mlflow")
def import_mlflow(
    uri: Annotated[
        str,
        typer.Option(help="Of a tracking server, http://..., or a database, sqlite:///mlflow.db."),
    ] = "",
    folder: Annotated[
        Path | None, typer.Option(help="Of a file store, such as mlruns.", show_default=False)
    ] = None,
    artifacts: Annotated[
        Path | None,
        typer.Option(
            help="Where the server of a database kept artifacts (its --artifacts-destination).",
            show_default=False,
        ),
    ] = None,
    token: Annotated[
        str, typer.Option(envvar="MLFLOW_SOURCE_TOKEN", help="Bearer token of the tracking server.")
    ] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count only, move nothing.")] = False,
    output: OutputOption = Output.table,
) -> None:
    """Move an MLflow store into your organisation; again adds only what is new.

    Experiments, runs with their ids, times, params, tags, metrics, datasets and artifacts, logged
    models with theirs, and registered models with versions, aliases, stages and tags. One that
    broke off goes on; what changed at the source since is changed here.

    For example:

        epochal import mlflow --uri http://mlflow.example.org:5000 --dry-run

        epochal import mlflow --uri sqlite:///mlflow.db --artifacts ./mlartifacts

        epochal import mlflow --folder ./mlruns -o json
    """
    if bool(uri) == (folder is not None):
        raise InvalidArgument("give one of --uri and --folder")
    store = Folder(folder) if folder is not None else _store(uri, artifacts, token)
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
