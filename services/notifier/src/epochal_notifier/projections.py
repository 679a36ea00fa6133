"""The notifier's read model: subscriptions, titles of runs, deliveries."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from importlib import resources

import epochal_proto.v1 as pb
from epochal_kernel.log.events import Event
from epochal_kernel.projections.model import ReadModel, event_types
from epochal_kernel.projections.rows import Rows
from epochal_kernel.projections.tables import Json, RowRef, Table


@dataclass(frozen=True, slots=True)
class SubscriptionRow:
    """A subscription; `channel` is a serialized pb.Channel without secrets."""

    name: str
    project: str
    display_name: str
    channel: bytes
    sealed_channel: bytes
    occasions: Json
    create_time: datetime
    position: int
    description: str
    paused: bool
    update_time: datetime


@dataclass(frozen=True, slots=True)
class ModelTitleRow:
    """What a message calls a model, and whether it is a prompt."""

    model: str
    display_name: str
    prompt: bool


@dataclass(frozen=True, slots=True)
class RunTitleRow:
    """What a message calls a run."""

    run: str
    display_name: str
    creator: str


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    """What the attempts of a delivery came to."""

    name: str
    project: str
    subscription: str
    occasion: int
    run: str
    state: int
    attempts: int
    last_outcome: str
    cause_position: int


SUBSCRIPTIONS = Table("subscription", SubscriptionRow, ("name",))
MODEL_TITLES = Table("model_title", ModelTitleRow, ("model",))
RUN_TITLES = Table("run_title", RunTitleRow, ("run",))
DELIVERIES = Table("delivery", DeliveryRow, ("name",))


#: What MLflow tells prompts from models by.
PROMPT_TAG = "mlflow.prompt.is_prompt"


class NotifyProjector:
    """Projects subscriptions, titles and deliveries."""

    name = "notify"
    tables = (SUBSCRIPTIONS, RUN_TITLES, MODEL_TITLES, DELIVERIES)

    def touches(self, event: Event) -> Iterable[RowRef]:
        """A subscription that is another keeps its age; a model that is renamed stays a prompt."""
        match event.payload:
            case pb.SubscriptionReplaced(name=name):
                yield SUBSCRIPTIONS.ref(name)
            case pb.ModelRenamed(model=model):
                yield MODEL_TITLES.ref(model)
            case _:
                return

    def apply(self, rows: Rows, event: Event) -> None:
        """Write what an event changes."""
        match event.payload:
            case pb.SubscriptionCreated() as created:
                rows.put(SUBSCRIPTIONS, _subscription(created, event, event.recorded_at))
            case pb.SubscriptionReplaced() as replaced:
                known = rows.get(SUBSCRIPTIONS, replaced.name)
                if known is not None:
                    rows.put(SUBSCRIPTIONS, _subscription(replaced, event, known.create_time))
            case pb.ModelRegistered() as model:
                title = model.display_name or model.name.rpartition("/")[2]
                prompt = model.tags.get(PROMPT_TAG) == "true"
                rows.put(MODEL_TITLES, ModelTitleRow(model.name, title, prompt))
            case pb.ModelRenamed() as renamed:
                titled = rows.get(MODEL_TITLES, renamed.model)
                if titled is not None:
                    rows.put(MODEL_TITLES, replace(titled, display_name=renamed.display_name))
            case pb.SubscriptionDeleted() as deleted:
                rows.delete(SUBSCRIPTIONS, deleted.name)
            case pb.RunCreated() as run:
                rows.put(RUN_TITLES, RunTitleRow(run.name, run.display_name, run.creator))
            case pb.DeliveryAttempted() as attempted:
                rows.put(
                    DELIVERIES,
                    DeliveryRow(
                        attempted.delivery,
                        attempted.delivery.rpartition("/deliveries/")[0],
                        attempted.subscription,
                        attempted.occasion,
                        attempted.run,
                        attempted.state,
                        attempted.attempt,
                        attempted.outcome,
                        attempted.cause_position,
                    ),
                )
            case _:
                return


def _subscription(
    payload: pb.SubscriptionCreated | pb.SubscriptionReplaced, event: Event, made_at: datetime
) -> SubscriptionRow:
    return SubscriptionRow(
        payload.name,
        payload.name.rpartition("/subscriptions/")[0],
        payload.display_name,
        payload.channel.SerializeToString(deterministic=True),
        payload.sealed_channel,
        Json(json.dumps(sorted(payload.occasions))),
        made_at,
        event.position,
        payload.description,
        payload.paused,
        event.recorded_at,
    )


READ_MODEL = ReadModel(
    service="notifier",
    version=3,
    ddl=resources.files("epochal_notifier").joinpath("sql/read_model.sql").read_text(),
    projectors=(NotifyProjector(),),
    # From RunSucceeded on, they are what TellReactor looks at.
    interests=event_types(
        pb.SubscriptionCreated,
        pb.SubscriptionReplaced,
        pb.SubscriptionDeleted,
        pb.ModelRenamed,
        pb.RunCreated,
        pb.DeliveryAttempted,
        pb.RunSucceeded,
        pb.RunFailed,
        pb.RunStopped,
        pb.MetricAlertRaised,
        pb.MetricAlertResolved,
        pb.RunNotificationRequested,
        pb.ModelRegistered,
        pb.ModelTagged,
        pb.ModelVersionRegistered,
        pb.ModelVersionTagged,
        pb.ModelAliasSet,
        pb.ModelAliasDeleted,
        pb.ModelVersionStageChanged,
        pb.DatasetStageSet,
        pb.ComponentStageSet,
        pb.PromotionRequested,
        pb.PromotionEvaluated,
        pb.PromotionRejected,
        pb.PromotionReviewed,
    ),
)
