"""One run's telemetry from the training thread to the platform: buffer, packer, spool, sender."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable

from epochal.client import Client
from epochal.errors import DataIncomplete, EpochalError, RunClosed
from epochal.options import RunOptions
from epochal.packing import Packer
from epochal.points import PointBuffer
from epochal.sampling import SystemSampler
from epochal.sending import Sender
from epochal.spool.folder import RunFolder


class Telemetry:
    """The pieces and how they are joined.

    Nothing is lost silently: points that had to be dropped are counted, said once, remembered in
    the folder, and shown on the run as lost (`data_lost`). In strict mode the next
    call of the training raises instead.
    """

    def __init__(
        self,
        folder: RunFolder,
        client: Client | None,
        options: RunOptions,
        say: Callable[[str], None],
    ) -> None:
        """Without a client it only fills the spool."""
        self._folder = folder
        self._options = options
        self._say = say
        self._lock = threading.Lock()
        self._spool = folder.spool(options.spool_max_bytes)
        self._sender: Sender | None = None
        if client is not None:
            self._sender = Sender(
                client, folder.run, str(folder.producer), self._spool, on_failure=self._failed
            )
        self.buffer = PointBuffer()
        self._packer = Packer(
            self.buffer,
            self._spool,
            on_drop=self.drop,
            on_batch=self._sender.batch_written if self._sender else _nobody,
        )
        self.dropped = 0
        self._sampler: SystemSampler | None = None
        if folder.owned and options.system_metrics_s:  # of a scheduled run its agent measures
            self._sampler = SystemSampler(self.buffer.add, every_s=options.system_metrics_s)

    @property
    def persisted_batch(self) -> int:
        """The last batch that the platform has persisted."""
        return self._sender.cursor.batch if self._sender else 0

    @property
    def last_batch(self) -> int:
        """The last batch that was written to the spool."""
        return self._spool.last_batch

    def start(self) -> None:
        """Starts the threads."""
        self._packer.start()
        if self._sampler is not None:
            self._sampler.start()
        if self._sender is not None:
            self._sender.start()

    def flush(self) -> None:
        """Writes everything logged so far to the spool."""
        self._packer.flush()

    def stop_taking(self) -> None:
        """Refuses points from now on and writes the rest to the spool."""
        if self._sampler is not None:
            self._sampler.close()
        self.buffer.close(RunClosed())
        self._packer.close()

    def seal(self, timeout_s: float) -> bool:
        """Waits until all is persisted and seals it; False when that is not so in time."""
        if self._sender is None or not self._sender.drain(timeout_s):
            return False
        try:
            self._sender.seal(max(timeout_s, 5.0))
        except EpochalError as error:
            self._say(f"the telemetry could not be sealed: {error.message}")
            return False
        return True

    def close(self) -> None:
        """Ends the threads and closes the files."""
        if self._sender is not None:
            self._sender.close()
        self._spool.close()

    def drop(self, points: int, why: str) -> None:
        """Counts what could not be kept, points or records, and says so once."""
        with self._lock:
            first = not self.dropped
            self.dropped += points
            total = self.dropped
        with contextlib.suppress(OSError):  # a full disk may be why: the count lives on in here
            self._folder.note_dropped(total, why)
        if first:
            self._say(f"DATA INCOMPLETE: points are being dropped, because {why}")
        if self._options.strict:
            self.buffer.close(DataIncomplete(f"{total} points were dropped, because {why}"))

    def _failed(self, error: EpochalError) -> None:
        self._say(
            f"the platform does not take this run's telemetry: {error.message}; "
            f"it is kept in {self._folder.path}"
        )
        if self._options.strict:
            self.buffer.close(error)


def _nobody() -> None:
    """Nobody waits for batches when offline."""
