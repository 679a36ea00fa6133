"""Cron expressions, read by cronsim and stepped through here, day by day, on any clock.

The fields mean what they do in Debian's cron (cronsim's semantics): lists, ranges, steps, names,
`L`, `LW`, `MON#2`, `FRIL`; if day of month and day of week are both given without a star, either
is enough. When the clocks change:

- An expression whose minute and hour are given, such as `30 2 * * *`, ticks once a day. A time
  that does not exist ticks at the first minute after the gap; a time that exists twice ticks the
  first time.
- An expression whose minute or hour starts with a star, such as `*/15 * * * *`, follows elapsed
  time: what does not exist does not tick, what exists twice ticks twice.

cronsim steps by hours, which misses ticks where clocks change by half an hour (Lord Howe) and
makes one up where they skip midnight (Havana); here a day on which the offset changes is looked
at time by time instead.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from epochal_kernel.errors import InvalidArgument, Violation

PRESETS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
MOST_YEARS = 50
_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Cron:
    """A cron expression; `times` are those of a day that matches, in order."""

    expression: str
    days: CronSim
    times: tuple[time, ...]
    is_fixed: bool

    def matches(self, day: date) -> bool:
        """Returns whether the expression ticks on a day at all."""
        return day.month in self.days.months and self.days.match_day(day)


@lru_cache(maxsize=4096)
def parse_cron(expression: str) -> Cron:
    """Reads five fields or a preset.

    Raises:
        InvalidArgument: says which field is wrong.
    """
    fields = PRESETS.get(expression.strip().lower(), expression).split()
    if len(fields) != 5:
        raise _bad(expression, f"it has {len(fields)} fields, not five: minute hour day month dow")
    try:
        parsed = CronSim(" ".join(fields), datetime(2000, 1, 1, tzinfo=UTC))
    except CronSimError as error:
        raise _bad(expression, str(error)) from None
    times = tuple(
        time(hour, minute) for hour in sorted(parsed.hours) for minute in sorted(parsed.minutes)
    )
    is_fixed = not (fields[0].startswith("*") or fields[1].startswith("*"))
    return Cron(expression, parsed, times, is_fixed)


def cron_ticks(cron: Cron, clock: ZoneInfo, after: datetime) -> Iterator[datetime]:
    """Yields every tick after a moment, in UTC; ends if 50 years pass without one."""
    last = after
    day = after.astimezone(clock).date() - _DAY
    idle_since = day.year
    while day.year - idle_since <= MOST_YEARS and day.year < date.max.year:
        if day.month not in cron.days.months:
            day = (day.replace(day=1) + 32 * _DAY).replace(day=1)
            continue
        if cron.matches(day):
            for tick in _ticks_of_day(cron, clock, day, last):
                if tick > last:
                    last = tick
                    yield tick
            idle_since = day.year
        day += _DAY


def _ticks_of_day(cron: Cron, clock: ZoneInfo, day: date, after: datetime) -> Iterator[datetime]:
    """Yields the ticks of a day in order; may leave out those that are not after a moment."""
    offset = _offset(clock, day)
    if offset == _offset(clock, day + _DAY):
        passed = (after.astimezone(UTC) + offset).replace(tzinfo=None)
        if passed.date() > day:
            return
        first = bisect_right(cron.times, passed.time()) if passed.date() == day else 0
        for moment in cron.times[first:]:
            yield (datetime.combine(day, moment) - offset).replace(tzinfo=UTC)
        return
    ticks = set()
    for moment in cron.times:
        ticks.update(_instants(datetime.combine(day, moment), clock, is_fixed=cron.is_fixed))
    yield from sorted(ticks)


def _offset(clock: ZoneInfo, day: date) -> timedelta:
    return datetime.combine(day, time(), tzinfo=clock).utcoffset() or timedelta(0)


def _instants(moment: datetime, clock: ZoneInfo, *, is_fixed: bool) -> list[datetime]:
    """Returns the instants at which a clock shows a moment, by the rules of this module."""
    found = _shown(moment, clock)
    if not is_fixed:
        return found
    while not found:
        moment += timedelta(minutes=1)
        found = _shown(moment, clock)
    return found[:1]


def _shown(moment: datetime, clock: ZoneInfo) -> list[datetime]:
    instants = {moment.replace(tzinfo=clock, fold=fold).astimezone(UTC) for fold in (0, 1)}
    return sorted(
        instant
        for instant in instants
        if instant.astimezone(clock).replace(tzinfo=None, fold=0) == moment
    )


def _bad(expression: str, why: str) -> InvalidArgument:
    return InvalidArgument(
        f"{expression!r} is no cron expression: {why}",
        violations=[Violation("schedule.cron", "cron", why)],
    )
