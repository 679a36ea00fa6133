"""Intents to deliver: written in the consumer's transaction, claimed and settled by workers."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from datetime import datetime
from uuid import UUID

from epochal_kernel.postgres import Connection, Pool, adapting, load_sql

_SQL = load_sql("epochal_notifier", "intents.sql")


@dataclass(frozen=True, slots=True)
class Intent:
    """One message to one subscription, and how often it was tried."""

    delivery_id: UUID
    project: str
    subscription: str
    occasion: int
    run: str
    org_id: str
    cause_position: int
    cause_event_id: UUID
    correlation_id: UUID
    message: str
    occurred_at: datetime
    attempts: int

    @property
    def name(self) -> str:
        """Resource name of the delivery; also its idempotency key."""
        return f"{self.project}/deliveries/{self.delivery_id}"


async def add_intent(connection: Connection, intent: Intent) -> None:
    """Write an intent, unless it is there."""
    await connection.execute(_SQL["add"], *astuple(intent)[:-1])


class IntentStore:
    """The queue of intents."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def claim(self, limit: int, lease_s: float) -> list[Intent]:
        """Take intents that are due; nobody else gets them while the lease lasts."""
        with adapting():
            rows = await self._pool.fetch(_SQL["claim"], limit, lease_s)
        return [Intent(*row) for row in rows]

    async def settle(
        self, delivery_id: UUID, attempts: int, *, done: bool, next_in_s: float
    ) -> None:
        """Note what came of an attempt."""
        with adapting():
            await self._pool.execute(_SQL["settle"], delivery_id, attempts, done, next_in_s)

    async def title(self, run: str) -> tuple[str, str]:
        """Return display name and creator of a run."""
        with adapting():
            row = await self._pool.fetchrow(_SQL["title"], run)
        return (row[0], row[1]) if row else (run.rpartition("/")[2], "")
