"""Does what is due, and does it again until the log says that it is done."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta

import epochal_proto.v1 as pb
import structlog
from epochal_kernel.errors import EpochalError
from epochal_kernel.log.events import Event
from google.protobuf.message import Message

from epochal_scheduler.domain import approving, attempts, ending
from epochal_scheduler.domain.approving import APPROVAL, UPLOAD
from epochal_scheduler.domain.ending import Producers
from epochal_scheduler.domain.run import RunState
from epochal_scheduler.handlers import UPLOAD_PATIENCE
from epochal_scheduler.projections import ENDS
from epochal_scheduler.store import SchedulerStore, Task
from epochal_scheduler.working.commands import RunCommands, Target
from epochal_scheduler.working.dispatching import Dispatcher
from epochal_scheduler.working.hooking import Hooks

PAGE = 256
AT_ONCE = 32
POLL_S = 1.0
AGAIN_S = 1.0
RECHECK_S = 10.0
_URGENT = (
    pb.RunProcessExited,
    pb.TelemetrySealed,
    pb.RunRetrying,
    pb.MetricAlertRaised,
    *ENDS,
)

_log = structlog.get_logger(__name__)


class TaskWorker:
    """Drains the task table; also a listener, woken by events that make tasks due at once."""

    def __init__(
        self,
        store: SchedulerStore,
        commands: RunCommands,
        dispatcher: Dispatcher,
        hooks: Hooks,
        *,
        seal_grace_s: float,
        failed_seal_grace_s: float,
    ) -> None:
        self._store = store
        self._commands = commands
        self._dispatcher = dispatcher
        self._hooks = hooks
        self._seal_grace_s = seal_grace_s
        self._failed_seal_grace_s = failed_seal_grace_s
        self._woken = asyncio.Event()

    async def follow(self, before: int, events: Sequence[Event], position: int) -> None:
        """Wakes the worker when an event asks for haste."""
        if any(isinstance(event.payload, _URGENT) for event in events):
            self._woken.set()

    async def run(self) -> None:
        """Does what is due until cancelled."""
        while True:
            self._woken.clear()
            try:
                tasks = await self._store.due_tasks(PAGE)
                if tasks:
                    await self._do_all(await self._without_published(tasks))
                    continue
                due_s = await self._store.next_due_s()
            except EpochalError as error:
                _log.warning("scheduler.tasks_wait", error=error.message)
                due_s = AGAIN_S
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_S if due_s is None else min(due_s, POLL_S)):
                    await self._woken.wait()

    async def _without_published(self, tasks: Sequence[Task]) -> list[Task]:
        """Notes, in one statement, which work items wait in their queues; returns the other tasks.

        When runs come faster than agents take them, that is nearly all there is to do.
        """
        published: list[tuple[Task, int]] = []
        others: list[Task] = []
        for task in tasks:
            known = self._dispatcher.take_published(task.run_id) if task.kind == "publish" else None
            if known is None or task.sequence is not None:
                others.append(task)
            else:
                published.append((task, known))
        if published:
            await self._store.note_published(published, RECHECK_S)
        return others

    async def _do_all(self, tasks: Sequence[Task]) -> None:
        places = asyncio.Semaphore(AT_ONCE)
        settling = [task.run_id for task in tasks if task.kind == "settle"]
        producers = await self._store.producers_of(settling) if settling else {}
        done: list[Task] = []

        async def do(task: Task) -> None:
            async with places:
                try:
                    if await self._do(task, producers.get(task.run_id, Producers())):
                        done.append(task)
                except EpochalError as error:
                    _log.info("scheduler.task_again", kind=task.kind, error=error.message)
                    with suppress(EpochalError):  # then it stays due, and is done at once
                        await self._store.postpone(task, AGAIN_S)

        async with asyncio.TaskGroup() as group:
            for task in tasks:
                group.create_task(do(task))
        if done:
            await self._store.remove(done)

    async def _do(self, task: Task, producers: Producers) -> bool:
        """Does one task; returns whether it is done for good."""
        target = Target(
            task.run_id,
            task.org_id,
            task.name,
            task.correlation_id,
            task.causation_id,
            task.traceparent,
        )
        match task.kind:
            case "publish":
                return await self._publish(task, target)
            case "retry":
                await self._commands.execute(target, attempts.retry)
            case "expire":
                return await self._expire(task, target)
            case "timeout":
                await self._commands.execute(target, ending.time_out)
            case "hooks":
                await self._hooks.run_hooks(target)
            case "stop":
                await self._commands.execute(target, ending.stop_alarmed)
            case _:
                return await self._settle(task, target, producers)
        return True

    async def _expire(self, task: Task, target: Target) -> bool:
        """Ends a run that waited too long for an upload or an approval; returns whether it is over.

        Each has its own patience; while the run waits for one that has an end, the task stays.
        """
        waited = self._commands.clock.now() - task.since

        def decide(state: RunState) -> Sequence[Message]:
            patience = _patience(state)
            if patience.get(UPLOAD, waited) < waited:
                return approving.expire(state, UPLOAD, "its files were not uploaded in two hours")
            if patience.get(APPROVAL, waited) < waited:
                return approving.expire(state, APPROVAL, "nobody approved it in time")
            return ()

        outcome = await self._commands.execute(target, decide)
        left = min(_patience(outcome.state).values(), default=None)
        if left is not None:
            await self._store.postpone(task, max((left - waited).total_seconds(), AGAIN_S))
        return left is None

    async def _publish(self, task: Task, target: Target) -> bool:
        """Sees to it that a scheduled run's work item waits in its queue, until it is claimed."""
        state = await self._commands.load(task.run_id)
        if state.status != pb.RUN_STATUS_SCHEDULED:
            return True
        if task.sequence is not None and await self._dispatcher.is_waiting(task.sequence):
            await self._store.postpone(task, RECHECK_S)
            return False
        sequence = await self._dispatcher.publish(target, state, lost=task.sequence)
        await self._store.postpone(task, RECHECK_S, sequence)
        return False

    async def _settle(self, task: Task, target: Target, producers: Producers) -> bool:
        """Ends a run whose process has ended, unless it must wait; returns whether it is over."""

        def decide(state: RunState) -> Sequence[Message]:
            return ending.settle(state, producers, forced=self._left_s(task, state) <= 0)

        outcome = await self._commands.execute(target, decide)
        state = outcome.state
        if not outcome.events and state.exit is not None and state.ended and not state.is_over:
            await self._store.postpone(task, max(self._left_s(task, state), AGAIN_S))
            return False
        return True

    def _left_s(self, task: Task, state: RunState) -> float:
        failed = state.exit is not None and (state.exit.exit_code != 0 or state.exit.timed_out)
        grace_s = self._failed_seal_grace_s if failed else self._seal_grace_s
        return grace_s - (self._commands.clock.now() - task.since).total_seconds()


def _patience(state: RunState) -> dict[str, timedelta]:
    """Returns how long a run that is held waits for what, where that has an end."""
    if state.status != pb.RUN_STATUS_CREATED:
        return {}
    ends = {UPLOAD: UPLOAD_PATIENCE} if UPLOAD in state.holds else {}
    policy = state.created.approval
    if APPROVAL in state.holds and policy.HasField("expires"):
        ends[APPROVAL] = policy.expires.ToTimedelta()
    return ends
