"""Policies of registries as they are in force: of a project, or of an organisation."""

from __future__ import annotations

import functools
from uuid import UUID

from epochal_kernel.log.ledger import Ledger

from epochal_lineage.domain.gates.policy import Policy
from epochal_lineage.domain.gates.reading import read_policy
from epochal_lineage.domain.registry_policy import PolicyAggregate
from epochal_lineage.services.registry_messages import stream_of

#: Policies read lately: reading one costs more than a decision.
_read = functools.lru_cache(maxsize=256)(read_policy)


def policy_stream(owner: str) -> UUID:
    """Return the stream of the policy of a project or an organisation."""
    return stream_of(f"{owner}/registryPolicy")


class Policies:
    """Reads policies."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._aggregate = PolicyAggregate()

    async def of(self, owner: str) -> Policy:
        """Return the policy that is in force in a project or an organisation."""
        state, _ = await self._ledger.load(self._aggregate, policy_stream(owner))
        return _read(state.text, state.version)
