"""RegistryService, versions: register, describe, tag, stage, find, delete."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import epochal_proto.v1 as pb
from epochal_kernel import paging
from epochal_kernel.errors import InvalidArgument, NotFound, Violation
from epochal_kernel.log.ledger import Ledger, Outcome
from epochal_kernel.projections.store import Progress
from epochal_kernel.rpc.context import CallContext
from google.protobuf.message import Message

from epochal_lineage.domain import governing, manifest, registering, versions
from epochal_lineage.domain.asking import Asked
from epochal_lineage.domain.model import ModelAggregate, ModelState, version_number
from epochal_lineage.projections.graph import project_of
from epochal_lineage.projections.graph_rows import RunArtifactRow
from epochal_lineage.services.deciding_models import ModelDecisions
from epochal_lineage.services.moments import Moments
from epochal_lineage.services.registry_messages import stream_of, version_message
from epochal_lineage.store.audit import AuditStore, EventQuery
from epochal_lineage.store.graph import GraphStore
from epochal_lineage.store.logged_models import LoggedModelStore
from epochal_lineage.store.registry import Question, RegistryStore

_LAST = 2**62


class ModelVersions:
    """Handlers of RegistryService that are about versions."""

    def __init__(
        self,
        ledger: Ledger,
        store: RegistryStore,
        logged: LoggedModelStore,
        graph: GraphStore,
        audit: AuditStore,
        decisions: ModelDecisions,
        moments: Moments,
        progress: Progress,
    ) -> None:
        self._moments = moments
        self._decisions = decisions
        self._ledger = ledger
        self._store = store
        self._logged = logged
        self._graph = graph
        self._audit = audit
        self._progress = progress
        self._aggregate = ModelAggregate()

    async def register_model_version(
        self, request: pb.RegisterModelVersionRequest, context: CallContext
    ) -> pb.ModelVersion:
        """Register a version of a model: an artifact of a run, a logged model, or a source."""
        await self._progress.wait_for(context.min_position)
        policy = await self._decisions.policy(request.parent)
        governing.refuse_governed_alias(
            policy, request.alias, "register without it, then promote the version"
        )
        artifacts = await self._artifacts(request)
        files = manifest.files_of(artifacts, request.artifact_path)
        bundle = request.signature_bundle
        candidate = registering.Candidate(
            run=request.run,
            artifact_path=request.artifact_path,
            digest=digest_of(artifacts, request.artifact_path) if artifacts else "",
            description=request.description,
            creator=context.actor,
            alias=request.alias,
            source=request.source,
            logged_model=request.logged_model,
            tags=request.tags,
            files=files,
            metrics=await self._metrics(request, context),
            flavor=request.flavor,
            signature_json=manifest.schema_json(request.signature_json),
            signed_by=manifest.signer_of(bundle, files, "signature_bundle") if bundle else "",
            bundle=bundle,
        )
        name = f"{request.parent}/models/{request.model_id}"
        outcome = await self._ledger.execute(
            self._aggregate,
            stream_of(name),
            name,
            lambda state: registering.register(state, name, candidate),
            context.command(request, request.request_id),
        )
        context.wrote(outcome.position)
        await self._progress.wait_for(outcome.position)
        return await self._version(name, await self._registered_by(name, outcome, context.org_id))

    async def update_model_version(
        self, request: pb.UpdateModelVersionRequest, context: CallContext
    ) -> pb.ModelVersion:
        """Describe a version anew."""
        wanted = request.model_version
        return await self._execute(
            wanted.name,
            lambda state, model, number: versions.describe_version(
                state, model, number, wanted.description
            ),
            request,
            request.request_id,
            context,
        )

    async def tag_model_version(
        self, request: pb.TagModelVersionRequest, context: CallContext
    ) -> pb.ModelVersion:
        """Set and remove tags of a version."""
        return await self._execute(
            request.name,
            lambda state, model, number: versions.tag_version(
                state, model, number, request.tags, request.removed
            ),
            request,
            request.request_id,
            context,
        )

    async def set_model_version_stage(
        self, request: pb.SetModelVersionStageRequest, context: CallContext
    ) -> pb.ModelVersion:
        """Move a version to a stage; through the gates of the policy, where there is one."""
        policy = await self._decisions.policy(project_of(request.name))
        if policy.stages and request.stage:
            asked = Asked(
                version=version_number(request.name),
                stage=request.stage,
                alias="",
                requester=context.actor,
                reason=request.reason,
                role=context.role,
            )
            model = request.name.rpartition("/versions/")[0]
            outcome = await self._decisions.place_or_refuse(
                model, asked, request, request.request_id, context
            )
            return await self._written(model, asked.version, outcome, context)

        def decide(state: ModelState, model: str, number: int) -> Sequence[Message]:
            governing.refuse_leaving(state, policy, number)
            return versions.set_stage(
                state,
                model,
                number,
                request.stage,
                request.reason,
                archive_existing=request.archive_existing,
            )

        return await self._execute(request.name, decide, request, request.request_id, context)

    async def delete_model_version(
        self, request: pb.DeleteModelVersionRequest, context: CallContext
    ) -> pb.DeleteModelVersionResponse:
        """Delete a version, unless it has a place that a policy governs."""
        model, number = request.name.rpartition("/versions/")[0], version_number(request.name)
        policy = await self._decisions.policy(project_of(model))

        def decide(state: ModelState) -> Sequence[Message]:
            governing.refuse_holding(state, policy, [number])
            return versions.delete_version(state, model, number)

        outcome = await self._decisions.plainly(model, decide, request, request.request_id, context)
        context.wrote(outcome.position)
        return pb.DeleteModelVersionResponse()

    async def get_model_version(
        self, request: pb.GetModelVersionRequest, context: CallContext
    ) -> pb.ModelVersion:
        """Read one version."""
        position = await self._moments.past(request.as_of, "as_of", context)
        model = request.name.rpartition("/versions/")[0]
        return await self._version(model, version_number(request.name), position)

    async def list_model_versions(
        self, request: pb.ListModelVersionsRequest, context: CallContext
    ) -> pb.ListModelVersionsResponse:
        """List versions, newest first."""
        position = await self._moments.past(request.as_of, "as_of", context)
        model = await self._store.model(request.parent, position)
        if model is None:
            raise NotFound(f"there is no {request.parent}", resource=request.parent)
        size = request.page_size or paging.DEFAULT_PAGE
        before = paging.unpack_number(request.page_token)
        rows = await self._store.versions(
            request.parent, _LAST if before is None else before, size + 1, position
        )
        return pb.ListModelVersionsResponse(
            model_versions=[version_message(row, model) for row in rows[:size]],
            next_page_token=paging.pack(str(rows[size - 1].version)) if len(rows) > size else "",
        )

    async def search_model_versions(
        self, request: pb.SearchModelVersionsRequest, context: CallContext
    ) -> pb.SearchModelVersionsResponse:
        """Find versions of models of several projects."""
        position = await self._moments.past(request.as_of, "as_of", context)
        found, token = await self._store.search_versions(
            Question(
                request.parents,
                request.filter,
                request.order_by,
                request.page_token,
                request.page_size or paging.DEFAULT_PAGE,
                position,
            )
        )
        return pb.SearchModelVersionsResponse(
            model_versions=[version_message(one.version, one.model) for one in found],
            next_page_token=token,
        )

    async def _metrics(
        self, request: pb.RegisterModelVersionRequest, context: CallContext
    ) -> dict[str, float]:
        """Return what was measured so far: of the run, and of the logged model, which wins."""
        found: dict[str, float] = {}
        if request.run:
            found |= await self._decisions.run_metrics(request.run, context)
        if request.logged_model:
            measured = await self._logged.metrics([request.logged_model])
            found |= {
                one.metric: one.value
                for one in sorted(
                    measured.get(request.logged_model, ()), key=lambda one: (one.time_us, one.step)
                )
            }
        return found

    async def _artifacts(self, request: pb.RegisterModelVersionRequest) -> Sequence[RunArtifactRow]:
        """Return the files of what is registered; none when only its source is known.

        Raises:
            InvalidArgument: neither artifact, nor logged model, nor source is named.
            NotFound: run, artifact or logged model is not there.
        """
        if not (request.artifact_path or request.source or request.logged_model):
            raise InvalidArgument(
                "a version needs something to be a version of",
                violations=[
                    Violation(
                        "artifact_path",
                        "required",
                        "give run and artifact_path, logged_model, or source",
                    )
                ],
            )
        if request.logged_model and await self._logged.model(request.logged_model) is None:
            raise NotFound(f"there is no {request.logged_model}", resource=request.logged_model)
        if request.run and await self._graph.node(request.run, project_of(request.run)) is None:
            raise NotFound(f"there is no {request.run}", resource=request.run)
        if not request.artifact_path:
            return ()
        if not request.run:
            raise InvalidArgument(
                "an artifact is one of a run",
                violations=[Violation("run", "required", "name the run that has the artifact")],
            )
        artifacts = await self._graph.artifacts(request.run, request.artifact_path)
        if not artifacts:
            raise NotFound(
                f"{request.run} has no artifact {request.artifact_path!r}: log it first; a folder "
                "is named with a trailing slash",
                resource=f"{request.run}/artifacts/{request.artifact_path}",
            )
        return artifacts

    async def _execute(
        self,
        name: str,
        decide: Callable[[ModelState, str, int], Sequence[Message]],
        request: Message,
        request_id: str,
        context: CallContext,
    ) -> pb.ModelVersion:
        model, number = name.rpartition("/versions/")[0], version_number(name)
        outcome = await self._ledger.execute(
            self._aggregate,
            stream_of(model),
            model,
            lambda state: decide(state, model, number),
            context.command(request, request_id),
        )
        return await self._written(model, number, outcome, context)

    async def _written(
        self, model: str, number: int, outcome: Outcome[ModelState], context: CallContext
    ) -> pb.ModelVersion:
        context.wrote(outcome.position)
        await self._progress.wait_for(outcome.position)
        return await self._version(model, number)

    async def _registered_by(self, model: str, outcome: Outcome[ModelState], org_id: str) -> int:
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
                actors=(),
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

    async def _version(
        self, model: str, version: int, position: int | None = None
    ) -> pb.ModelVersion:
        row = await self._store.version(model, version, position)
        owner = await self._store.model(model, position)
        if row is None or owner is None:
            name = f"{model}/versions/{version}"
            raise NotFound(f"there is no {name}", resource=name)
        return version_message(row, owner)


def digest_of(artifacts: Sequence[RunArtifactRow], path: str) -> str:
    r"""Return the digest of an artifact; a folder's is over the paths and digests of its files.

    The folder's digest is sha256 over lines "HEX  RELATIVE/PATH\\n" by path: what
    `sha256sum FILES | sha256sum` prints.
    """
    if len(artifacts) == 1 and artifacts[0].path == path:
        return f"sha256:{artifacts[0].sha256.hex()}"
    lines = "".join(f"{item.sha256.hex()}  {item.path[len(path) :]}\n" for item in artifacts)
    return f"sha256:{hashlib.sha256(lines.encode()).hexdigest()}"
