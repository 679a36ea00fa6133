"""How schedules tick, wait and end, case by case."""

from datetime import UTC, date, datetime, timedelta
from itertools import islice, pairwise

import pytest
from epochal_kernel.errors import InvalidArgument
from epochal_scheduler.domain.schedules.backfills import Every, Partition, partitions
from epochal_scheduler.domain.schedules.deciding import MOST_QUEUED, MOST_TICKS, decide
from epochal_scheduler.domain.schedules.plans import Catchup, Overlap, ScheduleKind, SchedulePlan
from epochal_scheduler.domain.schedules.states import (
    End,
    Fire,
    QueueTick,
    Replace,
    ScheduleState,
    SkipTick,
    Wait,
    evolve,
)
from epochal_scheduler.domain.schedules.ticks import due_at, preview, ticks_after
from hypothesis import given, settings
from hypothesis import strategies as st
from schedules_oracle import utc

HOURLY = "0 * * * *"
NOON = utc(2026, 6, 1, 12)


def cron(expression=HOURLY, **more):
    return SchedulePlan("s", ScheduleKind.CRON, cron=expression, **more)


def hours(n):
    return timedelta(hours=n)


@pytest.mark.parametrize(
    ("expression", "first", "second"),
    [
        ("@hourly", utc(2026, 6, 1, 13), utc(2026, 6, 1, 14)),
        ("@daily", utc(2026, 6, 2), utc(2026, 6, 3)),
        ("@midnight", utc(2026, 6, 2), utc(2026, 6, 3)),
        ("@weekly", utc(2026, 6, 7), utc(2026, 6, 14)),
        ("@monthly", utc(2026, 7, 1), utc(2026, 8, 1)),
        ("@yearly", utc(2027, 1, 1), utc(2028, 1, 1)),
        ("0 0 29 2 *", utc(2028, 2, 29), utc(2032, 2, 29)),
        ("0 9 * * MON-FRI", utc(2026, 6, 2, 9), utc(2026, 6, 3, 9)),
        ("0 0 L * *", utc(2026, 6, 30), utc(2026, 7, 31)),
        ("0 0 * * FRI#1", utc(2026, 6, 5), utc(2026, 7, 3)),
        ("0 0 13 * 5", utc(2026, 6, 5), utc(2026, 6, 12)),
    ],
)
def test_cron_expressions_mean_what_cron_means(expression, first, second):
    assert preview(cron(expression), NOON, 2) == (first, second)


def test_a_time_that_the_clock_skips_ticks_after_the_gap_and_one_shown_twice_ticks_once():
    plan = cron("30 2 * * *", timezone="Europe/Berlin")
    spring = preview(plan, utc(2026, 3, 28, 12), 2)
    assert spring == (utc(2026, 3, 29, 1), utc(2026, 3, 30, 0, 30))
    autumn = preview(plan, utc(2026, 10, 24, 12), 2)
    assert autumn == (utc(2026, 10, 25, 0, 30), utc(2026, 10, 26, 1, 30))


def test_from_inside_the_repeated_hour_the_first_showing_is_past():
    plan = cron("30 2 * * *", timezone="Europe/Berlin")
    assert preview(plan, utc(2026, 10, 25, 1, 15), 1) == (utc(2026, 10, 26, 1, 30),)


@pytest.mark.parametrize("wrong", ["* * * *", "60 * * * *", "0 0 31 2 *", "@often", "* * * * * *"])
def test_what_is_no_cron_expression_is_refused(wrong):
    with pytest.raises(InvalidArgument, match="no cron expression"):
        cron(wrong)


def test_plans_that_cannot_tick_are_refused():
    with pytest.raises(InvalidArgument) as error:
        SchedulePlan("s", ScheduleKind.INTERVAL, max_runs=0, jitter_s=-1)
    assert {violation.field for violation in error.value.violations} == {
        "schedule.startAt", "schedule.frequency", "schedule.maxRuns", "schedule.jitter",
    }  # fmt: skip
    with pytest.raises(InvalidArgument, match="time zone"):
        cron(timezone="Mars/Olympus")
    with pytest.raises(InvalidArgument) as error:
        cron(start_at=datetime(2026, 1, 1))
    assert error.value.violations[0].field == "schedule.startAt"


def test_an_interval_is_elapsed_time_from_its_start():
    plan = SchedulePlan(
        "s", ScheduleKind.INTERVAL, frequency=hours(7), start_at=utc(2026, 3, 28),
        timezone="Europe/Berlin",
    )  # fmt: skip
    assert preview(plan, utc(2020, 1, 1), 2) == (utc(2026, 3, 28), utc(2026, 3, 28, 7))
    later = preview(plan, utc(2026, 3, 28, 7), 20)
    assert later[0] == utc(2026, 3, 28, 14)
    assert {b - a for a, b in pairwise(later)} == {hours(7)}


