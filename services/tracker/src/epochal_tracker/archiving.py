"""The archiver: telemetry of runs that have ended goes to the object store before it may go at all.

A producer is archived whole, as the batches that its seal is over, as soon as it is sealed: what is
joined or deleted in part later can no longer be turned into those bytes. What was never sealed is
archived when it is old enough to be deleted, under a tree of its own that the event names.

The order is: object, event, cursor; only what the cursor has passed is ever deleted. A crash
repeats a step that has the same outcome, and leaves at the worst an object that no event names.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import date, timedelta
from uuid import UUID

import epochal_proto.v1 as pb
import numpy as np
import structlog
from epochal_kernel.errors import DataLoss
from epochal_kernel.failpoints import failpoint

from epochal_tracker.columns import decode_values
from epochal_tracker.domain.archiving import ArchivePart, KeptBatch, written
from epochal_tracker.keeping import RetentionRow
from epochal_tracker.merkle import Tree
from epochal_tracker.objects import ArchiveObjects
from epochal_tracker.store.archiving import ArchiveStore, Due, Leaf
from epochal_tracker.telling import Teller

#: Bytes of batches, and batches, at which an object is full.
FULL_BYTES = 8 * 1024 * 1024
FULL_BATCHES = 8_192
#: Producers that are looked up at a time.
TOGETHER = 100
#: Producers of a project and kind that are archived before others have their turn.
MOST = 500
_LAST = 2**62
FOR_EVER = 36_500
KINDS = {pb.TELEMETRY_KIND_POINTS: "points", pb.TELEMETRY_KIND_LOGS: "logs"}

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Batches of a producer with the tree they are leaves of."""

    due: Due
    run: str
    kind: pb.TelemetryKind
    leaves: Sequence[Leaf]
    first_leaf: int
    tree: Tree
    sealed: bool


@dataclass(frozen=True, slots=True)
class _Found:
    """A batch as it is stored, and how much it holds."""

    batch: int
    payload: bytes
    points: int
    lines: int


