"""`epochal alerts`: rules about metrics, what they have raised, how lively a run is."""

from __future__ import annotations

from itertools import islice
from typing import Annotated

import epochal_proto.v1 as pb
import typer
from epochal_proto.v1.services import AlertService

from epochal.cli.output import Column, Output, number, show_list, show_one, when
from epochal.cli.references import RunArgument, run_name
from epochal.cli.session import LimitOption, OutputOption, ProjectOption, session
from epochal.names import last_part

app = typer.Typer(no_args_is_help=True, help="Alerts about metrics: list, rules, activity.")

_ALERTS = [
    Column[pb.Alert]("RUN", lambda each: last_part(each.run)[:13], "dim"),
    Column[pb.Alert]("RULE", lambda each: each.rule, "bold"),
    Column[pb.Alert]("METRIC", lambda each: each.metric),
    Column[pb.Alert]("SEVERITY", lambda each: _severity(each.severity)),
    Column[pb.Alert]("STEP", lambda each: str(each.step), right=True),
    Column[pb.Alert]("RAISED", lambda each: when(each.raise_time)),
    Column[pb.Alert]("RESOLVED", lambda each: when(each.resolve_time)),
    Column[pb.Alert]("MESSAGE", lambda each: each.message),
]

_RULES = [
    Column[pb.AlertRule]("NAME", lambda each: each.name, "bold"),
    Column[pb.AlertRule]("METRIC", lambda each: each.metric or "any"),
    Column[pb.AlertRule]("SEVERITY", lambda each: _severity(each.severity)),
    Column[pb.AlertRule]("WHEN", lambda each: _condition(each)),
    Column[pb.AlertRule]("STOPS", lambda each: "the run" if each.stop_run else ""),
]

_ACTIVITY = [
    Column[pb.RunActivity]("points per second", lambda each: number(each.points_per_second)),
    Column[pb.RunActivity]("points", lambda each: str(each.points)),
    Column[pb.RunActivity]("last batch", lambda each: when(each.last_time)),
    Column[pb.RunActivity]("lag", lambda each: f"{each.lag_us / 1e6:.3f} s"),
]

RunOption = Annotated[str, typer.Option("--run", "-r", help="Only of this run.")]


@app.command("ls")
def list_alerts(
    run: RunOption = "",
    open_only: Annotated[
        bool, typer.Option("--open", help="Leave out those that are resolved.")
    ] = False,
    project: ProjectOption = "",
    limit: LimitOption = 50,
    output: OutputOption = Output.table,
) -> None:
    """List alerts of a project or a run, the newest first.

    For example:

        epochal alerts ls --open

        epochal alerts ls --run brave-otter -o json
    """
    with session(project) as opened:
        parent = run_name(opened, run) if run else opened.project
        request = pb.ListAlertsRequest(parent=parent, open_only=open_only)
        found = opened.paged(AlertService.LIST_ALERTS, request, lambda page: page.alerts)
        show_list(islice(found, limit), _ALERTS, output, "no alert was raised")


@app.command("rules")
def list_rules(
    run: RunArgument, project: ProjectOption = "", output: OutputOption = Output.table
) -> None:
    """List the rules of a run, those that are there by themselves too.

    For example:

        epochal alerts rules brave-otter
    """
    with session(project) as opened:
        request = pb.ListAlertRulesRequest(run=run_name(opened, run))
        rules = opened.client.call(AlertService.LIST_ALERT_RULES, request).rules
    show_list(rules, _RULES, output, "no rules")


@app.command("activity")
def activity(
    run: RunArgument, project: ProjectOption = "", output: OutputOption = Output.table
) -> None:
    """Say how lively a run is: points a second, when the last came, how far behind they were.

    For example:

        epochal alerts activity brave-otter
    """
    with session(project) as opened:
        request = pb.GetRunActivityRequest(run=run_name(opened, run))
        found = opened.client.call(AlertService.GET_RUN_ACTIVITY, request)
    show_one(found, _ACTIVITY, output)


def _severity(severity: pb.AlertSeverity) -> str:
    known = severity or pb.ALERT_SEVERITY_WARNING
    return pb.AlertSeverity.Name(known).removeprefix("ALERT_SEVERITY_").lower()


def _condition(rule: pb.AlertRule) -> str:
    match rule.WhichOneof("condition"):
        case "threshold":
            bounds = [
                f"{word} {getattr(rule.threshold, word):g}"
                for word in ("above", "below")
                if rule.threshold.HasField(word)
            ]
            batches = rule.threshold.for_batches
            return " or ".join(bounds) + (f" for {batches} batches" if batches > 1 else "")
        case "change":
            return f"changes by {rule.change.percent:g} %"
        case "not_a_number":
            return "NaN or infinite"
        case "plateau":
            return f"not better for {rule.plateau.points} points"
        case "divergence":
            return f"{rule.divergence.factor:g} times away from its best"
        case "stall":
            stall = rule.stall
            return (
                f"silent for {stall.seconds} s"
                if stall.seconds
                else (f"silent for {stall.intervals} usual pauses")
            )
        case _:
            return "never"
