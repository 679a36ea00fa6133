"""A DAG at work: what its graph decides becomes children, and what they become is told to it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

import epochal_proto.v1 as pb

from epochal_scheduler.domain import resuming
from epochal_scheduler.domain.creating import Reuse
from epochal_scheduler.domain.graphs.decisions import (
    Decision,
    End,
    FailUpstream,
    Skip,
    Start,
    StopAll,
)
from epochal_scheduler.domain.graphs.explaining import explain
from epochal_scheduler.domain.graphs.graph import Graph
from epochal_scheduler.domain.run import RunState
from epochal_scheduler.domain.statuses import RESUMABLE, TERMINAL, Status, status_of
from epochal_scheduler.projections.children import ChildRow
from epochal_scheduler.working.pipelines.children import Birth, Nursery
from epochal_scheduler.working.pipelines.graphs import graph_of
from epochal_scheduler.working.pipelines.pipeline import ChildFact, Pipeline
from epochal_scheduler.working.pipelines.stopping import stopping_policies

AT_ONCE = 32
_RAN = frozenset({
    pb.RUN_STATUS_RUNNING, pb.RUN_STATUS_SUCCEEDED, pb.RUN_STATUS_FAILED,
    pb.RUN_STATUS_RETRYING,
})  # fmt: skip


@dataclass(slots=True)
class DagController:
    """Runs one DAG.

    `forked` has the results of the run it was forked from, by step: those steps are reused.
    """

    pipeline: Pipeline
    nursery: Nursery
    forked: dict[str, Reuse] = field(default_factory=dict)
    _graph: Graph = field(init=False)
    _keys: dict[str, str] = field(default_factory=dict)
    _live: dict[str, UUID] = field(default_factory=dict)
    _stopping: bool = False

    async def begin(self, state: RunState, children: Sequence[ChildRow]) -> None:
        """Takes up the DAG: what ended badly before it was resumed goes on, the rest stands."""
        seen: dict[str, set[Status]] = {}
        resumed: list[ChildRow] = []
        newest = {row.step: row for row in sorted(children, key=lambda row: row.position)}
        for step, row in newest.items():
            again = row.status in RESUMABLE and row.position < self.pipeline.begun
            if again and row.status == pb.RUN_STATUS_UPSTREAM_FAILED:
                self._keys[step] = self._next_key(step, children)
                continue
            self._keys[step] = self._key_of(step, row, children)
            if again:
                resumed.append(row)
            else:
                seen[step] = {status_of(row.status)} | _ran(status_of(row.status))
            if row.status not in TERMINAL:
                self._live[step] = row.run_id
        started = [row.step for row in resumed] + [
            step for step, row in newest.items() if row.status not in TERMINAL
        ]
        self._graph = graph_of(
            self.nursery.compiler,
            state.concurrency or None,
            stopping_policies(getattr(self.pipeline.plan.run, "early_stopping", None)),
            seen=seen,
            started=started,
            paused=state.paused,
        )
        if state.status == pb.RUN_STATUS_STOPPING:
            await self._stop_all(state.stop_reason)
            return
        for row in resumed:
            status = await self.nursery.resume(row.run_id, "its pipeline was resumed")
            self._live[row.step] = row.run_id
            await self._carry_out(self._graph.observe(row.step, status))
        await self._carry_out(self._graph.begin())

    async def children_changed(self, facts: Sequence[ChildFact]) -> None:
        """Tells the graph, and does what follows from all of it at once."""
        decisions: list[Decision] = []
        for fact in facts:
            if self.pipeline.child_id(self._key(fact.step)) != fact.run_id:
                continue  # one that was given up for another of the same step
            if fact.is_over:
                self._live.pop(fact.step, None)
            else:
                self._live[fact.step] = fact.run_id
            decisions += self._graph.observe(fact.step, fact.status)
        await self._carry_out(decisions)
        if self._stopping and not self._live:
            await self._end(pb.RUN_STATUS_STOPPED, "stopped")

    async def pipeline_changed(self, state: RunState) -> None:
        """Pauses, goes on, changes its limit, or stops."""
        if state.status == pb.RUN_STATUS_STOPPING:
            await self._stop_all(state.stop_reason)
            return
        if state.paused:
            self._graph.pause()
        elif self._graph.paused:
            await self._carry_out(self._graph.resume())
        if (state.concurrency or None) != self._graph.concurrency:
            await self._carry_out(self._graph.limit(state.concurrency or None))

    async def tick(self, now: datetime) -> datetime | None:
        """Nothing in a DAG waits for the clock."""
        return None

    def explain_child(self, step: str, iteration: int) -> Sequence[pb.ExplanationItem]:
        """Tells what a step waits for."""
        waiting = explain(self._graph, step)
        items = [pb.ExplanationItem(kind="dependency", message=waiting.reason)]
        for blocker in waiting.blockers:
            run_id = self.pipeline.child_id(self._key(blocker))
            items.append(
                pb.ExplanationItem(
                    kind="dependency",
                    message=f"waits for {blocker}",
                    resource=self.pipeline.child_name(run_id),
                )
            )
        return items

    def summary(self) -> str:
        """Tells how many steps have ended."""
        ended = sum(status in TERMINAL for status in self._graph.statuses.values())
        return (
            f"{ended} of {len(self._graph.steps)} steps have ended, {len(self._live)} are under way"
        )

    async def _carry_out(self, decisions: Iterable[Decision]) -> None:
        """Does what the graph decided, and what follows from that, until nothing does."""
        waiting = list(decisions)
        while waiting:
            known = await self._create(
                [d for d in waiting if isinstance(d, Start | Skip | FailUpstream)]
            )
            for decision in waiting:
                if isinstance(decision, StopAll):
                    await self.nursery.stop(list(self._live.values()), decision.reason)
                elif isinstance(decision, End):
                    await self._end(decision.status, decision.reason)
            waiting = [
                decision for step, status in known for decision in self._graph.observe(step, status)
            ]

    async def _create(
        self, decisions: Sequence[Start | Skip | FailUpstream]
    ) -> list[tuple[str, Status]]:
        places = asyncio.Semaphore(AT_ONCE)

        async def create(decision: Start | Skip | FailUpstream) -> tuple[str, Status]:
            async with places:
                birth = self._birth(decision.step)
                if isinstance(decision, Start):
                    status = await self.nursery.make(birth)
                elif isinstance(decision, Skip):
                    status = await self.nursery.end_unborn(birth, skipped=decision.reason)
                else:
                    upstream = self.pipeline.child_name(
                        self.pipeline.child_id(self._key(decision.upstream))
                    )
                    status = await self.nursery.end_unborn(
                        birth, upstream=upstream, reason=decision.reason
                    )
                if status not in TERMINAL:
                    self._live[decision.step] = self.pipeline.child_id(birth.key)
                return decision.step, status

        async with asyncio.TaskGroup() as tasks:
            creating = [tasks.create_task(create(decision)) for decision in decisions]
        return [task.result() for task in creating]

    def _birth(self, step: str) -> Birth:
        plan = self.nursery.compiler.steps[step]
        edges = [
            pb.RunEdge(
                kind="event" if need.statuses else "dag",
                source=self.pipeline.child_name(self.pipeline.child_id(self._key(need.step))),
            )
            for need in plan.needs
        ]
        reuse = self.forked.get(step)
        return Birth(
            key=self._key(step),
            step=step,
            references=() if reuse else plan.references,
            joins=() if reuse else plan.joins,
            siblings={
                found.name: self.pipeline.child_id(self._key(found.name))
                for found in plan.references
                if found.entity == "ops"
            }
            | {
                join.ref[1]: self.pipeline.child_id(self._key(join.ref[1]))
                for join in plan.joins
                if join.ref is not None and join.ref[0] == "ops"
            },
            edges=edges,
            origin=reuse.source if reuse else "",
            reuse=reuse,
        )

    async def _stop_all(self, reason: str) -> None:
        self._stopping = True
        self._graph.stop(reason)
        await self.nursery.stop(list(self._live.values()), f"its pipeline was stopped: {reason}")
        if not self._live:
            await self._end(pb.RUN_STATUS_STOPPED, reason)

    async def _end(self, status: Status, reason: str) -> None:
        await self.nursery.commands.execute(
            self.pipeline.target, lambda state: resuming.end_pipeline(state, status, reason)
        )

    def _key(self, step: str) -> str:
        return self._keys.get(step, step)

    def _key_of(self, step: str, row: ChildRow, children: Sequence[ChildRow]) -> str:
        """Returns the key under which a child was made."""
        keys = [step] + [f"{step}#{n}" for n in range(1, len(children) + 1)]
        return next((key for key in keys if self.pipeline.child_id(key) == row.run_id), step)

    def _next_key(self, step: str, children: Sequence[ChildRow]) -> str:
        """Returns the key of another child for a step whose last one never started."""
        return f"{step}#{sum(row.step == step for row in children)}"


def _ran(status: Status) -> set[Status]:
    return {pb.RUN_STATUS_RUNNING} if status in _RAN else set()
