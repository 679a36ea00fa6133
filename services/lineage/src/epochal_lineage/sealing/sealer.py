"""The sealer: turns new events into leaves and signs the head of the tree.

One process leads; a second is harmless, because a seal is stored only on top of the one it was
made from. The chain of every page is checked before it is sealed: what was altered before the
sealer saw it is never signed.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import structlog
from epochal_kernel.clock import Clock
from epochal_kernel.errors import EpochalError, LogCorrupted
from epochal_kernel.ids import Position
from epochal_kernel.log.chain import GENESIS, leaf
from epochal_kernel.log.events import EventRecord
from epochal_kernel.log.reader import LogReader
from epochal_kernel.postgres import Pool

from epochal_lineage.domain.tlog.growing import Frontier
from epochal_lineage.domain.tlog.hashing import leaf_hash
from epochal_lineage.domain.tlog.notes import Checkpoint, signed_note, split_note
from epochal_lineage.sealing.keyring import Keyring, Signers
from epochal_lineage.store.sealing import Seal, SealStore

PAGE: Final = 5_000
PAUSE_S: Final = 1.0

_log = structlog.get_logger(__name__)


class Sealer:
    """Seals every so many events, or after so many seconds."""

    def __init__(
        self,
        pool: Pool,
        store: SealStore,
        keyring: Keyring,
        clock: Clock,
        *,
        every_events: int,
        every_s: float,
    ) -> None:
        self._reader = LogReader(pool)
        self._store = store
        self._keyring = keyring
        self._clock = clock
        self._every_events = every_events
        self._every_s = every_s
        self._frontier: Frontier | None = None
        self._sealed_at = float("-inf")
        self.problem = ""

    async def run(self) -> None:
        """Seal for ever; a problem is told and tried again, for it may be a restored backup."""
        while True:
            try:
                await self.step()
                self.problem = ""
            except EpochalError as error:
                if error.message != self.problem:
                    _log.error("sealing.stopped", problem=error.message)
                self.problem, self._frontier = error.message, None
            await self._clock.sleep(PAUSE_S)

    async def step(self) -> None:
        """Seal what is due."""
        head = await self._reader.head()
        last = await self._store.last()
        waiting = head.position - (last.size if last else 0)
        age_s = self._clock.monotonic() - self._sealed_at
        if waiting >= self._every_events or (waiting > 0 and age_s >= self._every_s):
            await self.seal_all()

    async def seal_all(self) -> None:
        """Seal up to the head.

        Raises:
            AlteredEvent: an event is not as recorded; nothing from there on is sealed.
            EpochalError: the database or the key is not to be had.
        """
        signers = await self._keyring.open()
        last = await self._store.last()
        while records := await self._reader.page(Position(last.size if last else 0), PAGE):
            last = await self._seal(signers, last, records)
            self._sealed_at = self._clock.monotonic()

    async def _seal(
        self, signers: Signers, last: Seal | None, records: Sequence[EventRecord]
    ) -> Seal:
        before, chain = (last.size, last.chain) if last else (0, GENESIS)
        frontier = self._frontier
        if frontier is None or frontier.size != before:
            frontier = await self._store.frontier(before)
        self._frontier = None  # half-grown until the seal is stored
        digests, chain = await asyncio.to_thread(checked_digests, records, chain)
        tiles = await asyncio.to_thread(
            lambda: frontier.extend(leaf_hash(digest) for digest in digests)
        )
        root = frontier.root()
        note, hands_over = _signed(signers, last, frontier.size, root)
        seal = Seal(frontier.size, root, chain, note, hands_over, datetime.fromtimestamp(0, UTC))
        if await self._store.seal(before, seal, tiles):
            self._frontier = frontier
            return seal
        return await self._store.last() or seal


def checked_digests(records: Sequence[EventRecord], chain: bytes) -> tuple[list[bytes], bytes]:
    """Return the entries of events, which are their sha256 digests, and the chain at the last.

    Raises:
        AlteredEvent: a link of the chain is not the one recorded.
    """
    digests: list[bytes] = []
    for record in records:
        digest = leaf(record)
        chain = hashlib.sha256(chain + digest).digest()
        if chain != record.chain:
            raise AlteredEvent(
                f"event {record.position} is not as recorded: it is not sealed, nor what follows"
            )
        digests.append(digest)
    return digests, chain


class AlteredEvent(LogCorrupted):
    """An event does not fit the chain that was recorded with it."""

    default_reason = "EVENT_ALTERED"


def _signed(signers: Signers, last: Seal | None, size: int, root: bytes) -> tuple[str, bool]:
    text = Checkpoint(signers.current.name, size, root).text()
    lines = [signers.current.sign(text)]
    hands_over = False
    if last is not None and signers.previous is not None:
        _, signatures = split_note(last.note)
        known = any(one.is_by(signers.current.verifier) for one in signatures)
        if not known:
            lines.append(signers.previous.sign(text))
            hands_over = True
    return signed_note(text, lines), hands_over
