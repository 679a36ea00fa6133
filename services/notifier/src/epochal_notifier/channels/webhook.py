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

from epochal_notifier.channels.hosts import HostRefused, check_host
from epochal_notifier.channels.message import Message
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
        try:
            await check_host(url, private_allowed=self._private_allowed)
            response = await self._client.post(url, content=body, headers=headers)
        except HostRefused as error:
            return Attempt(delivered=False, permanent=True, outcome=str(error))
        except httpx.HTTPError as error:
            return Attempt(False, False, f"{type(error).__name__}: {error}"[:500])
        return attempt_of(response.status_code, response.headers.get("retry-after", ""))


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


def attempt_of(status: int, retry_after: str) -> Attempt:
    """Judge an HTTP status: 2xx delivered; 4xx permanent but for 408, 425 and 429."""
    if 200 <= status < 300:
        return Attempt(True, False, f"HTTP {status}")
    permanent = 300 <= status < 500 and status not in (408, 425, 429)
    wait = float(retry_after) if retry_after.isdigit() else None
    return Attempt(False, permanent, f"HTTP {status}", wait)
