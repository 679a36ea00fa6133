"""Wake-ups within the tracker: which runs have changed, so that watchers look again."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from uuid import UUID
from weakref import WeakSet

from epochal_kernel.log.events import Event

POLL_S = 0.5


class Watch:
    """One watcher's interest in one run."""

    def __init__(self, run_id: UUID) -> None:
        self.run_id = run_id
        self._event = asyncio.Event()

    def ring(self) -> None:
        """Wake the watcher."""
        self._event.set()

    async def wait(self, timeout_s: float = POLL_S) -> None:
        """Wait until the run changed here, or it is time to look anyway.

        Other instances of the tracker change runs too and ring no bell here; hence the limit.
        """
        try:
            async with asyncio.timeout(timeout_s):
                await self._event.wait()
        except TimeoutError:
            return
        finally:
            self._event.clear()


class RunBells:
    """All watchers of this process, by run."""

    def __init__(self) -> None:
        self._watches: dict[UUID, WeakSet[Watch]] = {}

    def watch(self, run_id: UUID) -> Watch:
        """Begin to watch a run; ends when the watch is dropped."""
        watch = Watch(run_id)
        self._watches.setdefault(run_id, WeakSet()).add(watch)
        return watch

    def ring(self, run_ids: Iterable[UUID]) -> None:
        """Wake the watchers of some runs."""
        for run_id in run_ids:
            watches = self._watches.get(run_id)
            if watches is None:
                continue
            if not watches:
                del self._watches[run_id]
                continue
            for watch in list(watches):
                watch.ring()

    async def follow(self, before: int, events: Sequence[Event], position: int) -> None:
        """Wake the watchers of runs that events are about."""
        self.ring({e.stream_id for e in events if e.category in ("run", "telemetry")})
