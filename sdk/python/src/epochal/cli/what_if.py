"""`epochal audit what-if`: recorded decisions made again under another policy."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import epochal_proto.v1 as pb
import typer
from epochal_proto.v1.services import PromotionService

from epochal.cli.audit import app
from epochal.cli.output import (
    Column,
    Output,
    as_json,
    errors_console,
    print_json,
    show_list,
    when,
)
from epochal.cli.past import moment
from epochal.cli.session import OutputOption, ProjectOption, session
from epochal.errors import InvalidArgument

_COLUMNS: Final = [
    Column[pb.DifferingDecision]("POSITION", lambda one: str(one.position), right=True),
    Column[pb.DifferingDecision]("WHEN", lambda one: when(one.time)),
    Column[pb.DifferingDecision]("PROMOTION", lambda one: _short(one.promotion)),
    Column[pb.DifferingDecision]("WAS", lambda one: _word(one.before)),
    Column[pb.DifferingDecision]("WOULD BE", lambda one: _word(one.after), "bold"),
    Column[pb.DifferingDecision](
        "SHUT", lambda one: "; ".join(g.rule for g in one.gates if not g.passed)
    ),
]

_HOLDERS: Final = [
    Column[pb.DifferingHolder]("OF", lambda one: one.resource.rpartition("/")[2], "bold"),
    Column[pb.DifferingHolder]("PLACE", lambda one: one.stage or one.alias),
    Column[pb.DifferingHolder]("HAD IT", lambda one: one.was.rpartition("/")[2]),
    Column[pb.DifferingHolder]("WOULD", lambda one: one.would_be.rpartition("/")[2]),
]


@app.command("what-if")
def what_if(
    policy: Annotated[Path, typer.Option("--policy", help="The other policy, a YAML file.")],
    start: Annotated[str, typer.Option("--from", help="After this time or position.")] = "",
    end: Annotated[str, typer.Option("--to", help="Up to this time or position.")] = "",
    carry_on: Annotated[
        bool,
        typer.Option(
            "--carry-on", help="Decide each on what the other policy had led to before it."
        ),
    ] = False,
    org: Annotated[
        bool, typer.Option("--org", help="Of the organisation's components, not of a project.")
    ] = False,
    project: ProjectOption = "",
    output: OutputOption = Output.table,
) -> None:
    """List the promotions that another registry policy would have decided otherwise.

    Each is decided again by itself, on the facts that were recorded with it; with --carry-on one
    upon the other, and the places that another version would have at the end are shown too.

    For example:

        epochal audit what-if --policy stricter.yaml -p vision

        epochal audit what-if --policy stricter.yaml --from 2026-07-01 -o json

        epochal audit what-if --policy stricter.yaml --carry-on -p vision
    """
    try:
        text = policy.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidArgument(f"{policy} cannot be read: {error}") from None
    with session(project) as opened:
        request = pb.ReplayDecisionsRequest(
            parent=opened.org if org else opened.project,
            text=text,
            after=moment(start),
            through=moment(end),
            carry_on=carry_on,
        )
        found = opened.client.call(PromotionService.REPLAY_DECISIONS, request)
    if output is Output.json:
        print_json(as_json(found))
        return
    show_list(found.differing, _COLUMNS, output, "no decision would differ")
    if carry_on:
        show_list(found.holders, _HOLDERS, output, "every place would be where it is")
    errors_console().print(f"{found.differ} of {found.examined} would differ", highlight=False)


def _short(promotion: str) -> str:
    resource, _, number = promotion.rpartition("/promotions/")
    return f"{resource.rpartition('/')[2]}/{number}"


def _word(state: pb.PromotionState) -> str:
    return pb.PromotionState.Name(state).removeprefix("PROMOTION_STATE_").lower()
