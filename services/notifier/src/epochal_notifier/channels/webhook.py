"""Signed webhooks: JSON by POST, HMAC-SHA256 over time and body.

    Epochal-Signature: t=UNIX_SECONDS,v1=HEX     HEX = HMAC(secret, "UNIX_SECONDS." + body)
    Idempotency-Key:   the delivery's name, the same for every attempt

Receivers recompute the signature, refuse old times, and keep the key to skip repetitions.
"""

from __future__ import annotations

import hashlib
import hmac
import json

import epochal_proto.v1 as pb
import httpx
from epochal_kernel.clock import Clock

from epochal_notifier.channels.message import Message
from epochal_notifier.channels.posting import post
from epochal_notifier.domain.delivery import Attempt


class WebhookChannel:
    """Delivers by HTTP POST."""

    def __init__(self, client: httpx.AsyncClient, clock: Clock, *, private_allowed: bool) -> None:
        self._client = client
        self._clock = clock
        self._private_allowed = private_allowed

    async def __call__(self, channel: pb.Channel, message: Message) -> Attempt:
        """Make one attempt."""
        url, body = channel.webhook.url, body_of(message)
        now = int(self._clock.now().timestamp())
        headers = {
            "content-type": "application/json",
            "user-agent": "Epochal-Webhook/1",
            "idempotency-key": message.delivery,
            "epochal-event": message.type,
            "epochal-signature": signature(channel.webhook.secret, now, body),
        }
        return await post(self._client, url, body, headers, private_allowed=self._private_allowed)


def body_of(message: Message) -> bytes:
    """Return the JSON body."""
    content = {
        "type": message.type,
        "delivery": message.delivery,
        "project": message.project,
        "run": message.run,
        "title": message.title,
        "creator": message.creator,
        "reason": message.reason,
        "time": message.occurred_at.isoformat(),
        "position": message.position,
        "url": message.url,
    }
    return json.dumps(content, ensure_ascii=False, sort_keys=True).encode()


def signature(secret: str, unix_s: int, body: bytes) -> str:
    """Return the value of the Epochal-Signature header."""
    mac = hmac.new(secret.encode(), f"{unix_s}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={unix_s},v1={mac}"
