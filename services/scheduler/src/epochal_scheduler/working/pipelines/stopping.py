"""Early stopping as specs have it, as policies of the domain."""

from __future__ import annotations

from collections.abc import Sequence

from epochal_scheduler.domain.sweeps.thresholds import FailureStopping, MetricStopping, Stopping
from epochal_scheduler.spec.schema.stopping import (
    EarlyStopping,
    FailureEarlyStopping,
    MetricEarlyStopping,
)


def stopping_policies(given: Sequence[EarlyStopping] | None) -> tuple[Stopping, ...]:
    """Returns the policies that stop a whole pipeline; those for single trials are pruners."""
    found: list[Stopping] = []
    for policy in given or ():
        match policy:
            case FailureEarlyStopping(percent=percent):
                found.append(FailureStopping(percent))
            case MetricEarlyStopping(metric=metric, value=value, policy=None) if value is not None:
                found.append(MetricStopping(metric, value, policy_maximizes(policy)))
            case _:
                pass
    return tuple(found)


def policy_maximizes(policy: MetricEarlyStopping) -> bool:
    """Says whether more is better."""
    return policy.optimization == "maximize"
