"""How far the platform has persisted a producer: known from a stream, told to whoever waits."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import epochal_proto.v1 as pb
from epochal_proto.v1.services import TrackingService

from epochal.client import Client, Stream
from epochal.errors import EpochalError
from epochal.retrying import Backoff


class PersistedCursor:
    """The last batch that is in PostgreSQL; only moves forward."""

    def __init__(self, on_move: Callable[[int], None]) -> None:
        self._on_move = on_move
        self._moved = threading.Condition()
        self.batch = 0
        self.moved_at = time.monotonic()

    def saw(self, batch: int) -> None:
        """Takes news from the platform."""
        with self._moved:
            if batch <= self.batch:
                return
            self.batch = batch
            self.moved_at = time.monotonic()
            self._moved.notify_all()
        self._on_move(batch)

    def wait_for(self, reached: Callable[[], bool], timeout_s: float) -> bool:
        """Waits until it is so, or the time is over; `reached` is asked at each move."""
        with self._moved:
            return self._moved.wait_for(reached, timeout_s)

    def wake(self) -> None:
        """Makes those who wait ask again."""
        with self._moved:
            self._moved.notify_all()


class CursorWatch:
    """A thread that follows one producer's cursor, through any number of broken streams."""

    def __init__(self, client: Client, run: str, producer: str, cursor: PersistedCursor) -> None:
        self._client = client
        self._request = pb.WatchProducerCursorRequest(run=run, producer=producer)
        self._cursor = cursor
        self._opened = threading.Event()
        self._stop = threading.Event()
        self._stream: Stream[pb.ProducerCursor] | None = None
        self._thread = threading.Thread(target=self._run, name="epochal-cursor", daemon=True)

    def start(self) -> None:
        """Starts the thread, which waits for `follow`.

        It is there from the beginning because a producer may be opened as late as the end of the
        process, where Python (from 3.12 on) starts no more threads.
        """
        self._thread.start()

    def follow(self) -> None:
        """Says that there is a cursor to follow: the producer is open."""
        self._opened.set()

    def close(self) -> None:
        """Ends the thread."""
        self._stop.set()
        self._opened.set()
        if (stream := self._stream) is not None:
            stream.cancel()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        backoff = Backoff()
        self._opened.wait()
        while not self._stop.is_set():
            try:
                self._stream = self._client.stream(
                    TrackingService.WATCH_PRODUCER_CURSOR, self._request
                )
                if self._stop.is_set():  # close() may not have seen this stream
                    self._stream.cancel()
                for cursor in self._stream:
                    self._cursor.saw(cursor.persisted_batch)
                    backoff.succeeded()
                delay_s = backoff.next_delay_s(EpochalError())
            except EpochalError as error:  # every new stream begins with the cursor: it is a poll
                delay_s = backoff.next_delay_s(error)
            self._stop.wait(delay_s)
