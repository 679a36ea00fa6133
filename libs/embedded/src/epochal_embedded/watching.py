"""Keeps one unit running: starts it, waits for its end, starts it again after a growing pause."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import psutil
from epochal_kernel.clock import Clock

from epochal_embedded.errors import EmbeddedError
from epochal_embedded.servers.children import ProcessMark
from epochal_embedded.state import UnitReport, UnitState
from epochal_embedded.units import Unit

_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 15.0
_STABLE_S = 30.0
_START_ATTEMPTS = 3


class Watch:
    """Supervises one unit until it is told to stop.

    Before the unit served for the first time it gets three attempts, because a platform that cannot
    start should say so; afterwards it is restarted for ever, at most every 15 seconds.
    """

    def __init__(self, unit: Unit, clock: Clock, changed: Callable[[], None]) -> None:
        """Take the unit and whom to tell about every change of its state."""
        self.unit = unit
        self.restarts = 0
        self._clock = clock
        self._changed = changed
        self._state: UnitState = "waiting"
        self._last_error = ""
        self._ready_after_s: float | None = None
        self._served = asyncio.Event()
        self._stopping = False

    @property
    def state(self) -> UnitState:
        """What the unit does now."""
        return self._state

    def report(self) -> UnitReport:
        """Return the unit as the state file shows it."""
        pid = self.unit.pid
        try:
            mark = ProcessMark.of(pid) if pid is not None else None
        except psutil.NoSuchProcess:
            mark = None
        return UnitReport(
            name=self.unit.name,
            state=self._state,
            port=self.unit.port,
            restarts=self.restarts,
            mark=mark,
            ready_after_s=self._ready_after_s,
            last_error=self._last_error,
            probed=self.unit.probed,
        )

    async def served(self) -> None:
        """Wait until the unit served for the first time."""
        await self._served.wait()

    async def run(self) -> None:
        """Keep the unit running until cancelled.

        Raises:
            EmbeddedError: it failed three times before it ever served.
        """
        failures = 0
        pause_s = _FIRST_PAUSE_S
        while True:
            began_s = self._clock.monotonic()
            try:
                await self._run_once(began_s)
            except EmbeddedError as error:
                self._last_error = str(error)
                failures += 1
                if not self._served.is_set() and failures >= _START_ATTEMPTS:
                    self._become("stopped")
                    raise
            if self._clock.monotonic() - began_s >= _STABLE_S:
                pause_s = _FIRST_PAUSE_S
            self._become("backing off")
            await self._clock.sleep(pause_s)
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
            self.restarts += 1

    async def stop(self) -> None:
        """Stop the unit; call it after `run` was cancelled."""
        self._become("stopping")
        await self.unit.stop()
        self._become("stopped")

    async def _run_once(self, began_s: float) -> None:
        self._become("starting")
        starting = asyncio.ensure_future(self.unit.start())
        try:
            while not starting.done():
                # The process exists before it serves: tell its id as soon as there is one.
                await asyncio.wait({starting}, timeout=0.05 if self.unit.pid is None else None)
                self._changed()
            await starting
        finally:
            starting.cancel()
            await asyncio.wait({starting})
        self._ready_after_s = round(self._clock.monotonic() - began_s, 3)
        self._served.set()
        self._become("ready")
        status = await self.unit.wait()
        how = f"killed by signal {-status}" if status < 0 else f"exited with status {status}"
        self._last_error = f"{how} while it served"

    def _become(self, state: UnitState) -> None:
        self._state = state
        self._changed()
