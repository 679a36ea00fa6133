"""Serves MLflow's REST API: finds the route, knows the caller, answers JSON."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from epochal_kernel.errors import EpochalError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from epochal_gateway.doors.mlflow import credentials, probes, refusals
from epochal_gateway.doors.mlflow.errors import error_response
from epochal_gateway.doors.mlflow.reading import Fields, fields_of, fields_of_query
from epochal_gateway.doors.mlflow.routing import MlflowRoute, Router
from epochal_gateway.doors.mlflow.session import Platform, Session
from epochal_gateway.doors.mlflow.writing import JsonObject, json_response
from epochal_gateway.doors.rest_door import read_body

_VERBS = ["GET", "POST", "PUT", "PATCH", "DELETE"]


class MlflowDoor:
    """Answers below /api/X.0/mlflow/, and the same below /ajax-api/ and /preview/."""

    def __init__(self, platform: Platform, routes: list[MlflowRoute], max_body_bytes: int) -> None:
        self._platform = platform
        self._more: list[BaseRoute] = []
        self._router = Router(routes)
        self._max_body_bytes = max_body_bytes

    def routes(self) -> list[BaseRoute]:
        """Return the application's routes; what is more special stands before it."""
        return [
            *probes.routes(),
            *refusals.routes(),
            *self._more,
            *(
                Route(
                    f"/{door}/{version}/{place}/{{path:path}}", self._serve(version), methods=_VERBS
                )
                for door in ("api", "ajax-api")
                for version, place in (
                    ("2.0", "preview/mlflow"),
                    ("2.0", "mlflow"),
                    ("3.0", "mlflow"),
                )
            ),
        ]

    def add(self, routes: list[BaseRoute]) -> None:
        """Serve what is not JSON both ways, such as the bytes of artifacts."""
        self._more += routes

    def session(self, request: Request) -> Session:
        """Return the session of a request.

        Raises:
            Unauthenticated, ResourceExhausted: not known, or too many calls.
        """
        caller = credentials.caller(request)
        identity = self._platform.dispatcher.identify(caller)
        return Session(self._platform, caller, identity, credentials.organization(identity))

    def _serve(self, version: str) -> Callable[[Request], Awaitable[Response]]:
        async def serve(request: Request) -> Response:
            try:
                return json_response(await self.answer(request, version))
            except EpochalError as error:
                return error_response(error)

        return serve

    async def answer(self, request: Request, version: str) -> JsonObject:
        """Return the answer to a request.

        Raises:
            EpochalError: it is refused.
        """
        path = request.path_params["path"]
        found = self._router.find(version, request.method, path)
        if found is None:
            raise refusals.refusal(request.method, request.scope["path"], path)
        session = self.session(request)
        fields = await self._fields(request)
        route, variables = found
        if route.path_handler is not None:
            return await route.path_handler(session, fields, variables)
        assert route.handler is not None, f"{route.path} has a handler"
        return await route.handler(session, fields)

    async def _fields(self, request: Request) -> Fields:
        if request.method == "GET":
            return fields_of_query(request.query_params.multi_items())
        body = await read_body(request, self._max_body_bytes)
        if not body and request.query_params:
            return fields_of_query(request.query_params.multi_items())
        return fields_of(body)
