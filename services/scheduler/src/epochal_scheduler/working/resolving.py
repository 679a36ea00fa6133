"""Values of parameters that refer to other runs: by `ref`, or by a query over many (joins).

A step's references are read from the log itself, not from a view that may lag behind it; a query
is the tracker's to answer, who is asked for a view at least as new as the log was.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

import epochal_proto.v1 as pb
from epochal_kernel.ids import Ids
from epochal_kernel.log.reader import LogReader
from epochal_kernel.rpc.client import RpcClient
from epochal_kernel.rpc.context import CallContext
from epochal_proto.v1.services import RunService
from pydantic import JsonValue

from epochal_scheduler.domain.run import RunState
from epochal_scheduler.domain.statuses import word
from epochal_scheduler.projections import run_id_of
from epochal_scheduler.spec.children import JoinPlan, ParamReference, render_join
from epochal_scheduler.spec.contexts import RunScope
from epochal_scheduler.spec.issues import NOWHERE, Issue, SpecError
from epochal_scheduler.spec.references import resolve_reference
from epochal_scheduler.values import from_value
from epochal_scheduler.working.commands import ACTOR, RunCommands
from epochal_scheduler.working.pipelines.pipeline import Pipeline

CALL_S = 20.0
MOST_JOINED = 5_000
PAGE = 1_000
MOST_REUSED = 100
_SORT = re.compile(r"^\s*(-?)([^\s,]+)\s*$")


@dataclass(frozen=True, slots=True)
class Resolver:
    """Looks values up."""

    commands: RunCommands
    client: RpcClient
    reader: LogReader
    ids: Ids

    async def references(
        self,
        references: Sequence[ParamReference],
        project: str,
        pipeline: Pipeline | None = None,
        steps: Mapping[str, UUID] | None = None,
    ) -> dict[str, JsonValue]:
        """Returns the values of parameters by name.

        Args:
            references: what each parameter refers to.
            project: where runs are looked for.
            pipeline: whose inputs `dag` means.
            steps: which run `ops` means, by step.

        Raises:
            SpecError: a run that is named, or what is wanted of it, is not there.
        """
        views: dict[tuple[str, str], Mapping[str, JsonValue]] = {}
        found: dict[str, JsonValue] = {}
        for reference in references:
            key = (reference.entity, reference.name)
            if key not in views:
                views[key] = await self._view(reference, project, pipeline, steps or {})
            found[reference.param] = resolve_reference(reference.path, views[key])
        return found

    async def joins(
        self,
        joins: Sequence[JoinPlan],
        scope: RunScope,
        params: Mapping[str, JsonValue],
        steps: Mapping[str, UUID] | None = None,
    ) -> dict[str, JsonValue]:
        """Returns for each parameter of a join the values of all runs that its query finds.

        Args:
            joins: query, order, and what is wanted of each run.
            scope: the run on whose behalf; the project is searched that it is in.
            params: what templates of the query may name.
            steps: which run `ops` means, by step.

        Raises:
            SpecError: the query is not one, or a run it finds has not what is wanted.
            Unavailable: the tracker does not answer.
        """
        found: dict[str, JsonValue] = {}
        for raw in joins:
            join = render_join(raw, scope, params)
            if join.ref is not None:
                entity, name = join.ref
                run_id = (steps or {}).get(name) if entity == "ops" else _uuid(name)
                narrowed = f"pipeline:{await self._whose_children(run_id)}"
                join = replace(join, query=f"{join.query}, {narrowed}" if join.query else narrowed)
            runs = await self.find(scope.run_name.partition("/runs/")[0], join)
            for param, path in join.params.items():
                found[param] = [resolve_reference(path, run_view(one)) for one in runs]
        return found

    async def _whose_children(self, run_id: UUID | None) -> UUID | None:
        """Returns the run that made the children: of one that reuses another, that other one."""
        for _ in range(MOST_REUSED):
            state = await self.commands.load(run_id) if run_id is not None else RunState()
            if not state.reused:
                break
            run_id = run_id_of(state.reused)
        return run_id

    async def find(self, project: str, join: JoinPlan) -> list[pb.Run]:
        """Returns the runs that a query finds.

        Raises:
            InvalidArgument: the query is not one.
            Unavailable: the tracker does not answer.
        """
        wanted = min(int(join.limit) or MOST_JOINED, MOST_JOINED)
        head = await self.reader.head()
        request = pb.ListRunsRequest(
            parent=project, filter=join.query, order_by=order_by(join.sort), page_size=PAGE
        )
        runs: list[pb.Run] = []
        skipped = int(join.offset)
        while len(runs) < wanted + skipped:
            context = CallContext(ACTOR, project.split("/")[1], self.ids.uuid7(), self.ids)
            context.timeout_s, context.min_position = CALL_S, head.position
            page = await self.client.call(RunService.LIST_RUNS, request, context)
            runs += page.runs
            request.page_token = page.next_page_token
            if not page.next_page_token:
                break
        return runs[skipped : skipped + wanted]

    async def _view(
        self,
        reference: ParamReference,
        project: str,
        pipeline: Pipeline | None,
        steps: Mapping[str, UUID],
    ) -> Mapping[str, JsonValue]:
        if reference.entity == "dag" and pipeline is not None:
            created = pipeline.created
            return {
                "globals": {"uuid": str(pipeline.id), "name": created.display_name},
                "inputs": {name: from_value(value) for name, value in created.params.items()},
                "outputs": {},
                "artifacts": artifacts_view(str(pipeline.id)),
            }
        run_id = steps.get(reference.name) if reference.entity == "ops" else _uuid(reference.name)
        state = RunState() if run_id is None else await self.commands.load(run_id)
        if state.status == pb.RUN_STATUS_UNSPECIFIED or not state.name.startswith(project + "/"):
            message = f"'{reference.entity}.{reference.name}' is no run of {project}"
            issue = Issue(NOWHERE, f"params.{reference.param}.ref", "unknown_run", message)
            raise SpecError([issue])
        return state_view(state)


def state_view(state: RunState) -> dict[str, JsonValue]:
    """Returns what others may refer to of a run, as the log has it."""
    uid = (state.reused or state.name).rpartition("/")[2]
    return {
        "globals": {
            "uuid": state.name.rpartition("/")[2],
            "name": state.created.display_name,
            "status": word(state.status),
            "iteration": state.created.iteration or None,
        },
        "inputs": {name: from_value(value) for name, value in state.created.params.items()},
        "outputs": {name: from_value(value) for name, value in state.outputs.items()},
        "artifacts": artifacts_view(uid),
    }


def run_view(run: pb.Run) -> dict[str, JsonValue]:
    """Returns what others may refer to of a run, as the tracker has it; metrics are outputs too."""
    metrics: dict[str, JsonValue] = {name: found.last for name, found in run.metrics.items()}
    return {
        "globals": {
            "uuid": run.uid,
            "name": run.display_name,
            "status": word(run.status),
            "iteration": run.iteration or None,
        },
        "inputs": {name: from_value(value) for name, value in run.params.items()},
        "outputs": metrics | {name: from_value(value) for name, value in run.outputs.items()},
        "artifacts": artifacts_view(run.uid),
    }


def artifacts_view(uid: str) -> dict[str, JsonValue]:
    """Returns the folders of a run, below where the agent keeps those of all runs."""
    base = f"$(EPOCHAL_ARTIFACTS_PATH)/{uid}"
    return {"base": base, "outputs": f"{base}/outputs"}


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def order_by(sort: str | None) -> str:
    """Returns Polyaxon's `-metrics.loss, created_at` as `metrics.loss desc, create_time`."""
    names = {"created_at": "create_time", "started_at": "start_time", "finished_at": "end_time"}
    terms = []
    for term in (sort or "").split(","):
        match = _SORT.match(term)
        if match is not None:
            field = names.get(match.group(2), match.group(2))
            terms.append(f"{field} desc" if match.group(1) else field)
    return ", ".join(terms)
