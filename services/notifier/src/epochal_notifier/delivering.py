"""Delivering: takes intents that are due, makes one attempt each, records it as an event.

At least once: a crash between the attempt and its event repeats the attempt, with the same
idempotency key. The event comes before the intent is settled, so no attempt is forgotten.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Mapping
from typing import cast
from uuid import uuid5

import epochal_proto.v1 as pb
import structlog
from epochal_kernel.clock import Clock
from epochal_kernel.errors import DataLoss, EpochalError
from epochal_kernel.log.commands import CommandContext
from epochal_kernel.log.ledger import Ledger

from epochal_notifier.channels.message import Deliver, Message
from epochal_notifier.domain import delivery
from epochal_notifier.domain.delivery import Attempt
from epochal_notifier.registry_news import OF_MODELS
from epochal_notifier.sealing import Sealer
from epochal_notifier.store.intents import Intent, IntentStore
from epochal_notifier.store.subscriptions import SubscriptionStore

AT_ONCE = 16
LEASE_S = 90.0
POLL_S = 0.25

_log = structlog.get_logger(__name__)


class Deliverer:
    """Drains the intents."""

    def __init__(
        self,
        *,
        intents: IntentStore,
        subscriptions: SubscriptionStore,
        ledger: Ledger,
        sealer: Sealer,
        channels: Mapping[str, Deliver],
        clock: Clock,
        max_attempts: int,
        first_retry_s: float,
        public_url: str,
    ) -> None:
        self._intents = intents
        self._subscriptions = subscriptions
        self._ledger = ledger
        self._sealer = sealer
        self._channels = channels
        self._clock = clock
        self._max_attempts = max_attempts
        self._first_retry_s = first_retry_s
        self._public_url = public_url.rstrip("/")
        self._aggregate = delivery.DeliveryAggregate()

    async def run(self) -> None:
        """Deliver until cancelled."""
        while True:
            try:
                claimed = await self._intents.claim(AT_ONCE, LEASE_S)
                async with asyncio.TaskGroup() as tasks:
                    for intent in claimed:
                        tasks.create_task(self._deliver(intent))
            except EpochalError as error:
                _log.warning("deliverer.interrupted", error=error.message)
                claimed = []
            if not claimed:
                await self._clock.sleep(POLL_S)

    async def _deliver(self, intent: Intent) -> None:
        """Make one attempt; an intent that cannot be settled comes back after its lease."""
        number = intent.attempts + 1
        try:
            attempt = await self._attempt(intent)
            state = delivery.state_after(attempt, number, self._max_attempts)
            await self._record(intent, number, attempt, state)
            await self._intents.settle(
                intent.delivery_id,
                number,
                done=state != pb.DELIVERY_STATE_PENDING,
                next_in_s=delivery.pause_s(attempt, number, self._first_retry_s),
            )
        except EpochalError as error:
            _log.warning("delivery.interrupted", delivery=intent.name, error=error.message)

    async def _attempt(self, intent: Intent) -> Attempt:
        subscription = await self._subscriptions.subscription(intent.subscription)
        if subscription is None:
            return Attempt(False, True, "the subscription was deleted")
        try:
            channel = self._sealer.open(subscription.sealed_channel)
        except DataLoss as error:
            return Attempt(False, True, error.message)
        of_model = intent.occasion in OF_MODELS
        if of_model:
            data: dict[str, object] = json.loads(intent.message)
            title, creator = str(data.pop("name")), ""
            reason = ", ".join(f"{key}: {value}" for key, value in data.items() if value)
        else:
            title, creator = await self._intents.title(intent.run)
            reason = intent.message
        message = Message(
            delivery=intent.name,
            occasion=intent.occasion,
            run=intent.run,
            title=title,
            creator=creator,
            reason=reason,
            occurred_at=intent.occurred_at,
            position=intent.cause_position,
            url=f"{self._public_url}/{intent.run}" if self._public_url else "",
            data=intent.message if of_model else "",
        )
        return await self._channels[channel.WhichOneof("kind") or ""](channel, message)

    async def _record(
        self, intent: Intent, number: int, attempt: Attempt, state: pb.DeliveryState
    ) -> None:
        event = pb.DeliveryAttempted(
            delivery=intent.name,
            subscription=intent.subscription,
            occasion=cast("pb.Occasion", intent.occasion),
            run=intent.run,
            attempt=number,
            state=state,
            outcome=attempt.outcome,
            cause_position=intent.cause_position,
        )
        command_id = uuid5(intent.delivery_id, f"attempt:{number}")
        await self._ledger.execute(
            self._aggregate,
            intent.delivery_id,
            intent.name,
            lambda known: delivery.record(known, event),
            CommandContext(
                command_id=command_id,
                org_id=intent.org_id,
                actor="services/notifier",
                correlation_id=intent.correlation_id,
                # The attempt's number is the request: its outcome may differ when it is repeated.
                request_sha256=hashlib.sha256(str(command_id).encode()).digest(),
                causation_id=intent.cause_event_id,
            ),
        )
