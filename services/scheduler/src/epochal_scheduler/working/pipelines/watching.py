"""Watching the metrics of trials: which look bad enough to stop, and what each ended with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

import epochal_proto.v1 as pb

from epochal_scheduler.domain.statuses import Status
from epochal_scheduler.domain.sweeps.pruning import Pruner, Stop
from epochal_scheduler.domain.sweeps.thresholds import MetricStopping, Stopping, outcome
from epochal_scheduler.domain.sweeps.trials import Objective, Suggestion
from epochal_scheduler.working.pipelines.sampling import MetricReader


@dataclass(slots=True)
class LiveTrial:
    """A trial under way; `next_steps` is by metric the first step that was not judged yet."""

    suggestion: Suggestion
    run_id: UUID
    name: str
    status: Status
    next_steps: dict[str, int] = field(default_factory=dict)
    values: tuple[float, ...] = ()
    stopping: bool = False

    @property
    def steps(self) -> int:
        """How far its metrics have got."""
        return max(self.next_steps.values(), default=0)


@dataclass(frozen=True, slots=True)
class StopTrial:
    """One trial is to be stopped."""

    trial: LiveTrial
    reason: str


@dataclass(frozen=True, slots=True)
class StopSweep:
    """Everything is to be stopped; the sweep then ends as `status`."""

    status: Status
    reason: str


@dataclass(frozen=True, slots=True)
class MetricWatch:
    """Judges what trials report, by the pruners and policies of one sweep."""

    metrics: MetricReader
    org: str
    objectives: Sequence[Objective]
    pruners: Sequence[tuple[str, Pruner]]
    policies: Sequence[Stopping]

    @property
    def is_needed(self) -> bool:
        """Whether metrics of trials under way may decide anything."""
        return bool(self._watched)

    async def judge(self, trials: Iterable[LiveTrial]) -> list[StopTrial | StopSweep]:
        """Reads new points of trials under way; returns what they lead to.

        Raises:
            Unavailable, DeadlineExceeded: the tracker does not answer.
        """
        running = [t for t in trials if t.status == pb.RUN_STATUS_RUNNING and not t.stopping]
        by_name = {trial.name: trial for trial in running}
        found: list[StopTrial | StopSweep] = []
        for metric in self._watched if running else ():
            cursors = {trial.name: trial.next_steps.get(metric, 0) for trial in running}
            points = await self.metrics.read(self.org, metric, cursors)
            for name, series in points.items():
                found += self._judge_series(by_name[name], metric, series)
        return found

    async def final_values(self, names: Sequence[str]) -> dict[str, tuple[float, ...]]:
        """Returns the newest value of each objective, for runs that have all of them.

        Raises:
            Unavailable, DeadlineExceeded: the tracker does not answer.
        """
        if not names or not self.objectives:
            return {}
        found: dict[str, list[float]] = {name: [] for name in names}
        for objective in self.objectives:
            points = await self.metrics.read(
                self.org, objective.metric, dict.fromkeys(names, 0), limit=1
            )
            for name, series in points.items():
                found[name].append(series[-1][1])
        whole = len(self.objectives)
        return {name: tuple(values) for name, values in found.items() if len(values) == whole}

    def end(self, trial: LiveTrial) -> None:
        """Takes note that a trial has ended."""
        for _, pruner in self.pruners:
            pruner.end(trial.suggestion.index, trial.status)

    @property
    def _watched(self) -> list[str]:
        policies = [p.metric for p in self.policies if isinstance(p, MetricStopping)]
        return list(dict.fromkeys([*(name for name, _ in self.pruners), *policies]))

    def _judge_series(
        self, trial: LiveTrial, metric: str, series: Sequence[tuple[int, float]]
    ) -> list[StopTrial | StopSweep]:
        """Judges points in step order, up to the first that stops the trial."""
        for step, value in series:
            trial.next_steps[metric] = max(trial.next_steps.get(metric, 0), step + 1)
            for policy in self.policies:
                if isinstance(policy, MetricStopping):
                    why = policy.why(trial.name, metric, value)
                    if why:
                        return [StopSweep(outcome(policy), why)]
            for name, pruner in self.pruners:
                answer = (
                    pruner.report(trial.suggestion.index, step, value) if name == metric else None
                )
                if isinstance(answer, Stop):
                    trial.stopping = True
                    return [StopTrial(trial, f"pruned: {answer.reason}")]
        return []
