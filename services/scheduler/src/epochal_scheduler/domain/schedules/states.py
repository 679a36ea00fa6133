"""What is known of a schedule, what can be decided about it, and how the one changes the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime


@dataclass(frozen=True, slots=True)
class ScheduleState:
    """A schedule as it stands.

    Attributes:
        since: ticks up to this moment are none of its business: when it was made, or resumed
            after a pause. A pause is meant, so what it swallowed is not caught up.
        last_tick: the newest tick that was decided about.
        runs_made: how many runs it has started.
        running: its runs that have not ended.
        queued: ticks that wait for them, oldest first.
        paused: whether ticks are let pass.
    """

    since: datetime
    last_tick: datetime | None = None
    runs_made: int = 0
    running: tuple[str, ...] = ()
    queued: tuple[datetime, ...] = ()
    paused: bool = False

    @property
    def floor(self) -> datetime:
        """The moment after which ticks are to be decided about."""
        return self.since if self.last_tick is None else max(self.since, self.last_tick)


@dataclass(frozen=True, slots=True)
class Fire:
    """A run of the schedule starts for a tick, which was due at a moment."""

    tick: datetime
    due: datetime


@dataclass(frozen=True, slots=True)
class SkipTick:
    """`count` ticks from `first` to `tick` lead to nothing."""

    tick: datetime
    reason: str
    first: datetime
    count: int = 1


@dataclass(frozen=True, slots=True)
class QueueTick:
    """A tick waits until no run of the schedule is under way."""

    tick: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class Replace:
    """A run is to be stopped in favour of a tick, which is queued or fired beside."""

    run: str
    tick: datetime


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing more to decide before a moment, or before something else happens."""

    until: datetime | None
    reason: str


@dataclass(frozen=True, slots=True)
class End:
    """The schedule makes no more runs."""

    reason: str


Decision = Fire | SkipTick | QueueTick | Replace | Wait | End


def evolve(
    state: ScheduleState, decisions: Iterable[Decision], run_of: Callable[[datetime], str]
) -> ScheduleState:
    """Returns the state after decisions; `run_of` names the run that a tick starts."""
    for decision in decisions:
        if isinstance(decision, Wait | End | Replace):
            continue
        queued = tuple(tick for tick in state.queued if tick != decision.tick)
        last = max(state.last_tick or decision.tick, decision.tick)
        state = replace(state, queued=queued, last_tick=last)
        if isinstance(decision, Fire):
            running = (*state.running, run_of(decision.tick))
            state = replace(state, runs_made=state.runs_made + 1, running=running)
        elif isinstance(decision, QueueTick):
            state = replace(state, queued=(*state.queued, decision.tick))
    return state
