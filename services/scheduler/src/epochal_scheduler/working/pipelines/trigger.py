"""A trigger at work: happenings that match start runs, unless it is too soon or too many.

`debounce` waits until nothing more has matched for that long and then starts one run for all of
it. Each run has an edge to the event that fired it: that, and the runs themselves, are the
trigger's history. Where it stands in the log is told by its newest run's event; what happened
while no scheduler was there is caught up from the log. Events are not always heard in the order of
the log, so it looks back a little further: what has a run already does not get another.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

import epochal_proto.v1 as pb
import structlog
from epochal_kernel.errors import EpochalError
from pydantic import JsonValue

from epochal_scheduler.domain import resuming
from epochal_scheduler.domain.run import RunState
from epochal_scheduler.domain.statuses import TERMINAL
from epochal_scheduler.projections import run_id_of
from epochal_scheduler.projections.children import ChildRow
from epochal_scheduler.spec.children import JoinPlan
from epochal_scheduler.working.happenings import METRIC_THRESHOLD, Happening, metrics_of
from epochal_scheduler.working.matching import Matcher
from epochal_scheduler.working.pipelines.children import Birth, Nursery
from epochal_scheduler.working.pipelines.pipeline import ChildFact, Pipeline
from epochal_scheduler.working.resolving import Resolver

_log = structlog.get_logger(__name__)

MOST_WAITING = 10_000
MOST_LOOKED_AT = 500
LOOK_EVERY = timedelta(seconds=5)
LOOK_BACK = 1_000
MOST_ASKED = 20
MOST_NESTED = 50

Missed = Callable[[int], AsyncIterator[Happening]]


@dataclass(slots=True)
class _Rule:
    matcher: Matcher
    debounce: timedelta | None
    since: int = 0
    newest: Happening | None = None
    due: datetime | None = None


@dataclass(slots=True)
class TriggerController:
    """Runs one trigger.

    `missed` reads the happenings after a position from the log.
    """

    pipeline: Pipeline
    nursery: Nursery
    missed: Missed
    resolver: Resolver
    _rules: list[_Rule] = field(default_factory=list)
    _waiting: deque[Happening] = field(default_factory=lambda: deque(maxlen=MOST_WAITING))
    _live: set[str] = field(default_factory=set)
    _ids: dict[str, ChildRow | ChildFact] = field(default_factory=dict)
    _made: list[datetime] = field(default_factory=list)
    _count: int = 0
    _fired: set[UUID] = field(default_factory=set)
    _paused: bool = False
    _unpaused: datetime | None = None
    _stopping: str | None = None
    _looked: datetime | None = None
    _reached: set[tuple[int, str]] = field(default_factory=set)

    async def begin(self, state: RunState, children: Sequence[ChildRow]) -> None:
        """Takes up the trigger from its newest run."""
        project = self.pipeline.name.partition("/runs/")[0]
        for rule in self.pipeline.plan.events or ():
            matcher = Matcher(rule, project, self.pipeline.name)
            self._rules.append(_Rule(matcher, rule.debounce))
        for row in children:
            self._fired.add(row.run_id)
            self._count = max(self._count, row.iteration)
            if row.schedule_time is not None and row.status != pb.RUN_STATUS_SKIPPED:
                self._made.append(row.schedule_time)
            if row.status not in TERMINAL:
                self._live.add(row.name)
                self._ids[row.name] = row
        self._note_pauses(state)
        newest = await self._newest_event(children)
        for made in self._rules:
            made.since = newest if made.debounce is not None else 0
        async for happening in self.missed(max(self.pipeline.begun, newest - LOOK_BACK)):
            self.happened(happening)
        await self.pipeline_changed(state)

    def happened(self, happening: Happening) -> bool:
        """Takes note of what happened; returns whether it asks for anything."""
        if happening.position <= self.pipeline.begun or self._stopping is not None:
            return False
        if any(rule.matcher.concerns(happening) for rule in self._rules):
            self._waiting.append(happening)
            return True
        return False

    async def children_changed(self, facts: Sequence[ChildFact]) -> None:
        """Notes which runs are under way."""
        for fact in facts:
            if fact.is_over:
                self._live.discard(fact.name)
                self._ids.pop(fact.name, None)
            else:
                self._live.add(fact.name)
                self._ids[fact.name] = fact
        if self._stopping is not None and not self._live:
            await self._end(self._stopping)

    async def pipeline_changed(self, state: RunState) -> None:
        """Pauses (what happens then is let pass), goes on, or stops."""
        self._note_pauses(state)
        if state.status == pb.RUN_STATUS_STOPPING:
            self._stopping = state.stop_reason
            runs = [self._ids[name].run_id for name in self._live]
            await self.nursery.stop(runs, f"its trigger was stopped: {state.stop_reason}")
            if not self._live:
                await self._end(state.stop_reason)

    async def tick(self, now: datetime) -> datetime | None:
        """Judges what has happened, and starts what is due."""
        while self._waiting:
            happening = self._waiting.popleft()
            if self._paused or (self._unpaused is not None and happening.at <= self._unpaused):
                continue
            for rule in self._rules:
                verdict = rule.matcher.judge(happening)
                if verdict is None or not verdict.counts or happening.position <= rule.since:
                    continue
                if await self._is_own(happening):
                    break
                if rule.debounce is None:
                    await self._fire(happening)
                else:
                    rule.newest, rule.due = happening, happening.at + rule.debounce
        looks = await self._look_at_metrics(now)
        for rule in self._rules:
            if rule.newest is not None and rule.due is not None and rule.due <= now:
                await self._fire(rule.newest)
                rule.newest = rule.due = None
        dues = [rule.due for rule in self._rules if rule.due is not None]
        return min([*dues, *looks], default=None)

    def explain_child(self, step: str, iteration: int) -> Sequence[pb.ExplanationItem]:
        """Nothing: a child starts at once."""
        return ()

    def summary(self) -> str:
        """Tells how often it has fired."""
        state = "paused" if self._paused else "waits for events"
        return f"it has fired {self._count} times, {len(self._live)} runs are under way; {state}"

    async def _look_at_metrics(self, now: datetime) -> list[datetime]:
        """Asks for the metrics of runs begun since; each run reaches a threshold once.

        Returns when to look again, if any rule waits for metrics.
        """
        rules = [
            (number, rule)
            for number, rule in enumerate(self._rules)
            if METRIC_THRESHOLD in rule.matcher.rule.kinds
        ]
        if not rules or self._paused or self._stopping is not None:
            return []
        if self._looked is None or now - self._looked >= LOOK_EVERY:
            self._looked = now
            project = self.pipeline.name.partition("/runs/")[0]
            newest = JoinPlan("", "-created_at", MOST_LOOKED_AT, 0, {})
            try:
                runs = await self.resolver.find(project, newest)
            except EpochalError as error:
                _log.info("scheduler.metrics_later", run=self.pipeline.name, error=error.message)
                runs = []
            for run in runs:
                begun = run.create_time.ToDatetime(tzinfo=UTC) >= self.pipeline.begun_at
                if begun and run.metrics:
                    for number, rule in rules:
                        await self._judge_metrics(number, rule, metrics_of(run, now))
        return [self._looked + LOOK_EVERY]

    async def _judge_metrics(self, number: int, rule: _Rule, happening: Happening) -> None:
        key = (number, happening.resource)
        if key in self._reached:
            return
        verdict = rule.matcher.judge(happening)
        if verdict is None or not verdict.counts or await self._is_own(happening):
            return
        self._reached.add(key)
        await self._fire(happening, f"metric/{number}/{happening.attributes['uuid']}")

    async def _fire(self, happening: Happening, key: str = "") -> None:
        key = key or f"event/{happening.position}"
        run_id = self.pipeline.child_id(key)
        if run_id in self._fired:
            return
        self._fired.add(run_id)
        self._count += 1
        birth = Birth(
            key=key,
            iteration=self._count,
            values=self._values(happening),
            references=self.nursery.compiler.references,
            joins=self.nursery.compiler.joins,
            schedule_time=happening.at,
            edges=[pb.RunEdge(kind="event", source=_source(happening))],
        )
        reason = self._limited(happening.at)
        if reason:
            await self.nursery.end_unborn(birth, skipped=reason)
            return
        self._made.append(happening.at)
        await self.nursery.make(birth)

    async def _is_own(self, happening: Happening) -> bool:
        """Says whether a run that the trigger led to did it: fired by that, it would have no end.

        Those are its runs, what their pipelines made, and the hooks of any of them.
        """
        name = happening.attributes.get("run")
        for _ in range(MOST_NESTED):
            if not isinstance(name, str) or not name:
                return False
            created = (await self.nursery.commands.load(run_id_of(name))).created
            name = created.pipeline or (created.origin if created.origin_kind == "hook" else "")
            if name == self.pipeline.name:
                return True
        return False

    def _note_pauses(self, state: RunState) -> None:
        self._paused = state.paused
        if state.unpaused_s:
            self._unpaused = datetime.fromtimestamp(state.unpaused_s, UTC)

    async def _newest_event(self, children: Sequence[ChildRow]) -> int:
        """Returns the position of the event that the newest run was made for; 0 for none."""
        newest = sorted(children, key=lambda row: -row.iteration)
        for row in newest[:MOST_ASKED]:
            state = await self.nursery.commands.load(row.run_id)
            for edge in state.created.edges:
                if edge.kind == "event" and edge.source.isdecimal():
                    return int(edge.source)
        return 0

    def _limited(self, at: datetime) -> str:
        """Returns why no run may start now, by `limit`; empty when one may."""
        for rule in self._rules:
            limit = rule.matcher.rule.limit
            if limit is None:
                continue
            since = at - limit.per if limit.per is not None else None
            made = [time for time in self._made if since is None or time > since]
            if limit.per is not None:
                self._made = made
            if len(made) >= limit.runs:
                span = f" in {limit.per}" if limit.per is not None else ""
                return f"it has fired {len(made)} times{span}; its limit is {limit.runs}"
        return ""

    def _values(self, happening: Happening) -> dict[str, JsonValue]:
        """Returns attributes that are inputs of the operation."""
        declared = (self.pipeline.plan.template or {}).get("inputs")
        inputs = declared if isinstance(declared, list) else []
        names = {io["name"] for io in inputs if isinstance(io, dict)}
        return {name: value for name, value in happening.attributes.items() if name in names}

    async def _end(self, reason: str) -> None:
        await self.nursery.commands.execute(
            self.pipeline.target,
            lambda state: resuming.end_pipeline(state, pb.RUN_STATUS_STOPPED, reason),
        )


def _source(happening: Happening) -> str:
    """Returns what an edge names: the event's position, or the run whose metric it is."""
    return str(happening.position) if happening.position else happening.resource
