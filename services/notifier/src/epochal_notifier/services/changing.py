"""NotificationService: changing subscriptions, and trying them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from uuid import UUID

import epochal_proto.v1 as pb
from epochal_kernel.clock import Clock
from epochal_kernel.errors import NotFound
from epochal_kernel.log.ledger import Ledger
from epochal_kernel.projections.store import Progress
from epochal_kernel.rpc.context import CallContext

from epochal_notifier.channels.message import Deliver, Message
from epochal_notifier.domain import subscription as domain
from epochal_notifier.projections import SubscriptionRow
from epochal_notifier.registry_news import OF_MODELS, example
from epochal_notifier.sealing import Sealer, with_secret_of, without_secrets
from epochal_notifier.services.notifications import subscription_message
from epochal_notifier.store.subscriptions import SubscriptionStore


class Changing:
    """Handlers of NotificationService about subscriptions that are there."""

    def __init__(
        self,
        ledger: Ledger,
        store: SubscriptionStore,
        sealer: Sealer,
        progress: Progress,
        channels: Mapping[str, Deliver],
        clock: Clock,
    ) -> None:
        self._ledger = ledger
        self._store = store
        self._sealer = sealer
        self._progress = progress
        self._channels = channels
        self._clock = clock
        self._aggregate = domain.SubscriptionAggregate()

    async def update_subscription(
        self, request: pb.UpdateSubscriptionRequest, context: CallContext
    ) -> pb.Subscription:
        """Change a subscription; a secret that is not given stays."""
        row = await self._row(request.name, context)
        channel = self._sealer.open(row.sealed_channel)
        if request.HasField("channel"):
            channel = with_secret_of(request.channel, channel)
        event = pb.SubscriptionReplaced(
            name=request.name,
            display_name=request.display_name,
            channel=without_secrets(channel),
            occasions=sorted(request.occasions),
            sealed_channel=self._sealer.seal(channel),
            description=request.description,
            paused=request.paused,
        )
        outcome = await self._ledger.execute(
            self._aggregate,
            UUID(request.name.rpartition("/")[2]),
            request.name,
            lambda state: domain.replace(state, event),
            context.command(request, request.request_id),
        )
        context.wrote(outcome.position)
        await self._progress.wait_for(outcome.position)
        changed = await self._store.subscription(request.name)
        if changed is None:  # deleted meanwhile
            raise NotFound(f"there is no {request.name}", resource=request.name)
        return subscription_message(changed)

    async def test_subscription(
        self, request: pb.TestSubscriptionRequest, context: CallContext
    ) -> pb.TestSubscriptionResponse:
        """Make one attempt to tell of something that did not happen."""
        row = await self._row(request.name, context)
        channel = self._sealer.open(row.sealed_channel)
        occasion = request.occasion or json.loads(row.occasions)[0]
        data = json.dumps(example(occasion)) if occasion in OF_MODELS else ""
        message = Message(
            delivery=f"{row.project}/deliveries/{context.ids.uuid7()}",
            occasion=occasion,
            run=f"{row.project}/{'models' if data else 'runs'}/example",
            title="example",
            creator=context.actor,
            reason="a test of the subscription",
            occurred_at=self._clock.now(),
            position=0,
            url="",
            data=data,
        )
        attempt = await self._channels[channel.WhichOneof("kind") or ""](channel, message)
        return pb.TestSubscriptionResponse(delivered=attempt.delivered, outcome=attempt.outcome)

    async def _row(self, name: str, context: CallContext) -> SubscriptionRow:
        await self._progress.wait_for(context.min_position)
        row = await self._store.subscription(name)
        if row is None:
            raise NotFound(f"there is no {name}", resource=name)
        return row
