"""The sealer: what came without a spool is sealed when its run has ended, by nobody's asking.

Such a producer is not announced while it writes. Its points are in PostgreSQL when the call is
answered, so nothing is under way that the end of a run would have to wait for, and a run can
succeed over it. Once the run has ended the producer takes no more, and its opening and its seal go
into the log in one step. Points that come later still begin another producer of the same kind,
sealed when nothing came for a while.
"""

from __future__ import annotations

import hashlib
from uuid import UUID, uuid5

import epochal_proto.v1 as pb
import structlog
from epochal_kernel.clock import Clock
from epochal_kernel.errors import DeadlineExceeded, ResourceExhausted, Unavailable
from epochal_kernel.ids import Ids
from epochal_kernel.log.commands import CommandContext
from epochal_kernel.log.ledger import Ledger

from epochal_tracker.domain import tracking
from epochal_tracker.merkle import tree_hash
from epochal_tracker.store.telemetry import TelemetryStore
from epochal_tracker.store.writing import Sealable, WriteStore

ACTOR = "services/tracker"
EVERY_S = 2.0
IDLE_S = 60.0
TOGETHER = 100

_COMMANDS = UUID("6a5e5d53-9f0e-4b8a-8f52-0a3c7d5b1e10")

_log = structlog.get_logger(__name__)


class Sealer:
    """Seals the tracker's own producers."""

    def __init__(
        self,
        ledger: Ledger,
        writes: WriteStore,
        telemetry: TelemetryStore,
        clock: Clock,
        ids: Ids,
    ) -> None:
        self._ledger = ledger
        self._writes = writes
        self._telemetry = telemetry
        self._clock = clock
        self._ids = ids
        self._aggregate = tracking.TrackingAggregate()

    async def run(self) -> None:
        """Seal until cancelled. Several trackers may: of each producer one seal is recorded."""
        while True:
            try:
                found = await self._writes.sealable(IDLE_S, TOGETHER)
                for one in found:
                    await self.seal(one)
            except (Unavailable, DeadlineExceeded, ResourceExhausted) as error:
                _log.warning("sealer.waits", error=error.message)
                found = []
            if len(found) < TOGETHER:
                await self._clock.sleep(EVERY_S)

    async def seal(self, one: Sealable) -> None:
        """Close a producer and put its seal into the log, once.

        Raises:
            EpochalError: it may be sealed or not; calling again is safe.
        """
        last = await self._writes.close(one)
        batches = await self._telemetry.batches(one.run_id, one.producer, last)
        name = f"{one.project}/runs/{one.run_id}"
        sealed = pb.TelemetrySealed(
            run=name,
            producer=str(one.producer),
            last_batch=last,
            points=sum(batch.points for batch in batches),
            merkle_root=tree_hash([batch.sha256 for batch in batches]),
        )
        await self._ledger.execute(
            self._aggregate,
            one.run_id,
            name,
            lambda state: tracking.seal_unannounced(state, sealed),
            CommandContext(
                command_id=uuid5(_COMMANDS, f"{one.run_id}/{one.producer}"),
                org_id=one.project.split("/")[1],
                actor=ACTOR,
                correlation_id=self._ids.uuid7(),
                request_sha256=hashlib.sha256(sealed.SerializeToString()).digest(),
            ),
        )
        await self._writes.sealed(one)
