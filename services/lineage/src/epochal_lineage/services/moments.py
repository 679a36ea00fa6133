"""Moments: the position that a position, a time or neither stands for."""

from __future__ import annotations

from datetime import UTC

import epochal_proto.v1 as pb
from epochal_kernel.errors import InvalidArgument, Violation
from epochal_kernel.projections.store import Progress
from epochal_kernel.rpc.context import CallContext

from epochal_lineage.store.history import HistoryStore


class Moments:
    """Says which position a moment is, and waits until the read model has it."""

    def __init__(self, history: HistoryStore, progress: Progress) -> None:
        self._history = history
        self._progress = progress

    async def past(self, moment: pb.Moment, field: str, context: CallContext) -> int | None:
        """Return the position of a moment that is named; None for now, as far as the view is.

        Raises:
            InvalidArgument: it is a position and a time.
            Unavailable: the read model did not get there in time; retryable.
        """
        if moment.position or moment.HasField("time"):
            return await self.of(moment, field, context)
        await self._progress.wait_for(context.min_position)
        return None

    async def caught_up(self) -> None:
        """Wait until the read model has all that is recorded now, whoever wrote it.

        Raises:
            Unavailable: it did not get there in time; retryable.
        """
        await self._progress.wait_for(await self._history.head())

    async def of(self, moment: pb.Moment, field: str, context: CallContext) -> int:
        """Return the position of the last event that counts; now is what the read model has.

        Raises:
            InvalidArgument: it is a position and a time.
            Unavailable: the read model did not get there in time; retryable.
        """
        await self._progress.wait_for(context.min_position)
        if moment.position and moment.HasField("time"):
            raise InvalidArgument(
                f"{field} is a position or a time, not both",
                violations=[Violation(field, "one_of", "give position or time")],
            )
        if moment.HasField("time"):
            position = await self._history.position_at(moment.time.ToDatetime(tzinfo=UTC))
        elif moment.position > self._progress.position:
            position = min(moment.position, await self._history.head())
        else:
            position = moment.position or self._progress.position
        await self._progress.wait_for(position)
        return position
