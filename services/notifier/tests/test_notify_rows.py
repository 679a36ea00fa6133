"""Subscriptions, titles and deliveries as rows, in batches of any size; which events are told."""

from __future__ import annotations

from uuid import UUID

import epochal_proto.v1 as pb
import pytest
from epochal_notifier.handlers import occasion_of
from epochal_notifier.projections import READ_MODEL
from epochal_proto.v1.events import EVENTS
from epochal_testing.projecting import Stored, project, recorded
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

ID = UUID("0193a000-0000-7000-8000-000000000001")
PROJECT = "orgs/acme/projects/vision"
subscriptions = st.sampled_from([f"{PROJECT}/subscriptions/{n}" for n in (1, 2)])
deliveries = st.sampled_from([f"{PROJECT}/deliveries/{n}" for n in (1, 2)])
payloads = st.one_of(
    st.builds(
        pb.SubscriptionCreated,
        name=subscriptions,
        occasions=st.lists(st.sampled_from([1, 2, 3]), unique=True),
    ),
    st.builds(pb.SubscriptionDeleted, name=subscriptions),
    st.builds(pb.RunCreated, name=st.just(f"{PROJECT}/runs/1"), display_name=st.sampled_from("ab")),
    st.builds(pb.DeliveryAttempted, delivery=deliveries, attempt=st.integers(1, 5)),
    st.sampled_from(sorted(EVENTS)).map(lambda name: EVENTS[name]()),
)


def rows(*given_: Message) -> Stored:
    return project(READ_MODEL, [recorded(one, n, ID) for n, one in enumerate(given_, start=1)])


@given(st.lists(payloads, max_size=30), st.lists(st.integers(1, 5), max_size=8))
def test_batches_of_any_size_give_the_same_rows(history: list[Message], sizes: list[int]) -> None:
    events = [recorded(one, n, ID) for n, one in enumerate(history, start=1)]
    assert project(READ_MODEL, events, sizes) == project(READ_MODEL, events)


@given(st.lists(payloads, max_size=30))
def test_events_the_service_says_it_ignores_change_nothing(history: list[Message]) -> None:
    events = [recorded(one, n, ID) for n, one in enumerate(history, start=1)]
    heard = [one for one in events if one.type in (READ_MODEL.interests or ())]
    assert project(READ_MODEL, events) == project(READ_MODEL, heard)


@given(st.sampled_from(sorted(EVENTS)))
def test_every_event_that_is_told_is_among_the_interests(name: str) -> None:
    occasion, _ = occasion_of(recorded(EVENTS[name](), 1, ID))
    assert occasion == pb.OCCASION_UNSPECIFIED or name in (READ_MODEL.interests or ())


def test_a_delivery_is_what_its_last_attempt_came_to() -> None:
    name = f"{PROJECT}/deliveries/1"
    first = pb.DeliveryAttempted(
        delivery=name, subscription="s", occasion=2, run="r", attempt=1, state=1, outcome="HTTP 503"
    )
    second = pb.DeliveryAttempted(
        delivery=name, subscription="s", occasion=2, run="r", attempt=2, state=2, outcome="HTTP 200"
    )
    (row,) = rows(first, second)["delivery"].values()
    assert (row.project, row.state, row.attempts, row.last_outcome) == (PROJECT, 2, 2, "HTTP 200")


def test_a_deleted_subscription_is_gone_and_titles_stay() -> None:
    found = rows(
        pb.SubscriptionCreated(name=f"{PROJECT}/subscriptions/1", occasions=[3, 2]),
        pb.RunCreated(name=f"{PROJECT}/runs/1", display_name="fit", creator="users/ann"),
        pb.SubscriptionDeleted(name=f"{PROJECT}/subscriptions/1"),
    )
    assert found["subscription"] == {}
    (title,) = found["run_title"].values()
    assert (title.display_name, title.creator) == ("fit", "users/ann")


def test_a_subscription_row_knows_its_place_and_occasions() -> None:
    channel = pb.Channel(webhook=pb.WebhookChannel(url="https://x"))
    (row,) = rows(
        pb.SubscriptionCreated(
            name=f"{PROJECT}/subscriptions/1",
            occasions=[3, 2],
            channel=channel,
            sealed_channel=b"s",
        )
    )["subscription"].values()
    assert (row.project, row.occasions, row.position) == (PROJECT, "[2, 3]", 1)
    assert pb.Channel.FromString(row.channel) == channel
    assert row.sealed_channel == b"s"


@pytest.mark.parametrize(
    ("payload", "occasion", "words"),
    [
        (pb.RunSucceeded(), pb.OCCASION_RUN_SUCCEEDED, ""),
        (pb.RunFailed(message="m"), pb.OCCASION_RUN_FAILED, "m"),
        (pb.RunFailed(message="m", infrastructure=True), pb.OCCASION_RUN_CRASHED, "m"),
        (pb.RunStopped(reason="r"), pb.OCCASION_RUN_STOPPED, "r"),
        (pb.RunRetrying(reason="r"), pb.OCCASION_UNSPECIFIED, ""),
    ],
)
def test_how_a_run_ended_is_the_occasion(payload: Message, occasion: int, words: str) -> None:
    assert occasion_of(recorded(payload, 1, ID)) == (occasion, words)
