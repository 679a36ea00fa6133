"""The artifact door: PUT and GET of bytes at /v1/RUN/artifacts/PATH, streamed."""

from __future__ import annotations

import binascii
import re
from collections.abc import AsyncIterator

import epochal_proto.v1 as pb
from epochal_kernel.errors import EpochalError, InvalidArgument, OutOfRange, Violation
from epochal_kernel.ids import Ids
from epochal_kernel.rpc.client import RpcClient
from epochal_kernel.rpc.context import CallContext
from epochal_proto.v1.services import ArtifactService
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse

from epochal_gateway.doors.dispatch import Caller, Dispatcher
from epochal_gateway.doors.problems import problem_response
from epochal_gateway.doors.reading import ReadLog
from epochal_gateway.doors.rest_door import POSITION, caller_of
from epochal_gateway.doors.transcoding import response_json
from epochal_gateway.doors.validation import validate
from epochal_gateway.identity.authentication import Identity
from epochal_gateway.identity.authorization import Authorizer
from epochal_gateway.objects import Objects

ROUTE = "/v1/orgs/{org}/projects/{project}/runs/{run}/artifacts/{path:path}"

_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})\Z")


class ArtifactDoor:
    """Uploads and downloads; the tracker keeps the index."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        authorizer: Authorizer,
        objects: Objects,
        remote: RpcClient,
        ids: Ids,
        reads: ReadLog,
    ) -> None:
        self._dispatcher = dispatcher
        self._authorizer = authorizer
        self._objects = objects
        self._remote = remote
        self._ids = ids
        self._reads = reads

    async def __call__(self, request: Request) -> Response:
        """Serve one request; every error is problem JSON."""
        try:
            run, path = _names(request)
            caller = caller_of(request)
            if request.method != "PUT":
                return await self.send(request, caller, run, path)
            artifact, position = await self.receive(request, caller, run, path)
        except EpochalError as error:
            return problem_response(error)
        headers = {"content-type": "application/json", POSITION: str(position)}
        return Response(response_json(artifact), headers=headers)

    async def receive(
        self, request: Request, caller: Caller, run: str, path: str
    ) -> tuple[pb.Artifact, int]:
        """Store the body of a request as an artifact; returns its record and position in the log.

        Raises:
            EpochalError: refused, or the bytes did not come whole; nothing is kept.
        """
        commit = pb.CommitArtifactRequest(
            run=run,
            path=path,
            sha256=bytes(32),
            kind=request.headers.get("epochal-artifact-kind", "file"),
            media_type=request.headers.get("content-type", "application/octet-stream"),
            request_id=request.headers.get("epochal-request-id", ""),
        )
        source = request.headers.get("epochal-copy-source", "")
        if source:
            return await self._copy(caller, commit, source, _expected(request))
        return await self.commit(caller, commit, body_parts(request), _expected(request))

    async def _copy(
        self, caller: Caller, commit: pb.CommitArtifactRequest, source: str, expected: bytes | None
    ) -> tuple[pb.Artifact, int]:
        """Store the bytes of an artifact that the caller may read, without having them sent.

        They are written anew, not only named anew: an object that is about to be deleted, because
        nothing had it any more, is a new one by that.

        Raises:
            EpochalError: refused, or the source is not there, or has other bytes than expected.
        """
        run, _, path = source.partition("/artifacts/")
        wanted = pb.GetArtifactRequest(run=run, path=path)
        validate(wanted)
        _, context = self._admit(caller, "run.read", run)
        artifact = await self._remote.call(ArtifactService.GET_ARTIFACT, wanted, context)
        digest = bytes.fromhex(artifact.digest.removeprefix("sha256:"))
        if expected is not None and expected != digest:
            raise InvalidArgument(
                f"{source} has other bytes than these: send them",
                reason="DIGEST_MISMATCH",
                violations=[Violation("Epochal-Copy-Source", "sha256", "send the bytes")],
            )
        self._admit(caller, "run.write", commit.run)
        await self._reads.record(run, artifact, 0, artifact.size_bytes, context)
        parts = self._objects.get(digest, 0, artifact.size_bytes)
        return await self.commit(caller, commit, parts, digest)

    async def commit(
        self,
        caller: Caller,
        commit: pb.CommitArtifactRequest,
        parts: AsyncIterator[bytes],
        expected: bytes | None = None,
    ) -> tuple[pb.Artifact, int]:
        """Store bytes and record them; returns the record and its position in the log.

        Raises:
            EpochalError: refused, or the bytes did not come whole; nothing is kept.
        """
        identity, context = self._admit(caller, "run.write", commit.run)
        commit.sha256 = bytes(32)
        validate(commit)
        stored = await self._objects.put(self._ids.uuid7(), parts, expected)
        commit.sha256, commit.size_bytes = stored.sha256, stored.size_bytes
        artifact = await self._remote.call(ArtifactService.COMMIT_ARTIFACT, commit, context)
        self._dispatcher.note_write(identity, context.position)
        return artifact, context.position

    async def delete(self, caller: Caller, run: str, path: str) -> int:
        """Take an artifact, or all below a folder, out of the index; returns how many.

        Raises:
            EpochalError: refused, or there is none.
        """
        identity, context = self._admit(caller, "run.write", run)
        request = pb.DeleteArtifactsRequest(run=run, path=path)
        validate(request)
        done = await self._remote.call(ArtifactService.DELETE_ARTIFACTS, request, context)
        self._dispatcher.note_write(identity, context.position)
        return done.deleted

    async def send(self, request: Request, caller: Caller, run: str, path: str) -> Response:
        """Return the bytes of an artifact, or the part of them that is asked for.

        Raises:
            EpochalError: refused, or there is none.
        """
        _, context = self._admit(caller, "run.read", run)
        wanted = pb.GetArtifactRequest(run=run, path=path)
        validate(wanted)
        artifact = await self._remote.call(ArtifactService.GET_ARTIFACT, wanted, context)
        etag = f'"{artifact.digest}"'
        if request.headers.get("if-none-match") == etag:
            return Response(status_code=304, headers={"etag": etag})
        start, end = _range(request.headers.get("range", ""), artifact.size_bytes)
        headers = {
            "etag": etag,
            "accept-ranges": "bytes",
            "content-length": str(end - start),
            "content-disposition": "attachment",
            "x-content-type-options": "nosniff",
        }
        status = 200
        if (start, end) != (0, artifact.size_bytes):
            status = 206
            headers["content-range"] = f"bytes {start}-{end - 1}/{artifact.size_bytes}"
        media_type = artifact.media_type or "application/octet-stream"
        if request.method == "HEAD":
            return Response(status_code=status, headers=headers, media_type=media_type)
        await self._reads.record(run, artifact, start, end, context)
        digest = bytes.fromhex(artifact.digest.removeprefix("sha256:"))
        return StreamingResponse(
            self._objects.get(digest, start, end), status, headers, media_type=media_type
        )

    def _admit(self, caller: Caller, permission: str, run: str) -> tuple[Identity, CallContext]:
        identity = self._dispatcher.identify(caller)
        self._authorizer.check(identity, permission, run, write=permission == "run.write")
        return identity, self._dispatcher.context(identity, run, caller)


def _names(request: Request) -> tuple[str, str]:
    parts = request.path_params
    run = f"orgs/{parts['org']}/projects/{parts['project']}/runs/{parts['run']}"
    return run, parts["path"]


async def body_parts(request: Request) -> AsyncIterator[bytes]:
    """Yield the body of a request as it comes.

    Raises:
        InvalidArgument: the client went away before its end.
    """
    try:
        async for part in request.stream():
            if part:
                yield part
    except ClientDisconnect as error:
        raise InvalidArgument("the upload ended early; nothing is kept") from error


def _expected(request: Request) -> bytes | None:
    text = request.headers.get("epochal-content-sha256")
    if text is None:
        return None
    try:
        digest = binascii.unhexlify(text)
    except (binascii.Error, ValueError):
        digest = b""
    if len(digest) != 32:
        raise InvalidArgument(
            "header Epochal-Content-Sha256 must be 64 hex digits",
            violations=[Violation("Epochal-Content-Sha256", "sha256", "64 hex digits")],
        )
    return digest


def _range(header: str, size: int) -> tuple[int, int]:
    """Return the bytes [start, end) that a Range header asks for (RFC 9110 section 14).

    One range is served; a header that names several, or is malformed, is ignored as the RFC allows.

    Raises:
        OutOfRange: none of the bytes asked for is there.
    """
    match = _RANGE.match(header)
    if match is None or match.group(1) == match.group(2) == "":
        return 0, size
    first, last = match.groups()
    if first and last and int(last) < int(first):
        return 0, size
    start = int(first) if first else max(0, size - int(last))
    end = min(int(last) + 1, size) if first and last else size
    if start >= end and not (first == "" and size == 0 and int(last)):
        raise OutOfRange(
            f"range {header!r} lies outside the {size} bytes", reason="RANGE_NOT_SATISFIABLE"
        )
    return start, end
