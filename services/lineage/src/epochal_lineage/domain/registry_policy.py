"""The policy of a registry as a stream: every text that was in force, numbered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import epochal_proto.v1 as pb
from epochal_kernel.errors import InvalidArgument, Violation
from google.protobuf.message import Message

from epochal_lineage.domain.gates.policy import Policy, digest_of


@dataclass(frozen=True, slots=True)
class PolicyState:
    """The policy in force: its text, empty for none, and its number, 0 if there never was one."""

    text: str = ""
    version: int = 0


class PolicyAggregate:
    """Folds the stream of the policy of one project, or one organisation."""

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


def refuse_elsewhere(policy: Policy, owner: str) -> None:
    """Refuse places that are none of an owner's: models and datasets are of projects.

    Raises:
        InvalidArgument: the policy speaks of such.
    """
    if "/projects/" in owner:
        wrong, where = [("components", policy.components)], "an organisation"
    else:
        wrong = [
            ("stages", policy.stages),
            ("aliases", policy.aliases),
            ("datasets", policy.datasets),
        ]
        where = "a project"
    found = [word for word, places in wrong if places]
    if found:
        raise InvalidArgument(
            f"{found[0]} belong into the policy of {where}, not of {owner}",
            violations=[Violation(f"text.{found[0]}", "elsewhere", f"set it for {where}")],
        )


def set_policy(
    state: PolicyState, owner: str, text: str, author: str, reason: str
) -> Sequence[Message]:
    """Put a text in force; the one that is in force already stays."""
    if state.text == text:
        return []
    return [
        pb.RegistryPolicySet(
            project=owner,
            version=state.version + 1,
            text=text,
            digest=digest_of(text),
            author=author,
            reason=reason,
        )
    ]
