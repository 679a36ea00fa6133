"""What a schedule does now: fire, skip, queue or replace, for every tick that is due.

Two policies meet here. `catchup` looks at ticks that were missed, which is to say seen more than
`grace_s` late: `none` skips them, `last` keeps the newest, `all` keeps each that is inside the
window, in order. `overlap` then looks at each tick that is left, while a run is under way:

| overlap | a tick while a run is under way |
| --- | --- |
| allow | starts another run |
| skip | is skipped |
| queue | waits; one queued tick starts each time nothing is under way any more |
| replace | stops what is under way and waits for it to end; older waiting ticks are skipped |

So `catchup: all` with `overlap: skip` starts one run, since the others meet that run; with
`queue` they run one after the other, and with `replace` only the newest does.

One decision looks at no more than `MOST_TICKS` ticks, and says to come back at once if there are
more: a schedule of every minute that slept for a year is caught up in turns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from epochal_scheduler.domain.schedules.plans import Catchup, Overlap, SchedulePlan
from epochal_scheduler.domain.schedules.states import (
    Decision,
    End,
    Fire,
    QueueTick,
    Replace,
    ScheduleState,
    SkipTick,
    Wait,
)
from epochal_scheduler.domain.schedules.ticks import due_at, ticks_after

MOST_TICKS = 500
MOST_QUEUED = 100


@dataclass(frozen=True, slots=True)
class _Due:
    """Ticks that are due, and what comes after them: a later one that is due too, or the next."""

    ticks: Sequence[tuple[datetime, datetime]]
    next_due: datetime | None
    more: bool


def decide(plan: SchedulePlan, state: ScheduleState, now: datetime) -> tuple[Decision, ...]:
    """Decides everything that is to be decided now; the last decision is Wait or End.

    Deciding again with the state that follows (`states.evolve`) and the same `now` decides
    nothing more, unless it said Wait(until=now).
    """
    if state.paused:
        return (Wait(None, "the schedule is paused"),)
    turn = _Turn(plan, state, now)
    due = _due(plan, state, now)
    kept = turn.catch_up(due)
    turn.start_queued(has_newer=bool(kept))
    for tick, due_time in kept:
        if turn.is_used_up:
            break
        turn.meet(tick, due_time)
    return (*turn.decisions, turn.conclude(due))


def _due(plan: SchedulePlan, state: ScheduleState, now: datetime) -> _Due:
    found: list[tuple[datetime, datetime]] = []
    ticks = ticks_after(plan, state.floor)
    tick = next(ticks, None)
    while tick is not None:
        following = next(ticks, None)
        due = due_at(plan, tick, following)
        if due > now:
            return _Due(found, due, more=False)
        if len(found) == MOST_TICKS:
            return _Due(found, due, more=True)
        found.append((tick, due))
        tick = following
    return _Due(found, None, more=False)


@dataclass(slots=True)
class _Turn:
    """One decision being made."""

    plan: SchedulePlan
    state: ScheduleState
    now: datetime
    decisions: list[Decision] = field(default_factory=list)
    runs_made: int = 0
    running: list[str] = field(default_factory=list)
    queued: list[datetime] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.runs_made = self.state.runs_made
        self.running = list(self.state.running)
        self.queued = list(self.state.queued)

    @property
    def overlap(self) -> Overlap:
        """The policy in force: what depends on its past cannot be allowed beside it."""
        if self.plan.depends_on_past and self.plan.overlap is Overlap.ALLOW:
            return Overlap.QUEUE
        return self.plan.overlap

    @property
    def is_used_up(self) -> bool:
        """Whether runs made and ticks queued are all that the schedule may make.

        A queued tick that the next one would replace does not count.
        """
        most = self.plan.max_runs
        queued = 0 if self.overlap is Overlap.REPLACE else len(self.queued)
        return most is not None and self.runs_made + queued >= most

    def catch_up(self, due: _Due) -> Sequence[tuple[datetime, datetime]]:
        """Skips what catch-up or a newer tick rules out; returns what is left, oldest first."""
        kept = []
        newest = due.ticks[-1][0] if due.ticks and not due.more else None
        for tick, due_time in due.ticks:
            if self.is_used_up:
                break
            why = self._missed(due_time, is_newest=tick == newest)
            if not why and self.overlap is Overlap.REPLACE and tick != newest:
                why = "a newer tick is due too, and overlap is replace"
            if why:
                self.skip(tick, why)
            else:
                kept.append((tick, due_time))
        return kept

    def _missed(self, due_time: datetime, *, is_newest: bool) -> str:
        late = self.now - due_time
        if late <= timedelta(seconds=self.plan.grace_s):
            return ""
        if self.plan.catchup is Catchup.NONE:
            return "it was missed, and catchup is none"
        if self.plan.window is not None and late > self.plan.window:
            return f"it was missed, and is older than the catch-up window of {self.plan.window}"
        if self.plan.catchup is Catchup.LAST and not is_newest:
            return "it was missed, a newer tick is due too, and catchup is last"
        return ""

    def start_queued(self, *, has_newer: bool) -> None:
        """Starts the oldest queued tick if nothing is under way; all of them if none must wait."""
        if self.overlap is Overlap.REPLACE and has_newer:
            return
        while self.queued and (self.overlap is Overlap.ALLOW or not self.running):
            tick = self.queued.pop(0)
            self.fire(tick, tick)

    def meet(self, tick: datetime, due_time: datetime) -> None:
        """Applies the overlap policy to one tick."""
        waits_in_line = self.queued and self.overlap is Overlap.QUEUE
        if self.overlap is Overlap.ALLOW or not (self.running or waits_in_line):
            if self.overlap is Overlap.REPLACE:
                self._drop_queued(tick)
            self.fire(tick, due_time)
        elif self.overlap is Overlap.SKIP:
            self.skip(tick, f"{self.running[0]} is under way, and overlap is skip")
        elif self.overlap is Overlap.QUEUE:
            if len(self.queued) >= MOST_QUEUED:
                self.skip(tick, f"{MOST_QUEUED} ticks are queued already")
            else:
                self.queue(tick)
        else:
            self._drop_queued(tick)
            self.decisions += [Replace(run, tick) for run in self.running]
            self.queue(tick)

    def fire(self, tick: datetime, due_time: datetime) -> None:
        """Notes that a run starts."""
        self.decisions.append(Fire(tick, due_time))
        self.runs_made += 1
        self.running.append(f"the run of {tick.isoformat()}")

    def queue(self, tick: datetime) -> None:
        """Notes that a tick waits."""
        behind = self.running[0] if self.running else f"the tick of {self.queued[0].isoformat()}"
        self.queued.append(tick)
        self.decisions.append(QueueTick(tick, f"waits for {behind} to end"))

    def skip(self, tick: datetime, reason: str) -> None:
        """Notes that a tick leads to nothing; one decision for ticks in a row, one reason."""
        last = self.decisions[-1] if self.decisions else None
        if isinstance(last, SkipTick) and last.reason == reason:
            self.decisions[-1] = SkipTick(tick, reason, last.first, last.count + 1)
        else:
            self.decisions.append(SkipTick(tick, reason, tick))

    def _drop_queued(self, tick: datetime) -> None:
        for older in self.queued:
            reason = f"the tick of {tick.isoformat()} came before it started"
            self.skip(older, reason)
        self.queued.clear()

    def conclude(self, due: _Due) -> Wait | End:
        """Says when to decide again, or that there is nothing left to decide."""
        most = self.plan.max_runs
        if self.queued:
            until = None if self.is_used_up else self.now if due.more else due.next_due
            return Wait(until, f"{len(self.queued)} ticks are queued until the last run ends")
        if self.is_used_up:
            return End(f"it has made its {most} runs")
        if due.more:
            return Wait(self.now, "more ticks are due")
        if due.next_due is None:
            return End("it has no more ticks")
        return Wait(due.next_due, "the next tick is due then")
