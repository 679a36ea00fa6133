"""Errors as MLflow's clients know them: `{"error_code": ..., "message": ...}`.

`MlflowError` is raised by the door itself, with a code of MLflow's; every other error is one of the
platform's and gets the code that means the same (mlflow/protos/databricks.proto, and the statuses
of mlflow/exceptions.py). Messages keep what the platform says: field, rule, and how to mend it.
"""

from __future__ import annotations

import json
import math
from typing import Final

from epochal_kernel.errors import EpochalError, InvalidArgument
from starlette.responses import Response

INVALID_PARAMETER_VALUE: Final = "INVALID_PARAMETER_VALUE"
RESOURCE_DOES_NOT_EXIST: Final = "RESOURCE_DOES_NOT_EXIST"
RESOURCE_ALREADY_EXISTS: Final = "RESOURCE_ALREADY_EXISTS"
INVALID_STATE: Final = "INVALID_STATE"
ENDPOINT_NOT_FOUND: Final = "ENDPOINT_NOT_FOUND"
BAD_REQUEST: Final = "BAD_REQUEST"
NOT_IMPLEMENTED: Final = "NOT_IMPLEMENTED"

#: HTTP status of MLflow's codes (ERROR_CODE_TO_HTTP_STATUS of mlflow/exceptions.py).
_STATUS: Final = {
    "INTERNAL_ERROR": 500,
    INVALID_STATE: 500,
    "DATA_LOSS": 500,
    NOT_IMPLEMENTED: 501,
    "TEMPORARILY_UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
    "REQUEST_LIMIT_EXCEEDED": 429,
    "CANCELLED": 499,
    "RESOURCE_EXHAUSTED": 429,
    "ABORTED": 409,
    "RESOURCE_CONFLICT": 409,
    "ALREADY_EXISTS": 409,
    "NOT_FOUND": 404,
    ENDPOINT_NOT_FOUND: 404,
    RESOURCE_DOES_NOT_EXIST: 404,
    "PERMISSION_DENIED": 403,
    "CUSTOMER_UNAUTHORIZED": 401,
    "UNAUTHENTICATED": 401,
    BAD_REQUEST: 400,
    RESOURCE_ALREADY_EXISTS: 400,
    INVALID_PARAMETER_VALUE: 400,
}

_BY_GRPC: Final = {
    "INVALID_ARGUMENT": INVALID_PARAMETER_VALUE,
    "OUT_OF_RANGE": INVALID_PARAMETER_VALUE,
    "FAILED_PRECONDITION": INVALID_PARAMETER_VALUE,
    "NOT_FOUND": RESOURCE_DOES_NOT_EXIST,
    "ALREADY_EXISTS": RESOURCE_ALREADY_EXISTS,
    "UNAUTHENTICATED": "UNAUTHENTICATED",
    "PERMISSION_DENIED": "PERMISSION_DENIED",
    "ABORTED": "ABORTED",
    "RESOURCE_EXHAUSTED": "REQUEST_LIMIT_EXCEEDED",
    "UNAVAILABLE": "TEMPORARILY_UNAVAILABLE",
    "DEADLINE_EXCEEDED": "TEMPORARILY_UNAVAILABLE",
    "UNIMPLEMENTED": NOT_IMPLEMENTED,
    "DATA_LOSS": "DATA_LOSS",
}

#: Sizes are no reason to try again.
_BY_REASON: Final = {"BODY_TOO_LARGE": BAD_REQUEST, "ARTIFACT_TOO_LARGE": BAD_REQUEST}


class MlflowError(InvalidArgument):
    """The request is not one that MLflow's server would serve."""

    default_reason = "MLFLOW"

    def __init__(self, message: str, error_code: str = INVALID_PARAMETER_VALUE) -> None:
        self.error_code = error_code
        super().__init__(message)


def no_such(message: str) -> MlflowError:
    """Return the error of a thing that is not there."""
    return MlflowError(message, RESOURCE_DOES_NOT_EXIST)


def error_code(error: EpochalError) -> str:
    """Return MLflow's code for an error."""
    if isinstance(error, MlflowError):
        return error.error_code
    return _BY_REASON.get(error.reason) or _BY_GRPC.get(error.grpc_code, "INTERNAL_ERROR")


def error_response(error: EpochalError) -> Response:
    """Return an error as MLflow's server would."""
    code = error_code(error)
    headers = {"content-type": "application/json"}
    if error.retry_after_s is not None:
        headers["retry-after"] = str(max(1, math.ceil(error.retry_after_s)))
    if code == "UNAUTHENTICATED":
        headers["www-authenticate"] = 'Basic realm="mlflow"'
    body = json.dumps({"error_code": code, "message": _words(error)})
    return Response(body, _STATUS.get(code, 500), headers)


def _words(error: EpochalError) -> str:
    told = [
        f"{one.field}: {one.message}"
        for one in error.violations
        if one.message and one.message not in error.message
    ]
    return f"{error.message} ({'; '.join(told)})" if told else error.message
