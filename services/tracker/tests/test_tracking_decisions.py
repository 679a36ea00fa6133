"""Parameters never change, producers open and seal: any history, any command."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import epochal_proto.v1 as pb
import pytest
from epochal_kernel.errors import EpochalError, FailedPrecondition, NotFound
from epochal_proto.v1.events import EVENTS
from epochal_tracker.domain import tracking
from epochal_tracker.domain.tracking import Tracking, TrackingAggregate
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

RUN = "orgs/acme/projects/vision/runs/0193a000-0000-7000-8000-000000000001"
names = st.sampled_from(["lr", "seed", "mode"])
producers = st.sampled_from(["p1", "p2"])
values = st.one_of(
    st.builds(pb.Value, int_value=st.sampled_from([0, 1])),
    st.builds(pb.Value, double_value=st.sampled_from([0.0, 1.0, float("nan")])),
    st.builds(pb.Value, bool_value=st.booleans()),
    st.builds(pb.Value, string_value=st.sampled_from(["", "1"])),
)
params = st.dictionaries(names, values, max_size=3)
GIVEN = {"seed": pb.Value(int_value=1)}
Decide = Callable[[Tracking], Sequence[Message]]

commands = st.one_of(
    st.builds(lambda p: lambda s: tracking.log_params(s, RUN, GIVEN, p), params),
    st.builds(lambda p: lambda s: tracking.open_producer(s, RUN, p), producers),
    st.builds(
        lambda p, n: (
            lambda s: tracking.seal_producer(
                s, pb.TelemetrySealed(run=RUN, producer=p, last_batch=n)
            )
        ),
        producers,
        st.integers(0, 2),
    ),
)


def follow(state: Tracking, decide: Decide) -> Tracking:
    try:
        events = decide(state)
    except EpochalError:
        return state
    for event in events:
        state = TrackingAggregate().evolve(state, event)
    return state


@given(st.lists(st.sampled_from(sorted(EVENTS)).map(lambda name: EVENTS[name]()), max_size=20))
def test_every_history_folds(history: list[Message]) -> None:
    state = TrackingAggregate().initial()
    for event in history:
        state = TrackingAggregate().evolve(state, event)
    opened = any(isinstance(one, pb.ProducerOpened | pb.TelemetrySealed) for one in history)
    assert bool(state.producers) == opened


@given(st.lists(commands, max_size=25))
def test_parameters_never_change_and_seals_are_final(history: list[Decide]) -> None:
    state = Tracking()
    for decide in history:
        after = follow(state, decide)
        for name, value in state.params.items():
            assert after.params[name] == value
        assert after.params.get("seed", tracking.encoded(GIVEN["seed"])) == tracking.encoded(
            GIVEN["seed"]
        )
        for name, producer in state.producers.items():
            assert after.producers[name].epoch >= producer.epoch
            if producer.sealed_batch is not None:
                assert after.producers[name] == producer
        state = after


@given(st.lists(commands, max_size=15), params)
def test_logging_again_what_was_logged_decides_nothing(
    history: list[Decide], given_: dict[str, pb.Value]
) -> None:
    state = Tracking()
    for decide in history:
        state = follow(state, decide)
    known = {name: tracking.encoded(value) for name, value in GIVEN.items()} | dict(state.params)
    differ = {
        f"params.{name}"
        for name, value in given_.items()
        if known.get(name, tracking.encoded(value)) != tracking.encoded(value)
    }
    if differ:
        with pytest.raises(FailedPrecondition) as caught:
            tracking.log_params(state, RUN, GIVEN, given_)
        assert {one.field for one in caught.value.violations} == differ
        return
    for event in tracking.log_params(state, RUN, GIVEN, given_):
        state = TrackingAggregate().evolve(state, event)
    assert list(tracking.log_params(state, RUN, GIVEN, given_)) == []


def test_an_integer_is_not_the_double_of_equal_value() -> None:
    state = follow(
        Tracking(), lambda s: tracking.log_params(s, RUN, {}, {"a": pb.Value(int_value=1)})
    )
    with pytest.raises(FailedPrecondition):
        tracking.log_params(state, RUN, {}, {"a": pb.Value(double_value=1.0)})


def test_nan_logged_twice_is_the_same_value() -> None:
    nan = {"a": pb.Value(double_value=float("nan"))}
    state = follow(Tracking(), lambda s: tracking.log_params(s, RUN, {}, nan))
    assert tracking.log_params(state, RUN, {}, nan) == []


def test_every_parameter_that_differs_is_named() -> None:
    with pytest.raises(FailedPrecondition) as caught:
        tracking.log_params(
            Tracking(),
            RUN,
            {"a": pb.Value(int_value=1), "b": pb.Value(int_value=1), "c": pb.Value(int_value=1)},
            {"a": pb.Value(int_value=2), "b": pb.Value(int_value=1), "c": pb.Value(int_value=3)},
        )
    assert [one.field for one in caught.value.violations] == ["params.a", "params.c"]


def test_each_opening_is_a_new_epoch_until_the_seal() -> None:
    state = Tracking()
    for epoch in (1, 2, 3):
        (opened,) = tracking.open_producer(state, RUN, "p")
        assert opened.epoch == epoch
        state = TrackingAggregate().evolve(state, opened)
    sealed = pb.TelemetrySealed(run=RUN, producer="p", last_batch=4)
    state = follow(state, lambda s: tracking.seal_producer(s, sealed))
    with pytest.raises(FailedPrecondition) as caught:
        tracking.open_producer(state, RUN, "p")
    assert caught.value.reason == "PRODUCER_SEALED"


def test_a_seal_is_given_once_and_at_one_batch() -> None:
    sealed = pb.TelemetrySealed(run=RUN, producer="p", last_batch=0)
    with pytest.raises(NotFound):
        tracking.seal_producer(Tracking(), sealed)
    state = follow(Tracking(), lambda s: tracking.open_producer(s, RUN, "p"))
    state = follow(state, lambda s: tracking.seal_producer(s, sealed))
    assert tracking.seal_producer(state, sealed) == []
    with pytest.raises(FailedPrecondition, match="was sealed at batch 0, not at 7"):
        tracking.seal_producer(state, pb.TelemetrySealed(run=RUN, producer="p", last_batch=7))