class Archiver:
    """Archives what projects want archived."""

    def __init__(
        self,
        store: ArchiveStore,
        objects: ArchiveObjects,
        teller: Teller,
        full_bytes: int = FULL_BYTES,
        most: int = MOST,
    ) -> None:
        self._store = store
        self._objects = objects
        self._teller = teller
        self._full_bytes = full_bytes
        self._most = most

    async def archive(self, retention: RetentionRow, today: date) -> bool:
        """Archive what is due of a project; return whether there is more.

        Raises:
            EpochalError: some may be archived; calling again is safe.
        """
        more = False
        if retention.archives_points:
            days = [d for d in (retention.metrics_days, retention.system_metrics_days) if d] or [
                FOR_EVER
            ]
            before = today - timedelta(days=min(days))
            more |= await self._kind(retention.project, pb.TELEMETRY_KIND_POINTS, before)
        if retention.logs_archived:
            before = today - timedelta(days=retention.logs_days)
            more |= await self._kind(retention.project, pb.TELEMETRY_KIND_LOGS, before)
        return more

    async def forget_purged(self) -> None:
        """Tell that the archives of purged runs are gone; the bytes go with all dead objects.

        Raises:
            EpochalError: some may be told; calling again is safe.
        """
        for project, run_id, digests in await self._store.purged(TOGETHER):
            run = f"{project}/runs/{run_id}"
            event = pb.ArchiveDeleted(run=run, digests=digests, reason="the run was purged")
            key = f"archive/{run_id}/purged/{digests[0].hex()}/{len(digests)}"
            await self._teller.tell(key, run_id, run, [event])

    async def _kind(self, project: str, kind: pb.TelemetryKind, before: date) -> bool:
        refused: set[tuple[UUID, UUID]] = set()
        done = 0
        while done < self._most:
            together = min(TOGETHER, self._most - done)
            found = await self._store.due(project, kind, before, together + len(refused))
            fresh = [one for one in found if (one.run_id, one.producer) not in refused]
            for one in fresh:
                if await self._producer(project, kind, one):
                    done += 1
                else:  # it must not keep the others out, now or at the next call
                    refused.add((one.run_id, one.producer))
            if len(fresh) < together:
                return False
        return True

    async def _producer(self, project: str, kind: pb.TelemetryKind, due: Due) -> bool:
        """Archive a producer; False when its hashes are not those that were sealed."""
        run = f"{project}/runs/{due.run_id}"
        through = due.through
        sealed = due.sealed_batch or 0
        if sealed > through:
            every = await self._store.leaves(due.run_id, due.producer, 0, sealed)
            tree = Tree([one.sha256 for one in every])
            if due.sealed_root is not None and tree.root != due.sealed_root:
                _log.error(
                    "archiver.hashes_altered",
                    run=run,
                    producer=str(due.producer),
                    kept="what its seal is over cannot be proved: nothing of it is archived or "
                    "deleted",
                )
                return False
            await self._stretch(
                _Stretch(due, run, kind, every[through:], through, tree, sealed=True)
            )
            through = sealed
        if due.expired:
            rest = await self._store.leaves(due.run_id, due.producer, through, _LAST)
            if rest:
                tree = Tree([one.sha256 for one in rest])
                await self._stretch(_Stretch(due, run, kind, rest, 0, tree, sealed=False))
        return True

    async def _stretch(self, stretch: _Stretch) -> None:
        """Archive a stretch in objects of bounded size."""
        kept: list[KeptBatch] = []
        size = points = lines = 0
        first = stretch.first_leaf
        async with aclosing(self._merged(stretch)) as merged:
            async for leaf, found in merged:
                kept.append(KeptBatch(leaf.batch, leaf.sha256, found.payload if found else None))
                if found is not None:
                    size += len(found.payload)
                    points += found.points
                    lines += found.lines
                if size >= self._full_bytes or len(kept) >= FULL_BATCHES:
                    await self._part(stretch, first, kept, points, lines)
                    first += len(kept)
                    kept, size, points, lines = [], 0, 0, 0
        if kept:
            await self._part(stretch, first, kept, points, lines)

    async def _merged(self, stretch: _Stretch) -> AsyncGenerator[tuple[Leaf, _Found | None]]:
        """Yield each batch that came with what is stored of it.

        Raises:
            DataLoss: rows are stored of a batch that is not known to have come.
        """
        due = stretch.due
        after, through = stretch.leaves[0].batch - 1, stretch.leaves[-1].batch
        hashes = {leaf.batch: leaf.sha256 for leaf in stretch.leaves}
        stored = (
            self._points(due, after, through, hashes)
            if stretch.kind == pb.TELEMETRY_KIND_POINTS
            else self._lines(due, after, through)
        )
        async with aclosing(stored):
            waiting = await anext(stored, None)
            for leaf in stretch.leaves:
                if waiting is not None and waiting.batch == leaf.batch:
                    yield leaf, waiting
                    waiting = await anext(stored, None)
                else:
                    yield leaf, None
        if waiting is not None:
            raise DataLoss(
                f"{stretch.run} has rows of batch {waiting.batch} of producer {due.producer}, "
                "which never came: they are neither archived nor deleted"
            )

    async def _points(
        self, due: Due, after: int, through: int, hashes: Mapping[int, bytes]
    ) -> AsyncGenerator[_Found]:
        stored = self._store.points(due.run_id, due.producer, after, through)
        async with aclosing(stored):
            async for one in stored:
                payload = as_it_came(one.columns, hashes.get(one.batch, b""))
                points = sum(column.points for column in one.columns)
                yield _Found(one.batch, payload, points, 0)

    async def _lines(self, due: Due, after: int, through: int) -> AsyncGenerator[_Found]:
        stored = self._store.lines(due.run_id, due.producer, after, through)
        async with aclosing(stored):
            async for one in stored:
                yield _Found(one.batch, one.lines.SerializeToString(), 0, one.lines.lines)

    async def _part(
        self, stretch: _Stretch, first: int, kept: list[KeptBatch], points: int, lines: int
    ) -> None:
        due, last = stretch.due, kept[-1].batch
        if any(one.payload is not None for one in kept):
            part = ArchivePart(
                run=stretch.run,
                producer=str(due.producer),
                kind=KINDS[stretch.kind],
                sealed=stretch.sealed,
                tree_size=stretch.tree.size,
                root=stretch.tree.root,
                first_leaf=first,
                proof=stretch.tree.range_proof(first, first + len(kept)),
                batches=kept,
            )
            data = written(part)
            digest = await self._objects.put(data)
            failpoint("archive.after_put")
            event = pb.TelemetryArchived(
                run=stretch.run,
                producer=str(due.producer),
                kind=stretch.kind,
                sha256=digest,
                size_bytes=len(data),
                first_batch=kept[0].batch,
                last_batch=last,
                points=points,
                log_lines=lines,
                sealed=stretch.sealed,
                tree_size=stretch.tree.size,
                merkle_root=stretch.tree.root,
                altered=sum(one.altered for one in kept),
            )
            key = f"archive/{due.run_id}/{digest.hex()}"
            await self._teller.tell(key, due.run_id, stretch.run, [event])
            failpoint("archive.after_event")
        await self._store.advance(due.run_id, due.producer, stretch.kind, last)
        failpoint("archive.after_cursor")


def as_it_came(columns: Sequence[pb.PointColumn], sha256: bytes) -> bytes:
    """Return columns as the payload that has a sha256, if they are those that came by it.

    How many values are odd is not stored: there were none, mostly; else they are counted; and a
    producer need not have counted. What fits in none of these ways is returned with them counted.
    """
    for column in columns:
        column.odd = 0
    payload = pb.PointColumns(columns=columns).SerializeToString()
    if hashlib.sha256(payload).digest() == sha256:
        return payload
    for column in columns:
        column.ClearField("odd")
    payload = pb.PointColumns(columns=columns).SerializeToString()
    if hashlib.sha256(payload).digest() == sha256:
        return payload
    for column in columns:
        try:
            values = decode_values(column.points, column.values, column.last)
        except DataLoss:
            continue  # what does not decode is archived as it is
        column.odd = int(np.count_nonzero(~np.isfinite(values)))
    return pb.PointColumns(columns=columns).SerializeToString()
