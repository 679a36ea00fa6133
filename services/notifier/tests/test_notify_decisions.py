"""Subscriptions and deliveries: histories fold, attempts count once, pauses double."""

from __future__ import annotations

import epochal_proto.v1 as pb
import pytest
from epochal_kernel.errors import AlreadyExists, NotFound
from epochal_notifier.domain import delivery, subscription
from epochal_notifier.domain.delivery import Attempt, DeliveryAggregate, DeliveryState
from epochal_notifier.domain.subscription import SubscriptionAggregate, SubscriptionState
from epochal_proto.v1.events import EVENTS
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

NAME = "orgs/acme/projects/vision/subscriptions/1"
attempts = st.builds(
    Attempt, st.booleans(), st.booleans(), st.just("x"), st.none() | st.floats(0, 10_000)
)


@given(st.lists(st.sampled_from(sorted(EVENTS)).map(lambda name: EVENTS[name]()), max_size=20))
def test_every_history_folds(history: list[Message]) -> None:
    made, delivered = SubscriptionAggregate().initial(), DeliveryAggregate().initial()
    for event in history:
        made = SubscriptionAggregate().evolve(made, event)
        delivered = DeliveryAggregate().evolve(delivered, event)
    kinds = (pb.SubscriptionCreated, pb.SubscriptionDeleted)
    assert made.exists == any(isinstance(one, kinds) for one in history)


@given(st.lists(st.sampled_from(["create", "delete"]), max_size=10))
def test_a_subscription_is_made_once_and_deleted_at_most_once(history: list[str]) -> None:
    state, recorded = SubscriptionState(), []
    for command in history:
        try:
            events = (
                subscription.create(state, pb.SubscriptionCreated(name=NAME))
                if command == "create"
                else subscription.delete(state, NAME)
            )
        except (AlreadyExists, NotFound):
            assert state.exists == (command == "create")
            continue
        for event in events:
            recorded.append(type(event))
            state = SubscriptionAggregate().evolve(state, event)
    assert recorded == [pb.SubscriptionCreated, pb.SubscriptionDeleted][: len(recorded)]


@given(st.lists(st.integers(1, 6), max_size=20))
def test_an_attempt_is_counted_once(numbers: list[int]) -> None:
    state, recorded = DeliveryState(), []
    for number in numbers:
        for event in delivery.record(state, pb.DeliveryAttempted(attempt=number)):
            recorded.append(event.attempt)
            state = DeliveryAggregate().evolve(state, event)
    assert recorded == sorted(set(recorded))
    assert state.attempts == max(numbers, default=0)


@given(attempts, st.integers(1, 20), st.integers(1, 20))
def test_a_delivery_ends_when_it_arrived_or_cannot(
    attempt: Attempt, number: int, most: int
) -> None:
    state = delivery.state_after(attempt, number, most)
    if attempt.delivered:
        assert state == pb.DELIVERY_STATE_DELIVERED
    else:
        over = attempt.permanent or number >= most
        assert state == (pb.DELIVERY_STATE_FAILED if over else pb.DELIVERY_STATE_PENDING)


@given(attempts, st.integers(1, 20), st.floats(0.1, 60))
def test_a_pause_doubles_is_bounded_and_as_long_as_asked(
    attempt: Attempt, number: int, first_s: float
) -> None:
    pause = delivery.pause_s(attempt, number, first_s)
    assert pause <= delivery.LONGEST_PAUSE_S
    assert pause >= min(delivery.LONGEST_PAUSE_S, attempt.retry_after_s or 0.0)
    assert delivery.pause_s(attempt, number + 1, first_s) >= pause


def test_pauses_go_two_four_eight() -> None:
    failed = Attempt(False, False, "HTTP 503")
    assert [delivery.pause_s(failed, n, 2.0) for n in (1, 2, 3)] == [2.0, 4.0, 8.0]


def test_what_was_never_made_cannot_be_deleted() -> None:
    with pytest.raises(NotFound):
        subscription.delete(SubscriptionState(), NAME)
    with pytest.raises(AlreadyExists):
        subscription.create(SubscriptionState(exists=True), pb.SubscriptionCreated(name=NAME))
