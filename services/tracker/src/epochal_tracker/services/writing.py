"""TrackingService, points of clients without a spool."""

from __future__ import annotations

from uuid import UUID

import epochal_proto.v1 as pb
from epochal_kernel.errors import InvalidArgument, Violation
from epochal_kernel.rpc.context import CallContext

from epochal_tracker.services.lookup import RunLookup
from epochal_tracker.writing import PointWriter


class Writing:
    """The handler of TrackingService that writes points at once."""

    def __init__(self, lookup: RunLookup, writer: PointWriter) -> None:
        self._lookup = lookup
        self._writer = writer

    async def log_metrics(
        self, request: pb.LogMetricsRequest, context: CallContext
    ) -> pb.LogMetricsResponse:
        """Write points of a run; they are in PostgreSQL when this answers."""
        row = await self._lookup.writable(request.run, context)
        for place, point in enumerate(request.points):
            if "\0" in point.metric:
                message = "a name of a metric has no NUL character"
                violation = Violation(f"points[{place}].metric", "no_nul", message)
                raise InvalidArgument(message, violations=[violation])
        request_id = UUID(request.request_id) if request.request_id else None
        await self._writer.write(row.run_id, request.points, request_id)
        return pb.LogMetricsResponse()
