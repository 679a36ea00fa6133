"""A graph as it runs: observes what becomes of its steps, and decides what follows.

A graph keeps counts per step, so that an observation costs as much as the step has followers.
It is rebuilt from what is recorded: the statuses each step has been in, which steps were told to
start, and whether everything was told to stop. A rebuilt graph decides what the lost one would
have; what that one decided and nobody recorded, it decides again.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence

import epochal_proto.v1 as pb
from epochal_kernel.errors import InvalidArgument, NotFound

from epochal_scheduler.domain.graphs.decisions import (
    Decision,
    FailUpstream,
    Skip,
    Start,
    StopAll,
)
from epochal_scheduler.domain.graphs.ending import how_it_ends
from epochal_scheduler.domain.graphs.steps import Step, assert_sound
from epochal_scheduler.domain.graphs.triggers import Tally, Verdict, blames, judge, why_failed
from epochal_scheduler.domain.statuses import TERMINAL, Status, word
from epochal_scheduler.domain.sweeps.thresholds import (
    FAILURES,
    FailureStopping,
    MetricStopping,
    Stopping,
    outcome,
)


class Graph:
    """The steps of a pipeline and what has become of them.

    Args:
        steps: in the order in which they are preferred when places are few.
        concurrency: how many started steps may be under way; None for no limit.
        early_stopping: policies that stop the whole graph.
        seen: for a rebuild, every status that each step has been in.
        started: for a rebuild, the steps that were told to start.
        stopping: for a rebuild, the decision to stop everything, if it was made.
        paused: for a rebuild, whether nothing new may start.

    Raises:
        InvalidArgument: the steps are no graph, or the concurrency is not positive.
    """

    def __init__(
        self,
        steps: Sequence[Step],
        concurrency: int | None = None,
        early_stopping: Sequence[Stopping] = (),
        *,
        seen: Mapping[str, Collection[Status]] | None = None,
        started: Iterable[str] = (),
        stopping: StopAll | None = None,
        paused: bool = False,
    ) -> None:
        assert_sound(steps)
        _assert_positive(concurrency)
        self.steps: Mapping[str, Step] = {step.name: step for step in steps}
        self.concurrency = concurrency
        self.paused = paused
        self.stopping = stopping
        self.statuses: dict[str, Status] = {}
        self.under_way: dict[str, None] = {}
        self.reasons: dict[str, str] = {}
        self.tallies = {step.name: _tally(step) for step in steps}
        self._early_stopping = tuple(early_stopping)
        self._ranks = {name: rank for rank, name in enumerate(self.steps)}
        self._followers: dict[str, list[tuple[str, list[int]]]] = {name: [] for name in self.steps}
        self._happened: set[tuple[str, int]] = set()
        self._ready: list[int] = []
        self._lined_up: set[str] = set()
        self._names = tuple(self.steps)
        self._ended = self._failed = 0
        self._is_over = False
        for step in steps:
            numbers: dict[str, list[int]] = {}
            for number, need in enumerate(step.needs):
                numbers.setdefault(need.step, []).append(number)
            for upstream, which in numbers.items():
                self._followers[upstream].append((step.name, which))
        for name in started:
            self._launch(self.step(name).name)
        for name, statuses in (seen or {}).items():
            for status in sorted(statuses, key=lambda status: status in TERMINAL):
                self._record(self.step(name).name, status)
        self._recall_reasons()

    def step(self, name: str) -> Step:
        """Returns a step.

        Raises:
            NotFound: the graph has none of this name.
        """
        if name not in self.steps:
            raise NotFound(f"there is no operation {name!r} in this graph", resource=name)
        return self.steps[name]

    def begin(self) -> tuple[Decision, ...]:
        """Decides what follows from what is known already; to be called once, first."""
        return self._decide(self.steps)

    def observe(self, step: str, status: Status) -> tuple[Decision, ...]:
        """Decides what follows from a step being in a status; the same one twice is nothing new.

        Raises:
            NotFound: the graph has no such step.
        """
        changed = self._record(self.step(step).name, status)
        return self._decide(changed) if changed is not None else ()

    def observe_metric(self, step: str, metric: str, value: float) -> tuple[Decision, ...]:
        """Decides whether a metric of a step is good enough to stop everything."""
        for policy in self._early_stopping:
            if isinstance(policy, MetricStopping) and (why := policy.why(step, metric, value)):
                return self.stop(why, outcome(policy))
        return ()

    def stop(self, reason: str, status: Status = pb.RUN_STATUS_STOPPED) -> tuple[Decision, ...]:
        """Decides that nothing goes on; asking twice is the same as asking once."""
        if self.stopping is not None or self._is_over:
            return ()
        self.stopping = StopAll(reason, status)
        return (self.stopping, *self._end())

    def limit(self, concurrency: int | None) -> tuple[Decision, ...]:
        """Changes how many steps may be under way; less only drains, more starts what waits."""
        _assert_positive(concurrency)
        self.concurrency = concurrency
        return self._decide(())

    def pause(self) -> None:
        """Starts nothing new from here on; what is under way goes on."""
        self.paused = True

    def resume(self) -> tuple[Decision, ...]:
        """Starts what was held back by the pause."""
        self.paused = False
        return self._decide(())

    def downstream(self, steps: Iterable[str]) -> frozenset[str]:
        """Returns the steps and all that follow from them: what a fork from there runs again."""
        found = {self.step(name).name for name in steps}
        queue = deque(found)
        while queue:
            for follower, _ in self._followers[queue.popleft()]:
                if follower not in found:
                    found.add(follower)
                    queue.append(follower)
        return frozenset(found)

    def waiting_before(self, step: str) -> tuple[str, ...]:
        """Returns the steps that could start and are preferred to this one."""
        ahead = sorted(rank for rank in self._ready if rank < self._ranks[step])
        return tuple(self._names[rank] for rank in ahead if self._is_idle(self._names[rank]))

    def has_happened(self, step: Step, need: int) -> bool:
        """Returns whether the event that is need number `need` of a step has happened."""
        return (step.name, need) in self._happened

    @property
    def is_full(self) -> bool:
        """Whether every place is taken."""
        return self.concurrency is not None and len(self.under_way) >= self.concurrency

    def _is_idle(self, name: str) -> bool:
        return name not in self.under_way and self.statuses.get(name) not in TERMINAL

    def _launch(self, name: str) -> None:
        if self.statuses.get(name) not in TERMINAL:
            self.under_way[name] = None

    def _record(self, name: str, status: Status) -> list[str] | None:
        """Notes a status; returns the steps it may matter to, or None if it says nothing new."""
        before = self.statuses.get(name)
        if before == status or before in TERMINAL:
            return None
        self.statuses[name] = status
        ends = status in TERMINAL
        if ends:
            self.under_way.pop(name, None)
            self._ended += 1
            self._failed += status in FAILURES
        elif status != pb.RUN_STATUS_CREATED:
            self._launch(name)
        for follower, numbers in self._followers[name]:
            self._count(self.steps[follower], numbers, status, ends=ends)
        return [follower for follower, _ in self._followers[name]]

    def _count(self, follower: Step, numbers: list[int], status: Status, *, ends: bool) -> None:
        tally = self.tallies[follower.name]
        for number in numbers:
            need = follower.needs[number]
            tally.open -= ends
            tally.any_skipped |= status == pb.RUN_STATUS_SKIPPED
            if not need.statuses:
                if ends:
                    tally.count(status)
            elif status in need.statuses and (follower.name, number) not in self._happened:
                self._happened.add((follower.name, number))
                tally.events_left -= 1

    def _decide(self, changed: Iterable[str]) -> tuple[Decision, ...]:
        if self._is_over:
            return ()
        decisions: list[Decision] = []
        queue = deque(changed if self.stopping is None else ())
        while queue:
            name = queue.popleft()
            decision = self._judge(name) if self._is_idle(name) else None
            if decision is not None:
                decisions.append(decision)
                status = (
                    pb.RUN_STATUS_SKIPPED
                    if isinstance(decision, Skip)
                    else pb.RUN_STATUS_UPSTREAM_FAILED
                )
                self.reasons[name] = decision.reason
                queue.extend(self._record(name, status) or ())
        if self.stopping is None and self._failed:
            decisions += self._fail_early()
        if self.stopping is None:
            decisions += self._start()
        return (*decisions, *self._end())

    def _judge(self, name: str) -> Skip | FailUpstream | None:
        step = self.steps[name]
        verdict = judge(step.trigger, self.tallies[name], skips=step.skip_on_upstream_skip)
        if verdict is Verdict.READY and name not in self._lined_up:
            self._lined_up.add(name)
            heapq.heappush(self._ready, self._ranks[name])
        elif verdict is Verdict.SKIP:
            skipped = pb.RUN_STATUS_SKIPPED
            upstream = next(
                need.step for need in step.needs if self.statuses.get(need.step) == skipped
            )
            return Skip(name, f"{upstream} was skipped, and skipOnUpstreamSkip is set")
        elif verdict is Verdict.FAIL:
            return self._blame(step)
        return None

    def _blame(self, step: Step) -> FailUpstream:
        for number, need in enumerate(step.needs):
            status = self.statuses[need.step]
            if need.statuses and not self.has_happened(step, number):
                awaited = " or ".join(sorted(word(wanted) for wanted in need.statuses))
                reason = f"{need.step} ended as {word(status)} and was never {awaited}"
                return FailUpstream(step.name, need.step, reason)
        plain = [need.step for need in step.needs if not need.statuses]
        upstream = next(
            (name for name in plain if blames(step.trigger, self.statuses[name])), plain[0]
        )
        reason = why_failed(step.trigger, upstream, self.statuses[upstream])
        return FailUpstream(step.name, upstream, reason)

    def _fail_early(self) -> tuple[Decision, ...]:
        for policy in self._early_stopping:
            if isinstance(policy, FailureStopping) and (
                why := policy.why(self._failed, len(self.steps))
            ):
                self.stopping = StopAll(why, outcome(policy))
                return (self.stopping,)
        return ()

    def _start(self) -> Iterable[Start]:
        while self._ready and not self.paused and not self.is_full:
            name = self._names[heapq.heappop(self._ready)]
            if self._is_idle(name):
                self._launch(name)
                yield Start(name)

    def _end(self) -> tuple[Decision, ...]:
        if self._is_over or self._ended < len(self.steps):
            return ()
        self._is_over = True
        statuses = {name: self.statuses[name] for name in self.steps}
        return (how_it_ends(statuses, self.reasons, self.stopping),)

    def _recall_reasons(self) -> None:
        """Finds again why steps never started; recorded is only that they did not."""
        for name, status in self.statuses.items():
            if status in (pb.RUN_STATUS_SKIPPED, pb.RUN_STATUS_UPSTREAM_FAILED):
                decision = self._judge(name)
                if decision is not None:
                    self.reasons[name] = decision.reason


def _tally(step: Step) -> Tally:
    events = sum(1 for need in step.needs if need.statuses)
    return Tally(needed=len(step.needs) - events, events_left=events, open=len(step.needs))


def _assert_positive(concurrency: int | None) -> None:
    if concurrency is not None and concurrency < 1:
        raise InvalidArgument(f"a concurrency of {concurrency} would never start anything; pause")
