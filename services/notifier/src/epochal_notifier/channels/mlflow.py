"""Webhooks as MLflow's registry sends them.

    X-MLflow-Signature:   v1,BASE64       HMAC-SHA256(secret, "DELIVERY_ID.UNIX_SECONDS." + body)
    X-MLflow-Delivery-Id: UUID            the same for every attempt
    X-MLflow-Timestamp:   UNIX_SECONDS

Source: mlflow/webhooks/delivery.py of MLflow 3.17.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json

import epochal_proto.v1 as pb
import httpx
from epochal_kernel.clock import Clock

from epochal_notifier.channels.message import Message
from epochal_notifier.channels.posting import post
from epochal_notifier.domain.delivery import Attempt
from epochal_notifier.registry_news import EVENTS, OF_MODELS


class MlflowChannel:
    """Delivers what happens to models by HTTP POST."""

    def __init__(self, client: httpx.AsyncClient, clock: Clock, *, private_allowed: bool) -> None:
        self._client = client
        self._clock = clock
        self._private_allowed = private_allowed

    async def __call__(self, channel: pb.Channel, message: Message) -> Attempt:
        """Make one attempt."""
        if message.occasion not in OF_MODELS:
            return Attempt(False, True, "MLflow's webhooks tell of the registry only")
        body = body_of(message)
        delivery_id = message.delivery.rpartition("/")[2]
        now = str(int(self._clock.now().timestamp()))
        headers = {
            "content-type": "application/json",
            "user-agent": "Epochal-Webhook/1",
            "x-mlflow-delivery-id": delivery_id,
            "x-mlflow-timestamp": now,
        }
        secret = channel.mlflow.secret
        if secret:
            headers["x-mlflow-signature"] = signature(secret, delivery_id, now, body)
        return await post(
            self._client, channel.mlflow.url, body, headers, private_allowed=self._private_allowed
        )


def body_of(message: Message) -> bytes:
    """Return the JSON body; what MLflow has no word for has ours: "promotion" is "waiting"."""
    entity, action = EVENTS.get(message.occasion) or message.type.split(".")
    content = {
        "entity": entity,
        "action": action,
        "timestamp": message.occurred_at.isoformat(),
        "data": json.loads(message.data),
    }
    return json.dumps(content).encode()


def signature(secret: str, delivery_id: str, unix_s: str, body: bytes) -> str:
    """Return the value of the X-MLflow-Signature header."""
    signed = f"{delivery_id}.{unix_s}.".encode() + body
    mac = hmac.new(secret.encode(), signed, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(mac).decode()}"
