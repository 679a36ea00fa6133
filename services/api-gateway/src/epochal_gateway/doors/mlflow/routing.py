"""What a module of the door offers: routes, and how their paths are matched."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from epochal_gateway.doors.mlflow.reading import Fields
from epochal_gateway.doors.mlflow.session import Session
from epochal_gateway.doors.mlflow.writing import JsonObject

Variables = Mapping[str, str]
Handler = Callable[[Session, Fields], Awaitable[JsonObject]]
PathHandler = Callable[[Session, Fields, Variables], Awaitable[JsonObject]]


@dataclass(frozen=True, slots=True)
class MlflowRoute:
    """One call of MLflow's API.

    Attributes:
        verb: of HTTP.
        path: below "/api/2.0/mlflow/", such as "runs/get" or "logged-models/{model_id}".
        handler: answers it; for a path with variables, `path_handler` does.
        version: of the API.
    """

    verb: str
    path: str
    handler: Handler | None = None
    path_handler: PathHandler | None = None
    version: str = "2.0"


class Router:
    """Finds the route of a request."""

    def __init__(self, routes: list[MlflowRoute]) -> None:
        self._exact: dict[tuple[str, str, str], MlflowRoute] = {}
        self._patterns: list[tuple[re.Pattern[str], MlflowRoute]] = []
        for route in routes:
            if "{" in route.path:
                pattern = re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(route.path))
                self._patterns.append((re.compile(pattern + r"\Z"), route))
            else:
                self._exact[route.version, route.verb, route.path] = route

    def find(self, version: str, verb: str, path: str) -> tuple[MlflowRoute, Variables] | None:
        """Return the route of a request and the variables of its path."""
        route = self._exact.get((version, verb, path))
        if route is not None:
            return route, {}
        for pattern, one in self._patterns:
            if (one.version, one.verb) == (version, verb) and (match := pattern.match(path)):
                return one, match.groupdict()
        return None
