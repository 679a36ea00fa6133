"""Publishing: tiles to the object store as C2SP tlog-tiles says, checkpoints outside the platform.

A checkpoint follows its tiles, so whoever reads it finds them. How far a place is, is remembered
only after everything was written there: a crash repeats writes of the same bytes, never leaves a
hole.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

import structlog
from epochal_kernel.clock import Clock
from epochal_kernel.errors import DataLoss, EpochalError, FailedPrecondition
from epochal_kernel.failpoints import failpoint
from epochal_kernel.ids import Position
from epochal_kernel.log.chain import leaf
from epochal_kernel.log.reader import LogReader
from epochal_kernel.postgres import Pool

from epochal_lineage.domain.tlog.hashing import HASH_BYTES, leaf_hash
from epochal_lineage.domain.tlog.tiles import (
    WIDTH,
    entries_path,
    entry_bundle,
    tile_path,
    tiles_between,
)
from epochal_lineage.sealing.places import Bucket
from epochal_lineage.store.sealing import Seal, SealStore

PAUSE_S: Final = 1.0
MAX_PAUSE_S: Final = 60.0
BYTES: Final = "application/octet-stream"
_STEP: Final = 100_000

_log = structlog.get_logger(__name__)


class Place(Protocol):
    """Somewhere that takes files by name."""

    @property
    def name(self) -> str:
        """Its address, without secrets; under it is remembered how far the place is."""
        ...

    async def put(self, path: str, content: bytes, media_type: str) -> None:
        """Write one file, whole or not at all.

        Raises:
            Unavailable: it cannot be written now.
        """
        ...


class TilePublisher:
    """Keeps all tiles and the newest checkpoint in one place."""

    def __init__(self, pool: Pool, store: SealStore, place: Place, clock: Clock) -> None:
        self._reader = LogReader(pool)
        self._store = store
        self._place = place
        self._clock = clock

    async def run(self) -> None:
        """Publish for ever what is sealed."""
        await _repeat(self.step, self._clock, PAUSE_S, self._place.name)

    async def step(self) -> None:
        """Bring the place level with the newest seal.

        Raises:
            Unavailable: the place or the database does not answer.
        """
        seal = await self._store.last()
        size = await self._store.published(self._place.name)
        while seal is not None and size < seal.size:
            through = min(seal.size, size + _STEP)
            await self._put_tiles(size, through)
            if through == seal.size:
                await self._put_checkpoint(seal)
            await self._store.note_published(self._place.name, through)
            size = through

    async def _put_tiles(self, before: int, after: int) -> None:
        for tile, width in tiles_between(before, after):
            found = await self._store.tiles([tile])
            hashes = found.get(tile, b"")[: width * HASH_BYTES]
            if len(hashes) < width * HASH_BYTES:
                raise DataLoss(f"tile {tile.level}/{tile.place} of the log is lost")
            if tile.level == 0:
                await self._put_entries(tile.place, width, hashes)
            await self._place.put(tile_path(tile, width), hashes, BYTES)
            failpoint("seal.after_tile")

    async def _put_entries(self, place: int, width: int, hashes: bytes) -> None:
        """Write the entries of a tile: the digests of its events, never what they say."""
        records = await self._reader.page(Position(place * WIDTH), width)
        entries = [leaf(record) for record in records]
        if b"".join(map(leaf_hash, entries)) != hashes:
            raise DataLoss(
                f"an event from {place * WIDTH + 1} to {place * WIDTH + width} is not as it was "
                "sealed: `epochal audit verify` names it"
            )
        await self._place.put(entries_path(place, width), entry_bundle(entries), BYTES)

    async def _put_checkpoint(self, seal: Seal) -> None:
        note = await whole_note(self._store, seal)
        await self._place.put("checkpoint", note.encode(), "text/plain; charset=utf-8")


class CheckpointPublisher:
    """Leaves the newest checkpoint, and each one under its size, in places outside."""

    def __init__(
        self, store: SealStore, places: Sequence[Place], clock: Clock, every_s: float
    ) -> None:
        self._store = store
        self._places = places
        self._clock = clock
        self._every_s = every_s

    async def run(self) -> None:
        """Publish for ever, on schedule; a place that fails does not hold up the others."""
        while True:
            for place in self._places:
                try:
                    await self.publish(place)
                except EpochalError as error:
                    _log.warning("sealing.not_published", place=place.name, error=error.message)
            await self._clock.sleep(self._every_s)

    async def publish(self, place: Place) -> None:
        """Bring one place level with the newest seal.

        Raises:
            FailedPrecondition: the place has the checkpoints of another log.
            Unavailable: the place or the database does not answer.
        """
        seal = await self._store.last()
        if seal is None or await self._store.published(place.name) >= seal.size:
            return
        if isinstance(place, Bucket):
            await _assert_ours(place, seal)
        note = (await whole_note(self._store, seal)).encode()
        await place.put(f"checkpoints/{seal.size}", note, "text/plain; charset=utf-8")
        await place.put("checkpoint", note, "text/plain; charset=utf-8")
        await self._store.note_published(place.name, seal.size)


async def _assert_ours(place: Bucket, seal: Seal) -> None:
    """Refuse a place with another log, such as a fork's source: two would prove neither."""
    try:
        note = await place.get("checkpoint")
    except DataLoss:
        return  # nothing is there yet
    there, ours = note.partition(b"\n")[0].decode(errors="replace"), seal.note.partition("\n")[0]
    if there != ours:
        raise FailedPrecondition(
            f"{place.name} has checkpoints of {there}, this is {ours}: name a place of its own "
            "in EPOCHAL_AUDIT_PUBLISH",
            reason="PLACE_TAKEN",
        )


async def whole_note(store: SealStore, seal: Seal) -> str:
    """Return the note of a seal with what witnesses signed."""
    return seal.note + "".join(await store.cosignatures(seal.size))


class Step(Protocol):
    """One round of work."""

    async def __call__(self) -> None:
        """Do it."""
        ...


async def _repeat(step: Step, clock: Clock, pause_s: float, place: str) -> None:
    wait_s = pause_s
    while True:
        try:
            await step()
            wait_s = pause_s
        except EpochalError as error:
            _log.warning("sealing.not_published", place=place, error=error.message)
            wait_s = min(MAX_PAUSE_S, wait_s * 2)
        await clock.sleep(wait_s)
