"""The protocol, on one page.

Request: subject `rpc.v1.SERVICE.METHOD`, body the request message, headers below.
Unary answer: body the response message and `epochal-position` if something was appended; or, for
an error, `Nats-Service-Error(-Code)` as nats.micro wants it and google.rpc.Status as the body.
Stream answer: messages with `epochal-stream: item` in order on the reply subject, the last with
`end` or an error. The first message is `open` and names a subject for the caller's grants: the
server sends at most `WINDOW` items beyond what was granted. Both sides are heard of at least every
`KEEPALIVE_S`; after three times that, the other is taken for gone.
"""

from __future__ import annotations

from typing import Final

from epochal_proto.method import AnyMethod
from google.protobuf.message import DecodeError
from google.rpc import status_pb2

from epochal_kernel.errors import EpochalError, Internal, from_status

ACTOR: Final = "epochal-actor"
ORG: Final = "epochal-org"
ROLE: Final = "epochal-role"
CORRELATION: Final = "epochal-correlation"
MIN_POSITION: Final = "epochal-min-position"
TIMEOUT_MS: Final = "epochal-timeout-ms"
TRACEPARENT: Final = "traceparent"
POSITION: Final = "epochal-position"
STREAM: Final = "epochal-stream"
GRANTS: Final = "epochal-grants"
ERROR: Final = "Nats-Service-Error"
ERROR_CODE: Final = "Nats-Service-Error-Code"

WINDOW: Final = 32
KEEPALIVE_S: Final = 5.0
GONE_S: Final = 3 * KEEPALIVE_S


def subject(method: AnyMethod, owner: str = "") -> str:
    """Return the subject of a method; `owner` tells services apart that all serve it."""
    service = method.service.rsplit(".", 1)[-1]
    suffix = f".{owner}" if method.policy.owner == "each" else ""
    return f"rpc.v1.{service}.{method.name}{suffix}"


def decode_error(body: bytes, description: str) -> EpochalError:
    """Rebuild the error of an answer."""
    try:
        status = status_pb2.Status.FromString(body)
    except DecodeError:
        return Internal(description)
    return from_status(status) if status.code else Internal(description)
