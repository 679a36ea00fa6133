"""The ticks of a schedule and when each is due; all moments in UTC."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice, takewhile

from epochal_scheduler.domain.schedules.crons import cron_ticks, parse_cron
from epochal_scheduler.domain.schedules.plans import ScheduleKind, SchedulePlan, zone

_MOMENT = timedelta(microseconds=1)


def ticks_after(plan: SchedulePlan, after: datetime) -> Iterator[datetime]:
    """Yields every tick later than a moment, from `start_at` to `end_at`, both included."""
    if plan.start_at is not None:
        after = max(after, plan.start_at - _MOMENT)
    ticks = _endless(plan, after.astimezone(UTC))
    end_at = plan.end_at
    return ticks if end_at is None else takewhile(lambda tick: tick <= end_at, ticks)


def preview(plan: SchedulePlan, now: datetime, n: int) -> tuple[datetime, ...]:
    """Returns the next `n` ticks, fewer if fewer are left."""
    return tuple(islice(ticks_after(plan, now), n))


def due_at(plan: SchedulePlan, tick: datetime, following: datetime | None) -> datetime:
    """Returns when a tick is due: the tick and its jitter, which is the same every time.

    Args:
        plan: of the schedule.
        tick: of the schedule.
        following: the tick after it; the jitter ends before that, so that ticks keep their order.
    """
    if not plan.jitter_s:
        return tick
    digest = hashlib.sha256(f"{plan.id}|{tick.isoformat()}".encode()).digest()
    share = int.from_bytes(digest[:7]) / 2**56
    jitter = timedelta(seconds=plan.jitter_s)
    return tick + share * (jitter if following is None else min(jitter, following - tick))


def _endless(plan: SchedulePlan, after: datetime) -> Iterator[datetime]:
    if plan.kind is ScheduleKind.CRON:
        return cron_ticks(parse_cron(plan.cron), zone(plan.timezone), after)
    assert plan.start_at is not None, "the plan was checked"
    start_at = plan.start_at.astimezone(UTC)
    if plan.kind is ScheduleKind.DATETIME:
        return iter((start_at,) if start_at > after else ())
    assert plan.frequency is not None, "the plan was checked"
    return _every(start_at, plan.frequency, after)


def _every(start_at: datetime, frequency: timedelta, after: datetime) -> Iterator[datetime]:
    number = max((after - start_at) // frequency + 1, 0)
    latest = datetime.max.replace(tzinfo=UTC) - frequency
    tick = start_at + number * frequency
    while tick <= latest:
        yield tick
        tick += frequency
