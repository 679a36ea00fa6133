"""Who calls: MLflow's two ways to send a secret, both of them our tokens."""

from __future__ import annotations

import base64
import binascii

from starlette.requests import Request

from epochal_gateway.doors.dispatch import Caller
from epochal_gateway.doors.rest_door import caller_of
from epochal_gateway.identity.authentication import Identity


def caller(request: Request) -> Caller:
    """Return the caller of a request.

    `MLFLOW_TRACKING_TOKEN` arrives as a bearer token. `MLFLOW_TRACKING_PASSWORD`, or the password
    in the tracking URI, arrives by HTTP's basic scheme (RFC 7617): it is the token, whatever the
    user's name is.
    """
    plain = caller_of(request)
    scheme, _, secret = plain.authorization.strip().partition(" ")
    if scheme.lower() != "basic":
        return plain
    try:
        pair = base64.b64decode(secret.strip(), validate=True).decode()
    except (binascii.Error, ValueError):
        pair = ""
    return Caller(
        authorization=f"Bearer {pair.partition(':')[2]}",
        min_position=plain.min_position,
        timeout_s=plain.timeout_s,
        traceparent=plain.traceparent,
    )


def organization(identity: Identity) -> str:
    """Return the organisation that a token belongs to: what its holder sees through this door."""
    return "/".join(identity.token.split("/", 2)[:2])
