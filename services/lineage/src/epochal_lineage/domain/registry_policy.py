"""The policy of a project's registry as a stream: every text that was in force, numbered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import epochal_proto.v1 as pb
from google.protobuf.message import Message

from epochal_lineage.domain.gates.policy import digest_of


@dataclass(frozen=True, slots=True)
class PolicyState:
    """The policy in force: its text, empty for none, and its number, 0 if there never was one."""

    text: str = ""
    version: int = 0


class PolicyAggregate:
    """Folds the stream of one project's policy."""

    category = "registry"

    def initial(self) -> PolicyState:
        """No policy."""
        return PolicyState()

    def evolve(self, state: PolicyState, event: Message) -> PolicyState:
        """Fold one event."""
        match event:
            case pb.RegistryPolicySet():
                return PolicyState(event.text, event.version)
            case _:
                return state


def set_policy(
    state: PolicyState, project: str, text: str, author: str, reason: str
) -> Sequence[Message]:
    """Put a text in force; the one that is in force already stays."""
    if state.text == text:
        return []
    return [
        pb.RegistryPolicySet(
            project=project,
            version=state.version + 1,
            text=text,
            digest=digest_of(text),
            author=author,
            reason=reason,
        )
    ]
