"""What subscriptions are told of promotions: one thing an event, with words for every occasion."""

from __future__ import annotations

import epochal_proto.v1 as pb
import pytest
from epochal_notifier.channels.message import _WORDS
from epochal_notifier.projections import ModelTitleRow
from epochal_notifier.promotion_news import OCCASIONS
from epochal_notifier.registry_news import OF_MODELS, example, model_of, news
from google.protobuf.message import Message

MODEL = "orgs/acme/projects/vision/models/digits"
WISH = f"{MODEL}/promotions/7"
TITLE = ModelTitleRow(MODEL, "Digits", False)
GATES = [
    pb.GateResult(rule="metrics.acc >= 0.9", reason="0.8 >= 0.9"),
    pb.GateResult(rule="from Staging", passed=True, reason="it is in Staging"),
]


def evaluated(outcome: pb.PromotionState) -> pb.PromotionEvaluated:
    facts = pb.GateFacts(stage="Production", version=3, requester="users/rob")
    return pb.PromotionEvaluated(promotion=WISH, outcome=outcome, facts=facts, results=GATES)


CASES: list[tuple[Message, pb.Occasion, dict[str, str]]] = [
    (
        evaluated(pb.PROMOTION_STATE_REFUSED),
        pb.OCCASION_PROMOTION_REFUSED,
        {"version": "3", "stage": "Production", "shut": "metrics.acc >= 0.9: 0.8 >= 0.9"},
    ),
    (evaluated(pb.PROMOTION_STATE_OPEN), pb.OCCASION_PROMOTION_WAITING, {"requester": "users/rob"}),
    (evaluated(pb.PROMOTION_STATE_COMPLETED), pb.OCCASION_PROMOTION_COMPLETED, {"version": "3"}),
    (
        pb.PromotionRequested(
            name=WISH,
            model_version=f"{MODEL}/versions/3",
            alias="champion",
            kind=pb.PROMOTION_KIND_EMERGENCY,
            reason="fire",
        ),
        pb.OCCASION_PROMOTION_EMERGENCY,
        {"alias": "champion", "reason": "fire"},
    ),
    (
        pb.PromotionRequested(
            name=WISH, model_version=f"{MODEL}/versions/2", kind=pb.PROMOTION_KIND_ROLLBACK
        ),
        pb.OCCASION_MODEL_ROLLED_BACK,
        {"version": "2"},
    ),
    (
        pb.PromotionRejected(promotion=WISH, rejecter="users/bea", reason="no"),
        pb.OCCASION_PROMOTION_REJECTED,
        {"by": "users/bea", "reason": "no"},
    ),
    (
        pb.PromotionReviewed(promotion=WISH, reviewer="users/bea", comment="fine"),
        pb.OCCASION_PROMOTION_REVIEWED,
        {"by": "users/bea", "comment": "fine"},
    ),
    (
        pb.ModelVersionStageChanged(name=f"{MODEL}/versions/3", stage="Production"),
        pb.OCCASION_MODEL_STAGE_CHANGED,
        {"version": "3", "stage": "Production", "before": "None"},
    ),
]


@pytest.mark.parametrize(("event", "occasion", "told"), CASES)
def test_an_event_is_told_once_with_what_matters(
    event: Message, occasion: pb.Occasion, told: dict[str, str]
) -> None:
    assert model_of(event) == MODEL
    (one,) = news(event, TITLE)
    assert one.occasion == occasion
    assert one.data["name"] == "Digits"
    assert told.items() <= one.data.items()
    assert all(one.data.values()), "what is empty is not told"


def test_an_ordinary_wish_is_told_by_what_its_gates_say() -> None:
    wish = pb.PromotionRequested(name=WISH, kind=pb.PROMOTION_KIND_GATED)
    assert list(news(wish, TITLE)) == []


def test_every_occasion_of_models_has_words_and_an_example() -> None:
    assert {case[1] for case in CASES} == OCCASIONS
    for occasion in OF_MODELS:
        assert _WORDS[occasion]  # type: ignore[index]  # an enum is an int at run time
        assert example(occasion)["name"] == "example"
