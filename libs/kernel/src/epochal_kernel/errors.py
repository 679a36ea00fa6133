"""Every error the kernel raises, and what it looks like on the wire.

    EpochalError
    |- InvalidArgument        bad input; carries violations (field, rule, message)
    |- NotFound, AlreadyExists, FailedPrecondition, OutOfRange
    |- Unauthenticated, PermissionDenied
    |- Aborted
    |  `- VersionConflict     another writer was first; load again and decide again
    |- CommandMismatch        a command_id came back with another request
    |- ResourceExhausted, Unavailable, DeadlineExceeded
    |- Unimplemented, Internal
    `- DataLoss
       `- LogCorrupted        positions or hashes do not follow on; never retried

`grpc_code` is the canonical status name, `retryable` says whether the same call may succeed later.
A class docstring's first line is the default message. Details travel as google.rpc messages
(AIP-193): BadRequest, ErrorInfo, ResourceInfo and RetryInfo.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from google.protobuf import any_pb2, duration_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2

ERROR_DOMAIN = "epochal"


@dataclass(frozen=True, slots=True)
class Violation:
    """One field that breaks one rule: dotted path, name of the rule, what to do."""

    field: str
    rule: str
    message: str


class EpochalError(Exception):
    """Something went wrong."""

    grpc_code: ClassVar[str] = "UNKNOWN"
    retryable: ClassVar[bool] = False
    default_reason: ClassVar[str] = "UNKNOWN"

    def __init__(
        self,
        message: str = "",
        *,
        reason: str = "",
        violations: Sequence[Violation] = (),
        resource: str = "",
        retry_after_s: float | None = None,
    ) -> None:
        self.message = message or (type(self).__doc__ or "").split("\n", 1)[0]
        self.reason = reason or self.default_reason
        self.violations = tuple(violations)
        self.resource = resource
        self.retry_after_s = retry_after_s
        super().__init__(self.message)


class InvalidArgument(EpochalError):
    """The request breaks a rule."""

    grpc_code = "INVALID_ARGUMENT"
    default_reason = "INVALID_ARGUMENT"


class NotFound(EpochalError):
    """There is no such resource."""

    grpc_code = "NOT_FOUND"
    default_reason = "NOT_FOUND"


class AlreadyExists(EpochalError):
    """There is one by that name already."""

    grpc_code = "ALREADY_EXISTS"
    default_reason = "ALREADY_EXISTS"


class FailedPrecondition(EpochalError):
    """The resource is not in a state that allows this."""

    grpc_code = "FAILED_PRECONDITION"
    default_reason = "FAILED_PRECONDITION"


class OutOfRange(EpochalError):
    """The request reaches past the end."""

    grpc_code = "OUT_OF_RANGE"
    default_reason = "OUT_OF_RANGE"


class Unauthenticated(EpochalError):
    """The token is missing, unknown, expired or revoked."""

    grpc_code = "UNAUTHENTICATED"
    default_reason = "UNAUTHENTICATED"


class PermissionDenied(EpochalError):
    """The caller may not do this."""

    grpc_code = "PERMISSION_DENIED"
    default_reason = "PERMISSION_DENIED"


class Aborted(EpochalError):
    """The operation was given up in favour of another."""

    grpc_code = "ABORTED"
    retryable = True
    default_reason = "ABORTED"


class VersionConflict(Aborted):
    """Another writer changed the stream first."""

    default_reason = "VERSION_CONFLICT"


class CommandMismatch(EpochalError):
    """This request_id was used before with a different request."""

    grpc_code = "INVALID_ARGUMENT"
    default_reason = "COMMAND_MISMATCH"


class ResourceExhausted(EpochalError):
    """A limit is reached."""

    grpc_code = "RESOURCE_EXHAUSTED"
    retryable = True
    default_reason = "RESOURCE_EXHAUSTED"


class Unavailable(EpochalError):
    """A part of the platform does not answer; try again."""

    grpc_code = "UNAVAILABLE"
    retryable = True
    default_reason = "UNAVAILABLE"


class DeadlineExceeded(EpochalError):
    """The deadline passed; the outcome is not known."""

    grpc_code = "DEADLINE_EXCEEDED"
    retryable = True
    default_reason = "DEADLINE_EXCEEDED"


class Unimplemented(EpochalError):
    """No such method."""

    grpc_code = "UNIMPLEMENTED"
    default_reason = "UNIMPLEMENTED"


class Internal(EpochalError):
    """The platform made a mistake; its logs say more."""

    grpc_code = "INTERNAL"
    default_reason = "INTERNAL"


class DataLoss(EpochalError):
    """Stored data is not what was written."""

    grpc_code = "DATA_LOSS"
    default_reason = "DATA_LOSS"


class LogCorrupted(DataLoss):
    """The event log has a hole, a repetition or a wrong hash."""

    default_reason = "LOG_CORRUPTED"


_BY_CODE: dict[str, type[EpochalError]] = {
    error.grpc_code: error
    for error in (
        InvalidArgument,
        NotFound,
        AlreadyExists,
        FailedPrecondition,
        OutOfRange,
        Unauthenticated,
        PermissionDenied,
        Aborted,
        ResourceExhausted,
        Unavailable,
        DeadlineExceeded,
        Unimplemented,
        Internal,
        DataLoss,
    )
}

_BY_REASON: dict[str, type[EpochalError]] = {
    error.default_reason: error for error in (VersionConflict, CommandMismatch, LogCorrupted)
}


def to_status(error: EpochalError) -> status_pb2.Status:
    """Translate an error to google.rpc.Status with typed details (AIP-193)."""
    status = status_pb2.Status(code=code_pb2.Code.Value(error.grpc_code), message=error.message)
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=ERROR_DOMAIN)
    info.metadata["retryable"] = str(error.retryable).lower()
    _attach(status, info)
    if error.violations:
        bad = error_details_pb2.BadRequest()
        for violation in error.violations:
            bad.field_violations.add(
                field=violation.field, reason=violation.rule, description=violation.message
            )
        _attach(status, bad)
    if error.resource:
        _attach(status, error_details_pb2.ResourceInfo(resource_name=error.resource))
    if error.retry_after_s is not None:
        delay = duration_pb2.Duration()
        delay.FromNanoseconds(int(error.retry_after_s * 1e9))
        _attach(status, error_details_pb2.RetryInfo(retry_delay=delay))
    return status


def from_status(status: status_pb2.Status) -> EpochalError:
    """Translate google.rpc.Status back; unknown codes become `EpochalError`."""
    reason, resource = "", ""
    violations: list[Violation] = []
    retry_after_s: float | None = None
    for detail in status.details:
        info = error_details_pb2.ErrorInfo()
        bad = error_details_pb2.BadRequest()
        about = error_details_pb2.ResourceInfo()
        retry = error_details_pb2.RetryInfo()
        if detail.Unpack(info):
            reason = info.reason
        elif detail.Unpack(bad):
            violations += [
                Violation(item.field, item.reason, item.description)
                for item in bad.field_violations
            ]
        elif detail.Unpack(about):
            resource = about.resource_name
        elif detail.Unpack(retry):
            retry_after_s = retry.retry_delay.ToNanoseconds() / 1e9
    name = code_pb2.Code.Name(status.code) if status.code in code_pb2.Code.values() else "UNKNOWN"
    kind = _BY_REASON.get(reason, EpochalError)
    if kind.grpc_code != name:
        kind = _BY_CODE.get(name, EpochalError)
    return kind(
        status.message,
        reason=reason,
        violations=violations,
        resource=resource,
        retry_after_s=retry_after_s,
    )


def _attach(
    status: status_pb2.Status,
    detail: error_details_pb2.ErrorInfo
    | error_details_pb2.BadRequest
    | error_details_pb2.ResourceInfo
    | error_details_pb2.RetryInfo,
) -> None:
    packed = any_pb2.Any()
    packed.Pack(detail)
    status.details.append(packed)
