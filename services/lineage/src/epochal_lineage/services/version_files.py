"""RegistryService, files of versions: what they are, and who signed them."""

from __future__ import annotations

import epochal_proto.v1 as pb
from epochal_kernel import paging
from epochal_kernel.errors import NotFound
from epochal_kernel.projections.store import Progress
from epochal_kernel.rpc.context import CallContext

from epochal_lineage.domain import manifest, versions
from epochal_lineage.domain.model import version_number
from epochal_lineage.projections.promotion_rows import FOREVER
from epochal_lineage.services.deciding_models import ModelDecisions
from epochal_lineage.services.moments import Moments
from epochal_lineage.services.registry_messages import timestamp, version_message
from epochal_lineage.store.promotions import PromotionStore
from epochal_lineage.store.registry import RegistryStore

FILES_PAGE = 1_000
SIGNATURES_PAGE = 10


class VersionFiles:
    """Handlers of RegistryService that are about files of versions."""

    def __init__(
        self,
        registry: RegistryStore,
        store: PromotionStore,
        decisions: ModelDecisions,
        moments: Moments,
        progress: Progress,
    ) -> None:
        self._registry = registry
        self._store = store
        self._decisions = decisions
        self._moments = moments
        self._progress = progress

    async def sign_model_version(
        self, request: pb.SignModelVersionRequest, context: CallContext
    ) -> pb.ModelVersion:
        """Add a signature of a version's files."""
        await self._progress.wait_for(context.min_position)
        model, number = request.name.rpartition("/versions/")[0], version_number(request.name)
        await self._require(model, number)
        digests = await self._store.digests(model, number)
        files = [pb.ModelVersionFile(path=path, sha256=one) for path, one in digests.items()]
        key = manifest.signer_of(request.bundle, files, "bundle")
        outcome = await self._decisions.plainly(
            model,
            lambda state: versions.sign_version(
                state, model, number, key, request.bundle, context.actor
            ),
            request,
            request.request_id,
            context,
        )
        context.wrote(outcome.position)
        await self._progress.wait_for(outcome.position)
        row, owner = await self._registry.version(model, number), await self._registry.model(model)
        if row is None or owner is None:
            raise NotFound(f"there is no {request.name}", resource=request.name)
        return version_message(row, owner)

    async def list_versions_of_run(
        self, request: pb.ListVersionsOfRunRequest, context: CallContext
    ) -> pb.ListVersionsOfRunResponse:
        """Return the versions that a run made."""
        position = await self._moments.past(request.as_of, "as_of", context)
        return pb.ListVersionsOfRunResponse(
            model_versions=await self._store.of_run(request.run, position)
        )

    async def list_model_version_files(
        self, request: pb.ListModelVersionFilesRequest, context: CallContext
    ) -> pb.ListModelVersionFilesResponse:
        """List files by path."""
        position = await self._moments.past(request.as_of, "as_of", context)
        model, number = request.parent.rpartition("/versions/")[0], version_number(request.parent)
        await self._require(model, number, position)
        size = request.page_size or FILES_PAGE
        after = paging.unpack(request.page_token)
        rows = await self._store.files(
            model, number, after, size + 1, FOREVER if position is None else position
        )
        return pb.ListModelVersionFilesResponse(
            files=[
                pb.ModelVersionFile(
                    path=row.path,
                    sha256=row.sha256,
                    size_bytes=row.size_bytes,
                    artifact=row.artifact,
                )
                for row in rows[:size]
            ],
            next_page_token=paging.pack(rows[size - 1].path) if len(rows) > size else "",
        )

    async def list_model_version_signatures(
        self, request: pb.ListModelVersionSignaturesRequest, context: CallContext
    ) -> pb.ListModelVersionSignaturesResponse:
        """List signatures by key."""
        position = await self._moments.past(request.as_of, "as_of", context)
        model, number = request.parent.rpartition("/versions/")[0], version_number(request.parent)
        await self._require(model, number, position)
        size = request.page_size or SIGNATURES_PAGE
        after = paging.unpack(request.page_token)
        rows = await self._store.signatures(
            model, number, after, size + 1, FOREVER if position is None else position
        )
        return pb.ListModelVersionSignaturesResponse(
            signatures=[
                pb.ModelVersionSignature(
                    key=row.key,
                    bundle=row.bundle,
                    creator=row.creator,
                    create_time=timestamp(row.create_time),
                )
                for row in rows[:size]
            ],
            next_page_token=paging.pack(rows[size - 1].key) if len(rows) > size else "",
        )

    async def _require(self, model: str, number: int, position: int | None = None) -> None:
        """Refuse a version that is not there; its files are those it was registered with."""
        found = await self._registry.version(model, number, position)
        if found is None or await self._registry.model(model, position) is None:
            name = f"{model}/versions/{number}"
            raise NotFound(f"there is no {name}", resource=name)
