"""The channel of a fork that may not notify: tells nobody, and says so to whoever tries."""

from __future__ import annotations

import epochal_proto.v1 as pb

from epochal_notifier.channels.message import Message
from epochal_notifier.domain.delivery import Attempt


class SilentChannel:
    """Stands in for every channel."""

    async def __call__(self, channel: pb.Channel, message: Message) -> Attempt:
        """Deliver nothing, for good."""
        return Attempt(
            False,
            True,
            "this platform is a fork and tells nobody; EPOCHAL_FORK_ALLOWS=notify allows it",
        )
