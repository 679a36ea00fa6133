"""Runs all pipelines of this process: one task and one mailbox each.

Only the leading scheduler does. A pipeline is taken up from rows when it begins, when this process
comes to lead, and after an error; between that it lives on facts. What the rows already had is
told by positions, so nothing counts twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from uuid import UUID

import epochal_proto.v1 as pb
import structlog
from epochal_kernel.errors import EpochalError
from epochal_kernel.ids import Ids, Position
from epochal_kernel.projections.store import Progress

from epochal_scheduler.domain.run import PIPELINES, RunState
from epochal_scheduler.domain.statuses import TERMINAL
from epochal_scheduler.projections import ENDS, run_id_of
from epochal_scheduler.projections.children import child_status
from epochal_scheduler.spec.compiled import OperationPlan
from epochal_scheduler.store import SchedulerStore
from epochal_scheduler.working.commands import RunCommands, Target
from epochal_scheduler.working.feed import Fact
from epochal_scheduler.working.pipelines.controllers import happening_of
from epochal_scheduler.working.pipelines.pipeline import ChildFact, Controller, Pipeline
from epochal_scheduler.working.pipelines.trigger import TriggerController

AGAIN_S = 1.0
LONGEST_S = 3600.0
_OF_PIPELINES = (
    pb.RunPaused, pb.RunUnpaused, pb.RunStopRequested, pb.RunPipelineUpdated, pb.RunStarted,
)  # fmt: skip

_log = structlog.get_logger(__name__)


class Note(Enum):
    """What a mailbox may hold beside facts about children."""

    LOOK = "the pipeline itself has changed"
    LEAVE = "it has ended, or was begun anew"
    TICK = "something is due"


MakeController = Callable[[Pipeline, RunState], Awaitable[Controller]]


@dataclass(slots=True)
class _Handle:
    """A pipeline under way, and what it has not been told yet."""

    target: Target
    begun: int
    begun_at: datetime
    mailbox: asyncio.Queue[ChildFact | Note] = field(default_factory=asyncio.Queue)
    controller: Controller | None = None


@dataclass(slots=True)
class PipelineWorker:
    """Keeps controllers at work."""

    commands: RunCommands
    store: SchedulerStore
    progress: Progress
    ids: Ids
    make: MakeController
    _leads: bool = False
    _handles: dict[UUID, _Handle] = field(default_factory=dict)
    _parents: dict[UUID, tuple[UUID, str, int]] = field(default_factory=dict)
    _pipelines: set[UUID] = field(default_factory=set)
    _new: asyncio.Queue[_Handle] = field(default_factory=asyncio.Queue)

    def hear(self, fact: Fact) -> None:
        """Takes note of a fact; those of pipelines and their children go to their mailboxes."""
        if not self._leads:
            return
        self._tell_triggers(fact)
        if fact.category != "run":
            return
        run_id, event = fact.stream_id, fact.event
        created = event if isinstance(event, pb.RunCreated) else None
        if isinstance(event, pb.RunResumed):
            created = event.created
        if created is not None:
            if created.pipeline:
                self._parents[run_id] = (
                    run_id_of(created.pipeline),
                    created.step,
                    created.iteration,
                )
            if created.kind in PIPELINES:
                self._pipelines.add(run_id)
                self._begin_later(fact)
        elif run_id in self._pipelines and isinstance(event, (*_OF_PIPELINES, *ENDS)):
            self._tell(run_id, Note.LEAVE if isinstance(event, ENDS) else Note.LOOK)
        self._tell_parent(fact)
        if isinstance(event, ENDS):
            self._parents.pop(run_id, None)
            self._pipelines.discard(run_id)

    def explain_child(
        self, pipeline: str, step: str, iteration: int
    ) -> Sequence[pb.ExplanationItem]:
        """Returns what the controller of a pipeline has to say of a child."""
        handle = self._handles.get(run_id_of(pipeline))
        if handle is None or handle.controller is None:
            return ()
        return handle.controller.explain_child(step, iteration)

    def summary(self, run_id: UUID) -> str:
        """Returns how far a pipeline is; empty when this process does not run it."""
        handle = self._handles.get(run_id)
        return "" if handle is None or handle.controller is None else handle.controller.summary()

    async def run(self) -> None:
        """Takes up every pipeline that has not ended, then each as it begins, until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                self._leads = True
                await self._take_up()
                while True:
                    handle = await self._new.get()
                    tasks.create_task(self._keep(handle))
        finally:
            self._leads = False
            self._handles.clear()
            self._parents.clear()
            self._pipelines.clear()
            self._new = asyncio.Queue()

    async def _take_up(self) -> None:
        # What was told before this process led must be in the rows before they are read.
        await self.progress.wait_for(Position(await self.store.head()))
        for child in await self.store.live_children():
            known = (child.pipeline_id, child.step, child.iteration)
            self._parents.setdefault(child.run_id, known)
        for row in await self.store.live_runs():
            if row.kind in PIPELINES:
                self._pipelines.add(row.run_id)
                if row.run_id not in self._handles:
                    target = Target(row.run_id, row.org_id, row.name, self.ids.uuid7())
                    self._open(_Handle(target, row.asked, row.asked_at))

    def _begin_later(self, fact: Fact) -> None:
        """Opens a pipeline; a resumption of one under way begins it anew."""
        old = self._handles.get(fact.stream_id)
        if old is not None and not isinstance(fact.event, pb.RunResumed):
            return
        if old is not None:
            old.mailbox.put_nowait(Note.LEAVE)
        target = Target(
            fact.stream_id,
            fact.org_id,
            fact.resource,
            fact.correlation_id,
            fact.event_id,
            fact.traceparent,
        )
        self._open(_Handle(target, fact.position, fact.at))

    def _open(self, handle: _Handle) -> None:
        self._handles[handle.target.run_id] = handle
        self._new.put_nowait(handle)

    def _tell_triggers(self, fact: Fact) -> None:
        what = happening_of(fact) if self._triggers() else None
        for handle in self._triggers() if what is not None else ():
            assert isinstance(handle.controller, TriggerController), "only those are asked"
            if what is not None and handle.controller.happened(what):
                handle.mailbox.put_nowait(Note.TICK)

    def _triggers(self) -> list[_Handle]:
        return [h for h in self._handles.values() if isinstance(h.controller, TriggerController)]

    def _tell(self, run_id: UUID, note: Note) -> None:
        handle = self._handles.get(run_id)
        if handle is not None:
            handle.mailbox.put_nowait(note)

    def _tell_parent(self, fact: Fact) -> None:
        known = self._parents.get(fact.stream_id)
        status = child_status(fact.event)
        if known is None or status == pb.RUN_STATUS_UNSPECIFIED:
            return
        handle = self._handles.get(known[0])
        if handle is not None:
            message = getattr(fact.event, "message", "") or getattr(fact.event, "reason", "")
            handle.mailbox.put_nowait(
                ChildFact(
                    fact.stream_id,
                    fact.resource,
                    known[1],
                    known[2],
                    status,
                    fact.position,
                    fact.at,
                    message,
                )
            )

    async def _keep(self, handle: _Handle) -> None:
        """Runs one pipeline to its end, beginning it anew after each error."""
        while True:
            try:
                await self._run(handle)
                break
            except* EpochalError as errors:
                reasons = [str(error) for error in errors.exceptions]
                _log.warning("scheduler.pipeline_again", run=handle.target.name, errors=reasons)
            await self.commands.clock.sleep(AGAIN_S)
        if self._handles.get(handle.target.run_id) is handle:
            del self._handles[handle.target.run_id]

    async def _run(self, handle: _Handle) -> None:
        state = await self.commands.load(handle.target.run_id)
        if state.holds and state.status == pb.RUN_STATUS_CREATED:
            state = await self._until_begun(handle)
        if state.status in TERMINAL:
            return
        # What facts told before the rows had it would be lost otherwise.
        head = await self.store.head()
        await self.progress.wait_for(Position(head))
        rows = await self.store.children(handle.target.run_id)
        known = {row.run_id: row.position for row in rows}
        pipeline = Pipeline(
            handle.target,
            state.created,
            OperationPlan.from_json(state.created.compiled_json),
            handle.begun,
            handle.begun_at,
        )
        controller = handle.controller = await self.make(pipeline, state)
        await controller.begin(state, rows)
        while True:
            told = await self._next(handle, await controller.tick(self.commands.clock.now()))
            if told is Note.LEAVE:
                return
            if isinstance(told, ChildFact):
                facts, told = _drain(told, handle.mailbox)
                news = [fact for fact in facts if fact.position > known.get(fact.run_id, 0)]
                if news:
                    await controller.children_changed(news)
            if told is Note.LEAVE:
                return
            if told is Note.LOOK:
                state = await self.commands.load(handle.target.run_id)
                if state.status in TERMINAL:
                    return
                await controller.pipeline_changed(state)

    async def _next(self, handle: _Handle, due: datetime | None) -> ChildFact | Note | None:
        """Returns what is told next, or None when the clock asks for something."""
        wait_s = LONGEST_S
        if due is not None:
            wait_s = min(wait_s, (due - self.commands.clock.now()).total_seconds())
        try:
            async with asyncio.timeout(max(0.0, wait_s)):
                return await handle.mailbox.get()
        except TimeoutError:
            return None

    async def _until_begun(self, handle: _Handle) -> RunState:
        """Waits until a pipeline that is held begins, or ends."""
        while True:
            told = await handle.mailbox.get()
            state = await self.commands.load(handle.target.run_id)
            if told is Note.LEAVE or state.status != pb.RUN_STATUS_CREATED:
                return state


def _drain(
    first: ChildFact, mailbox: asyncio.Queue[ChildFact | Note]
) -> tuple[list[ChildFact], Note | None]:
    """Takes all facts that wait, up to the first note: many children change at once."""
    facts = [first]
    while not mailbox.empty():
        told = mailbox.get_nowait()
        if isinstance(told, Note):
            return facts, told
        facts.append(told)
    return facts, None
