"""Tokens of scheduled runs: stateless, good for one run, made here and verified by the gateway.

`epr_PAYLOAD.MAC`, both base64url without padding; PAYLOAD is JSON `{run, attempt, exp}`, MAC is
HMAC-SHA256 (RFC 2104) over PAYLOAD's text with the shared secret.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json

PREFIX = "epr_"


def mint_run_token(secret: str, run: str, attempt: int, expires_s: int) -> str:
    """Returns a token for one attempt of a run; empty when there is no secret.

    Args:
        secret: shared with the gateway.
        run: resource name.
        attempt: from 1.
        expires_s: seconds since 1970.
    """
    if not secret:
        return ""
    claims = {"attempt": attempt, "exp": expires_s, "run": run}
    payload = _encode(json.dumps(claims, separators=(",", ":"), sort_keys=True).encode())
    mac = hmac.new(secret.encode(), payload.encode(), hashlib.sha256).digest()
    return f"{PREFIX}{payload}.{_encode(mac)}"


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
