"""Background work that ends in an event: losses told, hidden points left out of summaries."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from uuid import UUID, uuid5

import epochal_proto.v1 as pb
import numpy as np
import structlog
from epochal_kernel.clock import Clock
from epochal_kernel.errors import DeadlineExceeded, ResourceExhausted, Unavailable
from epochal_kernel.ids import Ids
from epochal_kernel.log.commands import CommandContext
from epochal_kernel.log.ledger import Ledger
from google.protobuf.message import Message

from epochal_tracker.columns import decode_points
from epochal_tracker.domain.tracking import TrackingAggregate
from epochal_tracker.sealing import ACTOR
from epochal_tracker.series import below
from epochal_tracker.store.ingest import Refusal
from epochal_tracker.store.keeping import LossStore, ShownChunk, Summary, TruncationStore

EVERY_S = 2.0
TOGETHER = 100

_COMMANDS = UUID("0d0c2e6c-77a5-4f0e-9a51-5a2f3f6b8a21")

_log = structlog.get_logger(__name__)


class Teller:
    """Appends events of the tracker's own, each once, by a name that is the same at every try."""

    def __init__(self, ledger: Ledger, ids: Ids) -> None:
        self._ledger = ledger
        self._ids = ids
        self._aggregate = TrackingAggregate()

    async def tell(
        self, key: str, stream_id: UUID, resource: str, events: Sequence[Message]
    ) -> None:
        """Append events unless it was done under this key before.

        Raises:
            EpochalError: it may be done or not; calling again is safe.
        """
        await self._ledger.execute(
            self._aggregate,
            stream_id,
            resource,
            lambda _: events,
            CommandContext(
                command_id=uuid5(_COMMANDS, key),
                org_id=resource.split("/")[1],
                actor=ACTOR,
                correlation_id=self._ids.uuid7(),
                request_sha256=hashlib.sha256(key.encode()).digest(),
            ),
        )


class LossTeller:
    """Tells the log of batches that were refused, and keeps summaries free of hidden points."""

    def __init__(
        self, teller: Teller, losses: LossStore, truncations: TruncationStore, clock: Clock
    ) -> None:
        self._teller = teller
        self._losses = losses
        self._truncations = truncations
        self._clock = clock

    async def run(self) -> None:
        """Work until cancelled; several trackers may."""
        while True:
            try:
                for refusal in await self._losses.untold(TOGETHER):
                    await self.tell(refusal)
                for run_id in await self._truncations.untruncated(TOGETHER):
                    await self._truncations.summarise(run_id, summary)
            except (Unavailable, DeadlineExceeded, ResourceExhausted) as error:
                _log.warning("telling.waits", error=error.message)
            await self._clock.sleep(EVERY_S)

    async def tell(self, refusal: Refusal) -> None:
        """Tell of one refused batch.

        Raises:
            EpochalError: it may be told or not; calling again is safe.
        """
        event = pb.TelemetryLost(
            run=refusal.run,
            producer=str(refusal.producer),
            batch=refusal.batch,
            points=refusal.points,
            log_lines=refusal.lines,
            reason=refusal.reason,
        )
        key = f"{refusal.run_id}/{refusal.producer}/{refusal.batch}"
        await self._teller.tell(key, refusal.run_id, refusal.run, [event])
        await self._losses.told(refusal)


def summary(chunks: Sequence[ShownChunk]) -> Summary | None:
    """Return the summary of what is shown of chunks; None when nothing is.

    Raises:
        DataLoss: a chunk that is shown in part does not decode.
    """
    last, place = math.nan, None
    least = greatest = math.nan
    count = 0
    for chunk in chunks:
        found = _of(chunk)
        if found is None:
            continue
        count += found.points
        if place is None or (found.last_step, found.last_time_us) >= place:
            last, place = found.last, (found.last_step, found.last_time_us)
        least, greatest = float(np.fmin(least, found.min)), float(np.fmax(greatest, found.max))
    return Summary(last, *place, least, greatest, count) if place else None


def _of(chunk: ShownChunk) -> Summary | None:
    if chunk.below is None or chunk.last_step < chunk.below:
        return Summary(
            chunk.last, chunk.last_step, chunk.last_time_us, chunk.min, chunk.max, chunk.points
        )
    points = below(decode_points(chunk), chunk.below)
    if not len(points.steps):
        return None
    final = int(np.lexsort((points.times_us, points.steps))[-1])
    return Summary(
        float(points.values[final]),
        int(points.steps[final]),
        int(points.times_us[final]),
        float(np.fmin.reduce(points.values)),
        float(np.fmax.reduce(points.values)),
        len(points.steps),
    )
