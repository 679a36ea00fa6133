"""Notices agents that have gone silent, and gives their attempts up.

Silence counts only while an agent could have been heard: a scheduler that has just started, was
cut off from the bus, or slept with its machine first listens for a whole lease.
"""

from __future__ import annotations

import structlog
from epochal_kernel.bus import Bus
from epochal_kernel.errors import EpochalError
from epochal_kernel.ids import Ids

from epochal_scheduler.domain import attempts
from epochal_scheduler.domain.attempts import Attempt
from epochal_scheduler.store import Lease, SchedulerStore
from epochal_scheduler.working.commands import RunCommands, Target

SWEEP_S = 1.0
PRUNE_EVERY = 3600

_log = structlog.get_logger(__name__)


class LeaseSweeper:
    """Gives up attempts whose lease has run out."""

    def __init__(
        self, store: SchedulerStore, commands: RunCommands, bus: Bus, ids: Ids, lease_s: float
    ) -> None:
        self._store = store
        self._commands = commands
        self._bus = bus
        self._ids = ids
        self._lease_s = lease_s
        self._listening_since = commands.clock.now()

    async def run(self) -> None:
        """Sweeps until cancelled."""
        clock, sweeps = self._commands.clock, 0
        self._listening_since = last = clock.now()
        while True:
            await clock.sleep(min(SWEEP_S, self._lease_s / 4))
            now = clock.now()
            was_away = (now - last).total_seconds() > max(3 * SWEEP_S, self._lease_s / 2)
            if was_away or not self._bus.connected:
                self._listening_since = now
            last = now
            try:
                await self.sweep()
                sweeps += 1
                if sweeps % PRUNE_EVERY == 0:
                    await self._store.remove_old_agents()
            except EpochalError as error:
                _log.warning("scheduler.sweep_failed", error=error.message)
                self._listening_since = clock.now()

    async def sweep(self) -> None:
        """Gives up what is silent for longer than a lease.

        Raises:
            EpochalError: the database does not answer.
        """
        heard_s = (self._commands.clock.now() - self._listening_since).total_seconds()
        if heard_s < self._lease_s:
            return
        for lease in await self._store.expired_leases(self._lease_s):
            await self._give_up(lease)

    async def _give_up(self, lease: Lease) -> None:
        producers = await self._store.producers(lease.run_id)
        target = Target(lease.run_id, lease.org_id, lease.name, self._ids.uuid7())
        reason = f"{lease.agent} was not heard of for {self._lease_s:g} s"
        outcome = await self._commands.execute(
            target,
            lambda state: attempts.lose(
                state,
                Attempt(lease.attempt, lease.fence),
                reason,
                self._commands.clock.now(),
                self._commands.backoff,
                producers.unsealed,
            ),
        )
        if outcome.events:
            _log.warning("scheduler.attempt_lost", run=lease.name, agent=lease.agent)
        else:
            await self._store.remove_lease(lease.run_id)
