"""From a bearer secret to an identity.

Two kinds of secrets: `epo_...` is looked up by its sha256; `epr_PAYLOAD.MAC` belongs to one run and
proves itself by an HMAC that only scheduler and gateway can make, so that starting a run writes no
token anywhere.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from dataclasses import dataclass, field

from epochal_kernel.clock import Clock
from epochal_kernel.errors import Unauthenticated

from epochal_gateway.identity.directory import Directory

TOKEN_PREFIX = "epo_"
RUN_TOKEN_PREFIX = "epr_"


@dataclass(frozen=True, slots=True)
class Identity:
    """Who is calling.

    Attributes:
        actor: "users/alice" or "runs/UUID".
        token: resource name of the token, or of the run.
        scopes: permissions the token is limited to; empty means no limit.
        run: full name of the run, for a run's token.
    """

    actor: str
    token: str
    scopes: frozenset[str] = field(default_factory=frozenset)
    run: str = ""


class Authenticator:
    """Checks secrets."""

    def __init__(self, directory: Directory, run_token_secret: str, clock: Clock) -> None:
        self._directory = directory
        self._key = run_token_secret.encode()
        self._clock = clock

    def identify(self, authorization: str) -> Identity:
        """Return who an Authorization header belongs to.

        Raises:
            Unauthenticated: missing, malformed, unknown, expired or revoked.
        """
        scheme, _, secret = authorization.strip().partition(" ")
        if not secret or scheme.lower() != "bearer":
            raise Unauthenticated(
                "send a token: header 'Authorization: Bearer SECRET'; clients take it from "
                "EPOCHAL_TOKEN, MLflow's from MLFLOW_TRACKING_TOKEN",
                reason="TOKEN_MISSING",
            )
        secret = secret.strip()
        if secret.startswith(RUN_TOKEN_PREFIX):
            return self._run(secret)
        known = self._directory.token(hashlib.sha256(secret.encode()).digest())
        if known is None:
            raise Unauthenticated("this token is not known", reason="TOKEN_UNKNOWN")
        if known.row.revoked:
            raise Unauthenticated("this token was revoked", reason="TOKEN_REVOKED")
        if known.row.expire_time is not None and known.row.expire_time <= self._clock.now():
            raise Unauthenticated("this token has expired", reason="TOKEN_EXPIRED")
        return Identity(known.row.username, known.row.name, known.scopes)

    def _run(self, secret: str) -> Identity:
        payload, _, mac = secret.removeprefix(RUN_TOKEN_PREFIX).partition(".")
        expected = hmac.new(self._key, payload.encode(), hashlib.sha256).digest()
        try:
            given = _decode(mac)
            if not self._key or not hmac.compare_digest(given, expected):
                raise Unauthenticated("this run token is not genuine", reason="TOKEN_UNKNOWN")
            claims = json.loads(_decode(payload))
            run, expires = str(claims["run"]), float(claims["exp"])
        except (binascii.Error, ValueError, KeyError, TypeError) as error:
            raise Unauthenticated("this run token is malformed", reason="TOKEN_UNKNOWN") from error
        if expires <= self._clock.now().timestamp():
            raise Unauthenticated("this run token has expired", reason="TOKEN_EXPIRED")
        return Identity(f"runs/{run.rsplit('/', 1)[-1]}", run, run=run)


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
