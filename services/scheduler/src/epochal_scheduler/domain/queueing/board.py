"""The board: who waits, who runs, who may go now, and who must make room.

In memory and rebuilt from rows at every start; told of every change, whether by the command that
made it or by the log. It never decides alone: a release is a command on the run, so two boards
that disagree for a moment release a run once.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from epochal_scheduler.domain.queueing.limits import (
    Amounts,
    Ask,
    Limits,
    QueueKey,
    Seat,
    slots_for,
)
from epochal_scheduler.domain.queueing.shares import Line, Tenant


@dataclass(frozen=True, slots=True)
class Blocker:
    """Why a run cannot go now: `kind` is no_agent, slots, concurrency, quota or order."""

    kind: str
    message: str
    resource: str = ""


@dataclass(frozen=True, slots=True)
class Preemption:
    """A running run that must make room, and for which."""

    victim: Ask
    beneficiary: Ask
    reason: str


@dataclass(slots=True)
class _Queue:
    limits: Limits = field(default_factory=Limits)
    line: Line = field(default_factory=Line)
    running: dict[UUID, Ask] = field(default_factory=dict)
    used: Amounts = field(default_factory=Amounts)
    tenants: Counter[Tenant] = field(default_factory=Counter)

    def start(self, ask: Ask) -> None:
        self.running[ask.run_id] = ask
        self.used += ask.amounts
        self.tenants[(ask.project, ask.user)] += 1

    def end(self, run_id: UUID) -> None:
        ask = self.running.pop(run_id, None)
        if ask is None:
            return
        self.used -= ask.amounts
        tenant = (ask.project, ask.user)
        self.tenants[tenant] -= 1
        if not self.tenants[tenant]:
            del self.tenants[tenant]


class Board:
    """All queues of all organisations."""

    def __init__(self) -> None:
        self._queues: defaultdict[QueueKey, _Queue] = defaultdict(_Queue)
        self._places: dict[UUID, QueueKey] = {}
        self._seats: dict[str, Seat] = {}

    def configure(self, key: QueueKey, limits: Limits | None) -> None:
        """Sets the limits of a queue; None removes them."""
        self._queues[key].limits = limits or Limits()

    def seat(self, seat: Seat) -> bool:
        """Notes what an agent serves; returns whether that changes anything."""
        if self._seats.get(seat.agent) == seat:
            return False
        self._seats[seat.agent] = seat
        return True

    def unseat(self, agent: str) -> None:
        """Forgets an agent that is gone or takes no more."""
        self._seats.pop(agent, None)

    def seated(self) -> set[str]:
        """Returns the agents that count."""
        return set(self._seats)

    def wait(self, ask: Ask) -> None:
        """Notes a run that waits, whatever it did before."""
        self.remove(ask.run_id)
        self._places[ask.run_id] = ask.key
        self._queues[ask.key].line.add(ask)

    def run(self, ask: Ask) -> None:
        """Notes a run that agents have, or are about to."""
        self.remove(ask.run_id)
        self._places[ask.run_id] = ask.key
        self._queues[ask.key].start(ask)

    def release(self, run_id: UUID) -> None:
        """Notes that a waiting run was handed to agents."""
        ask = self.waiting(run_id)
        if ask is not None:
            self.run(ask)

    def remove(self, run_id: UUID) -> None:
        """Forgets a run that neither waits nor runs any more."""
        key = self._places.pop(run_id, None)
        if key is not None:
            self._queues[key].line.remove(run_id)
            self._queues[key].end(run_id)

    def waiting(self, run_id: UUID) -> Ask | None:
        """Returns a run that waits."""
        key = self._places.get(run_id)
        return None if key is None else self._queues[key].line.waiting.get(run_id)

    def is_full(self, key: QueueKey) -> bool:
        """Says whether a queue takes no more."""
        return key in self._queues and len(self._queues[key].line) >= (
            self._queues[key].limits.max_waiting
        )

    def next(self, most: int) -> list[Ask]:
        """Takes at most so many runs that may go now; they count as running from here on."""
        taken: list[Ask] = []
        while len(taken) < most:
            ask = self._best()
            if ask is None:
                break
            self.run(ask)
            taken.append(ask)
        return taken

    def take(self, ask: Ask) -> bool:
        """Lets a run that is not there yet run, if it may go at once; returns whether it may.

        Not past others: where anything waits in its queue it has to wait behind.
        """
        queue = self._queues[ask.key]
        if ask.run_id in self._places or len(queue.line) or not self._has_seat(ask.key):
            return False
        if len(queue.running) >= queue.limits.concurrency:
            return False
        if (queue.used + ask.amounts).beyond(queue.limits.quota):
            return False
        self.run(ask)
        return True

    def preemptions(self) -> list[Preemption]:
        """Returns who must make room for waiting runs of queues that preempt.

        Victims are of lower priority, the lowest first and of those the one that began last; only
        as many as make room, and only where ending them is enough.
        """
        found: list[Preemption] = []
        for key, queue in self._queues.items():
            if not queue.limits.preempts or not len(queue.line):
                continue
            ask = next(queue.line.heads(queue.limits, queue.tenants), None)
            if ask is not None:
                found += self._make_room(key, queue, ask)
        return found

    def blockers(self, ask: Ask) -> list[Blocker]:
        """Returns what keeps a waiting run from going now, the weightiest first."""
        queue = self._queues[ask.key]
        found = [*self._no_seat(ask), *self._beyond(queue, ask)]
        ahead = self.ahead(ask)
        if ahead:
            message = f"{len(ahead)} runs go first in {ask.key.queue}; next is {ahead[0].name}"
            found.append(Blocker("order", message, ahead[0].name))
        return found

    def ahead(self, ask: Ask) -> list[Ask]:
        """Returns the runs of the same queue that go before one."""
        queue = self._queues[ask.key]
        before = []
        for other in queue.line.in_order(queue.limits, queue.tenants):
            if other.run_id == ask.run_id:
                break
            before.append(other)
        return before

    def usage(self, key: QueueKey) -> tuple[int, int, Amounts]:
        """Returns how many wait and run in a queue, and what the running ones asked for."""
        if key not in self._queues:
            return 0, 0, Amounts()
        queue = self._queues[key]
        return len(queue.line), len(queue.running), queue.used

    def parallel(self, key: QueueKey) -> float:
        """Returns how many runs of a queue may run at once, by its limit and its agents."""
        slots = slots_for(key.queue, self._seats.values())
        return min(self._queues[key].limits.concurrency, slots)

    def keys(self, org: str) -> list[QueueKey]:
        """Returns the queues of an organisation that anyone has named."""
        return sorted(
            (key for key in self._queues if key.org == org), key=lambda found: found.queue
        )

    def agents(self, queue: str) -> list[str]:
        """Returns the agents that serve a queue."""
        return sorted(s.agent for s in self._seats.values() if queue in s.queues)

    def _best(self) -> Ask | None:
        """Returns the first run that fits, over all queues by their priority."""
        waiting = [(key, queue) for key, queue in self._queues.items() if len(queue.line)]
        waiting.sort(key=lambda pair: -pair[1].limits.priority)
        best: Ask | None = None
        best_priority = 0
        for key, queue in waiting:
            if best is not None and queue.limits.priority < best_priority:
                break
            if not self._has_seat(key):
                continue
            ask = self._first_fitting(queue)
            if ask is not None and (best is None or ask.order < best.order):
                best, best_priority = ask, queue.limits.priority
        return best

    @staticmethod
    def _first_fitting(queue: _Queue) -> Ask | None:
        """Returns the first run that fits; one that does not keeps others from what it needs."""
        if len(queue.running) >= queue.limits.concurrency:
            return None
        reserved: set[str] = set()
        for ask in queue.line.heads(queue.limits, queue.tenants):
            beyond = _beyond_quota(queue.used, ask, queue.limits)
            if not beyond and not reserved & ask.amounts.of.keys():
                return ask
            reserved.update(beyond)
        return None

    def _has_seat(self, key: QueueKey) -> bool:
        return _seats(*self._seating(key.queue))

    def _seating(self, queue: str) -> tuple[int, int]:
        """Returns the slots that a queue's agents have, and the runs of all queues they serve."""
        served: set[str] = set()
        slots = 0
        for seat in self._seats.values():
            if queue in seat.queues:
                slots += seat.slots
                served.update(seat.queues)
        running = sum(len(q.running) for key, q in self._queues.items() if key.queue in served)
        return slots, running

    def _no_seat(self, ask: Ask) -> Iterator[Blocker]:
        queue = ask.key.queue
        slots, running = self._seating(queue)
        if not slots:
            message = (
                f"no agent serves queue {queue}: start one with `epochal agent --queue {queue}`"
            )
            yield Blocker("no_agent", message, queue)
        elif not self._has_seat(ask.key):
            agents = ", ".join(self.agents(queue))
            message = f"all {slots} slots of the agents of {queue} are taken ({running} runs)"
            yield Blocker("slots", message, agents)

    @staticmethod
    def _beyond(queue: _Queue, ask: Ask) -> Iterator[Blocker]:
        name = f"orgs/{ask.key.org}/queues/{ask.key.queue.replace('/', '~')}"
        if len(queue.running) >= queue.limits.concurrency:
            message = (
                f"queue {ask.key.queue} runs at most {queue.limits.concurrency:g} at once, "
                f"and {len(queue.running)} run"
            )
            yield Blocker("concurrency", message, name)
        for resource in _beyond_quota(queue.used, ask, queue.limits):
            message = (
                f"it asks for {ask.amounts.of[resource]:g} {resource}; of the quota of "
                f"{queue.limits.quota.of[resource]:g} in {ask.key.queue}, "
                f"{queue.used.of.get(resource, 0.0):g} are in use"
            )
            yield Blocker("quota", message, name)

    def _make_room(self, key: QueueKey, queue: _Queue, ask: Ask) -> Sequence[Preemption]:
        slots, seated = self._seating(key.queue)
        used, count = queue.used, len(queue.running)

        def fits() -> bool:
            free = count < queue.limits.concurrency and _seats(slots, seated)
            return free and not _beyond_quota(used, ask, queue.limits)

        if fits():
            return ()
        victims: list[Preemption] = []
        lower = [other for other in queue.running.values() if other.priority < ask.priority]
        for other in sorted(lower, key=lambda found: (found.priority, -found.order)):
            used, count, seated = used - other.amounts, count - 1, seated - 1
            reason = (
                f"made room for {ask.name}, which has priority {ask.priority} over {other.priority}"
            )
            victims.append(Preemption(other, ask, reason))
            if fits():
                return victims
        return ()


def _beyond_quota(used: Amounts, ask: Ask, limits: Limits) -> list[str]:
    """Returns of which resources a run asks for more than a quota has left.

    One that it does not ask for never counts, even where a lowered quota is exceeded already.
    """
    return [name for name in (used + ask.amounts).beyond(limits.quota) if name in ask.amounts.of]


def _seats(slots: int, running: int) -> bool:
    """Says whether agents of so many slots are given one more run: they prefetch a few."""
    return running < slots + max(1, slots // 2) if slots else False
