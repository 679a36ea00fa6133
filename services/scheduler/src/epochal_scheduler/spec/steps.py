"""What a DAG knows of each of its operations: what it needs, and when it may start."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from epochal_scheduler.spec.contexts import GLOBAL_NAMES
from epochal_scheduler.spec.issues import Issue
from epochal_scheduler.spec.nodes import Path, Places
from epochal_scheduler.spec.references import (
    JoinPlan,
    ParamReference,
    ReferenceIssue,
    join_plan,
    param_reference,
    parse_entity,
)
from epochal_scheduler.spec.schema.documents import Operation
from epochal_scheduler.spec.schema.scheduling import STATUS_EVENT
from epochal_scheduler.spec.suggestions import did_you_mean

# Finding one costs a walk over all steps; nobody mends more at once.
MAX_CIRCLES = 10
_OF_TRIGGERS = ("filter", "debounce", "limit")


@dataclass(frozen=True, slots=True)
class Need:
    """A step that must come first.

    Attributes:
        step: its name.
        statuses: () if it must have ended, as the trigger policy says; otherwise (an event) it is
            enough that it reached one of these.
    """

    step: str
    statuses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StepPlan:
    """An operation of a DAG, as the runtime sees it before it is compiled."""

    name: str
    needs: tuple[Need, ...]
    trigger: str
    has_condition: bool
    skip_on_upstream_skip: bool
    references: tuple[ParamReference, ...]
    joins: tuple[JoinPlan, ...]
    runtime: str


def runtime_of(document: Operation, *, in_dag: bool) -> str:
    """Returns what kind of run an operation makes."""
    if document.schedule is not None:
        return "schedule"
    if document.events is not None and not in_dag:
        return "trigger"
    return "matrix" if document.matrix is not None else document.run.kind


def references_of(
    document: Operation, places: Places, issues: list[Issue]
) -> tuple[tuple[ParamReference, ...], tuple[JoinPlan, ...]]:
    """Returns what parameters and joins of an operation ask of other runs."""
    references, joins = list[ParamReference](), list[JoinPlan]()
    for name, param in (document.params or {}).items():
        if param.ref is not None:
            try:
                references.append(param_reference(name, param))
            except ReferenceIssue as error:
                issues.append(places.issue(("params", name, error.field), error.rule, str(error)))
    for index, join in enumerate(document.joins or ()):
        try:
            joins.append(join_plan(join))
        except ReferenceIssue as error:
            issues.append(places.issue(("joins", index), error.rule, str(error)))
    return tuple(references), tuple(joins)


def step_plan(document: Operation, places: Places, issues: list[Issue]) -> StepPlan:
    """Returns the plan of one operation of a DAG."""
    references, joins = references_of(document, places, issues)
    needs = dict.fromkeys(Need(name) for name in document.dependencies or ())
    needs |= dict.fromkeys(Need(ref.name) for ref in references if ref.entity == "ops")
    needs |= dict.fromkeys(Need(j.ref[1]) for j in joins if j.ref is not None and j.ref[0] == "ops")
    needs |= dict.fromkeys(_events(document, places, issues))
    return StepPlan(
        name=document.name or "",
        needs=tuple(needs),
        trigger=document.trigger or "all_succeeded",
        has_condition=document.conditions is not None,
        skip_on_upstream_skip=document.skip_on_upstream_skip is True,
        references=references,
        joins=joins,
        runtime=runtime_of(document, in_dag=True),
    )


def _events(document: Operation, places: Places, issues: list[Issue]) -> Iterator[Need]:
    for index, event in enumerate(document.events or ()):
        path: Path = ("events", index)
        try:
            entity, name = parse_entity(event.ref or "")
        except ReferenceIssue:
            entity, name = "", ""
        if entity != "ops":
            message = "in a DAG, an event is one of an operation beside it: write ops.NAME"
            issues.append(places.issue((*path, "ref"), "invalid_reference", message))
            continue
        for option in _OF_TRIGGERS:
            if getattr(event, option) is not None:
                message = f"in a DAG, an event is met once; '{option}' is for triggers outside"
                issues.append(places.issue((*path, option), "outside_dag_only", message))
        for at, kind in enumerate(event.kinds):
            if not kind.startswith(STATUS_EVENT):
                message = (
                    f"in a DAG, events are statuses of operations (run_status_...), not {kind}"
                )
                issues.append(places.issue((*path, "kinds", at), "unknown_value", message))
        yield Need(name, tuple(kind.removeprefix(STATUS_EVENT) for kind in event.kinds))


@dataclass(frozen=True, slots=True)
class Graph:
    """The operations of a DAG together, to check what they say of each other."""

    steps: Sequence[tuple[StepPlan, Operation, Places]]
    inputs: Sequence[str]

    def check(self, dag: Places) -> Iterator[Issue]:
        """Yields what is wrong: names, needs, references, circles."""
        by_name = dict[str, Operation]()
        for index, (plan, document, places) in enumerate(self.steps):
            where: Path = ("run", "operations", index)
            if not plan.name:
                message = "an operation of a DAG needs a name, to be referred to"
                yield dag.issue((*where, "name"), "missing_field", message)
            elif plan.name in by_name:
                message = f"two operations of this DAG are named '{plan.name}'; names differ"
                yield places.issue(("name",), "duplicate_name", message)
            by_name.setdefault(plan.name, document)
        for plan, document, places in self.steps:
            yield from self._check_needs(plan, document, places, by_name)
            for reference in plan.references:
                yield from self._check_reference(reference, places, by_name)
        yield from self._check_circles()

    def _check_needs(
        self,
        plan: StepPlan,
        document: Operation,
        places: Places,
        by_name: Mapping[str, Operation],
    ) -> Iterator[Issue]:
        if document.schedule is not None:
            message = "an operation of a DAG has no schedule; schedule the DAG"
            yield places.issue(("schedule",), "schedule_in_dag", message)
        for index, name in enumerate(document.dependencies or ()):
            yield from _unknown(name, plan, places, ("dependencies", index), by_name)
        for index, event in enumerate(document.events or ()):
            name = (event.ref or "").removeprefix("ops.")
            if (event.ref or "").startswith("ops."):
                yield from _unknown(name, plan, places, ("events", index, "ref"), by_name)
        for index, join in enumerate(plan.joins):
            if join.ref is not None and join.ref[0] == "ops":
                at: Path = ("joins", index, "ref")
                yield from _unknown(join.ref[1], plan, places, at, by_name)

    def _check_reference(
        self, reference: ParamReference, places: Places, by_name: Mapping[str, Operation]
    ) -> Iterator[Issue]:
        path: Path = ("params", reference.param, "value")
        section, name = (*reference.path, "")[:2]
        if section == "globals" and name and name not in GLOBAL_NAMES:
            hint = did_you_mean(name, GLOBAL_NAMES)
            message = f"there is no global '{name}'; {hint}".rstrip("; ")
            yield places.issue(path, "unknown_reference", message)
        if reference.entity == "dag" and section == "inputs" and name not in ("", *self.inputs):
            hint = did_you_mean(name, self.inputs) or "declare it under 'inputs' of the DAG"
            message = f"the DAG has no input '{name}'; {hint}"
            yield places.issue(path, "unknown_reference", message)
        if reference.entity != "ops":
            return
        upstream = by_name.get(reference.name)
        if upstream is None:
            hint = did_you_mean(reference.name, by_name)
            message = f"no operation of this DAG is named '{reference.name}'; {hint}"
            at = ("params", reference.param, "ref")
            yield places.issue(at, "unknown_step", message.rstrip("; "))
        elif name and section in ("inputs", "outputs", "io") and upstream.matrix is None:
            known = _declared(upstream, section)
            if name not in known:
                hint = did_you_mean(name, known) or f"declare it under '{section}' there"
                message = f"operation '{reference.name}' declares no {section}.{name}; {hint}"
                yield places.issue(path, "unknown_reference", message)

    def _check_circles(self) -> Iterator[Issue]:
        known = {plan.name for plan, _, _ in self.steps}
        graph = {
            plan.name: sorted({need.step for need in plan.needs} & known)
            for plan, _, _ in self.steps
        }
        for _ in range(MAX_CIRCLES):
            try:
                TopologicalSorter(graph).prepare()
            except CycleError as error:
                cycle: list[str] = error.args[1][::-1]
                message = f"operations need each other in a circle: {' -> '.join(cycle)}"
                for plan, _, places in self.steps:
                    if plan.name == cycle[0]:
                        yield places.issue((), "cyclic_dependency", message)
                        break
                for name in cycle:
                    graph[name] = []
            else:
                return


def _unknown(
    name: str, plan: StepPlan, places: Places, path: Path, by_name: Mapping[str, Operation]
) -> Iterator[Issue]:
    if name not in by_name:
        hint = did_you_mean(name, by_name.keys() - {plan.name})
        message = f"no operation of this DAG is named '{name}'; {hint}".rstrip("; ")
        yield places.issue(path, "unknown_step", message)


def _declared(document: Operation, section: str) -> list[str]:
    sections = ("inputs", "outputs") if section == "io" else (section,)
    found = [io.name for name in sections for io in getattr(document, name) or ()]
    if section != "outputs":
        found += [n for n, param in (document.params or {}).items() if param.context_only]
    return found
