"""The thread that brings a spool's batches to the platform, in order and as often as it takes.

An acknowledgement only says that the broker has a batch; it counts when the platform's cursor has
reached it (`cursors`), and only then is it freed. After a failure, a restart of the platform, or
when nothing moves for a while, sending goes on from `persisted + 1`: the platform recognises what
it has by number, so repeats are harmless.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final

import epochal_proto.v1 as pb
from epochal_proto.v1.services import TrackingService

from epochal.client import Client
from epochal.cursors import CursorWatch, PersistedCursor
from epochal.errors import DataLoss, EpochalError, FailedPrecondition, NotFound, Unavailable
from epochal.retrying import Backoff
from epochal.spool.segments import SegmentSpool

_WINDOW: Final = 8
_CALL_S: Final = 15.0
_TICK_S: Final = 0.5
_LONGEST_STALL_S: Final = 300.0
_KINDS: Final = {int(each): each for each in (pb.TELEMETRY_KIND_POINTS, pb.TELEMETRY_KIND_LOGS)}


class _Flight:
    """One batch under way, and what became of it."""

    def __init__(self, batch: int, wake: threading.Event) -> None:
        self.batch = batch
        self.landed = False
        self.error: EpochalError | None = None
        self.cancel: Callable[[], bool] = lambda: False
        self._wake = wake

    def land(self, error: EpochalError | None) -> None:
        self.error = error
        self.landed = True
        self._wake.set()


class Sender:
    """Sends one producer's spool; `error` is set when it can never go on."""

    def __init__(
        self,
        client: Client,
        run: str,
        producer: str,
        spool: SegmentSpool,
        *,
        stall_s: float = 5.0,
        on_failure: Callable[[EpochalError], None] = lambda _: None,
    ) -> None:
        self._client = client
        self._run_name = run
        self._producer = producer
        self._spool = spool
        self._stall_s = self._first_stall_s = stall_s
        self._on_failure = on_failure
        self._wake = threading.Event()
        self._stopping = False
        self._epoch = 0
        self._sealed = False
        self._next = 1
        self._flights: deque[_Flight] = deque()
        self.error: EpochalError | None = None
        self.trouble: EpochalError | None = None
        self.cursor = PersistedCursor(self._persisted)
        self._watch = CursorWatch(client, run, producer, self.cursor)
        self._thread = threading.Thread(target=self._run, name="epochal-sender", daemon=True)

    def start(self) -> None:
        """Starts the threads; nothing is sent before there is a batch."""
        self._watch.start()
        self._thread.start()

    def batch_written(self) -> None:
        """Says that the spool has a new batch."""
        self._wake.set()

    def drain(self, timeout_s: float) -> bool:
        """Waits until everything in the spool is persisted; False when it is not in time."""

        def over() -> bool:
            return self.cursor.batch >= self._spool.last_batch or self.error is not None

        return self.cursor.wait_for(over, timeout_s) and self.error is None

    def wait_for_news(self, batch: int, timeout_s: float) -> bool:
        """Waits until more than `batch` is persisted, or never will be; False if not in time."""
        return self.cursor.wait_for(
            lambda: self.cursor.batch > batch or self.error is not None, timeout_s
        )

    def seal(self, timeout_s: float) -> None:
        """Seals the producer: no batch will follow. Call after `drain`.

        Raises:
            EpochalError: It could not be sealed in time, or at all.
        """
        last_batch = max(self._spool.last_batch, self.cursor.batch)
        if last_batch and not self._sealed:
            request = pb.SealProducerRequest(
                run=self._run_name, producer=self._producer, last_batch=last_batch
            )
            self._client.call(
                TrackingService.SEAL_PRODUCER, request, timeout_s=timeout_s, patience_s=timeout_s
            )

    def close(self) -> None:
        """Ends the threads; what is not persisted stays in the spool."""
        self._stopping = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()
        self._watch.close()

    def _run(self) -> None:
        backoff = Backoff()
        while not self._stopping:
            self._wake.clear()
            try:
                if self._spool.last_batch and not self._epoch:
                    self._open()
                if self._epoch:
                    self._step(backoff)
            except EpochalError as error:
                if not error.retryable:
                    self._fail(error)
                    return
                self.trouble = error
                self._recover(backoff.next_delay_s(error), error)
            else:
                self._wake.wait(_TICK_S)
        self._abandon_flights()

    def _step(self, backoff: Backoff) -> None:
        while self._flights and self._flights[0].landed:
            flight = self._flights.popleft()
            if flight.error is not None:
                raise flight.error
            backoff.succeeded()
            self.trouble = None
        while len(self._flights) < _WINDOW and self._next <= self._spool.last_batch:
            self._send(self._next)
            self._next += 1
        waits = self._next - 1 > self.cursor.batch and not self._flights
        if waits and time.monotonic() - self.cursor.moved_at > self._stall_s:
            self._stall_s = min(2 * self._stall_s, _LONGEST_STALL_S)
            self._resume()

    def _send(self, batch: int) -> None:
        try:
            kind, payload = self._spool.read(batch)
        except KeyError:
            raise DataLoss(
                f"the platform wants batch {batch} again, which it had persisted and is freed here:"
                " was its database restored to an older state?"
            ) from None
        flight = _Flight(batch, self._wake)
        self._flights.append(flight)
        flight.cancel = self._client.begin(
            TrackingService.WRITE_TELEMETRY,
            pb.TelemetryBatch(
                run=self._run_name,
                producer=self._producer,
                epoch=self._epoch,
                batch=batch,
                kind=_KINDS[kind],
                payload=payload,
            ),
            flight.land,
            timeout_s=_CALL_S,
        )

    def _open(self) -> None:
        request = pb.OpenProducerRequest(run=self._run_name, producer=self._producer)
        try:
            cursor = self._client.call(TrackingService.OPEN_PRODUCER, request, timeout_s=_CALL_S)
        except FailedPrecondition:
            cursor = self._ask()
            if not cursor.sealed or cursor.persisted_batch < self._spool.last_batch:
                raise
            self._sealed = True  # an earlier process got this far and no further
        self._watch.follow()
        self._adopt(cursor)

    def _resume(self) -> None:
        """Asks how far the platform is and goes on from there."""
        try:
            cursor = self._ask()
        except NotFound:  # an older state of the database: begin again
            self._open()
            return
        if cursor.epoch == self._epoch:
            self._adopt(cursor)
        else:  # batches of another epoch are ignored, so take the newest
            self._open()

    def _ask(self) -> pb.ProducerCursor:
        request = pb.GetProducerCursorRequest(run=self._run_name, producer=self._producer)
        return self._client.call(TrackingService.GET_PRODUCER_CURSOR, request, timeout_s=_CALL_S)

    def _adopt(self, cursor: pb.ProducerCursor) -> None:
        self._epoch = cursor.epoch
        self.cursor.saw(cursor.persisted_batch)
        self.cursor.moved_at = time.monotonic()
        self._next = cursor.persisted_batch + 1

    def _recover(self, delay_s: float, error: EpochalError) -> None:
        self._abandon_flights()
        wake_at = time.monotonic() + delay_s
        while not self._stopping and (left_s := wake_at - time.monotonic()) > 0:
            self._wake.wait(left_s)
            self._wake.clear()
        if self._stopping:
            return
        if isinstance(error, Unavailable):
            self._client.relocate()
        self._next = self.cursor.batch + 1

    def _persisted(self, batch: int) -> None:
        self._spool.free_through(batch)
        self._stall_s = self._first_stall_s
        self._wake.set()

    def _abandon_flights(self) -> None:
        for flight in self._flights:
            flight.cancel()
        self._flights.clear()

    def _fail(self, error: EpochalError) -> None:
        self._abandon_flights()
        self.error = error
        self.cursor.wake()
        self._on_failure(error)
