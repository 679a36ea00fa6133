"""Policies that stop a whole pipeline, a graph or a sweep: too many failures, or good enough."""

from __future__ import annotations

from dataclasses import dataclass

import epochal_proto.v1 as pb
from epochal_kernel.errors import InvalidArgument, Violation

from epochal_scheduler.domain.statuses import Status

FAILURES = frozenset({pb.RUN_STATUS_FAILED, pb.RUN_STATUS_UPSTREAM_FAILED})


@dataclass(frozen=True, slots=True)
class FailureStopping:
    """Stops when at least `percent` of the runs failed; the pipeline has then failed.

    The percentage is of all runs that are planned, not of those made so far: the first failure
    of a sweep of a hundred is one percent.
    """

    percent: float

    def __post_init__(self) -> None:
        if not 0 < self.percent <= 100:
            raise InvalidArgument(
                f"{self.percent} is no percentage of failures to stop at",
                violations=[Violation("earlyStopping.percent", "range", "0 < percent <= 100")],
            )

    def why(self, failed: int, planned: int) -> str:
        """Returns why the pipeline stops, or nothing while it goes on."""
        if not failed or failed * 100 < self.percent * planned:
            return ""
        return (
            f"{failed} of {planned} runs failed; "
            f"failure_early_stopping stops at {self.percent:g} percent"
        )


@dataclass(frozen=True, slots=True)
class MetricStopping:
    """Stops when one run's metric is as good as `value`; the pipeline has then succeeded."""

    metric: str
    value: float
    maximize: bool

    def why(self, run: str, metric: str, value: float) -> str:
        """Returns why the pipeline stops, or nothing while it goes on. NaN is never good enough."""
        if metric != self.metric:
            return ""
        if not (value >= self.value if self.maximize else value <= self.value):
            return ""
        return (
            f"{metric} of {run} is {value:g}; metric_early_stopping stops at "
            f"{'>=' if self.maximize else '<='} {self.value:g}"
        )


Stopping = FailureStopping | MetricStopping


def outcome(policy: Stopping) -> Status:
    """Returns how a pipeline ends that the policy stopped."""
    if isinstance(policy, FailureStopping):
        return pb.RUN_STATUS_FAILED
    return pb.RUN_STATUS_SUCCEEDED
