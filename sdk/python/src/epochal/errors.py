"""Every error this distribution raises, one tree.

    EpochalError
    |- NotConfigured             no platform is named anywhere
    |- NoActiveRun, RunClosed    tracking without a run, or after its end
    |- InvalidArgument           bad input; carries violations (field, rule, message)
    |- NotFound, AlreadyExists, FailedPrecondition, OutOfRange, Aborted
    |- Unauthenticated, PermissionDenied
    |- ResourceExhausted, Unavailable, DeadlineExceeded
    |  `- PlatformUnreachable    nothing answers at the address (an Unavailable)
    |- Unimplemented, Internal, DataLoss
    |- DataInvalid               a dataset is not as its rules ask
    `- DataIncomplete            telemetry was dropped; raised in strict mode only

`code` is the canonical gRPC status name, `retryable` says whether the same call may succeed later.
A class docstring's first line is the default message.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import epochal_proto.v1 as pb


@dataclass(frozen=True, slots=True)
class Violation:
    """One field that breaks one rule: dotted path, name of the rule, what to do."""

    field: str
    rule: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}" if self.field else self.message


class EpochalError(Exception):
    """Something went wrong."""

    code: ClassVar[str] = "UNKNOWN"
    retryable: ClassVar[bool] = False

    def __init__(
        self,
        message: str = "",
        *,
        reason: str = "",
        violations: Sequence[Violation] = (),
        resource: str = "",
        retry_after_s: float | None = None,
        issues: Sequence[pb.SpecIssue] = (),
    ) -> None:
        self.message = message or (type(self).__doc__ or "").split("\n", 1)[0]
        self.reason = reason or self.code
        self.violations = tuple(violations)
        self.resource = resource
        self.retry_after_s = retry_after_s
        self.issues = tuple(issues)
        super().__init__(self.message)

    def __str__(self) -> str:
        return "\n".join([self.message, *(f"  {violation}" for violation in self.violations)])


class NotConfigured(EpochalError):
    """No platform found: start one with `epochal up` or set EPOCHAL_URL."""

    code = "FAILED_PRECONDITION"


class NoActiveRun(EpochalError):
    """There is no active run: call epochal.init() first."""

    code = "FAILED_PRECONDITION"


class RunClosed(EpochalError):
    """The run is finished; nothing more can be logged to it."""

    code = "FAILED_PRECONDITION"


class DataIncomplete(EpochalError):
    """Telemetry of this run was dropped; what is stored is not all that was logged."""

    code = "DATA_LOSS"


class DataInvalid(EpochalError):
    """A dataset is not as its rules ask."""

    code = "FAILED_PRECONDITION"


class InvalidArgument(EpochalError):
    """The request breaks a rule."""

    code = "INVALID_ARGUMENT"


class NotFound(EpochalError):
    """There is no such resource."""

    code = "NOT_FOUND"


class AlreadyExists(EpochalError):
    """There is one by that name already."""

    code = "ALREADY_EXISTS"


class FailedPrecondition(EpochalError):
    """The resource is not in a state that allows this."""

    code = "FAILED_PRECONDITION"


class OutOfRange(EpochalError):
    """The request reaches past the end."""

    code = "OUT_OF_RANGE"


class Unauthenticated(EpochalError):
    """The token is missing, unknown, expired or revoked: set EPOCHAL_TOKEN to a valid one."""

    code = "UNAUTHENTICATED"


class PermissionDenied(EpochalError):
    """You may not do this; ask an administrator of the project for a role that may."""

    code = "PERMISSION_DENIED"


class Aborted(EpochalError):
    """Another change came first."""

    code = "ABORTED"
    retryable = True


class ResourceExhausted(EpochalError):
    """A limit is reached."""

    code = "RESOURCE_EXHAUSTED"
    retryable = True


class Unavailable(EpochalError):
    """A part of the platform does not answer; try again."""

    code = "UNAVAILABLE"
    retryable = True


class PlatformUnreachable(Unavailable):
    """Nothing answers at the platform's address."""


class DeadlineExceeded(EpochalError):
    """The deadline passed; the outcome is not known."""

    code = "DEADLINE_EXCEEDED"
    retryable = True


class Unimplemented(EpochalError):
    """This platform does not know the method; is it older than the client?"""

    code = "UNIMPLEMENTED"


class Internal(EpochalError):
    """The platform made a mistake; its logs say more."""

    code = "INTERNAL"


class DataLoss(EpochalError):
    """Stored data is not what was written."""

    code = "DATA_LOSS"


BY_CODE: dict[str, type[EpochalError]] = {
    kind.code: kind
    for kind in (
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
"""The class that stands for each canonical status."""
