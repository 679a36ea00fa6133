"""What trials have reported of their metrics, as the tracker has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import epochal_proto.v1 as pb
from epochal_kernel.ids import Ids
from epochal_kernel.rpc.client import RpcClient
from epochal_kernel.rpc.context import CallContext
from epochal_proto.v1.services import TrackingService

from epochal_scheduler.working.commands import ACTOR

CALL_S = 10.0
PAGE = 1_000


@dataclass(frozen=True, slots=True)
class MetricReader:
    """Reads metrics of many runs at once."""

    client: RpcClient
    ids: Ids

    async def read(
        self, org: str, metric: str, from_steps: Mapping[str, int], limit: int = 1_000
    ) -> dict[str, Sequence[tuple[int, float]]]:
        """Returns points (step, value) in step order, by run; runs without any are left out.

        Args:
            org: whose runs.
            metric: name.
            from_steps: by run, the first step that is wanted.
            limit: points of a run at most, the newest.

        Raises:
            Unavailable, DeadlineExceeded: the tracker does not answer.
        """
        found: dict[str, Sequence[tuple[int, float]]] = {}
        runs = list(from_steps)
        for first in range(0, len(runs), PAGE):
            cursors = [
                pb.MetricCursor(run=run, metric=metric, from_step=from_steps[run])
                for run in runs[first : first + PAGE]
            ]
            context = CallContext(ACTOR, org, self.ids.uuid7(), self.ids)
            context.timeout_s = CALL_S
            answer = await self.client.call(
                TrackingService.SAMPLE_METRICS,
                pb.SampleMetricsRequest(cursors=cursors, limit=limit),
                context,
            )
            for cursor, sample in zip(cursors, answer.samples, strict=True):
                if sample.steps:
                    found[cursor.run] = list(zip(sample.steps, sample.values, strict=True))
        return found
