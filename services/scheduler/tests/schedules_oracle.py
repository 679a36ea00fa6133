"""What a schedule does, told minute by minute; slow, and written apart from what it judges."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

MINUTE = timedelta(minutes=1)


@dataclass(frozen=True)
class Fields:
    """A cron expression as sets of numbers; None is a star."""

    minutes: frozenset[int] | None = None
    hours: frozenset[int] | None = None
    days: frozenset[int] | None = None
    months: frozenset[int] | None = None
    weekdays: frozenset[int] | None = None

    def __str__(self):
        parts = (self.minutes, self.hours, self.days, self.months, self.weekdays)
        return " ".join("*" if p is None else ",".join(map(str, sorted(p))) for p in parts)

    def shows(self, wall):
        day, weekday = wall.day, wall.isoweekday() % 7
        on_day = self.days is None or day in self.days
        on_weekday = self.weekdays is None or weekday in self.weekdays
        if self.days is not None and self.weekdays is not None:
            right_day = on_day or on_weekday
        else:
            right_day = on_day and on_weekday
        return (
            right_day
            and (self.minutes is None or wall.minute in self.minutes)
            and (self.hours is None or wall.hour in self.hours)
            and (self.months is None or wall.month in self.months)
        )


def wall_minutes(zone, begin, end):
    """Yields (instant, wall minutes new since the last instant, wall) for every minute."""
    clock = ZoneInfo(zone)
    newest = (begin - timedelta(hours=3)).astimezone(clock).replace(tzinfo=None)
    instant = begin - timedelta(hours=3)
    while instant < end:
        wall = instant.astimezone(clock).replace(tzinfo=None, fold=0)
        fresh = []
        while newest < wall:
            newest += MINUTE
            fresh.append(newest)
        if instant >= begin:
            yield instant, fresh, wall
        instant += MINUTE


def cron_ticks(fields, zone, begin, end):
    """Every tick in [begin, end): once for fixed times, as often as shown for stars."""
    fixed = fields.minutes is not None and fields.hours is not None
    return [
        instant
        for instant, fresh, wall in wall_minutes(zone, begin, end)
        if (any(map(fields.shows, fresh)) if fixed else fields.shows(wall))
    ]


@dataclass
class World:
    """A schedule with its ticks known, its runs, and times at which nobody looks."""

    ticks: list[datetime]
    overlap: str
    catchup: str
    window: timedelta | None
    max_runs: int | None
    lasts: dict[datetime, int]
    down: tuple[tuple[datetime, datetime], ...]
    floor: datetime
    running: dict[str, datetime] = field(default_factory=dict)
    queued: list[datetime] = field(default_factory=list)
    fired: list[tuple[datetime, datetime]] = field(default_factory=list)
    skipped: list[datetime] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)

    def is_down(self, now):
        return any(start <= now < end for start, end in self.down)

    def minute(self, now):
        self.running = {run: end for run, end in self.running.items() if end > now}
        if self.is_down(now):
            return
        due = [tick for tick in self.ticks if self.floor < tick <= now]
        if due:
            self.floor = due[-1]
        left = []
        for tick in due:
            newest, late = tick == due[-1], now - tick
            if self.used_up():
                break
            missed = late > MINUTE and (
                self.catchup == "none"
                or (self.window is not None and late > self.window)
                or (self.catchup == "last" and not newest)
            )
            if missed or (self.overlap == "replace" and not newest):
                self.skipped.append(tick)
            else:
                left.append(tick)
        if self.queued and not self.running and not (self.overlap == "replace" and left):
            self.start(self.queued.pop(0), now)
        for tick in left:
            if self.used_up():
                return
            self.meet(tick, now)

    def used_up(self):
        extra = 0 if self.overlap == "replace" else len(self.queued)
        return self.max_runs is not None and len(self.fired) + extra >= self.max_runs

    def meet(self, tick, now):
        if self.overlap == "allow":
            self.start(tick, now)
        elif self.overlap == "skip":
            if self.running:
                self.skipped.append(tick)
            else:
                self.start(tick, now)
        elif self.overlap == "queue":
            if self.running or self.queued:
                self.queued.append(tick)
            else:
                self.start(tick, now)
        else:
            self.skipped += self.queued
            self.queued = []
            if self.running:
                self.stopped += list(self.running)
                # The runtime needs a minute to stop what it was told to.
                self.running = {run: min(end, now + MINUTE) for run, end in self.running.items()}
                self.queued = [tick]
            else:
                self.start(tick, now)

    def start(self, tick, now):
        self.fired.append((tick, now))
        self.running[tick.isoformat()] = now + self.lasts[tick] * MINUTE


def utc(*args):
    return datetime(*args, tzinfo=UTC)
