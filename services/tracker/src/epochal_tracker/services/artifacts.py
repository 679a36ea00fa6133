"""ArtifactService: the index of artifacts. The bytes are the gateway's business."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import epochal_proto.v1 as pb
from epochal_kernel.errors import FailedPrecondition, NotFound
from epochal_kernel.log.ledger import Ledger
from epochal_kernel.paging import DEFAULT_PAGE, pack, unpack
from epochal_kernel.rpc.context import CallContext

from epochal_tracker.domain.tracking import TrackingAggregate
from epochal_tracker.services.lookup import RunLookup
from epochal_tracker.services.messages import artifact_message
from epochal_tracker.store.keeping import RetentionStore
from epochal_tracker.store.runs import RunStore

#: Files that one call deletes at most.
MOST_DELETED = 5_000


class Artifacts:
    """Handlers of ArtifactService."""

    def __init__(
        self, ledger: Ledger, lookup: RunLookup, runs: RunStore, kept: RetentionStore
    ) -> None:
        self._kept = kept
        self._ledger = ledger
        self._lookup = lookup
        self._runs = runs
        self._aggregate = TrackingAggregate()

    async def commit_artifact(
        self, request: pb.CommitArtifactRequest, context: CallContext
    ) -> pb.Artifact:
        """Record that an artifact's bytes are in the object store."""
        row = await self._lookup.writable(request.run, context)
        known = await self._runs.artifact(row.run_id, request.path)
        if known is not None and known.sha256 != request.sha256:
            await self._refuse_needed(row.run_id, request.run, [request.path], "overwritten")
        event = pb.ArtifactLogged(
            run=request.run,
            path=request.path,
            sha256=request.sha256,
            size_bytes=request.size_bytes,
            kind=request.kind or "file",
            media_type=request.media_type,
        )
        outcome = await self._ledger.execute(
            self._aggregate,
            row.run_id,
            request.run,
            lambda _: [event],
            context.command(request, request.request_id),
        )
        context.wrote(outcome.position)
        return pb.Artifact(
            name=f"{request.run}/artifacts/{request.path}",
            path=request.path,
            digest=f"sha256:{request.sha256.hex()}",
            size_bytes=request.size_bytes,
            kind=event.kind,
            media_type=request.media_type,
        )

    async def delete_artifacts(
        self, request: pb.DeleteArtifactsRequest, context: CallContext
    ) -> pb.DeleteArtifactsResponse:
        """Take a file, or all below a folder, out of the index; what they were stays in the log."""
        row = await self._lookup.run(request.run, context)
        paths = [
            one.path
            for one in await self._runs.artifacts(row.run_id, request.path, "", MOST_DELETED + 1)
            if one.path == request.path or one.path.startswith(f"{request.path}/")
        ]
        if not paths:
            raise NotFound(
                f"{request.run} has no artifact {request.path!r}",
                resource=f"{request.run}/artifacts/{request.path}",
            )
        if len(paths) > MOST_DELETED:
            raise FailedPrecondition(
                f"more than {MOST_DELETED} files are below {request.path!r}: delete its folders",
                reason="TOO_MANY_ARTIFACTS",
                resource=request.run,
            )
        await self._refuse_needed(row.run_id, request.run, paths, "deleted")
        outcome = await self._ledger.execute(
            self._aggregate,
            row.run_id,
            request.run,
            lambda _: [pb.ArtifactDeleted(run=request.run, path=path) for path in paths],
            context.command(request, request.request_id),
        )
        context.wrote(outcome.position)
        return pb.DeleteArtifactsResponse(deleted=len(paths))

    async def _refuse_needed(self, run_id: UUID, run: str, paths: Sequence[str], what: str) -> None:
        """Refuse to change bytes that a registered model version is of.

        Raises:
            FailedPrecondition: one is of one of the paths.
        """
        needing = await self._kept.needing(run_id, paths)
        if needing is None:
            return
        version, path = needing
        raise FailedPrecondition(
            f"{path} is of {version}, whose bytes never change: it cannot be {what}; log it under "
            "another path, or in another run",
            reason="NEEDED_BY_MODEL_VERSION",
            resource=f"{run}/artifacts/{path}",
        )

    async def get_artifact(
        self, request: pb.GetArtifactRequest, context: CallContext
    ) -> pb.Artifact:
        """Read the record of one artifact."""
        row = await self._lookup.run(request.run, context)
        found = await self._runs.artifact(row.run_id, request.path)
        if found is None:
            raise NotFound(
                f"{request.run} has no artifact {request.path!r}",
                resource=f"{request.run}/artifacts/{request.path}",
            )
        return artifact_message(request.run, found)

    async def list_artifacts(
        self, request: pb.ListArtifactsRequest, context: CallContext
    ) -> pb.ListArtifactsResponse:
        """List artifacts by path."""
        row = await self._lookup.run(request.run, context)
        size = request.page_size or DEFAULT_PAGE
        after = unpack(request.page_token)
        found = await self._runs.artifacts(row.run_id, request.path_prefix, after, size + 1)
        return pb.ListArtifactsResponse(
            artifacts=[artifact_message(request.run, item) for item in found[:size]],
            next_page_token=pack(found[size - 1].path) if len(found) > size else "",
        )
