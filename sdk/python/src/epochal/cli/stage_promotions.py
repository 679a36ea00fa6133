"""`epochal datasets|components promote` and what follows, in the words of models.

Both are made by one factory: what differs is how a version is called, and where it belongs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Final

import epochal_proto.v1 as pb
import typer
from epochal_proto.v1.services import PromotionService, StageService

from epochal import models
from epochal.cli.model_names import ReasonOption
from epochal.cli.output import Column, Output, show_list, when
from epochal.cli.past import AsOfOption, moment
from epochal.cli.promotion_views import COLUMNS, end_by, show_promotion
from epochal.cli.references import component_name
from epochal.cli.session import LimitOption, OutputOption, ProjectOption, Session, session
from epochal.errors import InvalidArgument

VersionArgument = Annotated[
    str, typer.Argument(help="DATASET@VERSION or COMPONENT:TAG, or the full name.")
]
ResourceArgument = Annotated[str, typer.Argument(help="Its id or full name.")]
PromotionArgument = Annotated[str, typer.Argument(help="NAME/NUMBER, or the full name.")]
StageOption = Annotated[str, typer.Option("--stage", help="Such as Production.")]
CommentOption = Annotated[str, typer.Option("--comment", "-m", help="What you say to it.")]

_STAGES: Final = [
    Column[pb.HeldStage]("STAGE", lambda one: one.stage, "bold"),
    Column[pb.HeldStage]("VERSION", lambda one: one.version.rpartition("/")[2]),
    Column[pb.HeldStage]("BY", lambda one: one.author),
    Column[pb.HeldStage]("REASON", lambda one: one.reason),
    Column[pb.HeldStage]("PROMOTION", lambda one: one.promotion.rpartition("/")[2]),
    Column[pb.HeldStage]("SINCE", lambda one: when(one.update_time)),
]


@dataclass(frozen=True, slots=True)
class Kind:
    """What the commands are about.

    Attributes:
        word: The command: "datasets".
        version: An example of a version, as people write it.
        name: An example of what has versions.
        of_version: Full name of a version.
        of_resource: Full name of what has versions.
        owner: Where promotions of all of them are listed.
    """

    word: str
    version: str
    name: str
    of_version: Callable[[Session, str], str]
    of_resource: Callable[[Session, str], str]
    owner: Callable[[Session], str]

    def promotion(self, opened: Session, text: str) -> str:
        """The full name of a promotion given as NAME/NUMBER or in full.

        Raises:
            InvalidArgument: It is neither.
        """
        if "/promotions/" in text:
            return text
        name, slash, number = text.rpartition("/")
        if not slash or not number.isdecimal():
            raise InvalidArgument(f"{text!r} is no promotion: write NAME/NUMBER, as {self.name}/7")
        return f"{self.of_resource(opened, name)}/promotions/{number}"


def dataset_name(opened: Session, text: str) -> str:
    """The full name of a dataset given by its id or in full."""
    return text if "/" in text else f"{opened.project}/datasets/{text}"


def dataset_version_name(opened: Session, text: str) -> str:
    """The full name of a version given as DATASET@VERSION or in full.

    Raises:
        InvalidArgument: It is neither.
    """
    if "/" in text:
        return text
    dataset, _, version = text.partition("@")
    if not version:
        raise InvalidArgument(f"{text!r} names no version: write DATASET@VERSION")
    return f"{opened.project}/datasets/{dataset}/versions/{version}"


def _component_version(opened: Session, text: str) -> str:
    full = component_name(opened.org, text)
    if "/versions/" not in full:
        raise InvalidArgument(f"{text!r} names no version: write NAME:TAG")
    return full


DATASETS: Final = Kind(
    "datasets",
    "digits@4f1c2a9be001",
    "digits",
    dataset_version_name,
    dataset_name,
    lambda opened: opened.project,
)
COMPONENTS: Final = Kind(
    "components",
    "train:v2",
    "train",
    _component_version,
    lambda opened, text: component_name(opened.org, text),
    lambda opened: opened.org,
)


def commands(kind: Kind) -> typer.Typer:
    """Makes the commands about promotions of one kind."""
    app = typer.Typer()
    _ask(app, kind)
    _answer(app, kind)
    _read(app, kind)
    return app


def _examples(says: str, *lines: str) -> str:
    return "\n\n".join([says, "For example:", *(f"    epochal {line}" for line in lines)])


def _ask(app: typer.Typer, kind: Kind) -> None:
    @app.command(
        "promote",
        help=_examples(
            "Ask for a stage: the version has it at once when every gate is open.\n\n"
            "Exits with 1 when a gate is shut, with 3 when people must approve first.",
            f"{kind.word} promote {kind.version} --stage Production --dry-run",
            f'{kind.word} promote {kind.version} --stage Production -m "checked"',
            f'{kind.word} promote {kind.version} --stage Production --emergency -m "it burns"',
        ),
    )
    def promote(
        version: VersionArgument,
        stage: StageOption,
        reason: ReasonOption = "",
        dry_run: Annotated[
            bool, typer.Option("--dry-run", help="Only show what each gate would say.")
        ] = False,
        emergency: Annotated[
            bool,
            typer.Option(
                "--emergency", help="Do not wait for gates; somebody else must review it."
            ),
        ] = False,
        project: ProjectOption = "",
        output: OutputOption = Output.table,
    ) -> None:
        with session(project) as opened:
            done = models.promote(
                opened.client,
                kind.of_version(opened, version),
                stage=stage,
                reason=reason,
                dry_run=dry_run,
                emergency=emergency,
            )
        show_promotion(done, output)
        if not dry_run:
            end_by(done, kind.word)

    @app.command(
        "rollback",
        help=_examples(
            "Give a stage back to the version that had it before.",
            f'{kind.word} rollback {kind.name} --stage Production -m "worse than before"',
        ),
    )
    def rollback(
        name: ResourceArgument,
        stage: StageOption,
        reason: ReasonOption,
        project: ProjectOption = "",
        output: OutputOption = Output.table,
    ) -> None:
        with session(project) as opened:
            done = models.roll_back(
                opened.client, kind.of_resource(opened, name), reason, stage=stage
            )
        show_promotion(done, output)


def _answer(app: typer.Typer, kind: Kind) -> None:
    @app.command(
        "approve",
        help=_examples(
            "Say yes to a promotion of somebody else's; the last yes it needs moves the version.",
            f'{kind.word} approve {kind.name}/7 -m "looked at a sample"',
        ),
    )
    def approve(
        promotion: PromotionArgument,
        comment: CommentOption = "",
        project: ProjectOption = "",
        output: OutputOption = Output.table,
    ) -> None:
        with session(project) as opened:
            done = models.approve(opened.client, kind.promotion(opened, promotion), comment)
        show_promotion(done, output)

    @app.command(
        "reject",
        help=_examples(
            "Say no to a promotion, or take your own back.",
            f'{kind.word} reject {kind.name}/7 -m "not before the audit"',
        ),
    )
    def reject(
        promotion: PromotionArgument,
        reason: ReasonOption,
        project: ProjectOption = "",
        output: OutputOption = Output.table,
    ) -> None:
        with session(project) as opened:
            done = models.reject(opened.client, kind.promotion(opened, promotion), reason)
        show_promotion(done, output)

    @app.command(
        "review",
        help=_examples(
            "Close the review of an emergency that somebody else caused.",
            f'{kind.word} review {kind.name}/9 -m "it did burn"',
        ),
    )
    def review(
        promotion: PromotionArgument,
        comment: CommentOption,
        project: ProjectOption = "",
        output: OutputOption = Output.table,
    ) -> None:
        with session(project) as opened:
            request = pb.ReviewPromotionRequest(
                name=kind.promotion(opened, promotion), comment=comment
            )
            done = opened.client.call(PromotionService.REVIEW_PROMOTION, request)
        show_promotion(done, output)


def _read(app: typer.Typer, kind: Kind) -> None:
    @app.command(
        "promotions",
        help=_examples(
            "List promotions of all of them or of one, newest first.",
            f"{kind.word} promotions --open",
            f"{kind.word} promotions {kind.name} --as-of 2026-03-03T14:00 -o json",
        ),
    )
    def list_promotions(
        name: Annotated[str, typer.Argument(help="Only of this one.")] = "",
        waiting: Annotated[
            bool, typer.Option("--open", help="Only those that wait for approval.")
        ] = False,
        reviews: Annotated[
            bool, typer.Option("--reviews", help="Only emergencies that nobody looked at yet.")
        ] = False,
        as_of: AsOfOption = "",
        project: ProjectOption = "",
        limit: LimitOption = 50,
        output: OutputOption = Output.table,
    ) -> None:
        with session(project) as opened:
            request = pb.ListPromotionsRequest(
                parent=kind.of_resource(opened, name) if name else kind.owner(opened),
                state=pb.PROMOTION_STATE_OPEN if waiting else pb.PROMOTION_STATE_UNSPECIFIED,
                review_open=reviews,
                as_of=moment(as_of),
            )
            found = opened.paged(
                PromotionService.LIST_PROMOTIONS,
                request,
                lambda page: [one for one in page.promotions if f"/{kind.word}/" in one.name],
                limit,
            )
            show_list(found, COLUMNS, output, "no promotions")

    @app.command(
        "promotion",
        help=_examples(
            "Show a promotion with what each gate said.",
            f"{kind.word} promotion {kind.name}/7",
            f"{kind.word} promotion {kind.name}/7 --as-of 2026-03-03T14:00",
        ),
    )
    def get_promotion(
        promotion: PromotionArgument,
        as_of: AsOfOption = "",
        project: ProjectOption = "",
        output: OutputOption = Output.table,
    ) -> None:
        with session(project) as opened:
            request = pb.GetPromotionRequest(
                name=kind.promotion(opened, promotion), as_of=moment(as_of)
            )
            found = opened.client.call(PromotionService.GET_PROMOTION, request)
        show_promotion(found, output)

    @app.command(
        "stages",
        help=_examples(
            "List the stages with the versions that have them.",
            f"{kind.word} stages {kind.name} -o json",
            f"{kind.word} stages {kind.name} --as-of 2026-03-03T14:00",
        ),
    )
    def stages(
        name: ResourceArgument,
        as_of: AsOfOption = "",
        project: ProjectOption = "",
        output: OutputOption = Output.table,
    ) -> None:
        with session(project) as opened:
            request = pb.ListHeldStagesRequest(
                parent=kind.of_resource(opened, name), as_of=moment(as_of)
            )
            found = opened.paged(StageService.LIST_HELD_STAGES, request, lambda page: page.stages)
            show_list(found, _STAGES, output, f"{name} has no stages")
