"""What happens to promotions and stages, as subscriptions are told of it, by any channel.

Of models, datasets and components alike. MLflow's registry webhooks have no word for these; whoever
subscribes its channel to them is told in its form, with words of ours.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import epochal_proto.v1 as pb
from google.protobuf.message import Message

#: Occasions that MLflow has no word for.
OCCASIONS: Final = frozenset(
    {
        pb.OCCASION_MODEL_STAGE_CHANGED,
        pb.OCCASION_PROMOTION_WAITING,
        pb.OCCASION_PROMOTION_REFUSED,
        pb.OCCASION_PROMOTION_COMPLETED,
        pb.OCCASION_PROMOTION_REJECTED,
        pb.OCCASION_PROMOTION_EMERGENCY,
        pb.OCCASION_PROMOTION_REVIEWED,
        pb.OCCASION_MODEL_ROLLED_BACK,
    }
)
_OUTCOMES: Final[dict[int, pb.Occasion]] = {
    pb.PROMOTION_STATE_OPEN: pb.OCCASION_PROMOTION_WAITING,
    pb.PROMOTION_STATE_REFUSED: pb.OCCASION_PROMOTION_REFUSED,
    pb.PROMOTION_STATE_COMPLETED: pb.OCCASION_PROMOTION_COMPLETED,
}
_RIGHTS: Final[dict[int, pb.Occasion]] = {
    pb.PROMOTION_KIND_EMERGENCY: pb.OCCASION_PROMOTION_EMERGENCY,
    pb.PROMOTION_KIND_ROLLBACK: pb.OCCASION_MODEL_ROLLED_BACK,
}


def resource_of_promotion(payload: Message) -> str:
    """Return what an event about a promotion or a stage is of; empty for other events."""
    match payload:
        case pb.PromotionRequested(name=name):
            return name.partition("/promotions/")[0]
        case (
            pb.PromotionEvaluated(promotion=name)
            | pb.PromotionRejected(promotion=name)
            | pb.PromotionReviewed(promotion=name)
        ):
            return name.partition("/promotions/")[0]
        case pb.ModelVersionStageChanged(name=name):
            return name.partition("/versions/")[0]
        case pb.DatasetStageSet(dataset=name) | pb.ComponentStageSet(component=name):
            return name
        case _:
            return ""


def promotion_news(payload: Message) -> Iterable[tuple[pb.Occasion, dict[str, str]]]:
    """Return what an event tells of a promotion; what is empty is left out."""
    match payload:
        case pb.PromotionRequested(kind=kind) if kind in _RIGHTS:
            yield (
                _RIGHTS[kind],
                {
                    "promotion": payload.name,
                    "version": payload.model_version.rpartition("/")[2],
                    "stage": payload.stage,
                    "alias": payload.alias,
                    "requester": payload.requester,
                    "reason": payload.reason,
                },
            )
        case pb.PromotionEvaluated(outcome=outcome) if outcome in _OUTCOMES:
            shut = "; ".join(
                f"{one.rule}: {one.reason}" for one in payload.results if not one.passed
            )
            yield (
                _OUTCOMES[outcome],
                {
                    "promotion": payload.promotion,
                    "version": payload.facts.about.rpartition("/")[2] or str(payload.facts.version),
                    "stage": payload.facts.stage,
                    "alias": payload.facts.alias,
                    "requester": payload.facts.requester,
                    "shut": shut,
                },
            )
        case pb.PromotionRejected():
            yield (
                pb.OCCASION_PROMOTION_REJECTED,
                {
                    "promotion": payload.promotion,
                    "by": payload.rejecter,
                    "reason": payload.reason,
                },
            )
        case pb.PromotionReviewed():
            yield (
                pb.OCCASION_PROMOTION_REVIEWED,
                {
                    "promotion": payload.promotion,
                    "by": payload.reviewer,
                    "comment": payload.comment,
                },
            )
        case pb.ModelVersionStageChanged():
            yield (
                pb.OCCASION_MODEL_STAGE_CHANGED,
                {
                    "version": payload.name.rpartition("/")[2],
                    "stage": payload.stage or "None",
                    "before": payload.old_stage or "None",
                },
            )
        case pb.DatasetStageSet(version=version, old_version=old):
            yield pb.OCCASION_MODEL_STAGE_CHANGED, _held(payload.stage, version, old)
        case pb.ComponentStageSet(tag=version, old_tag=old):
            yield pb.OCCASION_MODEL_STAGE_CHANGED, _held(payload.stage, version, old)
        case _:
            return


def _held(stage: str, version: str, before: str) -> dict[str, str]:
    """A stage of a dataset or a component is a pointer: who has it now, and who had it before."""
    return {"stage": stage, "version": version or "None", "version_before": before}


def example_promotion(occasion: int) -> dict[str, str]:
    """Return what a test tells."""
    data = {"name": "example", "version": "1", "stage": "Production"}
    if occasion != pb.OCCASION_MODEL_STAGE_CHANGED:
        data["promotion"] = "example/promotions/1"
    return data
