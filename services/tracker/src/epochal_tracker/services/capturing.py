"""TrackingService, reproducibility: what runs were made of, and how two of them differ."""

from __future__ import annotations

from collections.abc import Iterable

import epochal_proto.v1 as pb
from epochal_kernel.errors import InvalidArgument, NotFound, Violation
from epochal_kernel.log.events import EventCodec
from epochal_kernel.log.ledger import Ledger
from epochal_kernel.log.reader import LogReader
from epochal_kernel.rpc.context import CallContext

from epochal_tracker import params
from epochal_tracker.domain.capturing import record_capture
from epochal_tracker.domain.comparing import Side, compare, value_text
from epochal_tracker.domain.tracking import TrackingAggregate
from epochal_tracker.rows import RunRow
from epochal_tracker.services.lookup import RunLookup
from epochal_tracker.services.messages import split
from epochal_tracker.store.runs import RunStore
from epochal_tracker.store.telemetry import SummaryRow, TelemetryStore


class Captures:
    """Handlers of TrackingService about captures."""

    def __init__(
        self,
        ledger: Ledger,
        log: LogReader,
        codec: EventCodec,
        lookup: RunLookup,
        runs: RunStore,
        telemetry: TelemetryStore,
    ) -> None:
        self._ledger = ledger
        self._log = log
        self._codec = codec
        self._lookup = lookup
        self._runs = runs
        self._telemetry = telemetry
        self._aggregate = TrackingAggregate()

    async def record_capture(
        self, request: pb.RecordCaptureRequest, context: CallContext
    ) -> pb.RecordCaptureResponse:
        """Record what a run was made of; parts told apart become one."""
        row = await self._lookup.writable(request.run, context)
        outcome = await self._ledger.execute(
            self._aggregate,
            row.run_id,
            request.run,
            lambda _: record_capture(request.run, request.capture),
            context.command(request, request.request_id),
        )
        context.wrote(outcome.position)
        return pb.RecordCaptureResponse()

    async def get_capture(self, request: pb.GetCaptureRequest, context: CallContext) -> pb.Capture:
        """Read what a run was made of."""
        row = await self._lookup.run(request.run, context)
        found = await self._runs.capture(row.run_id, request.attempt)
        if found is None:
            attempt = f"of attempt {request.attempt} " if request.attempt else ""
            raise NotFound(
                f"{request.run} has no capture {attempt}: none was recorded", resource=request.run
            )
        return pb.Capture.FromString(found.capture)

    async def compare_runs(
        self, request: pb.CompareRunsRequest, context: CallContext
    ) -> pb.CompareRunsResponse:
        """Compare two runs of one project: whoever may read the one may then read the other."""
        if split(request.run)[0] != split(request.other)[0]:
            raise InvalidArgument(
                "two runs are compared within one project",
                violations=[Violation("other", "project", "must be of the same project as run")],
            )
        left = await self._lookup.run(request.run, context)
        right = await self._lookup.run(request.other, context)
        summaries = await self._telemetry.summaries_of([left.run_id, right.run_id])
        return compare(
            await self._side(left, summaries.get(left.run_id, ())),
            await self._side(right, summaries.get(right.run_id, ())),
        )

    async def _side(self, row: RunRow, summaries: Iterable[SummaryRow]) -> Side:
        capture = await self._runs.capture(row.run_id, 0)
        return Side(
            f"{row.project}/runs/{row.run_id}",
            _texts(row.params),
            {one.metric: str(one.last) for one in summaries},
            _texts(row.outputs),
            pb.Capture.FromString(capture.capture) if capture else None,
            await self._spec(row),
        )

    async def _spec(self, row: RunRow) -> str | None:
        """Return the compiled operation, which only the event of the run's creation has."""
        async for record in self._log.stream("run", row.run_id):
            created = await self._codec.decode_payload(record.type, record.payload, record.position)
            return created.compiled_json if isinstance(created, pb.RunCreated) else None
        return None


def _texts(values: str) -> dict[str, str]:
    return {name: value_text(value) for name, value in params.from_json(values).items()}
