"""What has versions with places, as promotions see it: a model, a dataset, a component.

One engine (`promoting`) decides about all of them. What differs is here: what a version is called,
whether it may have several stages, and which events move it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from google.protobuf.message import Message

from epochal_lineage.domain.gates.policy import Policy
from epochal_lineage.domain.promotions import Promotions, V, Wish


class Places(Protocol[V]):
    """State of a stream of which versions have places."""

    @property
    def promotions(self) -> Promotions[V]:
        """What was asked for, and who had which place."""
        ...

    def require(self, resource: str) -> None:
        """Refuse what is asked of a resource that is not there.

        Raises:
            NotFound: it is not.
        """
        ...

    def require_version(self, resource: str, version: V) -> None:
        """Refuse what is asked of a version that is not there.

        Raises:
            NotFound: it is not.
        """
        ...

    def holder(self, stage: str, alias: str) -> V | None:
        """Return the version that has a place, the newest of several."""
        ...

    def has(self, version: V, stage: str, alias: str) -> bool:
        """Whether a version has a place."""
        ...

    def stages_of(self, version: V) -> tuple[str, ...]:
        """Return the stages that a version has."""
        ...

    def leaves(self, version: V, stage: str, alias: str) -> str:
        """Return the stage that a version would lose by getting a place; empty for none."""
        ...

    def gone(self) -> frozenset[V]:
        """Return versions that are deleted."""
        ...

    def moves(
        self, resource: str, wish: Wish[V], policy: Policy, promotion: str
    ) -> Sequence[Message]:
        """Return the events that give a version its place, and take it from who had it."""
        ...

    def numbered(self, resource: str, version: V | None) -> tuple[int, str]:
        """Return a version as facts name it: by number, or by full name where it has none."""
        ...
