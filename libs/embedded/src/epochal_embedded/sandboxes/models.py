"""The read models of this release, all services'."""

from __future__ import annotations

from collections.abc import Sequence

from epochal_kernel.projections.model import ReadModel


def read_models() -> Sequence[ReadModel]:
    """Return them; imports every service, which only a comparison needs."""
    from epochal_gateway.projections import READ_MODEL as GATEWAY
    from epochal_lineage.projections import READ_MODEL as LINEAGE
    from epochal_notifier.projections import READ_MODEL as NOTIFIER
    from epochal_scheduler.projections import READ_MODEL as SCHEDULER
    from epochal_tracker.monitoring.projections import READ_MODEL as MONITOR
    from epochal_tracker.projections import READ_MODEL as TRACKER

    return (GATEWAY, SCHEDULER, TRACKER, MONITOR, LINEAGE, NOTIFIER)
