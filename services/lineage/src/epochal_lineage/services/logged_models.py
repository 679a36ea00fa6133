"""LoggedModelService: models as runs log them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import cast
from uuid import UUID, uuid5

import epochal_proto.v1 as pb
from epochal_kernel import paging
from epochal_kernel.errors import InvalidArgument, NotFound, Violation
from epochal_kernel.log.ledger import Ledger
from epochal_kernel.projections.store import Progress
from epochal_kernel.rpc.context import CallContext
from google.protobuf.message import Message

from epochal_lineage.domain import datasets, logged_models
from epochal_lineage.domain.logged_models import LoggedModelAggregate, LoggedState
from epochal_lineage.projections.rows import LinkedModelRow, LoggedMetricRow, LoggedModelRow
from epochal_lineage.services.registry_messages import stream_of, timestamp
from epochal_lineage.store.graph import GraphStore
from epochal_lineage.store.logged_models import LoggedModelStore, MeasuredOn
from epochal_lineage.store.registry import Question


class LoggedModels:
    """Handlers of LoggedModelService."""

    def __init__(
        self, ledger: Ledger, store: LoggedModelStore, graph: GraphStore, progress: Progress
    ) -> None:
        self._ledger = ledger
        self._store = store
        self._graph = graph
        self._progress = progress
        self._aggregate = LoggedModelAggregate()
        self._inputs = datasets.InputsAggregate()

    async def create_logged_model(
        self, request: pb.CreateLoggedModelRequest, context: CallContext
    ) -> pb.LoggedModel:
        """Log a model; its files follow."""
        await self._progress.wait_for(context.min_position)
        if request.run:
            await self._require_run(request.run, request.parent, "run")
        command = context.command(request, request.request_id)
        # From the command's id, so that a repeated call finds what the first one made.
        uid = uuid5(command.command_id, request.parent).hex
        identity = request.logged_model_id or f"m-{uid}"
        name = f"{request.parent}/loggedModels/{identity}"
        logged = pb.ModelLogged(
            name=name,
            display_name=request.display_name or f"model-{identity[2:10]}",
            model_type=request.model_type,
            run=request.run,
            params=request.params,
            tags=request.tags,
            creator=context.actor,
        )
        outcome = await self._ledger.begin(
            self._aggregate,
            stream_of(name),
            name,
            lambda state: [] if state.exists else [logged],
            command,
        )
        return await self._written(name, outcome.position, context)

    async def finalize_logged_model(
        self, request: pb.FinalizeLoggedModelRequest, context: CallContext
    ) -> pb.LoggedModel:
        """Say that all files are there, or will never be."""
        return await self._execute(
            request.name,
            lambda state: logged_models.finalize(
                state, request.name, request.status, request.message
            ),
            request,
            request.request_id,
            context,
        )

    async def add_logged_model_params(
        self, request: pb.AddLoggedModelParamsRequest, context: CallContext
    ) -> pb.LoggedModel:
        """Add parameters."""
        return await self._execute(
            request.name,
            lambda state: logged_models.add_params(state, request.name, request.params),
            request,
            request.request_id,
            context,
        )

    async def tag_logged_model(
        self, request: pb.TagLoggedModelRequest, context: CallContext
    ) -> pb.LoggedModel:
        """Set and remove tags."""
        return await self._execute(
            request.name,
            lambda state: logged_models.tag_logged(
                state, request.name, request.tags, request.removed
            ),
            request,
            request.request_id,
            context,
        )

    async def measure_logged_model(
        self, request: pb.MeasureLoggedModelRequest, context: CallContext
    ) -> pb.LoggedModel:
        """Record what was measured."""
        return await self._execute(
            request.name,
            lambda state: logged_models.measure(state, request.name, request.metrics),
            request,
            request.request_id,
            context,
        )

    async def delete_logged_model(
        self, request: pb.DeleteLoggedModelRequest, context: CallContext
    ) -> pb.DeleteLoggedModelResponse:
        """Delete a logged model."""
        outcome = await self._ledger.execute(
            self._aggregate,
            stream_of(request.name),
            request.name,
            lambda state: logged_models.delete_logged(state, request.name),
            context.command(request, request.request_id),
        )
        context.wrote(outcome.position)
        return pb.DeleteLoggedModelResponse()

    async def get_logged_model(
        self, request: pb.GetLoggedModelRequest, context: CallContext
    ) -> pb.LoggedModel:
        """Read one logged model."""
        await self._progress.wait_for(context.min_position)
        return await self._read(request.name)

    async def search_logged_models(
        self, request: pb.SearchLoggedModelsRequest, context: CallContext
    ) -> pb.SearchLoggedModelsResponse:
        """Find logged models of several projects."""
        await self._progress.wait_for(context.min_position)
        rows, token = await self._store.search(
            Question(
                request.parents,
                request.filter,
                request.order_by,
                request.page_token,
                request.page_size or paging.DEFAULT_PAGE,
            ),
            [MeasuredOn(one.name, one.digest) for one in request.datasets],
        )
        metrics = await self._store.metrics([row.name for row in rows])
        return pb.SearchLoggedModelsResponse(
            logged_models=[_message(row, metrics.get(row.name, ())) for row in rows],
            next_page_token=token,
        )

    async def link_logged_models(
        self, request: pb.LinkLoggedModelsRequest, context: CallContext
    ) -> pb.LinkLoggedModelsResponse:
        """Record which logged models a run has read and made."""
        await self._progress.wait_for(context.min_position)
        project, _, uid = request.run.rpartition("/runs/")
        await self._require_run(request.run, project, "run")
        produced = {one.logged_model: one.step for one in request.produced}
        for model in (*request.used, *produced):
            if not model.startswith(f"{project}/"):
                raise InvalidArgument(
                    f"{model} is not of {project}",
                    violations=[Violation("used", "inside_project", f"starts with {project}/")],
                )
            await self._read(model)
        outcome = await self._ledger.execute(
            self._inputs,
            UUID(uid),
            request.run,
            lambda state: datasets.link_models(state, request.run, request.used, produced),
            context.command(request, request.request_id),
        )
        context.wrote(outcome.position)
        return pb.LinkLoggedModelsResponse()

    async def list_linked_models(
        self, request: pb.ListLinkedModelsRequest, context: CallContext
    ) -> pb.ListLinkedModelsResponse:
        """List the logged models that a run has read and made."""
        await self._progress.wait_for(context.min_position)
        found = _linked(request.run, await self._store.links([request.run]))
        return pb.ListLinkedModelsResponse(used=found.used, produced=found.produced)

    async def batch_list_linked_models(
        self, request: pb.BatchListLinkedModelsRequest, context: CallContext
    ) -> pb.BatchListLinkedModelsResponse:
        """List the logged models that each of many runs has read and made."""
        parents = set(request.parents)
        for place, run in enumerate(request.runs):
            if run.partition("/runs/")[0] not in parents:
                raise InvalidArgument(
                    f"{run} is of none of the projects that are named",
                    violations=[
                        Violation(f"runs[{place}]", "inside_parents", "name its project as well")
                    ],
                )
        await self._progress.wait_for(context.min_position)
        by_run: dict[str, list[LinkedModelRow]] = {}
        for link in await self._store.links(request.runs):
            by_run.setdefault(link.run, []).append(link)
        return pb.BatchListLinkedModelsResponse(
            runs=[_linked(run, links) for run, links in by_run.items()]
        )

    async def _require_run(self, run: str, project: str, field: str) -> None:
        if not run.startswith(f"{project}/runs/"):
            raise InvalidArgument(
                f"{run} is not of {project}",
                violations=[Violation(field, "inside_parent", "name a run of the same project")],
            )
        if await self._graph.node(run, project) is None:
            raise NotFound(f"there is no {run}", resource=run)

    async def _execute(
        self,
        name: str,
        decide: Callable[[LoggedState], Sequence[Message]],
        request: Message,
        request_id: str,
        context: CallContext,
    ) -> pb.LoggedModel:
        outcome = await self._ledger.execute(
            self._aggregate, stream_of(name), name, decide, context.command(request, request_id)
        )
        return await self._written(name, outcome.position, context)

    async def _written(self, name: str, position: int, context: CallContext) -> pb.LoggedModel:
        context.wrote(position)
        await self._progress.wait_for(position)
        return await self._read(name)

    async def _read(self, name: str) -> pb.LoggedModel:
        row = await self._store.model(name)
        if row is None:
            raise NotFound(f"there is no {name}", resource=name)
        return _message(row, (await self._store.metrics([name])).get(name, ()))


def _message(row: LoggedModelRow, metrics: Sequence[LoggedMetricRow]) -> pb.LoggedModel:
    return pb.LoggedModel(
        name=row.name,
        display_name=row.display_name,
        model_type=row.model_type,
        run=row.run,
        status=cast("pb.LoggedModelStatus", row.status),
        status_message=row.status_message,
        params=json.loads(row.params),
        tags=json.loads(row.tags),
        metrics=[
            pb.LoggedModelMetric(
                metric=one.metric,
                value=one.value,
                time_us=one.time_us,
                step=one.step,
                run=one.run,
                dataset_name=one.dataset_name,
                dataset_digest=one.dataset_digest,
            )
            for one in metrics
        ],
        creator=row.creator,
        create_time=timestamp(row.create_time),
        update_time=timestamp(row.update_time),
    )


def _linked(run: str, links: Sequence[LinkedModelRow]) -> pb.LinkedModels:
    return pb.LinkedModels(
        run=run,
        used=[link.logged_model for link in links if not link.produced],
        produced=[
            pb.ProducedModel(logged_model=link.logged_model, step=link.step)
            for link in links
            if link.produced
        ],
    )
