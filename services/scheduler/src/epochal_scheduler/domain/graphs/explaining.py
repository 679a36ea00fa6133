"""Why a step has not started, said with the names of what it waits for."""

from __future__ import annotations

from epochal_scheduler.domain.graphs.decisions import Waiting
from epochal_scheduler.domain.graphs.graph import Graph
from epochal_scheduler.domain.graphs.steps import Need, Step, Trigger
from epochal_scheduler.domain.graphs.triggers import holds
from epochal_scheduler.domain.statuses import TERMINAL, word

_ASKS = {
    Trigger.ALL_SUCCEEDED: "all it needs to succeed",
    Trigger.ALL_FAILED: "all it needs to fail",
    Trigger.ALL_DONE: "all it needs to end",
    Trigger.ONE_SUCCEEDED: "one it needs to succeed",
    Trigger.ONE_FAILED: "one it needs to fail",
    Trigger.ONE_DONE: "one it needs to end",
}
MOST_NAMES = 5


def explain(graph: Graph, name: str) -> Waiting:
    """Says why a step has not started, or what became of it.

    It is the first reason that applies, from the end of the step back to its needs.

    Raises:
        NotFound: the graph has no step of this name.
    """
    step = graph.step(name)
    status = graph.statuses.get(step.name)
    if status is not None and status in TERMINAL:
        why = graph.reasons.get(step.name, "")
        return Waiting(f"{step.name} ended as {word(status)}" + (f": {why}" if why else ""))
    if step.name in graph.under_way:
        return Waiting(f"{step.name} has been told to start")
    if graph.stopping is not None:
        return Waiting(f"nothing starts any more: {graph.stopping.reason}")
    waits = _waits(graph, step)
    if waits is not None:
        return waits
    if graph.paused:
        return Waiting("the pipeline is paused; it could start otherwise")
    running = tuple(graph.under_way)
    ahead = graph.waiting_before(step.name)
    reason = (
        f"all {graph.concurrency} places are taken by {_listed(running)}; "
        f"{len(ahead)} operations are ahead of it"
    )
    return Waiting(reason, (*running, *ahead))


def _waits(graph: Graph, step: Step) -> Waiting | None:
    events = [
        need
        for number, need in enumerate(step.needs)
        if need.statuses and not graph.has_happened(step, number)
    ]
    if events:
        sentences = [_event(graph, need) for need in events]
        return Waiting(
            f"waits for {_listed(sentences)}", tuple(dict.fromkeys(need.step for need in events))
        )
    if holds(step.trigger, graph.tallies[step.name]):
        return None
    blockers = tuple(
        need.step
        for need in step.needs
        if not need.statuses and graph.statuses.get(need.step) not in TERMINAL
    )
    named = [f"{name} ({_state(graph, name)})" for name in blockers]
    return Waiting(
        f"waits for {_asks(step)}; {_listed(named)} has not ended"
        if len(named) == 1
        else f"waits for {_asks(step)}; {_listed(named)} have not ended",
        blockers,
    )


def _asks(step: Step) -> str:
    return f"{_ASKS[step.trigger]} ({step.trigger.value})"


def _event(graph: Graph, need: Need) -> str:
    awaited = " or ".join(sorted(word(status) for status in need.statuses))
    return f"{need.step} ({_state(graph, need.step)}) to be {awaited}"


def _state(graph: Graph, name: str) -> str:
    status = graph.statuses.get(name)
    if status is not None:
        return word(status)
    return "told to start" if name in graph.under_way else "not started"


def _listed(names: list[str] | tuple[str, ...]) -> str:
    shown = ", ".join(names[:MOST_NAMES])
    return shown + (f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else "")
