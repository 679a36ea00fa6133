"""What a project keeps of its runs, and how a run's data is deleted for good."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import epochal_proto.v1 as pb
import typer
from epochal_proto.v1.services import RetentionService

from epochal.cli.output import Column, Output, as_json, console, print_json, show_one
from epochal.cli.projects import ProjectArgument
from epochal.cli.projects import app as projects
from epochal.cli.references import RunArgument, run_name
from epochal.cli.runs import app as runs
from epochal.cli.session import OutputOption, ProjectOption, session
from epochal.errors import InvalidArgument

_FIELDS = [
    Column[pb.Retention]("project", lambda kept: kept.project),
    Column[pb.Retention]("metrics", lambda kept: _days(kept.metrics_days, kept.metrics_then)),
    Column[pb.Retention](
        "system metrics", lambda kept: _days(kept.system_metrics_days, kept.system_metrics_then)
    ),
    Column[pb.Retention]("logs", lambda kept: _days(kept.logs_days, kept.logs_then)),
    Column[pb.Retention]("artifacts", lambda kept: _days(kept.artifacts_days)),
    Column[pb.Retention]("spans", lambda kept: _days(kept.spans_days)),
]


class Then(StrEnum):
    """What happens at the end of the days."""

    delete = "delete"
    archive = "archive"


_THEN = {Then.delete: pb.AT_EXPIRY_DELETE, Then.archive: pb.AT_EXPIRY_ARCHIVE}

MetricsThen = Annotated[Then | None, typer.Option(help="What happens to metrics then.")]
SystemMetricsThen = Annotated[
    Then | None, typer.Option(help="What happens to system metrics then.")
]
LogsThen = Annotated[Then | None, typer.Option(help="What happens to output then.")]


@projects.command("retention")
def get_retention(project: ProjectArgument, output: OutputOption = Output.table) -> None:
    """Show how long a project keeps what its runs logged.

    For example:

        epochal projects retention vision -o json
    """
    with session(project) as opened:
        request = pb.GetRetentionRequest(project=opened.project)
        show_one(opened.client.call(RetentionService.GET_RETENTION, request), _FIELDS, output)


@projects.command("set-retention")
def set_retention(
    project: ProjectArgument,
    metrics: Annotated[
        int | None, typer.Option(min=0, max=36_500, help="Days to keep points of metrics.")
    ] = None,
    system_metrics: Annotated[
        int | None, typer.Option(min=0, max=36_500, help="Days to keep system/... and sys/...")
    ] = None,
    logs: Annotated[
        int | None, typer.Option(min=0, max=36_500, help="Days to keep output of runs that ended.")
    ] = None,
    artifacts: Annotated[
        int | None, typer.Option(min=0, max=36_500, help="Days to keep artifacts.")
    ] = None,
    spans: Annotated[
        int | None, typer.Option(min=0, max=36_500, help="Days to keep spans; traces stay.")
    ] = None,
    metrics_then: MetricsThen = None,
    system_metrics_then: SystemMetricsThen = None,
    logs_then: LogsThen = None,
    output: OutputOption = Output.table,
) -> None:
    """Change how long a project keeps what its runs logged; 0 is for ever, what is left out stays.

    Summaries and seals stay in any case, and so does all that a registered model version was made
    by. What is older is deleted within minutes, and each deletion is an event. What is archived is
    in the object store before, with what proves it: see `epochal runs archive`.

    For example:

        epochal projects set-retention vision --metrics 365 --logs 30

        epochal projects set-retention vision --artifacts 0

        epochal projects set-retention vision --metrics 90 --metrics-then archive
    """
    days = {
        "metrics_days": metrics,
        "system_metrics_days": system_metrics,
        "logs_days": logs,
        "artifacts_days": artifacts,
        "spans_days": spans,
    }
    then = {
        "metrics_then": metrics_then,
        "system_metrics_then": system_metrics_then,
        "logs_then": logs_then,
    }
    if all(value is None for value in (*days.values(), *then.values())):
        raise InvalidArgument(
            "say what to change: --metrics, --system-metrics, --logs, --artifacts, --spans, or "
            "what happens then, such as --metrics-then archive"
        )
    with session(project) as opened:
        request = pb.GetRetentionRequest(project=opened.project)
        kept = opened.client.call(RetentionService.GET_RETENTION, request)
        for name, value in days.items():
            if value is not None:
                setattr(kept, name, value)
        for name, choice in then.items():
            if choice is not None:
                setattr(kept, name, _THEN[choice])
        opened.client.call(RetentionService.SET_RETENTION, pb.SetRetentionRequest(retention=kept))
    show_one(kept, _FIELDS, output)


@runs.command("purge")
def purge(
    run: RunArgument,
    reason: Annotated[str, typer.Option("--reason", "-m", help="Why; it is kept.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    project: ProjectOption = "",
    output: OutputOption = Output.table,
) -> None:
    """Delete metrics, output, artifacts and spans of a run that has ended, for good.

    Its events and seals stay, with who deleted it and why. A run that a registered model version
    was made by is not deleted.

    For example:

        epochal runs purge 0190f5c8 --reason "holds personal data" --yes
    """
    with session(project) as opened:
        name = run_name(opened, run)
        if not yes and not typer.confirm(f"Delete all data of {name} for good?"):
            raise typer.Abort
        request = pb.PurgeRunRequest(run=name, reason=reason)
        gone = opened.client.call(RetentionService.PURGE_RUN, request)
    if output is Output.json:
        print_json(as_json(gone))
        return
    console().print(
        f"deleted {gone.points} points, {gone.log_lines} lines of output, {gone.spans} spans and "
        f"{gone.artifacts} artifacts of {name}",
        highlight=False,
    )


def _days(days: int, then: pb.AtExpiry = pb.AT_EXPIRY_DELETE) -> str:
    if not days:
        return "for ever"
    return f"{days} days{', then archived' if then == pb.AT_EXPIRY_ARCHIVE else ''}"
