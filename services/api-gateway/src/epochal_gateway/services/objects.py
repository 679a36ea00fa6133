"""ArtifactService, the bytes: the gateway has the object store, so it deletes for the tracker."""

from __future__ import annotations

import epochal_proto.v1 as pb
from epochal_kernel.clock import Clock
from epochal_kernel.rpc.context import CallContext

from epochal_gateway.objects import Objects


class ObjectDeletion:
    """The handler of ArtifactService that deletes bytes; for services of the platform only."""

    def __init__(self, objects: Objects, clock: Clock) -> None:
        self._objects = objects
        self._clock = clock

    async def delete_objects(
        self, request: pb.DeleteObjectsRequest, context: CallContext
    ) -> pb.DeleteObjectsResponse:
        """Delete objects, and say which are gone; those uploaded lately stay."""
        del context
        now = self._clock.now()
        deleted = [
            digest
            for digest in request.digests
            if await self._objects.delete(digest, request.min_age_s, now)
        ]
        return pb.DeleteObjectsResponse(deleted=deleted)
