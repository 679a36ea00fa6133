"""RegistryService: models, versions, aliases."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import datetime
from uuid import NAMESPACE_URL, UUID, uuid5

import epochal_proto.v1 as pb
from epochal_kernel import paging
from epochal_kernel.errors import InvalidArgument, NotFound, Violation
from epochal_kernel.log.ledger import Ledger, Outcome
from epochal_kernel.projections.store import Progress
from epochal_kernel.rpc.context import CallContext
from google.protobuf.timestamp_pb2 import Timestamp

from epochal_lineage.domain import model as domain
from epochal_lineage.projections import ModelRow, ModelVersionRow, RunArtifactRow
from epochal_lineage.store.audit import AuditStore, EventQuery
from epochal_lineage.store.graph import GraphStore
from epochal_lineage.store.registry import RegistryStore

_NAMESPACE = uuid5(NAMESPACE_URL, "urn:epochal:registry")
_LAST = 2**62


class Registry:
    """Handlers of RegistryService."""

    def __init__(
        self,
        ledger: Ledger,
        store: RegistryStore,
        graph: GraphStore,
        audit: AuditStore,
        progress: Progress,
    ) -> None:
        self._ledger = ledger
        self._store = store
        self._graph = graph
        self._audit = audit
        self._progress = progress
        self._aggregate = domain.ModelAggregate()

    async def register_model_version(
        self, request: pb.RegisterModelVersionRequest, context: CallContext
    ) -> pb.ModelVersion:
        """Register a version of a model out of an artifact of a run."""
        if not request.run.startswith(f"{request.parent}/runs/"):
            raise InvalidArgument(
                f"the run must be of {request.parent}",
                violations=[Violation("run", "inside_parent", "name a run of the same project")],
            )
        await self._progress.wait_for(context.min_position)
        artifacts = await self._graph.artifacts(request.run, request.artifact_path)
        if not artifacts:
            raise NotFound(
                f"{request.run} has no artifact {request.artifact_path!r}: log it first; a folder "
                "is named with a trailing slash",
                resource=f"{request.run}/artifacts/{request.artifact_path}",
            )
        name = f"{request.parent}/models/{request.model_id}"
        candidate = domain.Candidate(
            run=request.run,
            artifact_path=request.artifact_path,
            digest=digest_of(artifacts, request.artifact_path),
            description=request.description,
            creator=context.actor,
            alias=request.alias,
        )
        outcome = await self._ledger.execute(
            self._aggregate,
            _stream(name),
            name,
            lambda state: domain.register(state, name, candidate),
            context.command(request, request.request_id),
        )
        await self._written(outcome.position, context)
        return await self._version(name, await self._registered_by(name, outcome, context.org_id))

    async def set_model_alias(
        self, request: pb.SetModelAliasRequest, context: CallContext
    ) -> pb.Model:
        """Point an alias to a version."""
        outcome = await self._ledger.execute(
            self._aggregate,
            _stream(request.name),
            request.name,
            lambda state: domain.set_alias(state, request.name, request.alias, request.version),
            context.command(request, request.request_id),
        )
        await self._written(outcome.position, context)
        return _model(await self._model(request.name))

    async def delete_model_alias(
        self, request: pb.DeleteModelAliasRequest, context: CallContext
    ) -> pb.Model:
        """Remove an alias."""
        outcome = await self._ledger.execute(
            self._aggregate,
            _stream(request.name),
            request.name,
            lambda state: domain.delete_alias(state, request.name, request.alias),
            context.command(request, request.request_id),
        )
        await self._written(outcome.position, context)
        return _model(await self._model(request.name))

    async def get_model(self, request: pb.GetModelRequest, context: CallContext) -> pb.Model:
        """Read one model."""
        await self._progress.wait_for(context.min_position)
        return _model(await self._model(request.name))

    async def list_models(
        self, request: pb.ListModelsRequest, context: CallContext
    ) -> pb.ListModelsResponse:
        """List models by name."""
        await self._progress.wait_for(context.min_position)
        size = request.page_size or paging.DEFAULT_PAGE
        rows = await self._store.models(request.parent, paging.unpack(request.page_token), size + 1)
        return pb.ListModelsResponse(
            models=[_model(row) for row in rows[:size]],
            next_page_token=paging.pack(rows[size - 1].name) if len(rows) > size else "",
        )

    async def get_model_version(
        self, request: pb.GetModelVersionRequest, context: CallContext
    ) -> pb.ModelVersion:
        """Read one version."""
        await self._progress.wait_for(context.min_position)
        model, _, version = request.name.rpartition("/versions/")
        return await self._version(model, int(version))

    async def list_model_versions(
        self, request: pb.ListModelVersionsRequest, context: CallContext
    ) -> pb.ListModelVersionsResponse:
        """List versions, newest first."""
        await self._progress.wait_for(context.min_position)
        model = await self._model(request.parent)
        size = request.page_size or paging.DEFAULT_PAGE
        before = paging.unpack_number(request.page_token)
        rows = await self._store.versions(
            request.parent, _LAST if before is None else before, size + 1
        )
        return pb.ListModelVersionsResponse(
            model_versions=[_version(row, model) for row in rows[:size]],
            next_page_token=paging.pack(str(rows[size - 1].version)) if len(rows) > size else "",
        )

    async def _registered_by(
        self, model: str, outcome: Outcome[domain.ModelState], org_id: str
    ) -> int:
        """Return the version that a command registered, now or when it came first.

        A repeated command decides nothing; the log says what it decided then: its newest version up
        to the command's last position, whatever was registered since.
        """
        for event in outcome.events:
            if isinstance(event, pb.ModelVersionRegistered):
                return event.version
        (record,) = await self._audit.events(
            EventQuery(
                org_id=org_id,
                actor="",
                resource=model,
                types=(pb.ModelVersionRegistered.DESCRIPTOR.full_name,),
                start=None,
                end=None,
                correlation_id=None,
                after=outcome.position + 1,
                descending=True,
                limit=1,
            )
        )
        return pb.ModelVersionRegistered.FromString(record.payload).version

    async def _written(self, position: int, context: CallContext) -> None:
        context.wrote(position)
        await self._progress.wait_for(position)

    async def _model(self, name: str) -> ModelRow:
        row = await self._store.model(name)
        if row is None:
            raise NotFound(f"there is no {name}", resource=name)
        return row

    async def _version(self, model: str, version: int) -> pb.ModelVersion:
        row = await self._store.version(model, version)
        if row is None:
            name = f"{model}/versions/{version}"
            raise NotFound(f"there is no {name}", resource=name)
        return _version(row, await self._model(model))


def digest_of(artifacts: Sequence[RunArtifactRow], path: str) -> str:
    r"""Return the digest of an artifact; a folder's is over the paths and digests of its files.

    The folder's digest is sha256 over lines "HEX  RELATIVE/PATH\\n" by path: what
    `sha256sum FILES | sha256sum` prints.
    """
    if len(artifacts) == 1 and artifacts[0].path == path:
        return f"sha256:{artifacts[0].sha256.hex()}"
    lines = "".join(f"{item.sha256.hex()}  {item.path[len(path) :]}\n" for item in artifacts)
    return f"sha256:{hashlib.sha256(lines.encode()).hexdigest()}"


def _stream(model: str) -> UUID:
    return uuid5(_NAMESPACE, model)


def _model(row: ModelRow) -> pb.Model:
    return pb.Model(
        name=row.name,
        description=row.description,
        latest_version=row.latest_version,
        aliases=json.loads(row.aliases),
        create_time=_timestamp(row.create_time),
    )


def _version(row: ModelVersionRow, model: ModelRow) -> pb.ModelVersion:
    held = json.loads(model.aliases)
    return pb.ModelVersion(
        name=f"{row.model}/versions/{row.version}",
        version=row.version,
        run=row.run,
        artifact_path=row.artifact_path,
        digest=row.digest,
        description=row.description,
        aliases=sorted(alias for alias, version in held.items() if version == row.version),
        creator=row.creator,
        create_time=_timestamp(row.create_time),
    )


def _timestamp(at: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(at)
    return stamp
