"""The `epochal` command: joins the commands of this package and of those installed beside it.

A distribution adds commands through the entry-point group `epochal.commands`: each entry is a
function that takes the typer application. `epochal up` and `epochal demo` come that way.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import entry_points, version
from typing import Annotated, Final

import typer

# Some add commands to `epochal runs`, `epochal projects` and `epochal audit`.
from epochal.cli import (  # noqa: F401 - see above
    alerts,
    audit,
    backfills,
    captures,
    checking,
    comparing,
    components,
    curating,
    dataset_stages,
    datasets,
    decisions,
    erasures,
    explaining,
    files,
    graph,
    history,
    identity,
    imports,
    keeping,
    launching,
    lineage,
    members,
    models,
    notifications,
    past,
    policies,
    projects,
    proofs,
    queues,
    records,
    runs,
    schedules,
    searches,
    syncs,
    telemetry_archives,
    terminals,
    tokens,
    traces,
    triggers,
    what_if,
)
from epochal.cli.failures import reported

COMMANDS: Final = "epochal.commands"
"""The entry-point group; an entry is `def register(app: typer.Typer) -> None`."""


def build() -> typer.Typer:
    """Builds the application with all commands that are installed."""
    app = typer.Typer(
        no_args_is_help=True,
        pretty_exceptions_show_locals=False,
        help="Epochal: an MLOps platform that remembers everything.",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_options)
    functions = (launching.run, checking.check, checking.schema, syncs.sync, identity.whoami)
    for function in functions:
        app.command()(function)
    for name, group in {
        "runs": runs.app,
        "backfill": backfills.app,
        "searches": searches.app,
        "traces": traces.app,
        "import": imports.app,
        "schedules": schedules.app,
        "triggers": triggers.app,
        "events": history.app,
        "queues": queues.app,
        "agents": queues.agents_app,
        "components": components.app,
        "presets": components.presets_app,
        "policy": policies.app,
        "projects": projects.app,
        "tokens": tokens.app,
        "members": members.app,
        "models": models.app,
        "artifacts": files.app,
        "lineage": lineage.app,
        "datasets": datasets.app,
        "notifications": notifications.app,
        "alerts": alerts.app,
        "audit": audit.app,
        "config": identity.app,
    }.items():
        app.add_typer(group, name=name)
    for entry in sorted(entry_points(group=COMMANDS), key=lambda each: each.name):
        register: Callable[[typer.Typer], None] = entry.load()
        register(app)
    _report_errors(app)
    return app


def _report_errors(app: typer.Typer) -> None:
    """Makes every command, also those of other distributions, end its errors as people read."""
    for command in app.registered_commands:
        if command.callback is not None:
            command.callback = reported()(command.callback)
    if app.registered_callback is not None and app.registered_callback.callback is not None:
        app.registered_callback.callback = reported()(app.registered_callback.callback)
    for group in app.registered_groups:
        if group.typer_instance is not None:
            _report_errors(group.typer_instance)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"epochal {version('epochal')}")
        raise typer.Exit


def _options(
    show_version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", is_eager=True, callback=_print_version
        ),
    ] = False,
) -> None:
    """Takes the options that come before any command."""


def main() -> None:
    """Runs the command line."""
    build()()


if __name__ == "__main__":
    main()
