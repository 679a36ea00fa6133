"""OpenLineage's door: where its producers post events, one at a time or many.

    POST /api/v1/lineage, /api/v1/lineage/batch                      into the project `main`
    POST /api/v1/projects/PROJECT/lineage, .../lineage/batch         into another

A run's own token puts them into the run's project. When the platform cannot take events now, the
answer is 503 with Retry-After and never 429, which OpenLineage's clients do not send again.

Source: openlineage.io/apidocs/openapi.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final, cast

import epochal_proto.v1 as pb
from epochal_kernel.errors import (
    DeadlineExceeded,
    EpochalError,
    InvalidArgument,
    ResourceExhausted,
    Unavailable,
    Violation,
)
from epochal_proto.method import AnyMethod
from epochal_proto.v1.services import OpenLineageService
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from epochal_gateway.doors.bodies import unpacked
from epochal_gateway.doors.dispatch import Caller, Dispatcher
from epochal_gateway.doors.problems import http_status, problem_response
from epochal_gateway.doors.rest_door import POSITION, caller_of, read_body

DEFAULT_PROJECT: Final = "main"
RETRY_AFTER_S: Final = 2.0
#: Events of a request to the lineage service, and about as many bytes.
CHUNK_EVENTS: Final = 500
CHUNK_BYTES: Final = 4 * 1024 * 1024
#: Of one event: the lineage service takes no larger, and no message of the bus carries many more.
MOST_EVENT_BYTES: Final = 4 * 1024 * 1024


class OpenLineageDoor:
    """Answers below /api/v1/."""

    def __init__(self, dispatcher: Dispatcher, max_body_bytes: int) -> None:
        self._dispatcher = dispatcher
        self._max_body_bytes = max_body_bytes

    def routes(self) -> list[BaseRoute]:
        """Return the application's routes."""
        return [
            Route(f"/api/v1/{place}lineage{rest}", answer, methods=["POST"])
            for place in ("", "projects/{project}/")
            for rest, answer in (("", self._one), ("/batch", self._batch))
        ]

    async def _one(self, request: Request) -> Response:
        try:
            caller, project, body = await self._read(request)
            refused, position = await self._record(caller, project, [body])
            if refused:
                violation = Violation(refused[0].field, "openlineage", refused[0].reason)
                raise InvalidArgument(refused[0].reason, violations=[violation])
        except EpochalError as error:
            return _refusal(error)
        return Response(status_code=200, headers={POSITION: str(position)})

    async def _batch(self, request: Request) -> Response:
        try:
            caller, project, body = await self._read(request)
            events = _events(body)
            refused, position = await self._record(caller, project, events)
        except EpochalError as error:
            return _refusal(error)
        return JSONResponse(_summary(len(events), refused), headers={POSITION: str(position)})

    async def _read(self, request: Request) -> tuple[Caller, str, bytes]:
        caller = caller_of(request)
        identity = self._dispatcher.identify(caller)
        org, _, rest = identity.token.removeprefix("orgs/").partition("/")
        project = request.path_params.get("project", "")
        if not project:
            project = rest.split("/")[1] if identity.run else DEFAULT_PROJECT
        body = await read_body(request, self._max_body_bytes)
        encoding = request.headers.get("content-encoding", "").strip().lower()
        return caller, f"orgs/{org}/projects/{project}", unpacked(body, encoding)

    async def _record(
        self, caller: Caller, project: str, events: Sequence[bytes]
    ) -> tuple[list[pb.OpenLineageRefusal], int]:
        """Record events in their order; return those that were refused, and the last position.

        What the platform could not take, when it took others before, is refused as retriable.
        """
        places = [index for index, one in enumerate(events) if len(one) <= MOST_EVENT_BYTES]
        refused = [
            pb.OpenLineageRefusal(index=index, reason=_too_large(len(one)))
            for index, one in enumerate(events)
            if len(one) > MOST_EVENT_BYTES
        ]
        fitting = [events[index] for index in places]
        position = first = 0
        while first < len(fitting):
            count = _fitting(fitting, first)
            message = pb.RecordOpenLineageRequest(
                parent=project, events=fitting[first : first + count]
            )
            try:
                answer = await self._dispatcher.unary(
                    cast("AnyMethod", OpenLineageService.RECORD_OPEN_LINEAGE), message, caller
                )
            except (Unavailable, ResourceExhausted, DeadlineExceeded) as error:
                if not first:
                    raise
                refused += [
                    pb.OpenLineageRefusal(index=index, reason=error.message, retriable=True)
                    for index in places[first:]
                ]
                break
            position = max(position, answer.position)
            for one in pb.RecordOpenLineageResponse.FromString(answer.body).refused:
                one.index = places[first + one.index]
                refused.append(one)
            first += count
        return sorted(refused, key=lambda one: one.index), position


def _too_large(size_bytes: int) -> str:
    return f"an event has at most {MOST_EVENT_BYTES} bytes, this has {size_bytes}"


def _events(body: bytes) -> list[bytes]:
    try:
        events = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InvalidArgument(f"the body must be a JSON array of events: {error}") from None
    if not isinstance(events, list):
        raise InvalidArgument("the body must be a JSON array of events")
    return [json.dumps(event).encode() for event in events]


def _fitting(events: Sequence[bytes], first: int) -> int:
    size = 0
    for count, event in enumerate(events[first : first + CHUNK_EVENTS]):
        size += len(event)
        if count and size > CHUNK_BYTES:
            return count
    return min(CHUNK_EVENTS, len(events) - first)


def _summary(count: int, refused: Sequence[pb.OpenLineageRefusal]) -> dict[str, Any]:
    retriable = sum(one.retriable for one in refused)
    status = "success" if not refused else "partial_success" if len(refused) < count else "failure"
    return {
        "status": status,
        "summary": {
            "received": count,
            "successful": count - len(refused),
            "failed": len(refused),
            "retriable": retriable,
            "non_retriable": len(refused) - retriable,
        },
        "failed_events": [
            {"index": one.index, "reason": one.reason, "retriable": one.retriable}
            for one in refused
        ],
    }


def _refusal(error: EpochalError) -> Response:
    busy = isinstance(error, Unavailable | ResourceExhausted | DeadlineExceeded)
    if busy and http_status(error) != 413:
        error = Unavailable(
            error.message,
            reason=error.reason,
            retry_after_s=error.retry_after_s or RETRY_AFTER_S,
        )
    return problem_response(error)
