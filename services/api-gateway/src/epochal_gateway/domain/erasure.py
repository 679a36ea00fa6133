"""An erasure as a stream: a person's name was destroyed, once."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import NAMESPACE_URL, UUID, uuid5

import epochal_proto.v1 as pb
from google.protobuf.message import Message

_NAMESPACE = uuid5(NAMESPACE_URL, "urn:epochal:erasure")


def erasure_stream(pseudonym: str) -> UUID:
    """Return the stream of one person's erasure."""
    return uuid5(_NAMESPACE, pseudonym)


class ErasureAggregate:
    """Folds to whether it was done."""

    category = "access"

    def initial(self) -> bool:
        """Not done."""
        return False

    def evolve(self, state: bool, event: Message) -> bool:
        """Fold one event."""
        return state or isinstance(event, pb.SubjectErased)


def erase(state: bool, pseudonym: str, reason: str) -> Sequence[Message]:
    """Erase; doing it twice is once."""
    return [] if state else [pb.SubjectErased(pseudonym=pseudonym, reason=reason)]
