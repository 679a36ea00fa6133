"""Bringing archived telemetry back: every object is checked before any row is touched.

The rows are those that were archived, so what reads series and output reads them as before. Then
retention leaves them until the day that the event names, and deletes them without archiving again.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import cast
from uuid import UUID

import epochal_proto.v1 as pb
from epochal_kernel.clock import Clock
from epochal_kernel.errors import DataLoss
from epochal_kernel.failpoints import failpoint

from epochal_tracker.archive_rows import ArchiveRow
from epochal_tracker.archiving import KINDS
from epochal_tracker.domain.archiving import ArchivePart, read
from epochal_tracker.objects import ArchiveObjects
from epochal_tracker.parsing import Parsed, parse
from epochal_tracker.store.archiving import ArchiveStore


@dataclass(slots=True)
class Restored:
    """How far a restoration is."""

    objects: int
    checked: int = 0
    restored: int = 0
    points: int = 0
    log_lines: int = 0
    days: set[date] = field(default_factory=set)


class Restorer:
    """Puts telemetry back."""

    def __init__(self, store: ArchiveStore, objects: ArchiveObjects, clock: Clock) -> None:
        self._store = store
        self._objects = objects
        self._clock = clock

    async def check(self, rows: Sequence[ArchiveRow]) -> AsyncIterator[Restored]:
        """Read every object and make ready for its rows; yields after each.

        Raises:
            DataLoss: an object is not as it was archived; names it, and the batch.
            Unavailable: the store does not answer.
        """
        state = Restored(len(rows))
        today = self._clock.now().date()
        for row in rows:
            part = await self.part(row)
            for one in _parsed(part, row.kind, today):
                state.days |= {chunk.day for chunk in one.chunks}
            state.checked += 1
            yield state

    async def restore(
        self, run_id: UUID, rows: Sequence[ArchiveRow], checked: Restored
    ) -> AsyncIterator[Restored]:
        """Put the telemetry of objects back, all or nothing; yields after each.

        Raises:
            FailedPrecondition: somebody else is at it.
            DataLoss, Unavailable: nothing is changed.
        """
        today = self._clock.now().date()
        await self._store.ensure_days(sorted(checked.days))
        through: dict[tuple[int, UUID], int] = {}
        async with self._store.restoring(run_id) as restoring:
            for row in rows:
                key = (row.kind, row.producer)
                through[key] = max(through.get(key, 0), row.last_batch)
            for (kind, producer), last in through.items():
                await restoring.clear(kind, producer, last)
            done = dict.fromkeys(through, 0)
            for row in sorted(rows, key=lambda one: (one.kind, one.producer, one.first_batch)):
                key = (row.kind, row.producer)
                # After a crash an unsealed stretch may have been archived twice, in part.
                parsed = [
                    one
                    for one in _parsed(await self.part(row), row.kind, today)
                    if one.batch.batch > done[key]
                ]
                done[key] = max(done[key], row.last_batch)
                await restoring.put(
                    [one.batch for one in parsed],
                    [chunk for one in parsed for chunk in one.chunks],
                    [one.log for one in parsed if one.log is not None],
                )
                checked.restored += 1
                checked.points += sum(one.batch.points for one in parsed)
                checked.log_lines += sum(one.batch.lines for one in parsed)
                yield checked
            await restoring.finish()
            failpoint("restore.before_commit")

    async def part(self, row: ArchiveRow) -> ArchivePart:
        """Return what an object holds, held against what the log says of it.

        Raises:
            DataLoss: it is not as it was archived.
            Unavailable: the store does not answer.
        """
        try:
            data = await self._objects.get(row.sha256)
            part = read(data)  # names the batch, if it is in one
            if hashlib.sha256(data).digest() != row.sha256:
                raise DataLoss("its bytes are not those that were stored")
        except DataLoss as error:
            raise DataLoss(f"archive object {row.sha256.hex()}: {error.message}") from error
        said = (part.producer, part.kind, part.tree_size, part.root)
        kind = KINDS[cast("pb.TelemetryKind", row.kind)]
        if said != (str(row.producer), kind, row.tree_size, row.merkle_root):
            raise DataLoss(f"archive object {row.sha256.hex()} is not what its event says")
        return part


def until(now: datetime, days: int) -> date:
    """Return the last day on which retention leaves what is restored now."""
    return date.fromordinal(now.date().toordinal() + days)


def _parsed(part: ArchivePart, kind: int, today: date) -> list[Parsed]:
    """Return the batches that a part holds as the sink would store them.

    Raises:
        DataLoss: the sink would not store one.
    """
    found: list[Parsed] = []
    for one in part.batches:
        if one.payload is None:
            continue
        message = pb.TelemetryBatch(
            run=part.run,
            producer=part.producer,
            batch=one.batch,
            kind=cast("pb.TelemetryKind", kind),
            payload=one.payload,
        )
        parsed = parse(message.SerializeToString(), today)
        if parsed is None or parsed.refusal is not None:
            raise DataLoss(f"batch {one.batch} of producer {part.producer} cannot be stored")
        # What came is remembered by its own hash, be it altered since.
        found.append(replace(parsed, batch=replace(parsed.batch, sha256=one.leaf)))
    return found
