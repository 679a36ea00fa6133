"""What is told, whatever the channel."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

import epochal_proto.v1 as pb

from epochal_notifier.domain.delivery import Attempt

_WORDS: Final = {
    pb.OCCASION_RUN_SUCCEEDED: ("succeeded", "run.succeeded"),
    pb.OCCASION_RUN_FAILED: ("failed", "run.failed"),
    pb.OCCASION_RUN_CRASHED: ("crashed", "run.crashed"),
    pb.OCCASION_RUN_STOPPED: ("was stopped", "run.stopped"),
    pb.OCCASION_ALERT_RAISED: ("raised an alert", "alert.raised"),
    pb.OCCASION_ALERT_RESOLVED: ("resolved an alert", "alert.resolved"),
}


@dataclass(frozen=True, slots=True)
class Message:
    """One thing to tell.

    Attributes:
        delivery: resource name of the delivery; the idempotency key.
        occasion: pb.Occasion.
        run: resource name.
        title: of the run.
        creator: who asked for the run.
        reason: in words, may be empty.
        occurred_at: when.
        position: of the event it tells of.
        url: where to see more, may be empty.
    """

    delivery: str
    occasion: int
    run: str
    title: str
    creator: str
    reason: str
    occurred_at: datetime
    position: int
    url: str

    @property
    def verb(self) -> str:
        """What the run did, in words."""
        return _WORDS[self.occasion][0]  # type: ignore[index]  # an enum is an int at run time

    @property
    def type(self) -> str:
        """What happened, for programs."""
        return _WORDS[self.occasion][1]  # type: ignore[index]  # an enum is an int at run time

    @property
    def headline(self) -> str:
        """One line."""
        return f"Run {self.title} {self.verb}"

    @property
    def project(self) -> str:
        """Resource name of the project."""
        return self.run.rpartition("/runs/")[0]


class Deliver(Protocol):
    """A channel: makes one attempt, never raises for what the other side does."""

    async def __call__(self, channel: pb.Channel, message: Message) -> Attempt:
        """Deliver a message."""
        ...
