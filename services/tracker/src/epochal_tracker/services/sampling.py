"""Newest points of many runs at once, for whoever decides on sweeps."""

from __future__ import annotations

import epochal_proto.v1 as pb
from epochal_kernel.errors import InvalidArgument, Violation
from epochal_kernel.rpc.context import CallContext

from epochal_tracker.sampling import Wanted, sample
from epochal_tracker.services.messages import split
from epochal_tracker.store.telemetry import TelemetryStore

MAX_CURSORS = 1_000
DEFAULT_POINTS = 1_000
MAX_POINTS = 10_000


class Sampling:
    """The handler of TrackingService that samples."""

    def __init__(self, store: TelemetryStore) -> None:
        self._store = store

    async def sample_metrics(
        self, request: pb.SampleMetricsRequest, context: CallContext
    ) -> pb.SampleMetricsResponse:
        """Read what many runs reported of a few metrics since a step."""
        if len(request.cursors) > MAX_CURSORS:
            raise InvalidArgument(
                f"{len(request.cursors)} cursors are more than {MAX_CURSORS}: ask in parts",
                violations=[Violation("cursors", "max_items", f"at most {MAX_CURSORS}")],
            )
        wanted = [Wanted(split(one.run)[1], one.metric, one.from_step) for one in request.cursors]
        limit = min(request.limit or DEFAULT_POINTS, MAX_POINTS)
        samples = await sample(self._store, wanted, limit)
        return pb.SampleMetricsResponse(
            samples=[pb.MetricSample(steps=one.steps, values=one.values) for one in samples]
        )
