"""The reactor: what happened to runs and models becomes intents to tell those who asked."""

from __future__ import annotations

import json
from dataclasses import replace
from uuid import uuid5

import epochal_proto.v1 as pb
from epochal_kernel.log.events import Event
from epochal_kernel.postgres import Connection

from epochal_notifier.registry_news import news, resource_of
from epochal_notifier.store.intents import Intent, add_intent
from epochal_notifier.store.subscriptions import interested, model_title, named

_STATUSES = {
    "succeeded": pb.OCCASION_RUN_SUCCEEDED,
    "failed": pb.OCCASION_RUN_FAILED,
    "upstream_failed": pb.OCCASION_RUN_FAILED,
    "stopped": pb.OCCASION_RUN_STOPPED,
    "skipped": pb.OCCASION_RUN_STOPPED,
}


class TellReactor:
    """Writes one intent for each subscription that wants to hear of an event."""

    name = "tell"

    async def react(self, transaction: Connection, event: Event) -> None:
        """Write the intents of one event; the same event gives the same delivery ids."""
        resource = resource_of(event.payload)
        if resource:
            await self._tell_of_registry(transaction, event, resource)
            return
        project = event.resource.rpartition("/runs/")[0]
        if isinstance(event.payload, pb.RunNotificationRequested):
            asked = event.payload
            occasion, message = (
                _STATUSES.get(asked.status, pb.OCCASION_RUN_SUCCEEDED),
                asked.message,
            )
            run, names = asked.run, asked.connections
            subscriptions = await named(transaction, project, names, event.position)
        else:
            run = event.resource
            occasion, message = occasion_of(event)
            if occasion == pb.OCCASION_UNSPECIFIED:
                return
            subscriptions = await interested(transaction, project, occasion, event.position)
        for subscription in subscriptions:
            intent = _intent(event, subscription, project, occasion, run, message)
            await add_intent(transaction, intent)

    async def _tell_of_registry(self, transaction: Connection, event: Event, resource: str) -> None:
        """Write what an event tells of a model, a dataset or a component; each tag is one thing.

        A component is of its organisation: the organisation's subscriptions hear of it.
        """
        title = await model_title(transaction, resource)
        owner = "/".join(resource.split("/")[:-2])
        for place, one in enumerate(news(event.payload, title)):
            data = json.dumps(one.data, ensure_ascii=False)
            for subscription in await interested(transaction, owner, one.occasion, event.position):
                told = _intent(event, subscription, owner, one.occasion, resource, data)
                identity = uuid5(event.event_id, f"{subscription}:{place}")
                await add_intent(transaction, replace(told, delivery_id=identity))


def _intent(
    event: Event, subscription: str, project: str, occasion: int, about: str, message: str
) -> Intent:
    return Intent(
        delivery_id=uuid5(event.event_id, subscription),
        project=project,
        subscription=subscription,
        occasion=occasion,
        run=about,
        org_id=event.org_id,
        cause_position=event.position,
        cause_event_id=event.event_id,
        correlation_id=event.correlation_id,
        message=message,
        occurred_at=event.recorded_at,
        attempts=0,
    )


def occasion_of(event: Event) -> tuple[pb.Occasion, str]:
    """Return what an event is an occasion for, and its message; unspecified for most events."""
    match event.payload:
        case pb.RunSucceeded():
            return pb.OCCASION_RUN_SUCCEEDED, ""
        case pb.RunFailed(infrastructure=True, message=message):
            return pb.OCCASION_RUN_CRASHED, message
        case pb.RunFailed(message=message):
            return pb.OCCASION_RUN_FAILED, message
        case pb.RunStopped(reason=reason):
            return pb.OCCASION_RUN_STOPPED, reason
        case pb.MetricAlertRaised() as raised:
            return pb.OCCASION_ALERT_RAISED, f"{_level(raised.severity)}: {raised.message}"
        case pb.MetricAlertResolved() as resolved:
            about = f"{resolved.rule} {resolved.metric}".strip()
            return pb.OCCASION_ALERT_RESOLVED, f"{about}: {resolved.message}"
        case _:
            return pb.OCCASION_UNSPECIFIED, ""


def _level(severity: pb.AlertSeverity) -> str:
    return pb.AlertSeverity.Name(severity).removeprefix("ALERT_SEVERITY_").lower()
