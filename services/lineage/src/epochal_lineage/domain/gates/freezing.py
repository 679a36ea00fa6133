"""Times in which nothing moves: one range, or one that comes again by cron, in a time zone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from cronsim import CronSim


@dataclass(frozen=True, slots=True)
class Freeze:
    """A time in which nothing moves.

    Attributes:
        reason: why, told to whom it stops.
        start: when it begins; None for one that comes again.
        end: when it is over; that moment is free.
        cron: when it begins each time, in five fields; empty for a single one.
        hours: how long it lasts each time.
        zone: time zone of all of these.
        places: stages and aliases that it holds for; empty for all.
    """

    reason: str
    zone: ZoneInfo
    start: datetime | None = None
    end: datetime | None = None
    cron: str = ""
    hours: float = 0.0
    places: frozenset[str] = frozenset()

    def active(self, now: datetime) -> bool:
        """Whether it is on at a moment, which has a time zone of its own."""
        local = now.astimezone(self.zone)
        if self.cron:
            lasted = timedelta(hours=self.hours)
            began = next(CronSim(self.cron, local - lasted), None)
            # CronSim gives moments after the one it is asked from: one that began exactly
            # `hours` ago is over.
            return began is not None and began <= local
        assert self.start is not None, "a freeze without cron has a start"
        assert self.end is not None, "a freeze without cron has an end"
        return self.start <= local < self.end

    def holds_for(self, place: str) -> bool:
        """Whether it is about a stage or an alias."""
        return not self.places or place in self.places
