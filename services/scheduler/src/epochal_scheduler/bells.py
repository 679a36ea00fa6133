"""Wakes the heartbeat of an agent when there is something for it to stop."""

from __future__ import annotations

import asyncio
from collections import defaultdict

import epochal_proto.v1 as pb


class StopBell:
    """Attempts to stop, by agent, until its heartbeat takes them.

    In memory only, and only a short cut: a heartbeat that lists an attempt to be stopped is told
    so from the log whether or not the bell was rung.
    """

    def __init__(self) -> None:
        self._wanted: defaultdict[str, list[pb.AttemptRef]] = defaultdict(list)
        self._rung: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)

    def ring(self, agent: str, ref: pb.AttemptRef) -> None:
        """Asks an agent to stop an attempt."""
        if agent in self._rung:  # nobody waits otherwise, and nothing should pile up
            self._wanted[agent].append(ref)
            self._rung[agent].set()

    async def wait(self, agent: str, timeout_s: float) -> list[pb.AttemptRef]:
        """Waits for something to stop, and takes it; empty when the time is up."""
        rung = self._rung[agent]
        try:
            async with asyncio.timeout(timeout_s):
                await rung.wait()
        except TimeoutError:
            self._rung.pop(agent, None)
            return []
        self._rung.pop(agent, None)
        return self._wanted.pop(agent, [])
