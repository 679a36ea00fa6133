"""The order within one queue: priority, then fair shares of projects and users, then time.

Among runs of one priority the project that has least running for its weight goes first, in it the
user that has least, and of that user the run that has waited longest. A run that came back (lost,
preempted) keeps the place its new date gives it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from heapq import heappop, heappush
from uuid import UUID

from epochal_scheduler.domain.queueing.limits import Ask, Limits

Tenant = tuple[str, str]
_Heap = list[tuple[int, UUID]]


class Line:
    """Runs that wait in one queue."""

    def __init__(self) -> None:
        self.waiting: dict[UUID, Ask] = {}
        self._heaps: dict[int, dict[str, dict[str, _Heap]]] = {}

    def __len__(self) -> int:
        return len(self.waiting)

    def add(self, ask: Ask) -> None:
        """Lets a run wait."""
        self.waiting[ask.run_id] = ask
        users = self._heaps.setdefault(ask.priority, {}).setdefault(ask.project, {})
        heappush(users.setdefault(ask.user, []), (ask.order, ask.run_id))

    def remove(self, run_id: UUID) -> Ask | None:
        """Lets a run wait no more; its place is cleared when it comes up."""
        return self.waiting.pop(run_id, None)

    def heads(self, limits: Limits, running: Counter[Tenant]) -> Iterator[Ask]:
        """Yields the first run of each tenant, in the order in which they should go."""
        for priority in sorted(self._heaps, reverse=True):
            tenants = self._heaps[priority]
            found: list[tuple[float, float, int, Ask]] = []
            for project, users in list(tenants.items()):
                used = sum(n for (p, _), n in running.items() if p == project)
                share = used / limits.weight(project)
                for user, heap in list(users.items()):
                    ask = self._first(heap, priority)
                    if ask is None:
                        del users[user]
                        continue
                    own = running[(project, user)] / limits.weight(user)
                    found.append((share, own, ask.order, ask))
                if not users:
                    del tenants[project]
            if not tenants:
                del self._heaps[priority]
            yield from (ask for *_, ask in sorted(found, key=lambda place: place[:3]))

    def in_order(self, limits: Limits, running: Counter[Tenant]) -> Iterator[Ask]:
        """Yields all that wait in the order in which they would go if nothing ended or came."""
        rest = Line()
        for ask in self.waiting.values():
            rest.add(ask)
        counts = Counter(running)
        while rest.waiting:
            ask = next(rest.heads(limits, counts))
            yield ask
            rest.remove(ask.run_id)
            counts[(ask.project, ask.user)] += 1

    def _first(self, heap: _Heap, priority: int) -> Ask | None:
        while heap:
            order, run_id = heap[0]
            ask = self.waiting.get(run_id)
            if ask is not None and (ask.order, ask.priority) == (order, priority):
                return ask
            heappop(heap)
        return None
