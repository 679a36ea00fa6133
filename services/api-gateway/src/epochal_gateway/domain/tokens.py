"""A token as a stream: issued once, revoked at most once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import epochal_proto.v1 as pb
from epochal_kernel.errors import AlreadyExists, NotFound
from google.protobuf.message import Message


@dataclass(frozen=True, slots=True)
class TokenState:
    """State of one token."""

    issued: bool = False
    revoked: bool = False


class TokenAggregate:
    """Folds the stream of one token."""

    category = "access"

    def initial(self) -> TokenState:
        """Not issued."""
        return TokenState()

    def evolve(self, state: TokenState, event: Message) -> TokenState:
        """Fold one event."""
        match event:
            case pb.TokenIssued():
                return replace(state, issued=True)
            case pb.TokenRevoked():
                return replace(state, revoked=True)
            case _:
                return state


def issue(state: TokenState, event: pb.TokenIssued) -> Sequence[Message]:
    """Issue a token.

    Raises:
        AlreadyExists: it was issued; its secret cannot be shown again.
    """
    if state.issued:
        raise AlreadyExists(
            f"{event.name} was issued already and its secret cannot be shown again: revoke it and "
            "ask with another request_id",
            resource=event.name,
        )
    return [event]


def revoke(state: TokenState, name: str, reason: str) -> Sequence[Message]:
    """Withdraw a token; doing it twice is once.

    Raises:
        NotFound: no such token.
    """
    if not state.issued:
        raise NotFound(f"there is no {name}", resource=name)
    return [] if state.revoked else [pb.TokenRevoked(name=name, reason=reason)]
