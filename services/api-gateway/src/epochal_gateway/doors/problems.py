"""Errors as problem JSON (RFC 9457), with the same facts that gRPC details carry."""

from __future__ import annotations

import json
import math
from typing import Final

from epochal_kernel.errors import EpochalError
from starlette.responses import Response

#: HTTP status of each canonical code (google/rpc/code.proto).
STATUS: Final = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "ABORTED": 409,
    "RESOURCE_EXHAUSTED": 429,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
    "INTERNAL": 500,
    "DATA_LOSS": 500,
    "UNKNOWN": 500,
}


#: Reasons that HTTP has a status of its own for.
_BY_REASON: Final = {
    "METHOD_NOT_ALLOWED": 405,
    "BODY_TOO_LARGE": 413,
    "ARTIFACT_TOO_LARGE": 413,
    "RANGE_NOT_SATISFIABLE": 416,
}


def http_status(error: EpochalError) -> int:
    """Return the HTTP status of an error."""
    return _BY_REASON.get(error.reason, STATUS[error.grpc_code])


def problem(error: EpochalError) -> dict[str, object]:
    """Return the JSON object of an error."""
    return {
        "type": f"urn:epochal:error:{error.reason.lower()}",
        "title": error.grpc_code.replace("_", " ").capitalize(),
        "status": http_status(error),
        "code": error.grpc_code,
        "reason": error.reason,
        "detail": error.message,
        "resource": error.resource,
        "retryable": error.retryable,
        "violations": [
            {"field": one.field, "rule": one.rule, "message": one.message}
            for one in error.violations
        ],
    }


def problem_response(error: EpochalError) -> Response:
    """Return an error as an HTTP response."""
    headers = {"content-type": "application/problem+json"}
    if error.retry_after_s is not None:
        headers["retry-after"] = str(max(1, math.ceil(error.retry_after_s)))
    if error.grpc_code == "UNAUTHENTICATED":
        headers["www-authenticate"] = "Bearer"
    return Response(json.dumps(problem(error)), http_status(error), headers)
