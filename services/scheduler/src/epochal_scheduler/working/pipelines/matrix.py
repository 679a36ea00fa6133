"""A sweep at work: suggestions become trials, and what trials report becomes the next suggestions.

Decided by ask and tell in this process; what is suggested is recorded as the parameters of the
trial's run, and never decided again. So a sweep is taken up from its children: the sampler learns
from them what the lost one knew. A trial's stream is its own, and the sweep's does not grow.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

import epochal_proto.v1 as pb
import structlog
from epochal_kernel.errors import EpochalError

from epochal_scheduler.domain import resuming
from epochal_scheduler.domain.run import RunState
from epochal_scheduler.domain.statuses import RESUMABLE, TERMINAL, Status, status_of, word
from epochal_scheduler.domain.sweeps.listing import IterativeSuggester
from epochal_scheduler.domain.sweeps.summaries import Tracker
from epochal_scheduler.domain.sweeps.thresholds import FailureStopping, outcome
from epochal_scheduler.domain.sweeps.trials import Suggester, Suggestion, Trial
from epochal_scheduler.projections.children import ChildRow
from epochal_scheduler.working.pipelines.children import Birth, Nursery
from epochal_scheduler.working.pipelines.pipeline import ChildFact, Pipeline
from epochal_scheduler.working.pipelines.sampling import MetricReader
from epochal_scheduler.working.pipelines.stopping import stopping_policies
from epochal_scheduler.working.pipelines.sweeping import Sweep, WarmStarter, read_sweep
from epochal_scheduler.working.pipelines.tuning import TUNER, Tuning
from epochal_scheduler.working.pipelines.watching import (
    LiveTrial,
    MetricWatch,
    StopSweep,
    StopTrial,
)

AT_ONCE = 200
MOST_LIVE = 1_000
LOOK_S = 1.0

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class MatrixController:
    """Runs one sweep."""

    pipeline: Pipeline
    nursery: Nursery
    metrics: MetricReader
    warm: WarmStarter
    _sweep: Sweep = field(init=False)
    _suggester: Suggester = field(init=False)
    _watch: MetricWatch = field(init=False)
    _tracker: Tracker = field(init=False)
    _live: dict[UUID, LiveTrial] = field(default_factory=dict)
    _failed: int = 0
    _made: int = 0
    _concurrency: int = 0
    _paused: bool = False
    _ending: tuple[Status, str] | None = None
    _looked: datetime | None = None
    _tuning: Tuning | None = None
    _history: list[Trial] = field(default_factory=list)

    async def begin(self, state: RunState, children: Sequence[ChildRow]) -> None:
        """Takes up the sweep from its trials."""
        matrix = self.pipeline.plan.matrix
        assert matrix is not None, "a sweep's plan"
        warm = await self.warm.trials(self.pipeline, matrix)
        self._sweep = read_sweep(matrix, str(self.pipeline.id), state.added_runs, warm)
        self._watch = MetricWatch(
            self.metrics,
            self.pipeline.org,
            self._sweep.plan.objectives,
            self._sweep.pruners,
            stopping_policies(matrix.early_stopping),
        )
        self._tracker = Tracker(self._sweep.plan.objectives)
        self._concurrency = state.concurrency
        history, resumed = await self._recall(children)
        self._history = [trial for trial in history if trial.is_over]
        self._suggester = await asyncio.to_thread(self._sweep.suggester, history)
        if isinstance(self._suggester, IterativeSuggester):
            self._tuning = Tuning(self.pipeline, self.nursery, self._suggester)
            await self._tuning.recall(children)
        for row in resumed:
            await self.nursery.resume(row.run_id, "its sweep was resumed")
        await self.pipeline_changed(state)

    async def children_changed(self, facts: Sequence[ChildFact]) -> None:
        """Tells the sampler what became of trials, and goes on."""
        over: list[LiveTrial] = []
        for fact in facts:
            live = self._live.get(fact.run_id)
            if live is not None:
                live.status = fact.status
                if fact.is_over:
                    over.append(live)
            elif self._tuning is not None and fact.step == TUNER and fact.is_over:
                failed = await self._tuning.ended(fact)
                if failed:
                    await self._stop_all(pb.RUN_STATUS_FAILED, failed)
        await self._ended(over)
        if over or self._tuning is not None:
            await self._go_on()

    async def pipeline_changed(self, state: RunState) -> None:
        """Pauses, goes on, changes its limit, is extended, or stops."""
        if state.status == pb.RUN_STATUS_STOPPING:
            await self._stop_all(pb.RUN_STATUS_STOPPED, state.stop_reason)
            return
        self._paused, self._concurrency = state.paused, state.concurrency
        await self._go_on()

    async def tick(self, now: datetime) -> datetime | None:
        """Looks at what trials have reported, each second while that may stop one."""
        if not self._watch.is_needed or not self._live:
            return None
        if self._looked is None or now - self._looked >= timedelta(seconds=LOOK_S):
            self._looked = now
            try:
                for verdict in await self._watch.judge(list(self._live.values())):
                    await self._carry_out(verdict)
            except EpochalError as error:
                _log.info("scheduler.metrics_later", run=self.pipeline.name, error=error.message)
        return self._looked + timedelta(seconds=LOOK_S)

    def explain_child(self, step: str, iteration: int) -> Sequence[pb.ExplanationItem]:
        """Nothing more than what its own events tell."""
        return ()

    def summary(self) -> str:
        """Tells how many trials there are, and which is best."""
        summary = self._tracker.summary
        counts = ", ".join(
            f"{count} {word(status)}" for status, count in sorted(summary.counts.items())
        )
        text = f"{self._made} trials: {counts or 'none yet'}"
        if summary.best:
            best = summary.best[0]
            values = ", ".join(
                f"{objective.metric} {value:g}"
                for objective, value in zip(self._sweep.plan.objectives, best.values, strict=True)
            )
            text += f"; best is trial {best.index + 1} with {values}"
        return text

    async def _carry_out(self, verdict: StopTrial | StopSweep) -> None:
        if isinstance(verdict, StopSweep):
            await self._stop_all(verdict.status, verdict.reason)
        else:
            await self.nursery.stop([verdict.trial.run_id], verdict.reason)

    async def _recall(self, children: Sequence[ChildRow]) -> tuple[list[Trial], list[ChildRow]]:
        """Returns the trials there are, and those that go on because the sweep was resumed."""
        resumed: list[ChildRow] = []
        names = [row.name for row in children if row.status in TERMINAL]
        values = await self._watch.final_values(names)
        history = []
        for row in children:
            if row.step == TUNER:
                continue
            status, index = status_of(row.status), row.iteration - 1
            if status in RESUMABLE and row.position < self.pipeline.begun and not _pruned(row):
                resumed.append(row)
                status = pb.RUN_STATUS_QUEUED
            trial = Trial(index, json.loads(row.params), status, values.get(row.name, ()))
            history.append(trial)
            self._tracker.tell(trial)
            self._made += 1
            if status in TERMINAL:
                self._failed += status == pb.RUN_STATUS_FAILED
            else:
                suggestion = Suggestion(index, trial.params)
                self._live[row.run_id] = LiveTrial(suggestion, row.run_id, row.name, status)
        return history, resumed

    async def _ended(self, ended: Sequence[LiveTrial]) -> None:
        """Learns from trials that have ended, with the values they ended with."""
        if not ended:
            return
        values = await self._watch.final_values([live.name for live in ended])
        for live in ended:
            self._live.pop(live.run_id, None)
            live.values = values.get(live.name, live.values)
            trial = Trial(
                live.suggestion.index,
                live.suggestion.params,
                live.status,
                live.values,
                live.steps,
                live.suggestion.iteration,
            )
            self._watch.end(live)
            self._suggester.tell(trial)
            self._tracker.tell(trial)
            if self._tuning is not None:
                self._history.append(trial)
            self._failed += live.status == pb.RUN_STATUS_FAILED
        for live in ended:
            await self._stop_early(live)

    async def _stop_early(self, live: LiveTrial) -> None:
        for policy in self._watch.policies:
            if isinstance(policy, FailureStopping):
                why = policy.why(self._failed, self._sweep.planned or self._made)
            else:
                why = next(
                    (
                        found
                        for objective, value in zip(
                            self._sweep.plan.objectives, live.values, strict=False
                        )
                        if (found := policy.why(live.name, objective.metric, value))
                    ),
                    "",
                )
            if why:
                await self._stop_all(outcome(policy), why)
                return

    async def _go_on(self) -> None:
        """Makes as many trials as there is room for; ends the sweep after the last one."""
        if not self._paused:
            while self._ending is None:  # a trial that fails at once may end it
                room = min(self._concurrency or MOST_LIVE, MOST_LIVE) - len(self._live)
                if room <= 0:
                    break
                suggestions = await self._suggest(min(room, AT_ONCE))
                if not suggestions:
                    break
                await self._make(suggestions)
                await asyncio.sleep(0)
        if self._tuning is not None and self._ending is None and not self._paused:
            before = self._tuning.suggester.iteration
            failed = await self._tuning.ask(self._history)
            if failed:
                await self._stop_all(pb.RUN_STATUS_FAILED, failed)
                return
            if self._tuning.suggester.iteration != before:  # a batch that was there already
                await self._go_on()
                return
        if self._live or (self._tuning is not None and self._tuning.is_busy):
            return
        if self._ending is not None:
            await self._end(*self._ending)
        elif self._suggester.is_exhausted:
            all_failed = self._made > 0 and self._failed == self._made
            status = pb.RUN_STATUS_FAILED if all_failed else pb.RUN_STATUS_SUCCEEDED
            await self._end(status, f"all {self._made} trials failed" if all_failed else "")

    async def _suggest(self, n: int) -> Sequence[Suggestion]:
        """Asks the sampler, in a thread when that takes long."""
        if self._sweep.is_slow:
            return await asyncio.to_thread(self._suggester.suggest, n)
        return self._suggester.suggest(n)

    async def _make(self, suggestions: Sequence[Suggestion]) -> None:
        async def make(suggestion: Suggestion) -> None:
            birth = self._birth(suggestion)
            run_id = self.pipeline.child_id(birth.key)
            live = LiveTrial(
                suggestion, run_id, self.pipeline.child_name(run_id), pb.RUN_STATUS_CREATED
            )
            self._live[run_id] = live
            live.status = await self.nursery.make(birth)

        async with asyncio.TaskGroup() as tasks:
            for suggestion in suggestions:
                tasks.create_task(make(suggestion))
        over: list[LiveTrial] = []
        for suggestion in suggestions:
            self._made += 1
            run_id = self.pipeline.child_id(self._birth(suggestion).key)
            live = self._live.get(run_id)
            if live is None:
                continue
            self._tracker.tell(Trial(suggestion.index, suggestion.params, live.status))
            if live.status in TERMINAL:  # it was skipped, reused, or did not compile
                over.append(live)
        await self._ended(over)

    def _birth(self, suggestion: Suggestion) -> Birth:
        return Birth(
            key=f"trial/{suggestion.index}",
            iteration=suggestion.index + 1,
            values=self._sweep.values_of(suggestion),
            edges=[pb.RunEdge(kind="matrix", source=self.pipeline.name)],
            origin=self._resumed(suggestion),
        )

    def _resumed(self, suggestion: Suggestion) -> str:
        """Returns the trial that a promoted one goes on from, with its files."""
        if suggestion.resumes is None:
            return ""
        return self.pipeline.child_name(self.pipeline.child_id(f"trial/{suggestion.resumes}"))

    async def _stop_all(self, status: Status, reason: str) -> None:
        if self._ending is None:
            self._ending = (status, reason)
        runs = [live.run_id for live in self._live.values()]
        await self.nursery.stop(runs, f"its sweep was stopped: {reason}")
        if not self._live:
            await self._end(*self._ending)

    async def _end(self, status: Status, reason: str) -> None:
        await self.nursery.commands.execute(
            self.pipeline.target, lambda state: resuming.end_pipeline(state, status, reason)
        )


def _pruned(row: ChildRow) -> bool:
    return row.status == pb.RUN_STATUS_STOPPED and row.message.startswith("pruned")
