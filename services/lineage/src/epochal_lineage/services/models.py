"""RegistryService, models: create, change, find, delete; who holds which alias."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import epochal_proto.v1 as pb
from epochal_kernel import paging
from epochal_kernel.errors import AlreadyExists, InvalidArgument, NotFound, Violation
from epochal_kernel.log.ledger import Ledger, Outcome
from epochal_kernel.projections.store import Progress
from epochal_kernel.rpc.context import CallContext
from google.protobuf.message import Message

from epochal_lineage.domain import governing, registering
from epochal_lineage.domain.asking import Asked
from epochal_lineage.domain.model import ModelAggregate, ModelState
from epochal_lineage.projections.graph import project_of
from epochal_lineage.projections.rows import ModelRow
from epochal_lineage.services.deciding_models import ModelDecisions
from epochal_lineage.services.model_names import ids_for
from epochal_lineage.services.moments import Moments
from epochal_lineage.services.registry_messages import model_message, stream_of
from epochal_lineage.store.registry import Question, RegistryStore

_UPDATABLE = ("display_name", "description")


class Models:
    """Handlers of RegistryService that are about whole models."""

    def __init__(
        self,
        ledger: Ledger,
        store: RegistryStore,
        decisions: ModelDecisions,
        moments: Moments,
        progress: Progress,
    ) -> None:
        self._moments = moments
        self._ledger = ledger
        self._store = store
        self._decisions = decisions
        self._progress = progress
        self._aggregate = ModelAggregate()

    async def create_model(self, request: pb.CreateModelRequest, context: CallContext) -> pb.Model:
        """Register a model that has no version yet."""
        display_name = request.display_name or request.model_id
        if not display_name:
            raise InvalidArgument(
                "a model needs a name",
                violations=[Violation("model_id", "required", "give model_id or display_name")],
            )
        await self._progress.wait_for(context.min_position)
        await self._refuse_taken(display_name, request.parent)
        model_id = request.model_id or await self._free_id(request.parent, display_name)
        name = f"{request.parent}/models/{model_id}"
        registered = pb.ModelRegistered(
            name=name,
            description=request.description,
            display_name="" if display_name == model_id else display_name,
            tags=request.tags,
            creator=context.actor,
        )
        return await self._execute(
            name,
            lambda state: registering.create(state, registered),
            request,
            request.request_id,
            context,
        )

    async def update_model(self, request: pb.UpdateModelRequest, context: CallContext) -> pb.Model:
        """Change what a model is called or described as."""
        paths = list(request.update_mask.paths) or list(_UPDATABLE)
        for path in paths:
            if path not in _UPDATABLE:
                raise InvalidArgument(
                    f"a model's {path} cannot be changed",
                    violations=[Violation("update_mask", "field", "display_name, description")],
                )
        wanted, name = request.model, request.model.name
        await self._progress.wait_for(context.min_position)
        if "display_name" in paths and wanted.display_name:
            await self._refuse_taken(wanted.display_name, name.rpartition("/models/")[0], name)

        def decide(state: ModelState) -> Sequence[Message]:
            events: list[Message] = []
            if "display_name" in paths and wanted.display_name:
                events += registering.rename(state, name, wanted.display_name)
            if "description" in paths:
                events += registering.describe(state, name, wanted.description)
            return events

        return await self._execute(name, decide, request, request.request_id, context)

    async def tag_model(self, request: pb.TagModelRequest, context: CallContext) -> pb.Model:
        """Set and remove tags of a model."""
        return await self._execute(
            request.name,
            lambda state: registering.tag(state, request.name, request.tags, request.removed),
            request,
            request.request_id,
            context,
        )

    async def delete_model(
        self, request: pb.DeleteModelRequest, context: CallContext
    ) -> pb.DeleteModelResponse:
        """Delete a model with its versions; not while one has a place that a policy governs."""
        policy = await self._decisions.policy(project_of(request.name))

        def decide(state: ModelState) -> Sequence[Message]:
            governing.refuse_holding(state, policy, list(state.versions))
            return registering.delete(state, request.name)

        outcome = await self._decisions.plainly(
            request.name, decide, request, request.request_id, context
        )
        context.wrote(outcome.position)
        return pb.DeleteModelResponse()

    async def set_model_alias(
        self, request: pb.SetModelAliasRequest, context: CallContext
    ) -> pb.Model:
        """Point an alias to a version; through the gates of the policy, where it governs it."""
        policy = await self._decisions.policy(project_of(request.name))
        if request.alias in policy.aliases:
            asked = Asked(
                version=request.version,
                stage="",
                alias=request.alias,
                requester=context.actor,
                role=context.role,
            )
            outcome = await self._decisions.place_or_refuse(
                request.name, asked, request, request.request_id, context
            )
            return await self._written(request.name, outcome, context)
        return await self._execute(
            request.name,
            lambda state: registering.set_alias(
                state, request.name, request.alias, request.version
            ),
            request,
            request.request_id,
            context,
        )

    async def delete_model_alias(
        self, request: pb.DeleteModelAliasRequest, context: CallContext
    ) -> pb.Model:
        """Remove an alias, unless a policy governs it."""
        policy = await self._decisions.policy(project_of(request.name))

        def decide(state: ModelState) -> Sequence[Message]:
            governing.refuse_governed_alias(
                policy, request.alias, "promote another version, or roll back"
            )
            return registering.delete_alias(state, request.name, request.alias)

        return await self._execute(
            request.name,
            decide,
            request,
            request.request_id,
            context,
        )

    async def get_model(self, request: pb.GetModelRequest, context: CallContext) -> pb.Model:
        """Read one model."""
        position = await self._moments.past(request.as_of, "as_of", context)
        return await self._read(request.name, position)

    async def list_models(
        self, request: pb.ListModelsRequest, context: CallContext
    ) -> pb.ListModelsResponse:
        """List models by name."""
        position = await self._moments.past(request.as_of, "as_of", context)
        size = request.page_size or paging.DEFAULT_PAGE
        after = paging.unpack(request.page_token)
        rows = await self._store.models(request.parent, after, size + 1, position)
        return pb.ListModelsResponse(
            models=await self._messages(rows[:size], position),
            next_page_token=paging.pack(rows[size - 1].name) if len(rows) > size else "",
        )

    async def search_models(
        self, request: pb.SearchModelsRequest, context: CallContext
    ) -> pb.SearchModelsResponse:
        """Find models of several projects."""
        position = await self._moments.past(request.as_of, "as_of", context)
        if request.display_name:
            called = await self._store.called(request.display_name, request.parents, position)
            return pb.SearchModelsResponse(models=await self._messages(called, position))
        rows, token = await self._store.search_models(
            Question(
                request.parents,
                request.filter,
                request.order_by,
                request.page_token,
                request.page_size or paging.DEFAULT_PAGE,
                position,
            )
        )
        return pb.SearchModelsResponse(
            models=await self._messages(rows, position), next_page_token=token
        )

    async def _execute(
        self,
        name: str,
        decide: Callable[[ModelState], Sequence[Message]],
        request: Message,
        request_id: str,
        context: CallContext,
    ) -> pb.Model:
        outcome = await self._ledger.execute(
            self._aggregate, stream_of(name), name, decide, context.command(request, request_id)
        )
        return await self._written(name, outcome, context)

    async def _written(
        self, name: str, outcome: Outcome[ModelState], context: CallContext
    ) -> pb.Model:
        context.wrote(outcome.position)
        await self._progress.wait_for(outcome.position)
        return await self._read(name)

    async def _read(self, name: str, position: int | None = None) -> pb.Model:
        row = await self._store.model(name, position)
        if row is None:
            raise NotFound(f"there is no {name}", resource=name)
        (message,) = await self._messages([row], position)
        return message

    async def _messages(
        self, rows: Sequence[ModelRow], position: int | None = None
    ) -> list[pb.Model]:
        latest = await self._store.latest([row.name for row in rows], position)
        return [model_message(row, latest.get(row.name, ())) for row in rows]

    async def _refuse_taken(self, display_name: str, project: str, but: str = "") -> None:
        """Refuse a name that another model of the project has.

        Two callers who choose one name in the same moment may both get it when their models have
        different ids; looking a model up by that name then says that it is ambiguous.
        """
        for row in await self._store.called(display_name, [project]):
            if row.name != but:
                raise AlreadyExists(
                    f"{row.name} is called {display_name!r} already: choose another name",
                    resource=row.name,
                )

    async def _free_id(self, project: str, display_name: str) -> str:
        for model_id in ids_for(display_name):
            name = f"{project}/models/{model_id}"
            state, _ = await self._ledger.load(self._aggregate, stream_of(name))
            if not state.exists:
                return model_id
        raise AssertionError("there is always another id")
