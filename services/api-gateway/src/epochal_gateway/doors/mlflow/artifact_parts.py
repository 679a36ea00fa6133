"""Uploads in parts, for clients that want to send one file over several connections.

    POST /api/2.0/mlflow-artifacts/mpu/{create,complete,abort}/FOLDER
    PUT  /api/2.0/mlflow-artifacts/mpu/part/UPLOAD/NUMBER/PATH

Clients ask for it with `MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD=true`. The parts come here, under the
caller's own rights, and lie beside the objects until the whole is made of them. A plain PUT is
streamed as well and reads the bytes once: so `server-info` does not advertise this.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import quote
from uuid import UUID

import epochal_proto.v1 as pb
from epochal_kernel.errors import EpochalError
from epochal_kernel.ids import Ids
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from epochal_gateway.doors.artifacts_door import ArtifactDoor, body_parts
from epochal_gateway.doors.mlflow.artifact_places import ArtifactPlaces, Place
from epochal_gateway.doors.mlflow.errors import MlflowError, error_response
from epochal_gateway.doors.mlflow.reading import Fields, fields_of
from epochal_gateway.doors.mlflow.session import Session
from epochal_gateway.doors.mlflow.writing import JsonObject, json_response
from epochal_gateway.doors.rest_door import read_body
from epochal_gateway.objects import Objects

MOST_PARTS: Final = 10_000
_ROOT: Final = "/api/2.0/mlflow-artifacts/mpu"
_MAX_BODY: Final = 4 * 1024 * 1024
_DIGEST = re.compile(r"[0-9a-f]{64}\Z")

Answer = Callable[[Request, Session], Awaitable[Response]]


class ArtifactParts:
    """Takes uploads in parts."""

    def __init__(
        self,
        session: Callable[[Request], Session],
        door: ArtifactDoor,
        objects: Objects,
        places: ArtifactPlaces,
        ids: Ids,
    ) -> None:
        self._session = session
        self._door = door
        self._objects = objects
        self._places = places
        self._ids = ids

    def routes(self) -> list[BaseRoute]:
        """Return the application's routes."""
        return [
            Route(f"{_ROOT}/create/{{path:path}}", self._answering(self._create), methods=["POST"]),
            Route(
                f"{_ROOT}/complete/{{path:path}}", self._answering(self._complete), methods=["POST"]
            ),
            Route(f"{_ROOT}/abort/{{path:path}}", self._answering(self._abort), methods=["POST"]),
            Route(
                f"{_ROOT}/part/{{upload}}/{{number:int}}/{{path:path}}",
                self._answering(self._part),
                methods=["PUT"],
            ),
        ]

    def _answering(self, serve: Answer) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            try:
                return await serve(request, self._session(request))
            except EpochalError as error:
                return error_response(error)

        return answer

    async def _create(self, request: Request, session: Session) -> Response:
        fields = await _fields(request)
        count = fields.whole("num_parts", 1)
        if not 1 <= count <= MOST_PARTS:
            raise MlflowError(f"'num_parts' must be between 1 and {MOST_PARTS}")
        path = _path(request, fields)
        await self._place(session, path)
        upload = self._ids.uuid7()
        base = f"{str(request.base_url).rstrip('/')}{_ROOT}/part/{upload}"
        # Parts are sent without the client's own headers: they get those it came with.
        headers = {"Authorization": request.headers.get("authorization", "")}
        parts: list[JsonObject] = [
            {"url": f"{base}/{number}/{quote(path)}", "part_number": number, "headers": headers}
            for number in range(1, count + 1)
        ]
        return json_response({"upload_id": str(upload), "credentials": parts})

    async def _part(self, request: Request, session: Session) -> Response:
        number = int(request.path_params["number"])
        if not 1 <= number <= MOST_PARTS:
            raise MlflowError(f"a part's number must be between 1 and {MOST_PARTS}")
        await self._place(session, request.path_params["path"])
        upload = _upload(request.path_params["upload"])
        digest = await self._objects.put_part(upload, number, body_parts(request))
        return Response(headers={"etag": digest.hex()})

    async def _complete(self, request: Request, session: Session) -> Response:
        fields = await _fields(request)
        place = await self._place(session, _path(request, fields))
        upload = _upload(fields.required("upload_id"))
        numbers = []
        for one in fields.objects("parts"):
            etag = one.required("etag").strip('"')
            if not _DIGEST.match(etag):
                raise MlflowError(f"'{one.place('etag')}' is not what the part was answered with")
            numbers.append((one.required_whole("part_number"), bytes.fromhex(etag)))
        if not numbers or [number for number, _ in numbers] != list(range(1, len(numbers) + 1)):
            raise MlflowError("'parts' must be all parts from 1 on, in order")
        commit = pb.CommitArtifactRequest(
            run=place.run, path=place.path, kind="file", media_type="application/octet-stream"
        )
        await self._door.commit(session.caller, commit, self._objects.joined(upload, dict(numbers)))
        await self._objects.discard_parts(upload)
        return json_response({})

    async def _abort(self, request: Request, session: Session) -> Response:
        fields = await _fields(request)
        await self._place(session, _path(request, fields))
        await self._objects.discard_parts(_upload(fields.required("upload_id")))
        return json_response({})

    async def _place(self, session: Session, path: str) -> Place:
        place = await self._places.resolve(session, path, write=True)
        session.check("run.write", place.run, write=True)
        return place


async def _fields(request: Request) -> Fields:
    return fields_of(await read_body(request, _MAX_BODY))


def _path(request: Request, fields: Fields) -> str:
    """Return the artifact's path: the URL names the folder, the body the file."""
    name = posixpath.basename(fields.required("path").replace("\\", "/"))
    return f"{request.path_params['path'].rstrip('/')}/{name}"


def _upload(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise MlflowError("'upload_id' is not one that was given out") from None
