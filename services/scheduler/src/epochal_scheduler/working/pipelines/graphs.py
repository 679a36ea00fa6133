"""The graph of a DAG, from what its spec compiled to."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import epochal_proto.v1 as pb

from epochal_scheduler.domain.graphs.graph import Graph
from epochal_scheduler.domain.graphs.steps import Need, Step, Trigger
from epochal_scheduler.domain.statuses import TERMINAL, Status, status_of, word
from epochal_scheduler.domain.sweeps.thresholds import Stopping
from epochal_scheduler.spec.children import ChildCompiler, StepPlan


def graph_of(
    compiler: ChildCompiler,
    concurrency: int | None = None,
    early_stopping: Iterable[Stopping] = (),
    *,
    seen: Mapping[str, Collection[Status]] | None = None,
    started: Iterable[str] = (),
    paused: bool = False,
) -> Graph:
    """Returns the graph of a DAG, as far as it has come; see `Graph`."""
    steps = [_step(plan) for plan in compiler.steps.values()]
    return Graph(
        steps, concurrency, tuple(early_stopping), seen=seen, started=started, paused=paused
    )


def statuses_named(kind: str) -> frozenset[Status]:
    """Returns the statuses that an event kind such as `run_status_running` names.

    `done` is every end; statuses that only Polyaxon has (compiled, processing ...) name none.
    """
    name = kind.removeprefix("run_status_")
    if name == "done":
        return TERMINAL
    known = {word(status_of(number)): status_of(number) for number in pb.RunStatus.values()}
    return frozenset({known[name]} if name in known else ())


def _step(plan: StepPlan) -> Step:
    needs = tuple(
        Need(need.step, frozenset().union(*map(statuses_named, need.statuses)))
        for need in plan.needs
    )
    return Step(plan.name, needs, Trigger(plan.trigger), plan.skip_on_upstream_skip)
