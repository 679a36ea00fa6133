"""From what the wire says to our errors: google.rpc.Status over gRPC, problem JSON over HTTP.

Both doors of the gateway tell the same things (AIP-193); callers see one error type for each code
whichever door they used.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from http import HTTPStatus
from typing import Final, Protocol

import epochal_proto.v1 as pb
import grpc
from google.protobuf.message import DecodeError
from google.rpc import code_pb2, error_details_pb2, status_pb2

from epochal.errors import BY_CODE, EpochalError, Violation

_DETAILS_KEY: Final = "grpc-status-details-bin"

_CODE_BY_HTTP: Final = {
    HTTPStatus.BAD_REQUEST: "INVALID_ARGUMENT",
    HTTPStatus.UNAUTHORIZED: "UNAUTHENTICATED",
    HTTPStatus.FORBIDDEN: "PERMISSION_DENIED",
    HTTPStatus.NOT_FOUND: "NOT_FOUND",
    HTTPStatus.CONFLICT: "ALREADY_EXISTS",
    HTTPStatus.PRECONDITION_FAILED: "FAILED_PRECONDITION",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "INVALID_ARGUMENT",
    HTTPStatus.UNPROCESSABLE_ENTITY: "INVALID_ARGUMENT",
    HTTPStatus.TOO_MANY_REQUESTS: "RESOURCE_EXHAUSTED",
    HTTPStatus.NOT_IMPLEMENTED: "UNIMPLEMENTED",
    HTTPStatus.BAD_GATEWAY: "UNAVAILABLE",
    HTTPStatus.SERVICE_UNAVAILABLE: "UNAVAILABLE",
    HTTPStatus.GATEWAY_TIMEOUT: "DEADLINE_EXCEEDED",
}


class RpcFailure(Protocol):
    """What a failed gRPC call can tell."""

    def code(self) -> grpc.StatusCode: ...  # noqa: D102 - grpc's own method
    def details(self) -> str | None: ...  # noqa: D102 - grpc's own method
    def trailing_metadata(self) -> object: ...  # noqa: D102 - grpc's own method


def from_rpc(failure: RpcFailure) -> EpochalError:
    """Translates a failed gRPC call, with the details the platform attached if it did."""
    for key, value in _pairs(failure.trailing_metadata()):
        if key == _DETAILS_KEY and isinstance(value, bytes):
            try:
                return from_status(status_pb2.Status.FromString(value))
            except DecodeError:
                break  # a proxy's own trailer: the plain status below still holds
    kind = BY_CODE.get(failure.code().name, EpochalError)
    return kind(failure.details() or "")


def from_status(status: status_pb2.Status) -> EpochalError:
    """Translates google.rpc.Status; unknown codes become `EpochalError`."""
    name = code_pb2.Code.Name(status.code) if status.code in code_pb2.Code.values() else "UNKNOWN"
    info = error_details_pb2.ErrorInfo()
    bad = error_details_pb2.BadRequest()
    about = error_details_pb2.ResourceInfo()
    retry = error_details_pb2.RetryInfo()
    issues: list[pb.SpecIssue] = []
    for detail in status.details:
        issue = pb.SpecIssue()
        if detail.Unpack(issue):
            issues.append(issue)
        else:
            _ = any(detail.Unpack(known) for known in (info, bad, about, retry))
    return BY_CODE.get(name, EpochalError)(
        status.message,
        reason=info.reason,
        violations=[
            Violation(each.field, each.reason, each.description) for each in bad.field_violations
        ],
        resource=about.resource_name,
        retry_after_s=retry.retry_delay.ToNanoseconds() / 1e9 or None,
        issues=issues,
    )


def from_problem(http_status: int, body: bytes) -> EpochalError:
    """Translates an HTTP error answer: problem JSON (RFC 9457), or whatever a proxy sent."""
    kind = BY_CODE.get(_CODE_BY_HTTP.get(HTTPStatus(http_status), "INTERNAL"), EpochalError)
    try:
        problem = json.loads(body)
    except ValueError:
        problem = None
    if not isinstance(problem, dict):
        return kind(f"the platform answered HTTP {http_status}")
    violations = [
        Violation(str(each.get("field", "")), str(each.get("rule", "")), str(each.get("message")))
        for each in problem.get("violations", [])
        if isinstance(each, dict)
    ]
    return kind(
        str(problem.get("detail") or problem.get("title") or f"HTTP {http_status}"),
        reason=str(problem.get("reason", "")),
        violations=violations,
    )


def _pairs(metadata: object) -> list[tuple[str, str | bytes]]:
    # A tuple of grpc, its own kind of mapping in grpc.aio: both iterate over pairs.
    return [(key, value) for key, value in metadata] if isinstance(metadata, Iterable) else []
