"""A delivery as a stream of attempts, and the rule for when the next one is made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import epochal_proto.v1 as pb
from google.protobuf.message import Message

LONGEST_PAUSE_S = 600.0


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of one attempt.

    Attributes:
        delivered: the other side accepted it.
        permanent: it refused in a way that no repetition will change.
        outcome: in words, such as "HTTP 503".
        retry_after_s: how long the other side asked to wait, if it did.
    """

    delivered: bool
    permanent: bool
    outcome: str
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class DeliveryState:
    """State of one delivery: attempts recorded."""

    attempts: int = 0


class DeliveryAggregate:
    """Folds the stream of one delivery."""

    category = "notify"

    def initial(self) -> DeliveryState:
        """No attempt."""
        return DeliveryState()

    def evolve(self, state: DeliveryState, event: Message) -> DeliveryState:
        """Fold one event."""
        if isinstance(event, pb.DeliveryAttempted):
            return DeliveryState(event.attempt)
        return state


def record(state: DeliveryState, event: pb.DeliveryAttempted) -> Sequence[Message]:
    """Record an attempt, unless it is recorded."""
    return [event] if event.attempt > state.attempts else []


def state_after(attempt: Attempt, number: int, max_attempts: int) -> pb.DeliveryState:
    """Return the state of a delivery after its attempt `number`, counted from 1."""
    if attempt.delivered:
        return pb.DELIVERY_STATE_DELIVERED
    if attempt.permanent or number >= max_attempts:
        return pb.DELIVERY_STATE_FAILED
    return pb.DELIVERY_STATE_PENDING


def pause_s(attempt: Attempt, number: int, first_retry_s: float) -> float:
    """Return how long to wait before the next attempt: doubling, or as the other side asked."""
    doubling = first_retry_s * 2.0 ** (number - 1)
    return min(LONGEST_PAUSE_S, max(doubling, attempt.retry_after_s or 0.0))
