"""The notifier's read model: subscriptions, titles of runs, deliveries."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
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
RUN_TITLES = Table("run_title", RunTitleRow, ("run",))
DELIVERIES = Table("delivery", DeliveryRow, ("name",))


class NotifyProjector:
    """Projects subscriptions, titles and deliveries."""

    name = "notify"
    tables = (SUBSCRIPTIONS, RUN_TITLES, DELIVERIES)

    def touches(self, event: Event) -> Iterable[RowRef]:
        """Every row is written whole; nothing is read."""
        return ()

    def apply(self, rows: Rows, event: Event) -> None:
        """Write what an event changes."""
        match event.payload:
            case pb.SubscriptionCreated() as created:
                rows.put(
                    SUBSCRIPTIONS,
                    SubscriptionRow(
                        created.name,
                        created.name.rpartition("/subscriptions/")[0],
                        created.display_name,
                        created.channel.SerializeToString(deterministic=True),
                        created.sealed_channel,
                        Json(json.dumps(sorted(created.occasions))),
                        event.recorded_at,
                        event.position,
                    ),
                )
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


READ_MODEL = ReadModel(
    service="notifier",
    version=1,
    ddl=resources.files("epochal_notifier").joinpath("sql/read_model.sql").read_text(),
    projectors=(NotifyProjector(),),
    # The last three are what TellReactor looks at.
    interests=event_types(
        pb.SubscriptionCreated,
        pb.SubscriptionDeleted,
        pb.RunCreated,
        pb.DeliveryAttempted,
        pb.RunSucceeded,
        pb.RunFailed,
        pb.RunStopped,
        pb.MetricAlertRaised,
        pb.MetricAlertResolved,
        pb.RunNotificationRequested,
    ),
)
