"""What subscriptions are told of promotions: one thing an event, with words for every occasion."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import epochal_proto.v1 as pb
import pytest
from epochal_notifier.channels.message import _WORDS
from epochal_notifier.channels.message import Message as ChannelMessage
from epochal_notifier.channels.mlflow import body_of
from epochal_notifier.projections import ModelTitleRow
from epochal_notifier.promotion_news import OCCASIONS
from epochal_notifier.registry_news import OF_MODELS, example, news, resource_of
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
    assert resource_of(event) == MODEL
    (one,) = news(event, TITLE)
    assert one.occasion == occasion
    assert one.data["name"] == "Digits"
    assert told.items() <= one.data.items()
    assert all(one.data.values()), "what is empty is not told"


COMPONENT, DATASET = "orgs/acme/components/train", "orgs/acme/projects/vision/datasets/digits"


@pytest.mark.parametrize(
    ("event", "resource", "occasion", "told"),
    [
        (
            pb.ComponentStageSet(component=COMPONENT, stage="Production", tag="v2", old_tag="v1"),
            COMPONENT,
            pb.OCCASION_MODEL_STAGE_CHANGED,
            {"stage": "Production", "version": "v2", "version_before": "v1"},
        ),
        (
            pb.DatasetStageSet(dataset=DATASET, stage="Production", old_version="4f1c"),
            DATASET,
            pb.OCCASION_MODEL_STAGE_CHANGED,
            {"version": "None", "version_before": "4f1c"},
        ),
        (
            pb.PromotionEvaluated(
                promotion=f"{DATASET}/promotions/2",
                outcome=pb.PROMOTION_STATE_OPEN,
                facts=pb.GateFacts(stage="Production", about=f"{DATASET}/versions/4f1c"),
            ),
            DATASET,
            pb.OCCASION_PROMOTION_WAITING,
            {"version": "4f1c", "promotion": f"{DATASET}/promotions/2"},
        ),
    ],
)
def test_datasets_and_components_are_told_of_in_the_same_words(
    event: Message, resource: str, occasion: pb.Occasion, told: dict[str, str]
) -> None:
    assert resource_of(event) == resource
    (one,) = news(event, ModelTitleRow(resource, resource.rpartition("/")[2], False))
    assert (one.occasion, told.items() <= one.data.items()) == (occasion, True)
    message = message_of(resource, occasion, one.data)
    noun = "Component" if resource == COMPONENT else "Dataset"
    assert message.headline.startswith(f"{noun} {resource.rpartition('/')[2]} has a")
    assert message.project == resource.rpartition("/")[0].rpartition("/")[0]


def message_of(resource: str, occasion: int, data: object) -> ChannelMessage:
    return ChannelMessage(
        delivery=f"{resource}/deliveries/1",
        occasion=occasion,
        run=resource,
        title=resource.rpartition("/")[2],
        creator="",
        reason="",
        occurred_at=datetime(2026, 11, 29, tzinfo=UTC),
        position=1,
        url="",
        data=json.dumps(data),
    )


@pytest.mark.parametrize(
    ("resource", "occasion", "entity", "action"),
    [
        (MODEL, pb.OCCASION_MODEL_ALIAS_SET, "model_version_alias", "created"),
        (MODEL, pb.OCCASION_MODEL_STAGE_CHANGED, "model_stage", "changed"),
        (MODEL, pb.OCCASION_PROMOTION_WAITING, "promotion", "waiting"),
        (COMPONENT, pb.OCCASION_MODEL_STAGE_CHANGED, "component_stage", "changed"),
        (DATASET, pb.OCCASION_MODEL_ROLLED_BACK, "dataset", "rolled_back"),
    ],
)
def test_mlflows_webhooks_tell_of_promotions_in_their_form(
    resource: str, occasion: pb.Occasion, entity: str, action: str
) -> None:
    body = json.loads(body_of(message_of(resource, occasion, {"name": "digits"})))
    assert (body["entity"], body["action"]) == (entity, action)
    assert body["data"] == {"name": "digits"}


def test_an_ordinary_wish_is_told_by_what_its_gates_say() -> None:
    wish = pb.PromotionRequested(name=WISH, kind=pb.PROMOTION_KIND_GATED)
    assert list(news(wish, TITLE)) == []


def test_every_occasion_of_models_has_words_and_an_example() -> None:
    assert {case[1] for case in CASES} == OCCASIONS
    for occasion in OF_MODELS:
        assert _WORDS[occasion]  # type: ignore[index]  # an enum is an int at run time
        assert example(occasion)["name"] == "example"
