"""When an operation runs: by the clock (`schedule`), or because something happened (`events`)."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from cronsim import CronSim, CronSimError
from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from epochal_scheduler.spec.schema.base import (
    TEMPLATED,
    Duration,
    SpecModel,
    TemplatedBool,
    TemplatedPositive,
    has_template,
)
from epochal_scheduler.spec.suggestions import did_you_mean

_PRESETS = {
    "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0", "@daily": "0 0 * * *", "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}  # fmt: skip
_SOME_MOMENT = datetime(2026, 1, 1)
When = Annotated[datetime, TEMPLATED]


def _cron(text: str) -> str:
    if has_template(text):
        return text
    expression = _PRESETS.get(text.strip().lower(), text.strip())
    try:
        if expression.startswith("@"):
            raise CronSimError(f"known names: {', '.join(_PRESETS)}")
        next(CronSim(expression, _SOME_MOMENT))
    except (CronSimError, StopIteration) as error:
        message = "'{text}' is no cron expression: {why}; write 'minute hour day month weekday'"
        why = str(error) or "it never comes"
        context = {"text": text, "why": why[:1].lower() + why[1:]}
        raise PydanticCustomError("invalid_cron", message, context) from None
    return expression


def _timezone(text: str) -> str:
    if has_template(text):
        return text
    try:
        ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        hint = did_you_mean(text, available_timezones()) or "use a name such as Europe/Berlin"
        message = "there is no timezone '{text}'; {hint}"
        raise PydanticCustomError(
            "unknown_timezone", message, {"text": text, "hint": hint}
        ) from None
    return text


Cron = Annotated[str, AfterValidator(_cron)]
Timezone = Annotated[str, AfterValidator(_timezone)]


class Catchup(SpecModel):
    """What is done about ticks that were missed; `window` is how old one may be (ours)."""

    policy: Literal["none", "last", "all"] = "last"
    window: Duration | None = None


# Any: what stands in the file, before it has a type.
def _catchup(value: Any) -> Any:
    return {"policy": value} if isinstance(value, str) else value


class _Schedule(SpecModel):
    """What schedules share; `timezone` and all after it are ours."""

    start_at: When | None = None
    timezone: Timezone = "UTC"
    overlap: Literal["allow", "skip", "queue", "replace"] = "allow"
    catchup: Annotated[Catchup, BeforeValidator(_catchup)] = Catchup()
    jitter: Duration | None = None
    paused: TemplatedBool = False


class _Repeated(_Schedule):
    """What schedules share that come again."""

    end_at: When | None = None
    max_runs: TemplatedPositive | None = None
    depends_on_past: TemplatedBool | None = None

    @model_validator(mode="after")
    def _ends_after_start(self) -> Any:  # Any: pydantic returns the model itself
        start, end = self.start_at, self.end_at
        if isinstance(start, datetime) and isinstance(end, datetime):
            zone = None if has_template(self.timezone) else ZoneInfo(self.timezone)
            one, other = (t if t.tzinfo else t.replace(tzinfo=zone) for t in (start, end))
            if (one.tzinfo is None) == (other.tzinfo is None) and other <= one:
                raise PydanticCustomError("invalid_value", "'endAt' must be after 'startAt'")
        return self


class CronSchedule(_Repeated):
    """At the times of a cron expression, or `@daily` and such (V1CronSchedule)."""

    kind: Literal["cron"]
    cron: Cron


class IntervalSchedule(_Repeated):
    """Again and again after a while (V1IntervalSchedule)."""

    kind: Literal["interval"]
    frequency: Duration

    @model_validator(mode="after")
    def _is_not_idle(self) -> Any:
        if isinstance(self.frequency, timedelta) and self.frequency < timedelta(seconds=1):
            raise PydanticCustomError("invalid_value", "'frequency' is at least one second")
        return self


class DateTimeSchedule(_Schedule):
    """Once (V1DateTimeSchedule)."""

    kind: Literal["datetime"]
    start_at: When


Schedule = Annotated[
    CronSchedule | IntervalSchedule | DateTimeSchedule, Field(discriminator="kind")
]

EventKind = Literal[
    "run_status_created", "run_status_resuming", "run_status_compiled", "run_status_on_schedule",
    "run_status_queued", "run_status_scheduled", "run_status_starting", "run_status_running",
    "run_status_processing", "run_status_stopping", "run_status_failed", "run_status_stopped",
    "run_status_succeeded", "run_status_skipped", "run_status_warning", "run_status_unschedulable",
    "run_status_upstream_failed", "run_status_retrying", "run_status_unknown", "run_status_done",
    "run_approved_actor", "run_invalidated_actor", "run_new_artifacts", "run_metric_threshold",
    "connection_git_commit", "connection_dataset_version", "connection_registry_image",
    "alert_info", "alert_warning", "alert_critical", "artifact_new_version", "dataset_new_version",
    "model_version_new_metric", "model_version_new_stage", "model_version_new_alias",
    "project_custom_event", "org_custom_event",
]  # fmt: skip
STATUS_EVENT = "run_status_"


class EventLimit(SpecModel):
    """The most runs that a trigger starts, in all or in each span of time (ours)."""

    runs: TemplatedPositive
    per: Duration | None = None


def _limit(value: Any) -> Any:
    return {"runs": value} if isinstance(value, int) and not isinstance(value, bool) else value


class EventTrigger(SpecModel):
    """Events that start an operation (V1EventTrigger).

    Outside of a DAG, `ref` names what is watched, such as `runs.UUID`, `models.NAME`,
    `datasets.NAME` or `events.NAME`; without it the kind alone counts, within the project.
    """

    kinds: Annotated[list[EventKind], Field(min_length=1)]
    ref: str | None = None
    filter: str | None = None
    debounce: Duration | None = None
    limit: Annotated[EventLimit, BeforeValidator(_limit)] | None = None
