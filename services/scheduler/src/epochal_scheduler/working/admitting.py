"""Lets waiting runs go when their queue, its quota and its agents have room.

The board is in memory. It is loaded from rows whenever this process comes to lead, and follows the
feed from there; what it decides are commands on runs, so a board that is wrong for a moment delays
or hurries a run and breaks nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from uuid import UUID

import epochal_proto.v1 as pb
import structlog
from epochal_kernel.errors import EpochalError
from epochal_kernel.ids import Ids, Position
from epochal_kernel.log.ledger import Outcome
from epochal_kernel.projections.store import Progress
from google.protobuf.message import Message

from epochal_scheduler.bells import StopBell
from epochal_scheduler.domain import attempts, creating
from epochal_scheduler.domain.creating import CreateRun
from epochal_scheduler.domain.queueing.board import Board, Preemption
from epochal_scheduler.domain.queueing.limits import Ask, Limits, QueueKey, Seat
from epochal_scheduler.domain.run import PIPELINES, RUN, RunState
from epochal_scheduler.projections import ENDS
from epochal_scheduler.projections.queues import queue_key
from epochal_scheduler.store import SchedulerStore
from epochal_scheduler.working.commands import RunCommands, Target
from epochal_scheduler.working.dispatching import Dispatcher
from epochal_scheduler.working.feed import Fact

AT_ONCE = 24
PUBLISHERS = 16
AGAIN_S = 0.5
LOOK_S = 2.0
_IN_FLIGHT = frozenset({
    pb.RUN_STATUS_SCHEDULED, pb.RUN_STATUS_STARTING, pb.RUN_STATUS_RUNNING,
    pb.RUN_STATUS_STOPPING,
})  # fmt: skip
_AWAY = (pb.RunRetrying, pb.RunPreempted, *ENDS)

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Pace:
    """How long runs of a queue took lately: an exponential mean over about twenty."""

    mean_s: float = 0.0
    runs: int = 0

    def add(self, seconds: float) -> None:
        """Takes one more into account."""
        self.runs += 1
        self.mean_s += (seconds - self.mean_s) / min(self.runs, 20)


@dataclass(slots=True)
class Admission:
    """Keeps the board and releases runs from it."""

    commands: RunCommands
    store: SchedulerStore
    dispatcher: Dispatcher
    bell: StopBell
    progress: Progress
    ids: Ids
    agent_lease_s: float
    board: Board = field(default_factory=Board)
    paces: dict[QueueKey, Pace] = field(default_factory=dict)
    _hears: bool = False
    _early: list[Fact] | None = None
    _asks: dict[UUID, Ask] = field(default_factory=dict)
    _targets: dict[UUID, Target] = field(default_factory=dict)
    _begun: dict[UUID, tuple[QueueKey, float]] = field(default_factory=dict)
    _looked: float = float("-inf")
    _woken: asyncio.Event = field(default_factory=asyncio.Event)
    _to_publish: asyncio.Queue[tuple[Target, RunState]] = field(default_factory=asyncio.Queue)

    def hear(self, fact: Fact) -> None:
        """Takes note of a fact; wakes the admission when it may make room or ask for it."""
        if self._early is not None:
            self._early.append(fact)
        if not self._hears:
            return
        match fact.event:
            case pb.QueueConfigured(queue=queue):
                self.board.configure(queue_key(queue.name), Limits.from_message(queue))
                self._woken.set()
            case pb.QueueDeleted(name=name):
                self.board.configure(queue_key(name), None)
                self._woken.set()
            case _ if fact.category == "run":
                self._hear_run(fact)

    async def create(self, target: Target, command: CreateRun) -> Outcome[RunState]:
        """Creates a run of a pipeline; released in the same breath when it may go at once.

        Raises:
            EpochalError: the run exists, or the log does not answer.
        """
        ask = Ask.of_run(target.run_id, command.created, command.created.queue, 0, 0.0)
        taken = self._hears and command.waits_for_nothing and self.board.take(ask)

        def decide(state: RunState) -> Sequence[Message]:
            events = creating.create(state, command)
            if not taken:
                return events
            for event in events:
                state = RUN.evolve(state, event)
            return *events, *attempts.release(state)

        try:
            outcome = await self.commands.create(
                target.run_id, target.name, decide, self.commands.context(target)
            )
        except EpochalError:
            if taken:
                self.board.remove(target.run_id)
            raise
        if taken:
            self._to_publish.put_nowait((target, outcome.state))
        return outcome

    def seat(self, heartbeat: pb.HeartbeatRequest) -> None:
        """Takes note of what an agent serves."""
        if heartbeat.draining:
            self.board.unseat(heartbeat.agent)
            return
        slots = heartbeat.slots or heartbeat.free_slots + len(heartbeat.attempts)
        if self.board.seat(Seat(heartbeat.agent, tuple(heartbeat.queues), slots)):
            self._woken.set()

    async def run(self) -> None:
        """Loads the board and lets runs go, until cancelled."""
        try:
            await self._load()
            async with asyncio.TaskGroup() as tasks:
                for _ in range(PUBLISHERS):
                    tasks.create_task(self._publish())
                places = asyncio.Semaphore(AT_ONCE)
                while True:
                    self._woken.clear()
                    for ask in self.board.next(4 * AT_ONCE):
                        await places.acquire()
                        releasing = tasks.create_task(self._release(ask))
                        releasing.add_done_callback(lambda _: places.release())
                    for preemption in self.board.preemptions():
                        await self._preempt(preemption)
                    with suppress(TimeoutError):
                        async with asyncio.timeout(LOOK_S):
                            await self._woken.wait()
                    if self.commands.clock.monotonic() - self._looked >= LOOK_S:
                        await self._look_at_agents()
        finally:
            self._hears, self._early = False, None

    def _hear_run(self, fact: Fact) -> None:
        run_id, event = fact.stream_id, fact.event
        match event:
            case pb.RunCreated():
                self._know(fact, event)
            case pb.RunResumed():
                self._know(fact, event.created)
            case pb.RunQueued():
                self._wait(fact, event)
            case pb.RunScheduled():
                self.board.release(run_id)
                self._begun.pop(run_id, None)
            case pb.RunStarted():
                ask = self._asks.get(run_id)
                if ask is not None:
                    self._begun[run_id] = (ask.key, fact.at.timestamp())
            case _ if isinstance(event, _AWAY):
                self._leave(fact)

    def _know(self, fact: Fact, created: pb.RunCreated) -> None:
        if created.kind not in PIPELINES and created.kind != pb.RUN_KIND_TRACKED:
            at = fact.at.timestamp()
            ask = Ask.of_run(fact.stream_id, created, created.queue, fact.position, at)
            self._asks[fact.stream_id] = ask

    def _wait(self, fact: Fact, event: pb.RunQueued) -> None:
        known = self._asks.get(fact.stream_id)
        if known is None:
            return
        ask = replace(
            known,
            key=QueueKey(fact.org_id, event.queue),
            order=fact.position,
            queued_at_s=fact.at.timestamp(),
        )
        self._asks[fact.stream_id] = ask
        self._targets[fact.stream_id] = Target(
            fact.stream_id,
            fact.org_id,
            known.name,
            fact.correlation_id,
            fact.event_id,
            fact.traceparent,
        )
        self.board.wait(ask)
        self._woken.set()

    def _leave(self, fact: Fact) -> None:
        run_id = fact.stream_id
        self.board.remove(run_id)
        begun = self._begun.pop(run_id, None)
        if begun is not None:
            self.paces.setdefault(begun[0], Pace()).add(fact.at.timestamp() - begun[1])
        if isinstance(fact.event, ENDS):
            self._asks.pop(run_id, None)
            self._targets.pop(run_id, None)
        self._woken.set()

    async def _load(self) -> None:
        """Builds the board from rows, then hears what was told meanwhile."""
        self._hears, self._early = False, []
        # What was told before this process listened must be in the rows before they are read.
        head = await self.store.head()
        await self.progress.wait_for(Position(head))
        self.board = Board()
        for view in await self.store.queues():
            self.board.configure(view.key, view.limits)
        await self._look_at_agents()
        for row in await self.store.live_runs():
            if row.kind in PIPELINES or row.kind == pb.RUN_KIND_TRACKED:
                continue
            ask = row.ask()
            self._asks[row.run_id] = ask
            self._targets[row.run_id] = Target(row.run_id, row.org_id, row.name, self.ids.uuid7())
            if row.status == pb.RUN_STATUS_QUEUED:
                self.board.wait(ask)
            elif row.status in _IN_FLIGHT:
                self.board.run(ask)
        early, self._early, self._hears = self._early or [], None, True
        for fact in early:
            if fact.position > head:
                self.hear(fact)

    async def _look_at_agents(self) -> None:
        """Seats agents that other processes of the scheduler heard of; unseats silent ones."""
        self._looked = self.commands.clock.monotonic()
        with suppress(EpochalError):
            agents = await self.store.agents(self.agent_lease_s)
            alive = {agent.name for agent in agents}
            for agent in agents:
                if agent.draining:
                    self.board.unseat(agent.name)
                elif self.board.seat(Seat(agent.name, agent.queues, agent.slots)):
                    self._woken.set()
            for name in self.board.seated() - alive:
                self.board.unseat(name)

    async def _release(self, ask: Ask) -> None:
        target = self._targets.get(ask.run_id)
        if target is None:
            return
        try:
            await self.dispatcher.release(target)
        except EpochalError as error:
            _log.info("scheduler.release_later", run=ask.name, error=error.message)
            await self.commands.clock.sleep(AGAIN_S)
            state = None
            with suppress(EpochalError):
                state = await self.commands.load(ask.run_id)
            if state is None or state.status == pb.RUN_STATUS_QUEUED:
                self.board.wait(ask)
                self._woken.set()

    async def _publish(self) -> None:
        """Publishes work items of runs that were released when they were created.

        What is not published here is published by the task that its release left.
        """
        while True:
            target, state = await self._to_publish.get()
            try:
                await self.dispatcher.publish_first(target, state)
            except EpochalError as error:
                _log.info("scheduler.publish_later", run=target.name, error=error.message)

    async def _preempt(self, preemption: Preemption) -> None:
        victim = self._targets.get(preemption.victim.run_id)
        if victim is None:
            return
        name, reason = preemption.beneficiary.name, preemption.reason
        try:
            before = await self.commands.load(victim.run_id)
            outcome = await self.commands.execute(
                victim, lambda state: attempts.preempt(state, name, reason)
            )
        except EpochalError as error:
            _log.info("scheduler.preempt_later", run=victim.name, error=error.message)
            return
        if outcome.events:
            ref = pb.AttemptRef(run=before.name, attempt=before.attempt, fence=before.fence)
            self.bell.ring(before.agent, ref)
            _log.info("scheduler.preempted", run=victim.name, beneficiary=name)
