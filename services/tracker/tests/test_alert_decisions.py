"""Alerts of a run as a stream, as rows, and what is watched as bytes."""

from __future__ import annotations

from uuid import UUID

import epochal_proto.v1 as pb
import pytest
from epochal_kernel.errors import InvalidArgument
from epochal_proto.v1.events import EVENTS
from epochal_testing.projecting import Stored, project, recorded
from epochal_tracker.domain import alerts
from epochal_tracker.domain.alerts import Alerts, AlertsAggregate
from epochal_tracker.domain.judging import NOT_A_NUMBER
from epochal_tracker.monitoring.projections import READ_MODEL
from epochal_tracker.monitoring.watching import Watch, next_batch, observe
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

ID = UUID("0193a000-0000-7000-8000-000000000001")
RUN = f"orgs/acme/projects/vision/runs/{ID}"
HIGH = pb.AlertRule(name="high", metric="loss", threshold=pb.ThresholdCondition(above=10))
rules = st.sampled_from(["a", "b"])
metrics = st.sampled_from(["", "loss"])


def rows(*history: Message) -> Stored:
    return project(READ_MODEL, [recorded(one, n, ID) for n, one in enumerate(history, start=1)])


def follow(*events: Message) -> Alerts:
    state = AlertsAggregate().initial()
    for event in events:
        state = AlertsAggregate().evolve(state, event)
    return state


@given(st.lists(st.sampled_from(sorted(EVENTS)).map(lambda name: EVENTS[name]()), max_size=20))
def test_every_history_folds(history: list[Message]) -> None:
    state = follow(*history)
    assert bool(state.raised) == any(isinstance(one, pb.MetricAlertRaised) for one in history)


