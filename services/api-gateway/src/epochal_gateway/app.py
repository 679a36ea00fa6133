"""The HTTP application: REST, artifacts, the OpenAPI document, discovery and probes."""

from __future__ import annotations

import json

import structlog
from epochal_kernel.errors import Internal
from epochal_kernel.log.forks import Fork
from epochal_kernel.runtime.health import Health
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from epochal_gateway.doors import openapi
from epochal_gateway.doors.artifacts_door import ROUTE, ArtifactDoor
from epochal_gateway.doors.mlflow.door import MlflowDoor
from epochal_gateway.doors.openlineage_door import OpenLineageDoor
from epochal_gateway.doors.problems import problem_response
from epochal_gateway.doors.rest_door import RestDoor
from epochal_gateway.doors.service_door import BARE_ROUTE, ServiceDoor
from epochal_gateway.doors.service_door import ROUTE as SERVICE_ROUTE
from epochal_gateway.doors.service_sockets import ServiceSockets

_log = structlog.get_logger(__name__)

_VERBS = ["GET", "POST", "PUT", "PATCH", "DELETE"]


def build_app(
    rest: RestDoor,
    artifacts: ArtifactDoor,
    mlflow: MlflowDoor,
    openlineage: OpenLineageDoor,
    services: ServiceDoor,
    sockets: ServiceSockets,
    health: Health,
    version: str,
    grpc_address: str,
    fork: Fork | None = None,
) -> Starlette:
    """Put the routes together; of a fork, discovery says so."""
    text = json.dumps(openapi.document(version)).encode()

    async def openapi_json(_: Request) -> Response:
        return Response(text, media_type="application/json")

    async def discovery(_: Request) -> Response:
        found: dict[str, object] = {"grpc": grpc_address, "version": version}
        if fork is not None:
            found["fork"] = {
                "position": fork.position,
                "source": fork.source,
                "forkedAt": fork.forked_at.isoformat(),
            }
        return JSONResponse(found)

    async def serve_rest(request: Request) -> Response:
        return await rest(request)

    async def serve_artifact(request: Request) -> Response:
        return await artifacts(request)

    async def serve_service(request: Request) -> Response:
        return await services(request)

    async def serve_socket(socket: WebSocket) -> None:
        await sockets(socket)

    return Starlette(
        routes=[
            *health.routes(),
            Route("/.well-known/epochal", discovery),
            Route("/openapi.json", openapi_json),
            Route(ROUTE, serve_artifact, methods=["GET", "HEAD", "PUT"]),
            Route(BARE_ROUTE, serve_service, methods=["GET", "HEAD"]),
            Route(SERVICE_ROUTE, serve_service, methods=[*_VERBS, "OPTIONS"]),
            WebSocketRoute(SERVICE_ROUTE, serve_socket),
            *mlflow.routes(),
            *openlineage.routes(),
            Route("/{path:path}", serve_rest, methods=_VERBS),
        ],
        exception_handlers={Exception: _mistake},
    )


async def _mistake(request: Request, error: Exception) -> Response:
    """Answer for a mistake of ours: the client learns that it was one, the log learns which."""
    _log.error("door.failed", path=request.url.path, error=repr(error))
    return problem_response(Internal("the gateway made a mistake; its log says more"))
