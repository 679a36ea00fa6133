"""MLflow's artifact proxy: bytes up and down, streamed, by way of the artifact door.

PUT, GET, DELETE  /api/2.0/mlflow-artifacts/artifacts/PATH
GET               /api/2.0/mlflow-artifacts/artifacts?path=PATH
GET               /api/2.0/mlflow-artifacts/presigned/PATH
GET               /api/2.0/mlflow/logged-models/MODEL/artifacts/{directories,files}
GET               /get-artifact?run_uuid=RUN&path=PATH

Clients ask for presigned/ with `MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD=true` and fetch a file in
ranges over several connections. The URL is that of the file here, with the caller's own rights:
nothing is signed, so nothing outlives a right. `server-info` does not advertise it, for one stream
reads the same bytes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import quote

import epochal_proto.v1 as pb
from epochal_kernel.errors import EpochalError, FailedPrecondition, NotFound
from epochal_proto.v1.services import ArtifactService, LineageService
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from epochal_gateway.doors.artifacts_door import ArtifactDoor
from epochal_gateway.doors.mlflow import artifact_lists, logged_models
from epochal_gateway.doors.mlflow.artifact_places import ArtifactPlaces, Place
from epochal_gateway.doors.mlflow.errors import error_response
from epochal_gateway.doors.mlflow.session import Session
from epochal_gateway.doors.mlflow.writing import json_response

_ROOT: Final = "mlflow-artifacts/artifacts"
_OF_MODEL: Final = "2.0/mlflow/logged-models/{model_id}/artifacts"
_MOST_EDGES: Final = 10_000

Serve = Callable[[Request, Session], Awaitable[Response]]


class ArtifactProxy:
    """Serves the artifacts of runs under MLflow's paths."""

    def __init__(
        self,
        session: Callable[[Request], Session],
        door: ArtifactDoor,
        places: ArtifactPlaces,
    ) -> None:
        self._session = session
        self._door = door
        self._places = places

    def routes(self) -> list[BaseRoute]:
        """Return the application's routes."""
        found: list[BaseRoute] = []
        for door in ("api", "ajax-api"):
            root = f"/{door}/2.0/{_ROOT}"
            found += [
                Route(root, self._answering(self._list), methods=["GET"]),
                Route(f"{root}/{{path:path}}", self._answering(self._get), methods=["GET", "HEAD"]),
                Route(f"{root}/{{path:path}}", self._answering(self._put), methods=["PUT"]),
                Route(f"{root}/{{path:path}}", self._answering(self._delete), methods=["DELETE"]),
                Route(
                    f"/{door}/2.0/mlflow-artifacts/presigned/{{path:path}}",
                    self._answering(self._ranges),
                    methods=["GET"],
                ),
            ]
        return [
            *found,
            Route("/get-artifact", self._answering(self._of_run), methods=["GET"]),
            *(
                Route(f"/{door}/{_OF_MODEL}/{what}", self._answering(serve), methods=["GET"])
                for door in ("api", "ajax-api")
                for what, serve in (("directories", self._list_model), ("files", self._of_model))
            ),
        ]

    def _answering(self, serve: Serve) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            try:
                return await serve(request, self._session(request))
            except EpochalError as error:
                return error_response(error)

        return answer

    async def _list(self, request: Request, session: Session) -> Response:
        path = request.query_params.get("path", "")
        if not path:
            return json_response({"files": []})
        place = await self._places.resolve(session, path, write=False)
        return json_response({"files": await artifact_lists.files(session, place)})

    async def _get(self, request: Request, session: Session) -> Response:
        place = await self._places.resolve(session, request.path_params["path"], write=False)
        if not place.path:
            raise NotFound("the path is a folder, not a file", resource=place.run)
        return await self._door.send(request, session.caller, place.run, place.path)

    async def _ranges(self, request: Request, session: Session) -> Response:
        path = request.path_params["path"]
        place = await self._places.resolve(session, path, write=False)
        wanted = pb.GetArtifactRequest(run=place.run, path=place.path)
        artifact = await session.call(ArtifactService.GET_ARTIFACT, wanted)
        return json_response(
            {
                "url": f"{str(request.base_url).rstrip('/')}/api/2.0/{_ROOT}/{quote(path)}",
                # Ranges come without the client's own headers: they get those it came with.
                "headers": {"Authorization": request.headers.get("authorization", "")},
                "file_size": artifact.size_bytes,
            }
        )

    async def _of_run(self, request: Request, session: Session) -> Response:
        query = request.query_params
        wanted = query.get("run_uuid") or query.get("run_id", "")
        run = await session.platform.runs.find(session.org, wanted)
        return await self._door.send(request, session.caller, run, query.get("path", ""))

    async def _list_model(self, request: Request, session: Session) -> Response:
        folder = request.query_params.get("artifact_directory_path", "").strip("/")
        root, place = await self._model_place(request, session, folder)
        found = await artifact_lists.files(session, place)
        files = [{**one, "path": f"{folder}/{one['path']}"} for one in found] if folder else found
        return json_response({"root_uri": root, "files": files})

    async def _of_model(self, request: Request, session: Session) -> Response:
        path = request.query_params.get("artifact_file_path", "").strip("/")
        _, place = await self._model_place(request, session, path)
        return await self._door.send(request, session.caller, place.run, place.path)

    async def _model_place(
        self, request: Request, session: Session, path: str
    ) -> tuple[str, Place]:
        """Return where a logged model's files are, as a URI, and where one of them is."""
        model = await logged_models.find(session, request.path_params["model_id"])
        root = logged_models.artifact_uri(session, model)
        inside = f"{root.partition(':/')[2]}/{path}".rstrip("/")
        return root, await self._places.resolve(session, inside, write=False)

    async def _put(self, request: Request, session: Session) -> Response:
        place = await self._places.resolve(session, request.path_params["path"], write=True)
        await self._door.receive(request, session.caller, place.run, place.path)
        return json_response({})

    async def _delete(self, request: Request, session: Session) -> Response:
        place = await self._places.resolve(session, request.path_params["path"], write=True)
        await _assert_not_registered(session, place)
        await self._door.delete(session.caller, place.run, place.path)
        return json_response({})


async def _assert_not_registered(session: Session, place: Place) -> None:
    """Refuse to delete what versions of registered models are made of.

    Raises:
        FailedPrecondition: one is, or it cannot be told.
    """
    graph = await session.call(
        LineageService.GET_LINEAGE,
        pb.GetLineageRequest(
            parent=place.run.partition("/runs/")[0],
            node=place.run,
            direction=pb.LINEAGE_DIRECTION_DOWNSTREAM,
            depth=2,
            max_edges=_MOST_EDGES,
        ),
    )
    artifact = f"{place.run}/artifacts/{place.path}"
    for edge in graph.edges:
        inside = edge.source == artifact or edge.source.startswith(f"{artifact}/")
        around = artifact.startswith(f"{edge.source}/")
        if edge.kind == pb.EDGE_KIND_REGISTERED_AS and (inside or around):
            raise FailedPrecondition(
                f"{edge.target} is made of {edge.source}: delete that version first",
                reason="ARTIFACT_REGISTERED",
                resource=artifact,
            )
    if graph.truncated:
        raise FailedPrecondition(
            f"{place.run} has more than {_MOST_EDGES} artifacts and versions made of them: "
            "whether one needs this cannot be told, and it stays",
            reason="LINEAGE_TOO_LARGE",
            resource=artifact,
        )
