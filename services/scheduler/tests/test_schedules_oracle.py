"""Ticks and decisions against a simulation by the minute, over changed clocks and downtime."""

from datetime import UTC, datetime, timedelta
from itertools import takewhile
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from epochal_scheduler.domain.schedules.deciding import decide
from epochal_scheduler.domain.schedules.plans import Catchup, Overlap, ScheduleKind, SchedulePlan
from epochal_scheduler.domain.schedules.states import (
    End,
    Fire,
    Replace,
    ScheduleState,
    SkipTick,
    Wait,
    evolve,
)
from epochal_scheduler.domain.schedules.ticks import ticks_after
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from schedules_oracle import MINUTE, Fields, World, cron_ticks, utc

# Around every kind of change: spring and autumn, half an hour, at midnight, leap days, new year.
PLACES = [
    ("Europe/Berlin", utc(2026, 3, 28, 20)), ("Europe/Berlin", utc(2026, 10, 24, 20)),
    ("America/New_York", utc(2026, 3, 8, 2)), ("America/New_York", utc(2026, 11, 1, 2)),
    ("Australia/Lord_Howe", utc(2026, 4, 4, 10)), ("Australia/Lord_Howe", utc(2026, 10, 3, 10)),
    ("America/Havana", utc(2026, 3, 8, 0)), ("America/Havana", utc(2026, 11, 1, 0)),
    ("UTC", utc(2028, 2, 28, 12)), ("Europe/Berlin", utc(2027, 2, 28, 12)),
    ("Asia/Kolkata", utc(2026, 12, 31, 12)),
]  # fmt: skip
LENGTH = timedelta(hours=40)


def numbers(low, high, most=4):
    return st.frozensets(st.integers(low, high), min_size=1, max_size=most)


FIELDS = st.builds(
    Fields,
    minutes=st.none() | numbers(0, 59),
    hours=st.none() | numbers(0, 4),
    days=st.none() | st.none() | st.sampled_from([frozenset({1, 28, 29}), frozenset({8, 25})]),
    months=st.none() | st.none() | st.sampled_from([frozenset({1, 3, 10}), frozenset({2, 12})]),
    weekdays=st.none() | st.none() | numbers(0, 6),
)


def cron(fields, zone, **more):
    return SchedulePlan("s", ScheduleKind.CRON, cron=str(fields), timezone=zone, **more)


@settings(max_examples=150, deadline=None)
@given(FIELDS, st.sampled_from(PLACES), st.integers(0, 600))
def test_cron_ticks_are_those_that_the_clock_shows(fields, place, later):
    zone, begin = place[0], place[1] + later * MINUTE
    end = begin + LENGTH
    plan = cron(fields, zone)
    found = takewhile(lambda tick: tick < end, ticks_after(plan, begin - timedelta(seconds=1)))
    assert list(found) == cron_ticks(fields, zone, begin, end)


@settings(max_examples=100, deadline=None)
@given(FIELDS, st.sampled_from(PLACES[:4] + PLACES[-3:]))
def test_cron_ticks_are_those_of_cronsim_where_clocks_change_by_an_hour_after_midnight(
    fields, place
):
    zone, begin = place
    expected = []
    for tick in CronSim(str(fields), begin.astimezone(ZoneInfo(zone))):
        if tick.astimezone(UTC) > begin + LENGTH:
            break
        expected.append(tick.astimezone(UTC))
    found = takewhile(lambda tick: tick <= begin + LENGTH, ticks_after(cron(fields, zone), begin))
    assert list(found) == expected


def test_cronsim_misses_ticks_where_clocks_change_by_half_an_hour():
    zone = ZoneInfo("Australia/Lord_Howe")
    begin, end = utc(2026, 4, 4, 13), utc(2026, 4, 4, 17)
    fields = Fields(hours=frozenset({2}))
    steps = CronSim(str(fields), begin.astimezone(zone))
    found = [t.astimezone(UTC) for t in takewhile(lambda t: t.astimezone(UTC) < end, steps)]
    assert found != cron_ticks(fields, str(zone), begin, end), "or crons.py may use cronsim again"


def simulate(plan, world, begin, end):
    """Runs the real decisions as a runtime would: when a wait is over or a run has ended."""
    state, ends, until = ScheduleState(since=begin), {}, begin
    fired, skipped, stopped, over = [], [], [], False
    now, woken = begin, True
    while now < end:
        alive = tuple(run for run in state.running if ends[run] > now)
        woken |= alive != state.running or (until is not None and until <= now)
        state = ScheduleState(
            state.since, state.last_tick, state.runs_made, alive, state.queued, state.paused
        )
        while woken and not world.is_down(now) and not over:
            decisions = decide(plan, state, now)
            *rest, last = decisions
            assert isinstance(last, Wait | End)
            for decision in rest:
                if isinstance(decision, Fire):
                    fired.append((decision.tick, now))
                    ends[decision.tick.isoformat()] = now + world.lasts[decision.tick] * MINUTE
                elif isinstance(decision, SkipTick):
                    inside = [t for t in world.ticks if decision.first <= t <= decision.tick]
                    assert len(inside) == decision.count
                    assert decision.reason
                    skipped += inside
                elif isinstance(decision, Replace):
                    stopped.append(decision.run)
                    ends[decision.run] = min(ends[decision.run], now + MINUTE)
            state = evolve(state, decisions, datetime.isoformat)
            over = isinstance(last, End)
            until = None if over else last.until
            woken = until is not None and until <= now
        now += MINUTE
    return fired, sorted(skipped), stopped, list(state.queued)


@pytest.mark.parametrize("overlap", list(Overlap))
@pytest.mark.parametrize("catchup", list(Catchup))
# Shrinking a simulation of a day takes minutes and tells little.
@settings(max_examples=25, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))
@given(data=st.data())
def test_every_overlap_and_catchup_is_what_the_simulation_says(overlap, catchup, data):
    zone, begin = data.draw(st.sampled_from(PLACES))
    end = begin + timedelta(hours=20)
    fields = data.draw(
        st.builds(Fields, minutes=numbers(0, 59, 3), hours=st.none() | numbers(0, 5, 4))
    )
    down = data.draw(
        st.lists(
            st.tuples(st.integers(0, 1000), st.integers(1, 400)).map(
                lambda pair: (begin + pair[0] * MINUTE, begin + sum(pair) * MINUTE)
            ),
            max_size=2,
        )
    )
    window = data.draw(st.none() | st.integers(5, 300).map(lambda n: n * MINUTE))
    most = data.draw(st.none() | st.integers(1, 6))
    ticks = [t for t in cron_ticks(fields, zone, begin, end) if t > begin]
    lasts = {tick: data.draw(st.integers(1, 200)) for tick in ticks}
    world = World(ticks, overlap, catchup, window, most, lasts, tuple(down), floor=begin)
    plan = cron(fields, zone, overlap=overlap, catchup=catchup, window=window, max_runs=most)
    fired, skipped, stopped, queued = simulate(plan, world, begin, end)
    now = begin
    while now < end:
        world.minute(now)
        now += MINUTE
    assert fired == world.fired
    assert skipped == sorted(world.skipped)
    assert stopped == world.stopped
    assert queued == world.queued
