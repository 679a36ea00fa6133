"""`epochal audit`: what an event changed, what stood at a moment, what differs, what never was."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Final

import epochal_proto.v1 as pb
import typer
from epochal_proto.v1.services import HistoryService

from epochal.cli.audit import app
from epochal.cli.output import (
    Column,
    Output,
    as_json,
    console,
    errors_console,
    print_json,
    show_list,
    when,
)
from epochal.cli.session import OutputOption, session
from epochal.errors import InvalidArgument


class Kind(StrEnum):
    """What is looked up."""

    members = "members"
    roles = "roles"
    tokens = "tokens"
    projects = "projects"
    models = "models"
    versions = "versions"
    policies = "policies"
    queues = "queues"
    registry_policies = "registry-policies"
    promotions = "promotions"
    datasets = "datasets"
    components = "components"


class Rule(StrEnum):
    """What a window is held against."""

    alias_moved_by_another = "alias-moved-by-another"
    stage_changed_by_another = "stage-changed-by-another"
    run_approved_by_another = "run-approved-by-another"
    role_given_by_another = "role-given-by-another"
    moved_by_promotion = "moved-by-promotion"
    not_moved_in_emergency = "not-moved-in-emergency"
    promotion_approved_by_another = "promotion-approved-by-another"


AsOfOption = Annotated[
    str, typer.Option("--as-of", help="A time or a position of the log; now by default.")
]

_KINDS: Final = {
    Kind.members: pb.STATE_KIND_MEMBERS,
    Kind.roles: pb.STATE_KIND_MEMBERS,
    Kind.tokens: pb.STATE_KIND_TOKENS,
    Kind.projects: pb.STATE_KIND_PROJECTS,
    Kind.models: pb.STATE_KIND_MODELS,
    Kind.versions: pb.STATE_KIND_MODEL_VERSIONS,
    Kind.policies: pb.STATE_KIND_POLICIES,
    Kind.queues: pb.STATE_KIND_QUEUES,
    Kind.registry_policies: pb.STATE_KIND_REGISTRY_POLICIES,
    Kind.promotions: pb.STATE_KIND_PROMOTIONS,
    Kind.datasets: pb.STATE_KIND_DATASETS,
    Kind.components: pb.STATE_KIND_COMPONENTS,
}

_RULES: Final = {
    Rule.alias_moved_by_another: pb.AUDIT_RULE_ALIAS_MOVED_BY_ANOTHER,
    Rule.stage_changed_by_another: pb.AUDIT_RULE_STAGE_CHANGED_BY_ANOTHER,
    Rule.run_approved_by_another: pb.AUDIT_RULE_RUN_APPROVED_BY_ANOTHER,
    Rule.role_given_by_another: pb.AUDIT_RULE_ROLE_GIVEN_BY_ANOTHER,
    Rule.moved_by_promotion: pb.AUDIT_RULE_MOVED_BY_PROMOTION,
    Rule.not_moved_in_emergency: pb.AUDIT_RULE_NOT_MOVED_IN_EMERGENCY,
    Rule.promotion_approved_by_another: pb.AUDIT_RULE_PROMOTION_APPROVED_BY_ANOTHER,
}

_ENTRY = [
    Column[pb.StateEntry]("NAME", lambda one: one.name.split("/", 2)[-1], "bold"),
    Column[pb.StateEntry]("FIELDS", lambda one: _fields(one)),
    Column[pb.StateEntry]("SINCE", lambda one: str(one.position), right=True),
    Column[pb.StateEntry]("BY", lambda one: one.actor),
]
_CHANGE = [
    Column[pb.StateChange]("NAME", lambda one: one.name.split("/", 2)[-1], "bold"),
    Column[pb.StateChange]("FIELD", lambda one: one.field or "(all of it)"),
    Column[pb.StateChange]("BEFORE", lambda one: one.before or "-"),
    Column[pb.StateChange]("AFTER", lambda one: one.after or "-"),
    Column[pb.StateChange]("AT", lambda one: str(one.position), right=True),
    Column[pb.StateChange]("BY", lambda one: one.actor),
]
_VIOLATION = [
    Column[pb.AuditEvent]("POSITION", lambda event: str(event.position), right=True),
    Column[pb.AuditEvent]("TIME", lambda event: when(event.record_time)),
    Column[pb.AuditEvent]("EVENT", lambda event: event.type.rsplit(".", 1)[-1], "bold"),
    Column[pb.AuditEvent]("ACTOR", lambda event: event.actor),
    Column[pb.AuditEvent]("RESOURCE", lambda event: event.resource.split("/", 2)[-1]),
]

OfOption = Annotated[
    list[Kind] | None, typer.Option("--of", help="Only these; again for more. All by default.")
]


@app.command("show")
def show(
    position: Annotated[int, typer.Argument(min=1, help="Position of the event.")],
    output: OutputOption = Output.table,
) -> None:
    """Show an event: who did it, when, and what it changed, before and after.

    For example:

        epochal audit show 4711

        epochal audit show 4711 -o json
    """
    with session() as opened:
        request = pb.GetEventRequest(name=f"{opened.org}/events/{position}")
        found = opened.client.call(HistoryService.GET_EVENT, request)
    if output is Output.json:
        print_json(as_json(found))
        return
    event = found.event
    console().print(
        f"[bold]{event.type.rsplit('.', 1)[-1]}[/]  {when(event.record_time)} by {event.actor} "
        f"on {event.resource}\nrequest {event.correlation_id}, which made "
        f"{len(found.related)} other events",
        highlight=False,
    )
    show_list(found.changes, _CHANGE, output, "it changed no field that is known")


@app.command("state")
def state(
    of: OfOption = None,
    at: Annotated[str, typer.Option("--at", help="A time or a position; now by default.")] = "",
    output: OutputOption = Output.table,
) -> None:
    """Show members, registry and policies as they stood at a moment, folded from the log.

    For example:

        epochal audit state --at 2026-03-03T14:00 --of roles --of policies

        epochal audit state --at 4711 --of models -o json
    """
    with session() as opened:
        request = pb.GetStateRequest(parent=opened.org, kinds=_kinds(of), at=moment(at))
        found = opened.client.call(HistoryService.GET_STATE, request)
    show_list(found.entries, _ENTRY, output, f"nothing stood at position {found.position}")


@app.command("diff")
def diff(
    start: Annotated[str, typer.Option("--from", help="A time or a position.")],
    end: Annotated[str, typer.Option("--to", help="A time or a position; now by default.")] = "",
    of: OfOption = None,
    output: OutputOption = Output.table,
) -> None:
    """Show what differs between two moments, and who changed it last.

    For example:

        epochal audit diff --from 2026-11-01 --to 2026-12-01

        epochal audit diff --from 4000 --of members -o json
    """
    with session() as opened:
        request = pb.CompareStatesRequest(
            parent=opened.org, kinds=_kinds(of), before=moment(start), after=moment(end)
        )
        found = opened.client.call(HistoryService.COMPARE_STATES, request)
    show_list(found.changes, _CHANGE, output, "nothing differs")


@app.command("check")
def check(
    rule: Annotated[Rule, typer.Argument(help="What must hold.")],
    start: Annotated[str, typer.Option("--from", help="After this time or position.")] = "",
    end: Annotated[str, typer.Option("--to", help="Up to this time or position.")] = "",
    resource: Annotated[str, typer.Option(help="Only on this and what is below it.")] = "",
    subject: Annotated[str, typer.Option(help="Only this alias or stage.")] = "",
    output: OutputOption = Output.table,
) -> None:
    """Prove that something never happened in a window; exit code 1 when it did.

    The answer names the window's positions and the checkpoint that seals them.

    For example:

        epochal audit check alias-moved-by-another --subject champion --from 2026-11-01

        epochal audit check role-given-by-another -o json
    """
    with session() as opened:
        request = pb.CheckRuleRequest(
            parent=opened.org,
            rule=_RULES[rule],
            resource=resource,
            subject=subject,
            after=moment(start) if start else None,
            through=moment(end),
        )
        found = opened.client.call(HistoryService.CHECK_RULE, request)
    if output is Output.json:
        print_json(as_json(found))
    else:
        sealed = found.checkpoint.size or "none yet"
        window = f"{found.after_position + 1} to {found.through_position}"
        verdict = "[green]holds[/]" if found.holds else "[bold red]does not hold[/]"
        console().print(
            f"{verdict}  {rule.value} over positions {window}: {found.examined} events looked at, "
            f"sealed by the checkpoint of {sealed}",
            highlight=False,
        )
    if not found.holds:
        if output is Output.table:
            show_list(found.violations, _VIOLATION, output, "")
        errors_console().print(f"{len(found.violations)} events break the rule", highlight=False)
        raise typer.Exit(1)


def moment(text: str) -> pb.Moment:
    """Reads a time or a position; nothing means now.

    Raises:
        InvalidArgument: It is neither.
    """
    if not text:
        return pb.Moment()
    if text.isdecimal():
        return pb.Moment(position=int(text))
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidArgument(
            f"{text!r} is neither a position nor a time such as 2026-11-23T12:00"
        ) from None
    found = pb.Moment()
    found.time.FromDatetime(at.astimezone(UTC))
    return found


def _kinds(of: list[Kind] | None) -> list[pb.StateKind]:
    return [_KINDS[one] for one in of or []]


def _fields(one: pb.StateEntry) -> str:
    return "  ".join(f"{name}={value}" for name, value in sorted(one.fields.items()) if value)
