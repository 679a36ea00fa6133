"""Sealing of channels: secrets are in the log only encrypted (Fernet: AES-128-CBC, HMAC-SHA256)."""

from __future__ import annotations

import base64

import epochal_proto.v1 as pb
from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from epochal_kernel.errors import DataLoss


class Sealer:
    """Seals and opens channels with a key derived from the platform's secret (HKDF-SHA256)."""

    def __init__(self, secret: str) -> None:
        if not secret:
            raise ValueError("EPOCHAL_SECRET_KEY must not be empty")
        key = HKDF(hashes.SHA256(), 32, salt=None, info=b"epochal notifier channels").derive(
            secret.encode()
        )
        self._fernet = Fernet(base64.urlsafe_b64encode(key))

    def seal(self, channel: pb.Channel) -> bytes:
        """Encrypt a channel."""
        return self._fernet.encrypt(channel.SerializeToString())

    def open(self, sealed: bytes) -> pb.Channel:
        """Decrypt a channel.

        Raises:
            DataLoss: it was sealed with another key.
        """
        try:
            return pb.Channel.FromString(self._fernet.decrypt(sealed))
        except InvalidToken as error:
            raise DataLoss(
                "a channel was sealed with another EPOCHAL_SECRET_KEY: set the old key again, or "
                "make the subscription anew"
            ) from error


def without_secrets(channel: pb.Channel) -> pb.Channel:
    """Return a channel as answers show it."""
    shown = pb.Channel()
    shown.CopyFrom(channel)
    if shown.WhichOneof("kind") == "slack":
        scheme, _, rest = shown.slack.url.partition("://")
        shown.slack.url = f"{scheme}://{rest.split('/', 1)[0]}/..."
    elif shown.WhichOneof("kind") == "webhook":
        shown.webhook.secret = ""
    elif shown.WhichOneof("kind") == "mlflow":
        shown.mlflow.secret = ""
    return shown


def with_secret_of(channel: pb.Channel, known: pb.Channel) -> pb.Channel:
    """Return a channel that keeps the secret that was known, when it has none and is alike."""
    kept = pb.Channel()
    kept.CopyFrom(channel)
    kind = channel.WhichOneof("kind")
    if kind == known.WhichOneof("kind"):
        if kind == "webhook" and not channel.webhook.secret:
            kept.webhook.secret = known.webhook.secret
        elif kind == "mlflow" and not channel.mlflow.secret:
            kept.mlflow.secret = known.mlflow.secret
    return kept
