"""How a graph ends once all its steps have."""

from __future__ import annotations

from collections.abc import Mapping

import epochal_proto.v1 as pb

from epochal_scheduler.domain.graphs.decisions import End, StopAll
from epochal_scheduler.domain.statuses import Status, word
from epochal_scheduler.domain.sweeps.thresholds import FAILURES

MOST_NAMES = 5


def how_it_ends(
    statuses: Mapping[str, Status], reasons: Mapping[str, str], stopping: StopAll | None
) -> End:
    """Returns the end: as it was stopped; else failed if any failed; else stopped if all were.

    Args:
        statuses: of every step, all of them terminal.
        reasons: why steps that never started did not.
        stopping: the decision to stop everything, if it was made.
    """
    if stopping is not None:
        return End(stopping.status, stopping.reason)
    failed = [name for name, status in statuses.items() if status in FAILURES]
    if failed:
        named = [
            f"{name} {word(statuses[name])}" + (f" ({reasons[name]})" if name in reasons else "")
            for name in failed[:MOST_NAMES]
        ]
        more = f" and {len(failed) - MOST_NAMES} more" if len(failed) > MOST_NAMES else ""
        reason = f"{len(failed)} of {len(statuses)} operations failed: {', '.join(named)}{more}"
        return End(pb.RUN_STATUS_FAILED, reason)
    if statuses and all(status == pb.RUN_STATUS_STOPPED for status in statuses.values()):
        return End(pb.RUN_STATUS_STOPPED, "every operation was stopped")
    succeeded = sum(status == pb.RUN_STATUS_SUCCEEDED for status in statuses.values())
    return End(
        pb.RUN_STATUS_SUCCEEDED, f"{succeeded} of {len(statuses)} operations succeeded, none failed"
    )
