"""`epochal models promote` and what follows: approve, reject, review, go back."""

from __future__ import annotations

from typing import Annotated

import epochal_proto.v1 as pb
import typer
from epochal_proto.v1.services import PromotionService

from epochal import models
from epochal.cli.model_names import (
    AliasOption,
    ModelArgument,
    PromotionArgument,
    ReasonOption,
    StageOption,
    VersionArgument,
    model_name,
    promotion_name,
    version_name,
)
from epochal.cli.output import Output, show_list
from epochal.cli.past import AsOfOption, moment
from epochal.cli.promotion_views import COLUMNS, end_by, show_promotion
from epochal.cli.session import LimitOption, OutputOption, ProjectOption, session
from epochal.errors import InvalidArgument

app = typer.Typer()


@app.command("promote")
def promote(
    version: VersionArgument,
    stage: StageOption = "",
    alias: AliasOption = "",
    reason: ReasonOption = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what each gate would say.")
    ] = False,
    emergency: Annotated[
        bool,
        typer.Option("--emergency", help="Do not wait for gates; somebody else must review it."),
    ] = False,
    project: ProjectOption = "",
    output: OutputOption = Output.table,
) -> None:
    """Ask for a stage or an alias: the version has it at once when every gate is open.

    Exits with 1 when a gate is shut, with 3 when people must approve first.

    For example:

        epochal models promote digits/3 --stage Production --dry-run

        epochal models promote digits/3 --alias champion -m "better on the tail"

        epochal models promote digits/2 --stage Production --emergency -m "v3 answers nonsense"
    """
    if bool(stage) == bool(alias):
        raise InvalidArgument("give either --stage or --alias")
    with session(project) as opened:
        done = models.promote(
            opened.client,
            version_name(opened, version),
            stage=stage,
            alias=alias,
            reason=reason,
            dry_run=dry_run,
            emergency=emergency,
        )
    show_promotion(done, output)
    if not dry_run:
        end_by(done, "models")


@app.command("approve")
def approve(
    promotion: PromotionArgument,
    comment: Annotated[str, typer.Option("--comment", "-m", help="What you say to it.")] = "",
    project: ProjectOption = "",
    output: OutputOption = Output.table,
) -> None:
    """Say yes to a promotion of somebody else's; the last yes it needs moves the version.

    For example:

        epochal models approve digits/7 -m "checked on last week's data"
    """
    with session(project) as opened:
        done = models.approve(opened.client, promotion_name(opened, promotion), comment)
    show_promotion(done, output)


@app.command("reject")
def reject(
    promotion: PromotionArgument,
    reason: ReasonOption,
    project: ProjectOption = "",
    output: OutputOption = Output.table,
) -> None:
    """Say no to a promotion, or take your own back.

    For example:

        epochal models reject digits/7 -m "not before the audit"
    """
    with session(project) as opened:
        done = models.reject(opened.client, promotion_name(opened, promotion), reason)
    show_promotion(done, output)


@app.command("rollback")
def rollback(
    model: ModelArgument,
    reason: ReasonOption,
    stage: StageOption = "",
    alias: AliasOption = "",
    project: ProjectOption = "",
    output: OutputOption = Output.table,
) -> None:
    """Give a stage or an alias back to the version that had it before.

    For example:

        epochal models rollback digits --stage Production -m "latency doubled"
    """
    if bool(stage) == bool(alias):
        raise InvalidArgument("give either --stage or --alias")
    with session(project) as opened:
        name = model_name(opened, model)
        done = models.roll_back(opened.client, name, reason, stage=stage, alias=alias)
    show_promotion(done, output)


@app.command("promotions")
def list_promotions(
    model: Annotated[str, typer.Argument(help="Only of this model.")] = "",
    waiting: Annotated[
        bool, typer.Option("--open", help="Only those that wait for approval.")
    ] = False,
    as_of: AsOfOption = "",
    project: ProjectOption = "",
    limit: LimitOption = 50,
    output: OutputOption = Output.table,
) -> None:
    """List promotions of a project or a model, newest first.

    For example:

        epochal models promotions --open

        epochal models promotions --open --as-of 2026-03-03T14:00

        epochal models promotions digits -o json
    """
    with session(project) as opened:
        request = pb.ListPromotionsRequest(
            parent=model_name(opened, model) if model else opened.project,
            state=pb.PROMOTION_STATE_OPEN if waiting else pb.PROMOTION_STATE_UNSPECIFIED,
            as_of=moment(as_of),
        )
        found = opened.paged(
            PromotionService.LIST_PROMOTIONS, request, lambda page: page.promotions, limit
        )
        show_list(found, COLUMNS, output, "no promotions")


@app.command("promotion")
def get_promotion(
    promotion: PromotionArgument,
    as_of: AsOfOption = "",
    project: ProjectOption = "",
    output: OutputOption = Output.table,
) -> None:
    """Show a promotion with what each gate said.

    For example:

        epochal models promotion digits/7

        epochal models promotion digits/7 --as-of 2026-03-03T14:00
    """
    with session(project) as opened:
        request = pb.GetPromotionRequest(
            name=promotion_name(opened, promotion), as_of=moment(as_of)
        )
        found = opened.client.call(PromotionService.GET_PROMOTION, request)
    show_promotion(found, output)


@app.command("reviews")
def list_reviews(
    project: ProjectOption = "", limit: LimitOption = 50, output: OutputOption = Output.table
) -> None:
    """List emergencies that nobody else has looked at yet.

    For example:

        epochal models reviews -p vision
    """
    with session(project) as opened:
        request = pb.ListPromotionsRequest(parent=opened.project, review_open=True)
        found = opened.paged(
            PromotionService.LIST_PROMOTIONS, request, lambda page: page.promotions, limit
        )
        show_list(found, COLUMNS, output, "no open reviews")


@app.command("review")
def review(
    promotion: PromotionArgument,
    comment: Annotated[str, typer.Option("--comment", "-m", help="What you found.")],
    project: ProjectOption = "",
    output: OutputOption = Output.table,
) -> None:
    """Close the review of an emergency that somebody else caused.

    For example:

        epochal models review digits/9 -m "v3 did answer nonsense; its test is fixed"
    """
    with session(project) as opened:
        request = pb.ReviewPromotionRequest(name=promotion_name(opened, promotion), comment=comment)
        done = opened.client.call(PromotionService.REVIEW_PROMOTION, request)
    show_promotion(done, output)
