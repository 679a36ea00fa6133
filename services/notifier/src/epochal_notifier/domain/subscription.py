"""A subscription as a stream: made once, deleted at most once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import epochal_proto.v1 as pb
from epochal_kernel.errors import AlreadyExists, NotFound
from google.protobuf.message import Message


@dataclass(frozen=True, slots=True)
class SubscriptionState:
    """State of one subscription."""

    exists: bool = False
    deleted: bool = False


class SubscriptionAggregate:
    """Folds the stream of one subscription."""

    category = "notify"

    def initial(self) -> SubscriptionState:
        """Not made."""
        return SubscriptionState()

    def evolve(self, state: SubscriptionState, event: Message) -> SubscriptionState:
        """Fold one event."""
        match event:
            case pb.SubscriptionCreated():
                return SubscriptionState(exists=True)
            case pb.SubscriptionReplaced():
                return state
            case pb.SubscriptionDeleted():
                return SubscriptionState(exists=True, deleted=True)
            case _:
                return state


def create(state: SubscriptionState, event: pb.SubscriptionCreated) -> Sequence[Message]:
    """Make a subscription.

    Raises:
        AlreadyExists: it was made.
    """
    if state.exists:
        raise AlreadyExists(f"{event.name} exists already", resource=event.name)
    return [event]


def delete(state: SubscriptionState, name: str) -> Sequence[Message]:
    """Delete a subscription; doing it twice is once.

    Raises:
        NotFound: there was never one by that name.
    """
    if not state.exists:
        raise NotFound(f"there is no {name}", resource=name)
    return [] if state.deleted else [pb.SubscriptionDeleted(name=name)]


def replace(state: SubscriptionState, event: pb.SubscriptionReplaced) -> Sequence[Message]:
    """Make another of a subscription, under its name.

    Raises:
        NotFound: there is none by that name.
    """
    if not state.exists or state.deleted:
        raise NotFound(f"there is no {event.name}", resource=event.name)
    return [event]
