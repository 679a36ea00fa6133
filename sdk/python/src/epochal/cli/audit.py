"""`epochal audit`: prove the log and what is computed from it."""

from __future__ import annotations

import epochal_proto.v1 as pb
import typer
from epochal_proto.v1.services import AuditService
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from epochal.cli.output import Output, as_json, console, errors_console, print_json
from epochal.cli.session import OutputOption, session
from epochal.errors import Unavailable

app = typer.Typer(no_args_is_help=True, help="Audit: prove the log and all that follows from it.")


@app.command("verify")
def verify(output: OutputOption = Output.table) -> None:
    """Recompute the hash chain of the whole log; exit code 1 when it is not as recorded.

    For example:

        epochal audit verify
    """
    last: pb.VerifyLogResponse | None = None
    with session() as opened, _progress() as bars:
        bar = bars.add_task("verifying", total=None)
        for last in opened.client.stream(AuditService.VERIFY_LOG, pb.VerifyLogRequest()):
            bars.update(bar, completed=last.checked, total=last.head)
    if last is None or not last.done:
        raise Unavailable("the verification ended before its end; run it again")
    if output is Output.json:
        print_json(as_json(last))
    elif last.intact:
        console().print(
            f"[green]intact[/]  {last.checked} events, chain {last.chain}", highlight=False
        )
    if not last.intact:
        errors_console().print(
            f"[bold red]not as recorded[/] from position {last.first_bad_position}: "
            f"{last.problem}. Keep the database as it is and compare it with a backup.",
            highlight=False,
        )
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