def test_a_moment_ticks_once():
    plan = SchedulePlan("s", ScheduleKind.DATETIME, start_at=NOON)
    assert preview(plan, NOON - hours(1), 5) == (NOON,)
    state = ScheduleState(since=NOON - hours(1))
    assert decide(plan, state, NOON) == (Fire(NOON, NOON), End("it has no more ticks"))


def test_start_and_end_are_ticks_too():
    plan = cron(start_at=NOON, end_at=NOON + hours(2))
    assert preview(plan, NOON - hours(9), 9) == (NOON, NOON + hours(1), NOON + hours(2))


def test_jitter_is_the_same_every_time_and_never_passes_the_next_tick():
    plan = cron("*/10 * * * *", jitter_s=3600)
    ticks = preview(plan, NOON, 200)
    dues = [due_at(plan, a, b) for a, b in pairwise(ticks)]
    assert dues == [due_at(plan, a, b) for a, b in pairwise(ticks)]
    assert all(a <= due <= b for (a, b), due in zip(pairwise(ticks), dues, strict=True))
    assert len({due.minute % 10 for due in dues}) > 5
    assert due_at(cron(), NOON, None) == NOON


def test_a_jittered_tick_waits_until_it_is_due():
    plan = cron(jitter_s=1800)
    tick = NOON + hours(1)
    due = due_at(plan, tick, tick + hours(1))
    state = ScheduleState(since=NOON)
    assert decide(plan, state, due - timedelta(seconds=1)) == (
        Wait(due, "the next tick is due then"),
    )
    assert decide(plan, state, due)[0] == Fire(tick, due)


def test_a_paused_schedule_waits_and_a_resumed_one_does_not_look_back():
    state = ScheduleState(since=NOON, paused=True)
    later = NOON + hours(9)
    assert decide(cron(), state, later) == (Wait(None, "the schedule is paused"),)
    plan = cron(catchup=Catchup.ALL)
    assert decide(plan, ScheduleState(since=later), later) == (
        Wait(later + hours(1), "the next tick is due then"),
    )


def test_a_schedule_ends_after_its_runs():
    plan = cron(max_runs=2)
    first, wait = decide(plan, ScheduleState(since=NOON), NOON + hours(1))
    assert isinstance(wait, Wait)
    state = evolve(ScheduleState(since=NOON), [first], str)
    second, end = decide(plan, state, NOON + hours(2))
    assert isinstance(second, Fire)
    assert end == End("it has made its 2 runs")


def test_what_depends_on_its_past_waits_for_it():
    plan = cron(depends_on_past=True)
    state = ScheduleState(since=NOON, running=("r1",))
    queued, wait = decide(plan, state, NOON + hours(1))
    assert queued == QueueTick(NOON + hours(1), "waits for r1 to end")
    assert wait.until == NOON + hours(2)
    state = ScheduleState(since=NOON, last_tick=NOON + hours(1), queued=(NOON + hours(1),))
    assert decide(plan, state, NOON + hours(1.5))[0] == Fire(NOON + hours(1), NOON + hours(1))


def test_replace_stops_what_runs_and_fires_when_it_has_ended():
    plan = cron(overlap=Overlap.REPLACE)
    state = ScheduleState(since=NOON, running=("r1",))
    tick = NOON + hours(1)
    decisions = decide(plan, state, tick)
    assert decisions[:2] == (Replace("r1", tick), QueueTick(tick, "waits for r1 to end"))
    state = evolve(state, decisions, str)
    assert state.queued == (tick,)
    newer = NOON + hours(2)
    skip, again, queue, _ = decide(plan, state, newer)
    assert skip == SkipTick(tick, f"the tick of {newer.isoformat()} came before it started", tick)
    assert (again, queue.tick) == (Replace("r1", newer), newer)


def test_a_change_to_allow_starts_all_that_was_queued():
    state = ScheduleState(since=NOON, running=("r",), queued=(NOON - hours(2), NOON - hours(1)))
    fired = [d.tick for d in decide(cron(), state, NOON) if isinstance(d, Fire)]
    assert fired == [NOON - hours(2), NOON - hours(1)]


def test_a_long_sleep_is_caught_up_in_turns_with_one_skip_for_many_ticks():
    plan = cron("* * * * *", catchup=Catchup.LAST)
    state, now = ScheduleState(since=NOON), NOON + timedelta(days=1, seconds=30)
    turns, skips = 0, []
    while True:
        decisions = decide(plan, state, now)
        assert len(decisions) <= 3
        skips += [d for d in decisions if isinstance(d, SkipTick)]
        state = evolve(state, decisions, str)
        turns += 1
        if decisions[-1].until != now:
            break
    assert sum(skip.count for skip in skips) == 24 * 60 - 1
    assert turns == 24 * 60 // MOST_TICKS + 1
    assert state.running == (str(NOON + timedelta(days=1)),)


