"""Alerts: rules about a run's metrics, declared with the run (ours)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from epochal_scheduler.spec.schema.base import (
    TEMPLATED,
    SpecModel,
    TemplatedBool,
    TemplatedCount,
    TemplatedFloat,
    TemplatedPositive,
)

Goal = Literal["minimize", "maximize"]


class Change(SpecModel):
    """The last value differs by so many per cent from the one `over` batches of points before."""

    percent: Annotated[float, Field(gt=0), TEMPLATED]
    over: TemplatedPositive | None = None


class Plateau(SpecModel):
    """The best value has not become better, by more than `minDelta`, for so many points."""

    points: TemplatedPositive
    min_delta: Annotated[float, Field(ge=0), TEMPLATED] | None = None
    goal: Goal = "minimize"


class Divergence(SpecModel):
    """The last value is further from the best than `factor` times the gain since the first."""

    factor: Annotated[float, Field(gt=0), TEMPLATED]
    min_delta: Annotated[float, Field(ge=0), TEMPLATED] | None = None
    goal: Goal = "minimize"


class Stall(SpecModel):
    """No points come: for so many seconds, or so many times the usual pause."""

    seconds: TemplatedPositive | None = None
    intervals: TemplatedPositive | None = None

    @model_validator(mode="after")
    def _is_one_of_two(self) -> Any:
        if (self.seconds is None) == (self.intervals is None):
            message = "'stalled' takes either 'seconds' or 'intervals'"
            raise PydanticCustomError("invalid_value", message)
        return self


_CONDITIONS = ("change", "not_a_number", "plateau", "divergence", "stalled", "off")


class AlertSpec(SpecModel):
    """One rule: exactly one condition (`above` and `below` together are one).

    `off` takes the place of a rule that is there by itself, such as `not-a-number`.
    """

    name: Annotated[str, Field(pattern="^[a-z0-9][a-z0-9_-]{0,62}$")]
    metric: Annotated[str, Field(max_length=250), TEMPLATED] | None = None
    severity: Literal["info", "warning", "critical"] = "warning"
    message: Annotated[str, Field(max_length=1000)] | None = None
    stop: TemplatedBool | None = None
    above: TemplatedFloat | None = None
    below: TemplatedFloat | None = None
    for_batches: TemplatedCount | None = None
    change: Change | None = None
    not_a_number: Literal[True] | None = None
    plateau: Plateau | None = None
    divergence: Divergence | None = None
    stalled: Stall | None = None
    off: Literal[True] | None = None

    @model_validator(mode="after")
    def _has_one_condition(self) -> Any:
        given = [name for name in _CONDITIONS if getattr(self, name) is not None]
        if self.above is not None or self.below is not None:
            given.append("above")
        if len(given) != 1:
            message = (
                "an alert has exactly one condition: above and/or below, change, notANumber, "
                "plateau, divergence, stalled or off"
            )
            raise PydanticCustomError("invalid_value", message)
        if self.for_batches is not None and given != ["above"]:
            message = "'forBatches' goes with 'above' and 'below'"
            raise PydanticCustomError("invalid_value", message)
        if self.stalled is not None and self.metric is not None:
            message = "a stall is of the whole run: leave 'metric' out"
            raise PydanticCustomError("invalid_value", message)
        return self
