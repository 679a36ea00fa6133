"""`epochal runs`: list, read, follow, stop."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import epochal_proto.v1 as pb
import typer
from epochal_proto.v1.services import RunService, TrackingService

from epochal.cli.output import (
    Column,
    Output,
    as_json,
    between,
    console,
    number,
    print_json,
    show_list,
    show_one,
    when,
)
from epochal.cli.references import RunArgument, run_name
from epochal.cli.session import LimitOption, OutputOption, ProjectOption, session
from epochal.cli.statuses import kind_text, logged_metrics, status_text
from epochal.cli.tailing import follow, print_lines
from epochal.values import from_value

app = typer.Typer(no_args_is_help=True, help="Runs: list, read, follow, stop.")

COLUMNS = [
    Column[pb.Run]("ID", lambda run: run.uid[:13], "dim"),
    Column[pb.Run]("NAME", lambda run: run.display_name, "bold"),
    Column[pb.Run]("KIND", kind_text),
    Column[pb.Run]("STATUS", status_text),
    Column[pb.Run]("ATTEMPT", lambda run: str(run.attempt or ""), right=True),
    Column[pb.Run]("CREATED", lambda run: when(run.create_time)),
    Column[pb.Run]("TOOK", lambda run: between(run.start_time, run.end_time), right=True),
    Column[pb.Run]("METRICS", lambda run: _metrics(run, 3)),
]

_FIELDS = [
    Column[pb.Run]("name", lambda run: run.name),
    Column[pb.Run]("display name", lambda run: run.display_name),
    Column[pb.Run]("kind", kind_text),
    Column[pb.Run]("status", status_text),
    Column[pb.Run]("waits for", lambda run: " and ".join(run.holds)),
    Column[pb.Run]("message", lambda run: run.message.rstrip()),
    Column[pb.Run]("attempt", lambda run: str(run.attempt or "")),
    Column[pb.Run](
        "exit code", lambda run: str(run.exit_code) if run.HasField("exit_code") else ""
    ),
    Column[pb.Run]("creator", lambda run: run.creator),
    Column[pb.Run]("queue", lambda run: run.queue),
    Column[pb.Run](
        "pipeline", lambda run: f"{run.pipeline} {run.step or run.iteration or ''}".strip()
    ),
    Column[pb.Run](
        "origin", lambda run: f"{run.origin_kind} of {run.origin}" if run.origin else ""
    ),
    Column[pb.Run]("service", lambda run: run.service_path),
    Column[pb.Run]("made for", lambda run: when(run.schedule_time)),
    Column[pb.Run]("created", lambda run: when(run.create_time)),
    Column[pb.Run]("started", lambda run: when(run.start_time)),
    Column[pb.Run]("ended", lambda run: when(run.end_time)),
    Column[pb.Run]("took", lambda run: between(run.start_time, run.end_time)),
    Column[pb.Run]("params", lambda run: _values(run.params)),
    Column[pb.Run]("outputs", lambda run: _values(run.outputs)),
    Column[pb.Run]("tags", lambda run: _pairs(dict(run.tags))),
    Column[pb.Run]("metrics", lambda run: _metrics(run, 50)),
    Column[pb.Run]("spec", lambda run: run.spec_digest),
    Column[pb.Run]("incomplete", lambda run: ", ".join(run.incomplete_producers)),
    Column[pb.Run]("data lost", lambda run: "; ".join(run.data_lost)),
    Column[pb.Run]("purged", lambda run: when(run.purge_time)),
]

_SUMMARY = [
    Column[pb.MetricSummary]("METRIC", lambda metric: metric.metric, "bold"),
    Column[pb.MetricSummary]("LAST", lambda metric: number(metric.last), right=True),
    Column[pb.MetricSummary]("STEP", lambda metric: str(metric.last_step), right=True),
    Column[pb.MetricSummary]("MIN", lambda metric: number(metric.min), right=True),
    Column[pb.MetricSummary]("MAX", lambda metric: number(metric.max), right=True),
    Column[pb.MetricSummary]("POINTS", lambda metric: str(metric.points), right=True),
]


@app.command("ls")
def list_runs(
    project: ProjectOption = "",
    status: Annotated[
        str, typer.Option(help="Only these, such as running or 'failed|stopped'.")
    ] = "",
    kind: Annotated[
        str, typer.Option(help="Only these, such as job or 'dag|matrix|schedule'.")
    ] = "",
    pipeline: Annotated[str, typer.Option(help="Only children of this run.")] = "",
    filter_: Annotated[
        str,
        typer.Option(
            "--filter",
            "--query",
            "-q",
            help="Such as 'metrics.loss:<0.1, (tags.team:vision OR created_at:>now-7d)': "
            "FIELD:VALUE joined by , AND OR NOT; ~ not, | any of, a..b range, %x% contains, "
            "nil missing, best(metrics.x); docs/search.md has all.",
        ),
    ] = "",
    order_by: Annotated[str, typer.Option(help="Such as 'metrics.acc desc, create_time'.")] = "",
    limit: LimitOption = 50,
    output: OutputOption = Output.table,
) -> None:
    """List the runs of a project, newest first.

    For example:

        epochal runs ls --status running

        epochal runs ls --kind 'dag|matrix' --status running

        epochal runs ls --pipeline big-sweep --status failed

        epochal runs ls -q 'metrics.acc:>0.9, params.lr:0.1' --order-by 'metrics.acc desc'

        epochal runs ls -q 'best(metrics.acc):>0.9 OR NOT status:failed, created_at:last_week'

        epochal runs ls -p vision --limit 0 -o json
    """
    with session(project) as opened:
        asked = {
            "status": status,
            "kind": kind,
            "pipeline": pipeline and run_name(opened, pipeline).rpartition("/")[2],
        }
        parts = [f"{field}:{value}" for field, value in asked.items() if value]
        # In parentheses: an OR of the filter must not undo the options.
        parts += [f"({filter_})" if parts else filter_] if filter_ else []
        conditions = ", ".join(parts)
        request = pb.ListRunsRequest(parent=opened.project, filter=conditions, order_by=order_by)
        runs = opened.paged(RunService.LIST_RUNS, request, lambda page: page.runs, limit)
        nothing = f"no runs in {opened.project}; start one with `epochal run -f FILE`"
        show_list(runs, COLUMNS, output, nothing)


@app.command("get")
def get_run(
    run: RunArgument, project: ProjectOption = "", output: OutputOption = Output.table
) -> None:
    """Show one run with its parameters, tags and metrics.

    For example:

        epochal runs get 0190f5c8

        epochal runs get brave-otter -o json
    """
    with session(project) as opened:
        name = run_name(opened, run)
        found = opened.client.call(RunService.GET_RUN, pb.GetRunRequest(name=name))
    show_one(found, _FIELDS, output)


@app.command("logs")
def logs(
    run: RunArgument,
    project: ProjectOption = "",
    follow_: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until the run has ended.")
    ] = False,
    output: OutputOption = Output.table,
) -> None:
    """Print the output of a run's process.

    For example:

        epochal runs logs brave-otter

        epochal runs logs -f 0190f5c8
    """
    with session(project) as opened:
        name = run_name(opened, run)
        if follow_:
            follow(opened.client, name, lambda lines: print_lines(lines, output))
            return
        request = pb.ListLogLinesRequest(run=name)
        for line in opened.paged(TrackingService.LIST_LOG_LINES, request, lambda page: page.lines):
            print_lines([line], output)


@app.command("stop")
def stop(
    run: RunArgument,
    project: ProjectOption = "",
    reason: Annotated[str, typer.Option(help="Why; kept with the run.")] = "",
    output: OutputOption = Output.table,
) -> None:
    """Ask a run to stop; one that has not started is stopped at once.

    For example:

        epochal runs stop brave-otter --reason "wrong data"
    """
    with session(project) as opened:
        request = pb.StopRunRequest(name=run_name(opened, run), reason=reason)
        stopped = opened.client.call(RunService.STOP_RUN, request)
    if output is Output.json:
        print_json(as_json(stopped))
    else:
        console().print(f"{stopped.display_name} is {status_text(stopped)}", highlight=False)


@app.command("metrics")
def metrics(
    run: RunArgument,
    metric: Annotated[str, typer.Argument(help="One metric, to print its points.")] = "",
    project: ProjectOption = "",
    limit: LimitOption = 1000,
    output: OutputOption = Output.table,
) -> None:
    """Show the metrics of a run: newest, least and greatest values, or the points of one.

    For example:

        epochal runs metrics brave-otter

        epochal runs metrics brave-otter val/loss --limit 0 -o json
    """
    with session(project) as opened:
        name = run_name(opened, run)
        if not metric:
            request = pb.ListMetricsRequest(run=name)
            found = opened.paged(
                TrackingService.LIST_METRICS, request, lambda page: page.metrics, limit
            )
            show_list(found, _SUMMARY, output, "no metrics logged yet")
            return
        points = opened.paged(
            TrackingService.GET_METRIC_SERIES,
            pb.GetMetricSeriesRequest(run=name, metric=metric),
            lambda page: zip(page.steps, page.values, strict=True),
            limit,
        )
        if output is Output.json:
            print_json([{"step": step, "value": value} for step, value in points])
        else:
            for step, value in points:
                typer.echo(f"{step}\t{number(value)}")


def _metrics(run: pb.Run, at_most: int) -> str:
    return _pairs({name: number(run.metrics[name].last) for name in logged_metrics(run)[:at_most]})


def _values(values: Mapping[str, pb.Value]) -> str:
    return _pairs({name: from_value(value) for name, value in values.items()})


def _pairs(pairs: dict[str, str] | dict[str, str | int | float | bool]) -> str:
    return "  ".join(f"{name}={value}" for name, value in sorted(pairs.items()))
