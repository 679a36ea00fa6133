"""What holds for all runs of a project, in memory; read when first asked for."""

from __future__ import annotations

from collections import OrderedDict

import epochal_proto.v1 as pb

from epochal_scheduler.store import SchedulerStore
from epochal_scheduler.working.feed import Fact

REMEMBERED = 10_000


class Policies:
    """Policies by project; follows the feed."""

    def __init__(self, store: SchedulerStore) -> None:
        self._store = store
        self._known: OrderedDict[str, pb.ProjectPolicy] = OrderedDict()

    def hear(self, fact: Fact) -> None:
        """Takes note of a policy that was set."""
        if isinstance(fact.event, pb.ProjectPolicySet):
            self._known[fact.event.policy.name] = fact.event.policy

    async def of(self, project: str) -> pb.ProjectPolicy:
        """Returns the policy of a project.

        Raises:
            Unavailable: it cannot be read.
        """
        known = self._known.get(project)
        if known is None:
            found = await self._store.policy(project)
            # What was told while it was read is newer.
            known = self._known.setdefault(project, found)
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        return known
