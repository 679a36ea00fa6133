"""NotificationService: subscriptions and deliveries."""

from __future__ import annotations

import json
from typing import cast
from uuid import UUID, uuid5

import epochal_proto.v1 as pb
from epochal_kernel.errors import NotFound
from epochal_kernel.log.ledger import Ledger
from epochal_kernel.paging import DEFAULT_PAGE, foreign, pack, unpack
from epochal_kernel.projections.store import Progress
from epochal_kernel.rpc.context import CallContext
from google.protobuf.empty_pb2 import Empty

from epochal_notifier.domain import subscription as domain
from epochal_notifier.projections import SubscriptionRow
from epochal_notifier.sealing import Sealer, without_secrets
from epochal_notifier.store.subscriptions import DeliveryView, SubscriptionStore

_NAMESPACE = UUID("3c0d9f3a-9a29-4d0a-8f43-f1b7f4a40d55")


class Notifications:
    """Handlers of NotificationService."""

    def __init__(
        self, ledger: Ledger, store: SubscriptionStore, sealer: Sealer, progress: Progress
    ) -> None:
        self._ledger = ledger
        self._store = store
        self._sealer = sealer
        self._progress = progress
        self._aggregate = domain.SubscriptionAggregate()

    async def create_subscription(
        self, request: pb.CreateSubscriptionRequest, context: CallContext
    ) -> pb.Subscription:
        """Make a subscription; its secrets are sealed before they reach the log."""
        command = context.command(request, request.request_id)
        uid = uuid5(_NAMESPACE, str(command.command_id))
        event = pb.SubscriptionCreated(
            name=f"{request.parent}/subscriptions/{uid}",
            display_name=request.display_name,
            channel=without_secrets(request.channel),
            occasions=sorted(request.occasions),
            sealed_channel=self._sealer.seal(request.channel),
            description=request.description,
            paused=request.paused,
        )
        outcome = await self._ledger.execute(
            self._aggregate, uid, event.name, lambda state: domain.create(state, event), command
        )
        context.wrote(outcome.position)
        await self._progress.wait_for(outcome.position)
        row = await self._store.subscription(event.name)
        assert row is not None, "it was just projected"
        return subscription_message(row)

    async def get_subscription(
        self, request: pb.GetSubscriptionRequest, context: CallContext
    ) -> pb.Subscription:
        """Read a subscription, without its secrets."""
        await self._progress.wait_for(context.min_position)
        row = await self._store.subscription(request.name)
        if row is None:
            raise NotFound(f"there is no {request.name}", resource=request.name)
        return subscription_message(row)

    async def list_subscriptions(
        self, request: pb.ListSubscriptionsRequest, context: CallContext
    ) -> pb.ListSubscriptionsResponse:
        """List subscriptions by name."""
        await self._progress.wait_for(context.min_position)
        size = request.page_size or DEFAULT_PAGE
        rows = await self._store.subscriptions(request.parent, unpack(request.page_token), size + 1)
        return pb.ListSubscriptionsResponse(
            subscriptions=[subscription_message(row) for row in rows[:size]],
            next_page_token=pack(rows[size - 1].name) if len(rows) > size else "",
        )

    async def delete_subscription(
        self, request: pb.DeleteSubscriptionRequest, context: CallContext
    ) -> Empty:
        """Delete a subscription."""
        outcome = await self._ledger.execute(
            self._aggregate,
            UUID(request.name.rpartition("/")[2]),
            request.name,
            lambda state: domain.delete(state, request.name),
            context.command(request, request.request_id),
        )
        context.wrote(outcome.position)
        await self._progress.wait_for(outcome.position)
        return Empty()

    async def list_deliveries(
        self, request: pb.ListDeliveriesRequest, context: CallContext
    ) -> pb.ListDeliveriesResponse:
        """List deliveries, newest first."""
        await self._progress.wait_for(context.min_position)
        size = request.page_size or DEFAULT_PAGE
        rows = await self._store.deliveries(request.parent, _place(request.page_token), size + 1)
        return pb.ListDeliveriesResponse(
            deliveries=[_delivery(row) for row in rows[:size]],
            next_page_token=_token(rows[size - 1]) if len(rows) > size else "",
        )


def subscription_message(row: SubscriptionRow) -> pb.Subscription:
    """Return a subscription as answers show it."""
    message = pb.Subscription(
        name=row.name,
        display_name=row.display_name,
        channel=pb.Channel.FromString(row.channel),
        occasions=json.loads(row.occasions),
        description=row.description,
        paused=row.paused,
    )
    message.update_time.FromDatetime(row.update_time)
    message.create_time.FromDatetime(row.create_time)
    return message


def _delivery(row: DeliveryView) -> pb.Delivery:
    message = pb.Delivery(
        name=row.name,
        subscription=row.subscription,
        occasion=cast("pb.Occasion", row.occasion),
        run=row.run,
        state=cast("pb.DeliveryState", row.state),
        attempts=row.attempts,
        last_outcome=row.last_outcome,
    )
    message.create_time.FromDatetime(row.created_at)
    return message


def _token(row: DeliveryView) -> str:
    return pack(f"{row.cause_position}:{row.name.rpartition('/')[2]}")


def _place(token: str) -> tuple[int, UUID] | None:
    text = unpack(token)
    if not text:
        return None
    position, _, uid = text.partition(":")
    try:
        return int(position), UUID(uid)
    except ValueError:
        raise foreign() from None