@given(st.lists(st.tuples(st.booleans(), rules, metrics), max_size=30))
def test_alerts_are_raised_and_resolved_in_turn_and_numbered(
    proposals: list[tuple[bool, str, str]],
) -> None:
    state, said = Alerts(), []
    for raised, rule, metric in proposals:
        events = (
            alerts.raise_alert(state, pb.MetricAlertRaised(rule=rule, metric=metric))
            if raised
            else alerts.resolve_alert(state, pb.MetricAlertResolved(rule=rule, metric=metric))
        )
        for event in events:
            said.append((rule, metric, raised, event.number))
            state = AlertsAggregate().evolve(state, event)
    for key in {(rule, metric) for rule, metric, _, _ in said}:
        own = [(raised, number) for *found, raised, number in said if tuple(found) == key]
        assert own == [(place % 2 == 0, place // 2 + 1) for place in range(len(own))]


def test_rules_are_declared_once_and_replaced_by_name() -> None:
    (declared,) = alerts.declare(Alerts(), RUN, [HIGH])
    state = follow(declared)
    assert alerts.declare(state, RUN, [HIGH]) == []
    higher = pb.AlertRule(name="high", threshold=pb.ThresholdCondition(above=20))
    (again,) = alerts.declare(state, RUN, [higher])
    assert list(again.rules) == [higher]


@pytest.mark.parametrize(
    ("given_", "field", "words"),
    [
        ([HIGH, HIGH], "rules[1].name", "comes twice"),
        ([pb.AlertRule(name="t", threshold=pb.ThresholdCondition())], "rules[0].threshold", "give"),
        (
            [pb.AlertRule(name="t", threshold=pb.ThresholdCondition(above=1, below=2))],
            "rules[0].threshold",
            "no value lies",
        ),
        ([pb.AlertRule(name="s", stall=pb.StallCondition())], "rules[0].stall", "either"),
        (
            [pb.AlertRule(name="s", metric="loss", stall=pb.StallCondition(seconds=1))],
            "rules[0].metric",
            "whole run",
        ),
    ],
)
def test_rules_that_cannot_hold_are_refused(
    given_: list[pb.AlertRule], field: str, words: str
) -> None:
    with pytest.raises(InvalidArgument, match=words) as caught:
        alerts.declare(Alerts(), RUN, given_)
    assert [violation.field for violation in caught.value.violations] == [field]


def test_rows_tell_of_rules_ends_and_alerts() -> None:
    raised = pb.MetricAlertRaised(run=RUN, rule="high", metric="loss", value=11, number=1)
    found = rows(
        pb.RunCreated(name=RUN, alert_rules=[HIGH]),
        pb.AlertRulesDeclared(run=RUN, rules=[NOT_A_NUMBER]),
        raised,
        pb.MetricAlertResolved(run=RUN, rule="high", metric="loss", message="fine", number=1),
        pb.MetricAlertRaised(run=RUN, rule="high", metric="loss", value=12, number=2),
        pb.RunSucceeded(),
    )
    watched = found["watched"][ID,]
    declared = pb.AlertRulesDeclared.FromString(watched.rules).rules
    assert [rule.name for rule in declared] == ["high", "not-a-number"]
    assert watched.end_time is not None
    first, second = (found["alert"][RUN, "high", "loss", number] for number in (1, 2))
    assert (first.value, first.resolution, first.position) == (11, "fine", 3)
    assert (second.value, second.resolve_time) == (12, None)
    resumed = rows(pb.RunCreated(name=RUN), pb.RunSucceeded(), pb.RunResumed())
    assert resumed["watched"][ID,].end_time is None


payloads = st.one_of(
    st.just(pb.RunCreated(name=RUN, alert_rules=[HIGH])),
    st.just(pb.AlertRulesDeclared(run=RUN, rules=[NOT_A_NUMBER])),
    st.builds(pb.MetricAlertRaised, run=st.just(RUN), rule=rules, number=st.integers(1, 2)),
    st.builds(pb.MetricAlertResolved, run=st.just(RUN), rule=rules, number=st.integers(1, 2)),
    st.sampled_from(sorted(EVENTS)).map(lambda name: EVENTS[name]()),
)


@given(st.lists(payloads, max_size=30), st.lists(st.integers(1, 5), max_size=8))
def test_batches_of_any_size_give_the_same_rows(history: list[Message], sizes: list[int]) -> None:
    events = [recorded(one, n, ID) for n, one in enumerate(history, start=1)]
    assert project(READ_MODEL, events, sizes) == project(READ_MODEL, events)


def summary(batch: int, *values: float, producer: bytes = b"p" * 16) -> pb.BatchSummary:
    count = len(values)
    columns = pb.ColumnSummaries(
        metrics=["loss"] * count,
        points=[1] * count,
        last_steps=[batch] * count,
        last_times_us=[0] * count,
        mins=values,
        maxs=values,
        lasts=values,
        odds=[0] * count,
    )
    return pb.BatchSummary(
        run=ID.bytes, producer=producer, batch=batch, time_us=batch * 1_000_000, columns=columns
    )


def test_a_batch_that_was_seen_changes_nothing() -> None:
    watch, proposals = observe(Watch(), {"high": HIGH}, summary(1, 11.0))
    assert [one.verdict.raised for one in proposals] == [True]
    assert observe(watch, {"high": HIGH}, summary(1, 11.0)) == (watch, ())
    watch, proposals = observe(watch, {"high": HIGH}, summary(2, 5.0))
    assert [one.verdict.raised for one in proposals] == [False]
    assert (watch.points, watch.last_step, watch.pause_s) == (2, 2, 1.0)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=8))
def test_values_that_are_no_numbers_are_seen_among_metrics_that_are(
    batches: list[tuple[bool, bool]],
) -> None:
    """Columns that cannot matter are passed over: what matters must not be."""
    watch, held, rule = Watch(), [False, False], {NOT_A_NUMBER.name: NOT_A_NUMBER}
    for number, odd in enumerate(batches, start=1):
        one = summary(number, 1.0, 2.0)
        one.columns.metrics[:] = ["loss", "accuracy"]
        one.columns.odds[:] = [int(value) for value in odd]
        watch, proposals = observe(watch, rule, one)
        told = {proposal.metric: proposal.verdict.raised for proposal in proposals}
        changes = zip(one.columns.metrics, held, odd, strict=True)
        assert told == {metric: now for metric, before, now in changes if before != now}
        held = list(odd)


def test_batches_of_log_lines_are_counted_too() -> None:
    watch, _ = observe(Watch(), {}, summary(1))
    assert next_batch(watch, summary(2, 1.0)) == 2
    assert (watch.points, watch.last_us) == (0, 0)
    assert next_batch(watch, summary(9, producer=b"q" * 16)) == 1


@given(st.lists(st.floats(allow_nan=False), max_size=10))
def test_what_is_kept_comes_back_from_its_bytes(values: list[float]) -> None:
    change = pb.AlertRule(name="change", change=pb.ChangeCondition(percent=10, over_batches=3))
    watch = Watch()
    for number, value in enumerate(values, start=1):
        watch, _ = observe(watch, {"high": HIGH, "change": change}, summary(number, value))
    assert Watch.unpack(watch.pack()) == watch
    assert Watch.unpack(b"") == Watch()
