"""The attempts an agent holds, and the heartbeat that tells the scheduler so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Protocol

import epochal_proto.v1 as pb
import structlog
from epochal_kernel.clock import Clock
from epochal_kernel.errors import EpochalError

from epochal_scheduler.agent.held import HeldAttempt

PAUSE_S = 1.0

_log = structlog.get_logger(__name__)


class HeartbeatPort(Protocol):
    """Where heartbeats go; the scheduler answers when it has something to say, or after a while."""

    async def heartbeat(self, request: pb.HeartbeatRequest) -> pb.HeartbeatResponse:
        """Tells what is held; returns what to stop."""
        ...


class Holdings:
    """What is held, by run."""

    def __init__(
        self,
        agent: str,
        queues: Sequence[str],
        slots: int,
        labels: Mapping[str, str] = MappingProxyType({}),
        capacity: pb.Resources | None = None,
    ) -> None:
        self._agent = agent
        self._queues = tuple(queues)
        self._slots = slots
        self._labels = dict(labels)
        self._capacity = capacity or pb.Resources()
        self._held: dict[tuple[str, int, int], HeldAttempt] = {}
        self.draining = False

    def __iter__(self) -> Iterator[HeldAttempt]:
        return iter(tuple(self._held.values()))

    def __len__(self) -> int:
        return len(self._held)

    def add(self, held: HeldAttempt) -> bool:
        """Notes an attempt; False when it is held already."""
        key = _key(held.ref)
        if key in self._held:
            return False
        self._held[key] = held
        return True

    def remove(self, held: HeldAttempt) -> None:
        """Forgets an attempt."""
        self._held.pop(_key(held.ref), None)

    def of_run(self, run_id: str) -> HeldAttempt | None:
        """Returns the attempt of a run that is held, by the run's UUID."""
        return next((held for held in self if held.item.run.endswith(run_id)), None)

    def request(self) -> pb.HeartbeatRequest:
        """Returns what the scheduler is to know now."""
        return pb.HeartbeatRequest(
            agent=self._agent,
            queues=self._queues,
            attempts=[held.ref for held in self],
            free_slots=max(0, self._slots - len(self)),
            draining=self.draining,
            slots=self._slots,
            labels=self._labels,
            capacity=self._capacity,
        )

    def stop(self, refs: Sequence[pb.AttemptRef]) -> None:
        """Stops the attempts named, if they are held."""
        for ref in refs:
            held = self._held.get(_key(ref))
            if held is not None:
                held.stop("the scheduler asked to stop")


async def beat(holdings: Holdings, port: HeartbeatPort, clock: Clock) -> None:
    """Sends heartbeats until cancelled.

    The scheduler holds its answer back until there is something to stop, at most two seconds, so
    a stop arrives at once and an idle agent costs little.
    """
    while True:
        try:
            response = await port.heartbeat(holdings.request())
        except EpochalError as error:
            _log.debug("agent.heartbeat_failed", error=error.message)
            await clock.sleep(PAUSE_S)
            continue
        holdings.stop(response.stop)


def _key(ref: pb.AttemptRef) -> tuple[str, int, int]:
    return ref.run, ref.attempt, ref.fence
