"""Reading subscriptions and deliveries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from epochal_kernel.postgres import Connection, Pool, adapting, load_sql

from epochal_notifier.projections import ModelTitleRow, SubscriptionRow

_SQL = load_sql("epochal_notifier", "subscriptions.sql")


@dataclass(frozen=True, slots=True)
class DeliveryView:
    """A delivery as lists show it, pending ones too."""

    name: str
    subscription: str
    occasion: int
    run: str
    state: int
    attempts: int
    last_outcome: str
    created_at: datetime
    cause_position: int


class SubscriptionStore:
    """Queries over subscriptions and deliveries."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def subscriptions(self, project: str, after: str, limit: int) -> list[SubscriptionRow]:
        """Return subscriptions of a project by name."""
        with adapting():
            rows = await self._pool.fetch(_SQL["subscriptions"], project, after, limit)
        return [SubscriptionRow(*row) for row in rows]

    async def subscription(self, name: str) -> SubscriptionRow | None:
        """Return one subscription."""
        with adapting():
            row = await self._pool.fetchrow(_SQL["subscription"], name)
        return SubscriptionRow(*row) if row else None

    async def deliveries(
        self, project: str, before: tuple[int, UUID] | None, limit: int
    ) -> list[DeliveryView]:
        """Return deliveries of a project, newest first, from a place on."""
        position, delivery = before or (None, None)
        with adapting():
            rows = await self._pool.fetch(_SQL["deliveries"], project, position, delivery, limit)
        return [DeliveryView(*row) for row in rows]


async def interested(
    connection: Connection, project: str, occasion: int, position: int
) -> list[str]:
    """Return the subscriptions, older than a position, that want to hear of an occasion.

    They are the project's, and its organisation's.
    """
    rows = await connection.fetch(_SQL["interested"], project, occasion, position)
    return [row[0] for row in rows]


async def named(
    connection: Connection, project: str, names: Sequence[str], position: int
) -> list[str]:
    """Return the subscriptions, older than a position, that have one of these names for people."""
    rows = await connection.fetch(_SQL["named"], project, list(names), position)
    return [row[0] for row in rows]


async def model_title(connection: Connection, model: str) -> ModelTitleRow:
    """Return what a message calls a model; its id, when it is not known."""
    row = await connection.fetchrow(_SQL["model_title"], model)
    return ModelTitleRow(*row) if row else ModelTitleRow(model, model.rpartition("/")[2], False)
