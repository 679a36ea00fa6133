"""When a sweep or DAG, or a single trial of it, is stopped before its end."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from epochal_scheduler.spec.schema.base import (
    TEMPLATED,
    SpecModel,
    TemplatedBool,
    TemplatedCount,
    TemplatedFloat,
    TemplatedPositive,
)

Percent = Annotated[float, Field(gt=0, le=100), TEMPLATED]
Optimization = Literal["maximize", "minimize"]


class MedianPolicy(SpecModel):
    """Stops a trial whose best value is worse than the median of the others at that step."""

    kind: Literal["median"]
    evaluation_interval: TemplatedPositive = 1
    min_interval: TemplatedCount | None = None
    min_samples: TemplatedCount | None = None


class TruncationPolicy(SpecModel):
    """Stops the worst `percent` of the trials at each evaluation."""

    kind: Literal["truncation"]
    percent: Percent
    evaluation_interval: TemplatedPositive = 1
    min_interval: TemplatedCount | None = None
    min_samples: TemplatedCount | None = None
    include_succeeded: TemplatedBool | None = None


class DiffPolicy(SpecModel):
    """Stops a trial that is more than `percent` worse than the best one."""

    kind: Literal["diff"]
    percent: Percent
    evaluation_interval: TemplatedPositive = 1
    min_interval: TemplatedCount | None = None
    min_samples: TemplatedCount | None = None


StoppingPolicy = Annotated[
    MedianPolicy | TruncationPolicy | DiffPolicy, Field(discriminator="kind")
]


class FailureEarlyStopping(SpecModel):
    """Stops everything once `percent` of the runs have failed."""

    kind: Literal["failure_early_stopping"]
    percent: Percent


class MetricEarlyStopping(SpecModel):
    """Stops everything when a metric reaches `value`; with a policy, stops single trials."""

    kind: Literal["metric_early_stopping"]
    metric: Annotated[str, Field(min_length=1)]
    value: TemplatedFloat | None = None
    optimization: Optimization
    policy: StoppingPolicy | None = None


EarlyStopping = Annotated[FailureEarlyStopping | MetricEarlyStopping, Field(discriminator="kind")]
