"""What a schedule says: its ticks, and what to do when one is missed or comes too early."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from epochal_kernel.errors import InvalidArgument, Violation

from epochal_scheduler.domain.schedules.crons import parse_cron


class ScheduleKind(StrEnum):
    """Where the ticks come from."""

    CRON = "cron"
    INTERVAL = "interval"
    DATETIME = "datetime"


class Overlap(StrEnum):
    """What becomes of a tick while a run of the schedule is under way."""

    ALLOW = "allow"
    SKIP = "skip"
    QUEUE = "queue"
    REPLACE = "replace"


class Catchup(StrEnum):
    """What becomes of ticks that nobody was there to see."""

    NONE = "none"
    LAST = "last"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class SchedulePlan:
    """A schedule, as its spec has it.

    Attributes:
        id: tells schedules apart, so that their jitter differs.
        kind: which of the next three fields counts.
        cron: five fields or a preset such as `@daily`, on the clock of `timezone`.
        frequency: of an interval schedule, in elapsed time; it ticks first at `start_at`.
        start_at: the first moment that may tick; of a datetime schedule, the only one.
        end_at: the last moment that may tick.
        max_runs: after so many runs the schedule has ended.
        depends_on_past: a run starts only when the one before has ended, however it did; a tick
            that overlap would let through waits in the queue instead.
        timezone: IANA name of the clock that cron fields are read on.
        overlap: see `Overlap`.
        catchup: see `Catchup`; only for ticks older than `grace_s`.
        window: how old a missed tick may be to be caught up; None for any age.
        jitter_s: a tick is due up to so many seconds late, but never later than the next tick.
        grace_s: a tick seen this late is not taken for missed.
    """

    id: str
    kind: ScheduleKind
    cron: str = ""
    frequency: timedelta | None = None
    start_at: datetime | None = None
    end_at: datetime | None = None
    max_runs: int | None = None
    depends_on_past: bool = False
    timezone: str = "UTC"
    overlap: Overlap = Overlap.ALLOW
    catchup: Catchup = Catchup.NONE
    window: timedelta | None = None
    jitter_s: float = 0.0
    grace_s: float = 60.0

    def __post_init__(self) -> None:
        violations = []
        if self.kind is ScheduleKind.CRON:
            parse_cron(self.cron)
        elif self.start_at is None:
            violations.append(Violation("schedule.startAt", "required", f"{self.kind} needs it"))
        if self.kind is ScheduleKind.INTERVAL and (
            self.frequency is None or self.frequency <= timedelta(0)
        ):
            violations.append(
                Violation("schedule.frequency", "positive", "an interval needs a frequency > 0")
            )
        for name, moment in (("startAt", self.start_at), ("endAt", self.end_at)):
            if moment is not None and moment.tzinfo is None:
                violations.append(
                    Violation(f"schedule.{name}", "aware", "say the offset of the moment from UTC")
                )
        if self.jitter_s < 0 or self.grace_s < 0:
            violations.append(Violation("schedule.jitter", "range", "seconds cannot be negative"))
        if self.max_runs is not None and self.max_runs < 1:
            violations.append(Violation("schedule.maxRuns", "positive", "at least one run"))
        if violations:
            raise InvalidArgument("the schedule is not sound", violations=violations)
        zone(self.timezone)


def zone(name: str) -> ZoneInfo:
    """Returns the clock of an IANA name such as `Europe/Berlin`.

    Raises:
        InvalidArgument: there is none of this name.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InvalidArgument(
            f"there is no time zone {name!r}",
            violations=[
                Violation("schedule.timezone", "known", "use an IANA name such as Europe/Berlin")
            ],
        ) from None
