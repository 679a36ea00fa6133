"""What a graph is made of: steps, what each needs, and the rule by which it starts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from epochal_kernel.errors import InvalidArgument, Violation

from epochal_scheduler.domain.statuses import Status


class Trigger(StrEnum):
    """How many of the needed steps must have ended how, before a step starts."""

    ALL_SUCCEEDED = "all_succeeded"
    ALL_FAILED = "all_failed"
    ALL_DONE = "all_done"
    ONE_SUCCEEDED = "one_succeeded"
    ONE_FAILED = "one_failed"
    ONE_DONE = "one_done"


@dataclass(frozen=True, slots=True)
class Need:
    """A step that another waits for.

    Without `statuses` it counts for the trigger once it has ended. With them it is an event: it
    is satisfied for good once the step has been in one of them, whatever becomes of it later.
    """

    step: str
    statuses: frozenset[Status] = frozenset()


@dataclass(frozen=True, slots=True)
class Step:
    """One operation of a graph."""

    name: str
    needs: tuple[Need, ...] = ()
    trigger: Trigger = Trigger.ALL_SUCCEEDED
    skip_on_upstream_skip: bool = False


def assert_sound(steps: Sequence[Step]) -> None:
    """Refuses what is not a directed graph without cycles.

    Raises:
        InvalidArgument: names every step that comes twice, need that is not there, or the cycle.
    """
    names: set[str] = set()
    violations = []
    for step in steps:
        if step.name in names:
            violations.append(
                Violation(f"operations.{step.name}", "unique", "two operations have this name")
            )
        names.add(step.name)
    for step in steps:
        violations += [
            Violation(
                f"operations.{step.name}.dependencies",
                "known",
                f"there is no operation {need.step!r} in this graph",
            )
            for need in step.needs
            if need.step not in names
        ]
    if not violations and (cycle := find_cycle(steps)):
        path = " -> ".join(cycle)
        violations.append(Violation("operations", "acyclic", f"they wait for each other: {path}"))
    if violations:
        raise InvalidArgument("the graph is not sound", violations=violations)


def find_cycle(steps: Iterable[Step]) -> tuple[str, ...]:
    """Returns the names along one cycle, the first again at the end; empty if there is none."""
    needs: Mapping[str, Sequence[str]] = {
        step.name: [need.step for need in step.needs] for step in steps
    }
    done: set[str] = set()
    for root in needs:
        path: dict[str, None] = {}
        stack = [(root, iter(needs[root]))] if root not in done else []
        path[root] = None
        while stack:
            name, rest = stack[-1]
            following = next((need for need in rest if need not in done), None)
            if following is None:
                done.add(name)
                del path[name]
                stack.pop()
            elif following in path:
                names = list(path)
                return (*reversed(names[names.index(following) :]), names[-1])
            else:
                path[following] = None
                stack.append((following, iter(needs[following])))
    return ()
