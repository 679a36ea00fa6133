"""A schedule at work: what is decided about its ticks becomes children, dated by their tick.

A tick that fires is a run; one that waits for the run before it is a run held back; one that is
skipped is a run that was skipped, with the reason in it. So the children are the whole memory of
the schedule, and its own stream does not grow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

import epochal_proto.v1 as pb

from epochal_scheduler.domain import resuming
from epochal_scheduler.domain.run import RunState
from epochal_scheduler.domain.schedules.deciding import decide
from epochal_scheduler.domain.schedules.plans import (
    Catchup,
    Overlap,
    ScheduleKind,
    SchedulePlan,
    zone,
)
from epochal_scheduler.domain.schedules.states import (
    Decision,
    End,
    Fire,
    QueueTick,
    Replace,
    ScheduleState,
    SkipTick,
    Wait,
)
from epochal_scheduler.domain.schedules.ticks import preview
from epochal_scheduler.domain.statuses import TERMINAL
from epochal_scheduler.projections.children import ChildRow
from epochal_scheduler.spec.schema.scheduling import (
    CronSchedule,
    DateTimeSchedule,
    IntervalSchedule,
    Schedule,
)
from epochal_scheduler.working.pipelines.children import Birth, Nursery
from epochal_scheduler.working.pipelines.pipeline import ChildFact, Pipeline


@dataclass(slots=True)
class ScheduleController:
    """Runs one schedule."""

    pipeline: Pipeline
    nursery: Nursery
    _plan: SchedulePlan = field(init=False)
    _paused: bool = False
    _stopping: str | None = None
    _since: datetime = field(init=False)
    _last: datetime | None = None
    _ticks: int = 0
    _runs_made: int = 0
    _queued: dict[datetime, UUID] = field(default_factory=dict)
    _running: dict[str, UUID] = field(default_factory=dict)
    _times: dict[UUID, datetime] = field(default_factory=dict)

    async def begin(self, state: RunState, children: Sequence[ChildRow]) -> None:
        """Takes up the schedule from the dates of its runs."""
        assert self.pipeline.plan.schedule is not None, "a schedule's plan"
        self._plan = schedule_plan(
            self.pipeline.plan.schedule, str(self.pipeline.id), self.pipeline.begun_at
        )
        self._since = self.pipeline.begun_at
        for row in children:
            if row.schedule_time is None:
                continue
            self._ticks += 1
            self._last = max(self._last or row.schedule_time, row.schedule_time)
            if row.status == pb.RUN_STATUS_CREATED:
                self._queued[row.schedule_time] = row.run_id
                self._times[row.run_id] = row.schedule_time
            elif row.status != pb.RUN_STATUS_SKIPPED:
                self._runs_made += 1
                if row.status not in TERMINAL:
                    self._running[row.name] = row.run_id
        await self.pipeline_changed(state)

    async def children_changed(self, facts: Sequence[ChildFact]) -> None:
        """Notes that a run has ended; the clock does the rest."""
        for fact in facts:
            if fact.is_over:
                self._running.pop(fact.name, None)
                queued = self._times.pop(fact.run_id, None)
                if queued is not None:
                    self._queued.pop(queued, None)
        if self._stopping is not None and not self._running:
            await self._end(pb.RUN_STATUS_STOPPED, self._stopping)

    async def pipeline_changed(self, state: RunState) -> None:
        """Pauses, goes on, or stops; what runs is stopped with it."""
        self._paused = state.paused
        if state.unpaused_s:
            unpaused = datetime.fromtimestamp(state.unpaused_s, UTC)
            self._since = max(self._since, unpaused)
        if state.status == pb.RUN_STATUS_STOPPING:
            self._stopping = state.stop_reason
            runs = [*self._running.values(), *self._queued.values()]
            await self.nursery.stop(runs, f"its schedule was stopped: {state.stop_reason}")
            if not self._running:
                await self._end(pb.RUN_STATUS_STOPPED, state.stop_reason)

    async def tick(self, now: datetime) -> datetime | None:
        """Decides about every tick that is due; returns when the next one is."""
        if self._stopping is not None:
            return None
        decisions = decide(self._plan, self._state(), now)
        for decision in decisions:
            await self._carry_out(decision)
        last = decisions[-1]
        return last.until if isinstance(last, Wait) else None

    def explain_child(self, step: str, iteration: int) -> Sequence[pb.ExplanationItem]:
        """Tells what a held tick waits for."""
        return [
            pb.ExplanationItem(
                kind="overlap", message=f"waits for {name}: overlap is queue", resource=name
            )
            for name in self._running
        ]

    def summary(self) -> str:
        """Tells how many runs were made, and when the next tick is."""
        if self._paused:
            return f"{self._runs_made} runs made; it is paused"
        following = preview(self._plan, self._last or self._since, 1)
        when = f"the next tick is {following[0].isoformat()}" if following else "no tick follows"
        return f"{self._runs_made} runs made, {len(self._running)} under way; {when}"

    def _state(self) -> ScheduleState:
        return ScheduleState(
            since=self._since,
            last_tick=self._last,
            runs_made=self._runs_made,
            running=tuple(self._running),
            queued=tuple(sorted(self._queued)),
            paused=self._paused,
        )

    async def _carry_out(self, decision: Decision) -> None:
        match decision:
            case Fire(tick=tick):
                await self._fire(tick)
            case SkipTick(tick=tick, reason=reason, count=count):
                many = f" ({count} ticks since {decision.first.isoformat()})" if count > 1 else ""
                await self._skip(tick, reason + many)
            case QueueTick(tick=tick):
                birth = self._birth(tick, overlaps=True)
                await self.nursery.make(birth)
                run_id = self.pipeline.child_id(birth.key)
                self._queued[tick], self._times[run_id] = run_id, tick
            case Replace(run=run, tick=tick):
                if run in self._running:
                    why = f"replaced by the tick of {tick.isoformat()}"
                    await self.nursery.stop([self._running[run]], why)
            case End(reason=reason):
                if not self._running and not self._queued:
                    await self._end(pb.RUN_STATUS_SUCCEEDED, reason)
            case Wait():
                pass

    async def _fire(self, tick: datetime) -> None:
        held = self._queued.pop(tick, None)
        if held is not None:
            self._times.pop(held, None)
            await self.nursery.let_go(held)
            run_id, over = held, False
        else:
            birth = self._birth(tick)
            run_id = self.pipeline.child_id(birth.key)
            over = await self.nursery.make(birth) in TERMINAL
        self._runs_made += 1
        if not over:
            self._running[self.pipeline.child_name(run_id)] = run_id

    async def _skip(self, tick: datetime, reason: str) -> None:
        held = self._queued.pop(tick, None)
        if held is not None:
            self._times.pop(held, None)
            await self.nursery.skip(held, reason)
            return
        await self.nursery.end_unborn(self._birth(tick), skipped=reason)

    def _birth(self, tick: datetime, *, overlaps: bool = False) -> Birth:
        self._ticks += 1
        self._last = max(self._last or tick, tick)
        return Birth(
            key=f"tick/{tick.astimezone(UTC).isoformat()}",
            iteration=self._ticks,
            references=self.nursery.compiler.references,
            joins=self.nursery.compiler.joins,
            schedule_time=tick,
            edges=[pb.RunEdge(kind="schedule", source=self.pipeline.name)],
            overlaps=overlaps,
        )

    async def _end(self, status: pb.RunStatus, reason: str) -> None:
        await self.nursery.commands.execute(
            self.pipeline.target, lambda state: resuming.end_pipeline(state, status, reason)
        )


def schedule_plan(given: Schedule, id: str, made_at: datetime) -> SchedulePlan:
    """Returns what the domain decides by, from what the spec says.

    Args:
        given: of the spec, without templates.
        id: tells schedules apart, for their jitter.
        made_at: an interval schedule without `startAt` begins to count here.

    Raises:
        InvalidArgument: the schedule is not sound.
    """
    clock = zone(given.timezone)

    def aware(moment: datetime | None) -> datetime | None:
        if moment is None or moment.tzinfo is not None:
            return moment
        return moment.replace(tzinfo=clock)

    repeated = None if isinstance(given, DateTimeSchedule) else given
    start_at = aware(given.start_at)
    if isinstance(given, IntervalSchedule) and start_at is None:
        start_at = made_at + given.frequency
    return SchedulePlan(
        id=id,
        kind=ScheduleKind(given.kind),
        cron=given.cron if isinstance(given, CronSchedule) else "",
        frequency=given.frequency if isinstance(given, IntervalSchedule) else None,
        start_at=start_at,
        end_at=aware(repeated.end_at) if repeated else None,
        max_runs=repeated.max_runs if repeated else None,
        depends_on_past=bool(repeated and repeated.depends_on_past),
        timezone=given.timezone,
        overlap=Overlap(given.overlap),
        catchup=Catchup(given.catchup.policy),
        window=given.catchup.window,
        jitter_s=given.jitter.total_seconds() if given.jitter is not None else 0.0,
    )
