"""What the two transports of an application share: one broker, one way to choose partitions."""

from __future__ import annotations

from typing import Any, Protocol, cast

from faust_jetstream.broker import Broker


class Shared(Protocol):
    """What consumer and producer need of their transport."""

    @property
    def broker(self) -> Broker:
        """The connection of the application."""
        ...

    def key_partition(self, topic: str, key: object) -> int:
        """Return the partition that a key goes to."""
        ...


def shared(transport: Any) -> Shared:
    """Return a transport as what it is: Faust's own type knows nothing of ours."""
    return cast("Shared", transport)
