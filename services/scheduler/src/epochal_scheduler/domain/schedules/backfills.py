"""The partitions of a backfill: whole hours, days, weeks or months on a clock."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from itertools import islice
from zoneinfo import ZoneInfo

from epochal_kernel.errors import InvalidArgument, Violation

from epochal_scheduler.domain.schedules.plans import zone

MOST_PARTITIONS = 100_000


class Every(StrEnum):
    """How long a partition is. An hour is elapsed time; the others follow the calendar."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


@dataclass(frozen=True, slots=True)
class Partition:
    """A stretch of time, from `start` up to but without `end`, in UTC, and its name.

    The key is what people call it: `2026-03-29T01:00+01:00`, `2026-03-29`, `2026-W13`, `2026-03`.
    Keys of one backfill sort as their partitions do, except hours where a clock falls back.
    """

    key: str
    start: datetime
    end: datetime


def partitions(
    start: date | datetime, end: date | datetime, every: Every, timezone: str = "UTC"
) -> tuple[Partition, ...]:
    """Returns every partition that begins in [start, end), each of them whole.

    A date is midnight on the clock of `timezone`. A start inside a partition leaves that one out.

    Raises:
        InvalidArgument: the range is empty or has more than 100,000 partitions, a moment has no
            offset, or the time zone is unknown.
    """
    clock = zone(timezone)
    first, last = _moment(start, clock, "start"), _moment(end, clock, "end")
    if last <= first:
        raise _bad("end", "the range is empty: its end is not later than its start")
    found = tuple(islice(_partitions(first, last, every, clock), MOST_PARTITIONS + 1))
    if len(found) > MOST_PARTITIONS:
        raise _bad("every", f"more than {MOST_PARTITIONS} partitions; take longer ones")
    return found


def _partitions(
    first: datetime, last: datetime, every: Every, clock: ZoneInfo
) -> Iterator[Partition]:
    bounds = _hours(first, clock) if every is Every.HOUR else _dates(first, every, clock)
    key, begin = next(bounds)
    while begin < last:
        following_key, end = next(bounds)
        if begin >= first:
            yield Partition(key, begin, end)
        key, begin = following_key, end


def _hours(first: datetime, clock: ZoneInfo) -> Iterator[tuple[str, datetime]]:
    """Yields hours as the clock strikes them; a clock off by half an hour strikes then."""
    local = first.astimezone(clock)
    begin = first - timedelta(
        minutes=local.minute, seconds=local.second, microseconds=local.microsecond
    )
    while True:
        yield begin.astimezone(clock).isoformat(timespec="minutes"), begin
        begin += timedelta(hours=1)


def _dates(first: datetime, every: Every, clock: ZoneInfo) -> Iterator[tuple[str, datetime]]:
    day = first.astimezone(clock).date()
    if every is Every.WEEK:
        day -= timedelta(days=day.weekday())
    elif every is Every.MONTH:
        day = day.replace(day=1)
    while True:
        yield _key(day, every), _midnight(day, clock)
        if every is Every.MONTH:
            day = (day + timedelta(days=32)).replace(day=1)
        else:
            day += timedelta(days=7 if every is Every.WEEK else 1)


def _key(day: date, every: Every) -> str:
    if every is Every.MONTH:
        return f"{day:%Y-%m}"
    if every is Every.WEEK:
        year, week, _ = day.isocalendar()
        return f"{year}-W{week:02}"
    return day.isoformat()


def _midnight(day: date, clock: ZoneInfo) -> datetime:
    """Returns when a day begins: midnight, or the end of the gap if the clock skips it."""
    return datetime.combine(day, time(), tzinfo=clock).astimezone(UTC)


def _moment(moment: date | datetime, clock: ZoneInfo, name: str) -> datetime:
    if not isinstance(moment, datetime):
        return _midnight(moment, clock)
    if moment.tzinfo is None:
        raise _bad(name, "say the offset of the moment from UTC")
    return moment.astimezone(UTC)


def _bad(name: str, why: str) -> InvalidArgument:
    return InvalidArgument(why, violations=[Violation(f"backfill.{name}", "range", why)])
