"""`epochal audit`: prove the log and what is computed from it."""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import epochal_proto.v1 as pb
import typer
from epochal_proto.v1.services import AuditService
from google.protobuf import json_format
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from epochal.cli.output import Output, as_json, console, errors_console, print_json
from epochal.cli.session import OutputOption, session
from epochal.errors import FailedPrecondition, InvalidArgument, Unavailable

app = typer.Typer(no_args_is_help=True, help="Audit: prove the log and all that follows from it.")


@app.command("verify")
def verify(
    bundle: Annotated[
        Path | None, typer.Option(help="Check this bundle instead, without any platform.")
    ] = None,
    key: Annotated[str, typer.Option(help="Verifier key to trust, from now on.")] = "",
    kept: Annotated[
        list[Path] | None, typer.Option("--checkpoint", help="A checkpoint that you kept.")
    ] = None,
    archive: Annotated[
        Path | None, typer.Option(help="Check this folder with an archived log, likewise.")
    ] = None,
    output: OutputOption = Output.table,
) -> None:
    """Prove the log: its hash chain, the signature of its tree, and that nothing was rewritten.

    The newest checkpoint must continue the one this machine saw last. Exit code 1 when anything
    is not as recorded.

    For example:

        epochal audit verify

        epochal audit verify --key 'log.acme.com/epochal+1a2b3c4d+AQ...'

        epochal audit verify --bundle audit.zip --checkpoint checkpoint-2026-11-01

        aws s3 sync s3://acme-audit/log log && epochal audit verify --archive log --key "$KEY"
    """
    need_cryptography()
    if bundle is not None and archive is not None:
        raise InvalidArgument("give --bundle or --archive, not both")
    if archive is not None and not (archive / "archive.json").is_file():
        raise InvalidArgument(
            f"{archive} is no folder with an archived log: it has no archive.json (copy a bucket "
            "to this machine first)"
        )
    if offline := bundle or archive:
        _verify_bundle(offline, key, kept or [], output)
        return
    last: pb.VerifyLogResponse | None = None
    with session() as opened, _progress() as bars:
        bar = bars.add_task("verifying", total=None)
        for last in opened.client.stream(AuditService.VERIFY_LOG, pb.VerifyLogRequest()):
            bars.update(bar, completed=last.checked, total=last.head)
    if last is None or not last.done:
        raise Unavailable("the verification ended before its end; run it again")
    if output is Output.table and last.intact:
        console().print(
            f"[green]intact[/]  {last.checked} events, chain {last.chain}", highlight=False
        )
    seen = _newest(key) if last.intact else {"told": ""}
    if output is Output.json:
        print_json(json_format.MessageToDict(last) | {"checkpoint": seen})
    elif last.intact:
        console().print(seen["told"], highlight=False)
    if not last.intact:
        errors_console().print(
            f"[bold red]not as recorded[/] from position {last.first_bad_position}: "
            f"{last.problem}. Keep the database as it is and compare it with a backup.",
            highlight=False,
        )
        raise typer.Exit(1)


def need_cryptography() -> None:
    """Raises FailedPrecondition when signatures cannot be checked here."""
    if importlib.util.find_spec("cryptography") is None:
        raise FailedPrecondition(
            "checking signatures needs the package cryptography: pip install 'epochal[audit]'"
        )


def _newest(key: str) -> dict[str, str]:
    """Check the newest checkpoint; a log without one has only its chain to show yet."""
    from epochal.auditing.keeping import check_newest

    with session() as opened:
        try:
            seen = check_newest(opened.client, opened.org, key)
        except FailedPrecondition as error:
            return {"told": f"[yellow]not signed[/]  {error.message}"}
    told = f"[green]signed[/]  {seen.checkpoint.size} events by {seen.key}"
    if seen.first_time:
        told += "\nThis is the first checkpoint seen here: the next must continue it."
    else:
        told += f"\nIt continues the checkpoint of {seen.before} that was seen here before."
    return {"told": told, "note": seen.checkpoint.note, "key": seen.key}


def _verify_bundle(path: Path, key: str, kept: Sequence[Path], output: Output) -> None:
    from epochal import audit_verifier

    try:
        notes = [one.read_text(encoding="utf-8") for one in kept]
        verdict = audit_verifier.verify(audit_verifier.Bundle(path), key, notes)
    except (audit_verifier.Unreadable, OSError) as error:
        raise InvalidArgument(str(error)) from error
    if output is Output.json:
        print_json(dataclasses.asdict(verdict))
    else:
        console().print(audit_verifier.told(verdict), highlight=False, markup=False)
    if not verdict.holds:
        raise typer.Exit(1)


@app.command("replay")
def replay(output: OutputOption = Output.table) -> None:
    """Rebuild every read model from the log and compare; exit code 1 when one differs.

    Nothing live is changed.

    For example:

        epochal audit replay

        epochal audit replay -o json
    """
    done: list[pb.ReplayLogResponse] = []
    with session() as opened, _progress() as bars:
        tasks = {}
        for step in opened.client.stream(AuditService.REPLAY_LOG, pb.ReplayLogRequest()):
            if step.service not in tasks:
                tasks[step.service] = bars.add_task(step.service, total=step.target)
            bars.update(tasks[step.service], completed=step.position, total=step.target)
            if step.done:
                done.append(step)
    if not done:
        raise Unavailable("the replay ended before its end; run it again")
    different = [step for step in done if step.problem or not all(map(_equal, step.tables))]
    if output is Output.json:
        print_json([as_json(step) for step in done])
    else:
        for step in done:
            _show(step)
    if different:
        names = ", ".join(step.service for step in different)
        errors_console().print(f"[bold red]not proved[/]: {names}", highlight=False)
        raise typer.Exit(1)


def _show(step: pb.ReplayLogResponse) -> None:
    for table in step.tables:
        verdict = "[green]equal[/]" if _equal(table) else "[bold red]different[/]"
        console().print(
            f"{verdict}  {step.service}.{table.table}  {table.live_rows} rows live, "
            f"{table.rebuilt_rows} rebuilt  {table.live_digest[:16]}",
            highlight=False,
        )
    if step.problem:
        console().print(f"[bold red]failed[/]  {step.service}: {step.problem}", highlight=False)


def _equal(table: pb.TableDigest) -> bool:
    return (table.live_rows, table.live_digest) == (table.rebuilt_rows, table.rebuilt_digest)


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=errors_console(),
        transient=True,
    )
