"""The archiver of the log: what is sealed goes to a place outside, from which it can be restored.

Segments first, then the checkpoint that covers them, then the manifest; how far the place is, is
remembered last. A crash writes the same bytes again. Nothing is taken from the database: the log is
append-only, and its triggers refuse whoever tries.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

import structlog
from epochal_kernel.clock import Clock
from epochal_kernel.errors import DataLoss, EpochalError, FailedPrecondition
from epochal_kernel.failpoints import failpoint
from epochal_kernel.ids import Position
from epochal_kernel.log.chain import GENESIS
from epochal_kernel.log.reader import LogReader
from epochal_kernel.postgres import Pool

from epochal_lineage.domain import naming
from epochal_lineage.domain.segments import ARCHIVE, MANIFEST, segment_name, written
from epochal_lineage.domain.tlog.hashing import HASH_BYTES, leaf_hash
from epochal_lineage.domain.tlog.tiles import WIDTH, TileId
from epochal_lineage.sealing.publishing import Place, whole_note
from epochal_lineage.sealing.sealer import checked_digests
from epochal_lineage.store.archiving import LogArchiveStore, Reached
from epochal_lineage.store.sealing import Seal, SealStore

PAUSE_S: Final = 5.0
GZIP: Final = "application/gzip"
NOTE: Final = "text/plain; charset=utf-8"

_log = structlog.get_logger(__name__)


class Shelf(Place, Protocol):
    """A place that a file can be read from again."""

    async def get(self, path: str) -> bytes:
        """Read one file.

        Raises:
            DataLoss: it is not there.
        """
        ...


class NameArchiver:
    """Keeps a place of its own level with the names that pseudonyms stand for.

    The file is replaced each time: who was erased is gone from it with the next.
    """

    def __init__(self, pool: Pool, place: Shelf, clock: Clock, every_s: float) -> None:
        self._archive = LogArchiveStore(pool)
        self._store = SealStore(pool)
        self._place = place
        self._clock = clock
        self._every_s = every_s

    async def run(self) -> None:
        """Archive for ever, on schedule; what fails is tried again soon."""
        await _for_ever(self.step, self._place, self._clock, self._every_s)

    async def step(self) -> None:
        """Replace the file.

        Raises:
            FailedPrecondition: the place has the names of another log.
            Unavailable: the place or the database does not answer.
        """
        origin = await self._store.known_origin()
        if not origin:
            return
        try:
            there = naming.origin_of(await self._place.get(naming.NAMES))
        except DataLoss:
            there = origin  # nothing is there, or nothing that anybody could use
        if there != origin:
            raise _taken(self._place, there, origin, "EPOCHAL_AUDIT_ARCHIVE_NAMES")
        data = naming.written(origin, await self._archive.names())
        await self._place.put(naming.NAMES, data, "application/jsonl")


class LogArchiver:
    """Keeps one place level with what is sealed."""

    def __init__(
        self,
        pool: Pool,
        store: SealStore,
        place: Shelf,
        clock: Clock,
        *,
        every_s: float,
        segment_events: int,
    ) -> None:
        self._reader = LogReader(pool)
        self._store = store
        self._archive = LogArchiveStore(pool)
        self._place = place
        self._clock = clock
        self._every_s = every_s
        self._segment_events = segment_events

    async def run(self) -> None:
        """Archive for ever, on schedule; what fails is tried again soon."""
        await _for_ever(self.step, self._place, self._clock, self._every_s)

    async def step(self) -> None:
        """Bring the place level with the newest seal.

        Raises:
            DataLoss: an event is not as it was sealed; nothing from there on is archived.
            Unavailable: the place or the database does not answer.
        """
        seal = await self._store.last()
        reached = await self._archive.reached(self._place.name)
        if seal is None or reached.size >= seal.size:
            return
        if not reached.segments:
            await self._assert_ours()
        while reached.segments < seal.size:
            through = min(seal.size, reached.segments + self._segment_events)
            await self._segment(reached.segments, through)
            failpoint("segment.after_put")
            reached = Reached(through, reached.size)
            await self._archive.note(self._place.name, reached)
        await self._checkpoints(seal)
        failpoint("segment.before_manifest")
        await self._manifest(seal)
        await self._archive.note(self._place.name, Reached(reached.segments, seal.size))

    async def _assert_ours(self) -> None:
        """Refuse a place with another log: two in one place would prove neither."""
        try:
            manifest = await self._place.get(MANIFEST)
        except DataLoss:
            return  # nothing is there yet
        origin = await self._store.known_origin()
        try:
            there = str(json.loads(manifest)["origin"])
        except (ValueError, KeyError, TypeError) as error:
            raise DataLoss(f"{self._place.name}/{MANIFEST} cannot be read: {error}") from error
        if there != origin:
            raise _taken(self._place, there, origin, "EPOCHAL_AUDIT_ARCHIVE")

    async def _segment(self, before: int, through: int) -> None:
        records = await self._reader.page(Position(before), through - before)
        link = GENESIS
        if before:
            (last,) = await self._reader.page(Position(before - 1), 1)
            link = last.chain
        digests, _ = await asyncio.to_thread(checked_digests, records, link)
        if b"".join(map(leaf_hash, digests)) != await self._sealed(before, through):
            raise DataLoss(
                f"an event from {before + 1} to {through} is not as it was sealed: `epochal audit "
                "verify` names it"
            )
        data = await asyncio.to_thread(written, link, records)
        await self._place.put(segment_name(before + 1, through), data, GZIP)

    async def _sealed(self, before: int, through: int) -> bytes:
        """Return the hashes of leaves as the tree has them."""
        first, last = before // WIDTH, (through - 1) // WIDTH
        found = await self._store.tiles([TileId(0, place) for place in range(first, last + 1)])
        hashes = b"".join(found.get(TileId(0, place), b"") for place in range(first, last + 1))
        start = (before - first * WIDTH) * HASH_BYTES
        return hashes[start : start + (through - before) * HASH_BYTES]

    async def _checkpoints(self, seal: Seal) -> None:
        for note in await self._store.handovers():
            await self._place.put(f"checkpoints/{note.splitlines()[1]}", note.encode(), NOTE)
        note = await whole_note(self._store, seal)
        await self._place.put(f"checkpoints/{seal.size}", note.encode(), NOTE)
        await self._place.put("checkpoint", note.encode(), NOTE)

    async def _manifest(self, seal: Seal) -> None:
        manifest = {
            "format": ARCHIVE,
            "origin": await self._store.known_origin(),
            "size": seal.size,
            "keys": [key.verifier for key in await self._store.keys()],
        }
        data = json.dumps(manifest, indent=2).encode() + b"\n"
        await self._place.put(MANIFEST, data, "application/json")


async def _for_ever(
    step: Callable[[], Awaitable[None]], place: Place, clock: Clock, every_s: float
) -> None:
    while True:
        pause_s = every_s
        try:
            await step()
        except EpochalError as error:
            _log.warning("archiving.waits", place=place.name, error=error.message)
            pause_s = min(PAUSE_S, every_s)
        await clock.sleep(pause_s)


def _taken(place: Place, there: str, ours: str, setting: str) -> FailedPrecondition:
    return FailedPrecondition(
        f"{place.name} has the archive of the log {there}, this one is {ours}: give {setting} "
        "another place",
        reason="PLACE_TAKEN",
    )