def test_the_queue_is_bounded():
    plan = cron("* * * * *", overlap=Overlap.QUEUE, catchup=Catchup.ALL)
    state = ScheduleState(since=NOON, running=("r",))
    decisions = decide(plan, state, NOON + timedelta(minutes=MOST_QUEUED + 5))
    assert sum(isinstance(d, QueueTick) for d in decisions) == MOST_QUEUED
    skip = next(d for d in decisions if isinstance(d, SkipTick))
    assert (skip.count, skip.reason) == (5, f"{MOST_QUEUED} ticks are queued already")


@given(st.datetimes(datetime(1990, 1, 1), datetime(2050, 1, 1), timezones=st.just(UTC)))
def test_ticks_are_later_than_asked_for_and_in_order(after):
    found = list(islice(ticks_after(cron("15,45 */6 * * *", timezone="Europe/Berlin"), after), 9))
    assert found == sorted(set(found))
    assert found[0] > after


def test_days_follow_the_clock_and_hours_elapse():
    days = partitions(date(2026, 3, 28), date(2026, 3, 31), Every.DAY, "Europe/Berlin")
    assert [p.key for p in days] == ["2026-03-28", "2026-03-29", "2026-03-30"]
    assert [p.end - p.start for p in days] == [hours(24), hours(23), hours(24)]
    autumn = partitions(date(2026, 10, 25), date(2026, 10, 26), Every.HOUR, "Europe/Berlin")
    assert len(autumn) == 25
    assert [p.key for p in autumn[2:4]] == ["2026-10-25T02:00+02:00", "2026-10-25T02:00+01:00"]


def test_moments_begin_hours_where_they_are_whole():
    found = partitions(utc(2026, 1, 1, 0, 10), utc(2026, 1, 1, 2), Every.HOUR, "Asia/Kolkata")
    assert [p.key for p in found] == ["2026-01-01T06:00+05:30", "2026-01-01T07:00+05:30"]
    assert found[0].start == utc(2026, 1, 1, 0, 30)


def test_a_tick_as_old_as_the_window_is_still_caught_up():
    plan = cron(catchup=Catchup.ALL, window=hours(1))
    decisions = decide(plan, ScheduleState(since=NOON - hours(3)), NOON + hours(1))
    assert [type(d) for d in decisions] == [SkipTick, Fire, Fire, Wait]
    assert [d.tick for d in decisions[:3]] == [NOON - hours(1), NOON, NOON + hours(1)]


def test_ticks_end_where_time_does():
    far = SchedulePlan(
        "s", ScheduleKind.INTERVAL, frequency=timedelta(days=300), start_at=utc(9998, 1, 1)
    )
    assert len(preview(far, NOON, 9)) == 2
    assert preview(cron("0 0 1 1 *"), utc(9997, 6, 1), 9) == (utc(9998, 1, 1),)


def test_weeks_begin_on_monday_and_months_on_the_first():
    weeks = partitions(date(2026, 12, 30), date(2027, 1, 12), Every.WEEK)
    assert [p.key for p in weeks] == ["2027-W01", "2027-W02"]
    months = partitions(date(2026, 11, 1), date(2027, 2, 2), Every.MONTH)
    assert [p.key for p in months] == ["2026-11", "2026-12", "2027-01", "2027-02"]
    assert months[0] == Partition("2026-11", utc(2026, 11, 1), utc(2026, 12, 1))


@settings(max_examples=60, deadline=None)
@given(
    st.dates(date(2020, 1, 1), date(2030, 1, 1)),
    st.integers(1, 70),
    st.sampled_from(list(Every)),
    st.sampled_from(["UTC", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"]),
)
def test_partitions_join_without_gaps_and_have_names_of_their_own(start, length, every, zone):
    found = partitions(start, start + timedelta(days=length), every, zone)
    assert all(a.end == b.start for a, b in pairwise(found))
    assert len({p.key for p in found}) == len(found)
    assert all(p.start < p.end for p in found)


def test_ranges_that_make_no_sense_are_refused():
    with pytest.raises(InvalidArgument, match="empty"):
        partitions(date(2026, 1, 2), date(2026, 1, 2), Every.DAY)
    with pytest.raises(InvalidArgument, match="offset"):
        partitions(datetime(2026, 1, 1), date(2026, 1, 2), Every.DAY)
    with pytest.raises(InvalidArgument, match="100000"):
        partitions(date(2000, 1, 1), date(2020, 1, 1), Every.HOUR)
