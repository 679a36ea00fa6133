"""Webhooks of the registry: subscriptions of the notifier that tell of models in MLflow's format.

Those of a caller who may make subscriptions of the organisation are the organisation's, and hear of
the models of all its projects, later ones too. Those of others belong to the default project, where
models are made, and hear of its models: nobody hears of what they may not see.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Final
from uuid import UUID

import epochal_proto.v1 as pb
from epochal_kernel.errors import NotFound, PermissionDenied
from epochal_proto.v1.services import NotificationService

from epochal_gateway.doors.mlflow import experiments, paging
from epochal_gateway.doors.mlflow.errors import MlflowError, no_such
from epochal_gateway.doors.mlflow.names import DEFAULT_ID
from epochal_gateway.doors.mlflow.reading import Fields
from epochal_gateway.doors.mlflow.routing import MlflowRoute, Variables
from epochal_gateway.doors.mlflow.session import Session
from epochal_gateway.doors.mlflow.writing import JsonObject, milliseconds

DEFAULT_RESULTS: Final = 100
MOST_RESULTS: Final = 1_000
NAME_CHARS: Final = 200

_NAME = re.compile(r"[A-Za-z0-9][\w.\-]*\Z", re.ASCII)
_OCCASIONS: Final = {
    ("REGISTERED_MODEL", "CREATED"): pb.OCCASION_MODEL_CREATED,
    ("MODEL_VERSION", "CREATED"): pb.OCCASION_MODEL_VERSION_CREATED,
    ("MODEL_VERSION_TAG", "SET"): pb.OCCASION_MODEL_VERSION_TAG_SET,
    ("MODEL_VERSION_TAG", "DELETED"): pb.OCCASION_MODEL_VERSION_TAG_DELETED,
    ("MODEL_VERSION_ALIAS", "CREATED"): pb.OCCASION_MODEL_ALIAS_SET,
    ("MODEL_VERSION_ALIAS", "DELETED"): pb.OCCASION_MODEL_ALIAS_DELETED,
    ("PROMPT", "CREATED"): pb.OCCASION_PROMPT_CREATED,
    ("PROMPT_VERSION", "CREATED"): pb.OCCASION_PROMPT_VERSION_CREATED,
    ("PROMPT_TAG", "SET"): pb.OCCASION_PROMPT_TAG_SET,
    ("PROMPT_TAG", "DELETED"): pb.OCCASION_PROMPT_TAG_DELETED,
    ("PROMPT_VERSION_TAG", "SET"): pb.OCCASION_PROMPT_VERSION_TAG_SET,
    ("PROMPT_VERSION_TAG", "DELETED"): pb.OCCASION_PROMPT_VERSION_TAG_DELETED,
    ("PROMPT_ALIAS", "CREATED"): pb.OCCASION_PROMPT_ALIAS_SET,
    ("PROMPT_ALIAS", "DELETED"): pb.OCCASION_PROMPT_ALIAS_DELETED,
}
_EVENTS: Final = {occasion: event for event, occasion in _OCCASIONS.items()}


def message(webhook: pb.Subscription) -> JsonObject:
    """Return a subscription as a webhook of MLflow's."""
    return {
        "webhook_id": webhook.name.rpartition("/")[2],
        "name": webhook.display_name,
        "description": webhook.description,
        "url": webhook.channel.mlflow.url,
        "events": [
            {"entity": _EVENTS[one][0], "action": _EVENTS[one][1]}
            for one in webhook.occasions
            if one in _EVENTS
        ],
        "status": "DISABLED" if webhook.paused else "ACTIVE",
        "creation_timestamp": milliseconds(webhook.create_time),
        "last_updated_timestamp": milliseconds(webhook.update_time),
    }


async def create(session: Session, fields: Fields) -> JsonObject:
    """Make a webhook."""
    channel = pb.Channel(
        mlflow=pb.MlflowChannel(
            url=_url(fields.required("url")), secret=fields.text("secret", limit=1_000)
        )
    )
    request = pb.CreateSubscriptionRequest(
        parent=(await _homes(session))[0],
        display_name=_name(fields.required("name", limit=NAME_CHARS)),
        channel=channel,
        occasions=_occasions(fields),
        description=fields.text("description", limit=1_000),
        paused=_paused(fields),
    )
    made = await session.call(NotificationService.CREATE_SUBSCRIPTION, request)
    return {"webhook": message(made)}


async def list_webhooks(session: Session, fields: Fields) -> JsonObject:
    """List webhooks."""
    size = paging.max_results(fields, DEFAULT_RESULTS, MOST_RESULTS)
    place, _, token = fields.text("page_token").partition(":")
    homes = await _homes(session)
    if place not in ("", *homes):
        raise MlflowError("Invalid page token: it is not one that was given out")
    found: list[JsonObject] = []
    for home in homes[homes.index(place) if place else 0 :]:
        while True:
            request = pb.ListSubscriptionsRequest(
                parent=home, page_size=size - len(found), page_token=token
            )
            answer = await session.call(NotificationService.LIST_SUBSCRIPTIONS, request)
            found += [message(one) for one in answer.subscriptions if _is_webhook(one)]
            token = answer.next_page_token
            if len(found) == size:
                following = f"{home}:{token}" if token else _after(homes, home)
                more = {"next_page_token": following} if following else {}
                return {"webhooks": found, **more}
            if not token:
                break
    return {"webhooks": found}


async def get(session: Session, _: Fields, variables: Variables) -> JsonObject:
    """Read a webhook."""
    return {"webhook": message(await _find(session, variables["webhook_id"]))}


async def update(session: Session, fields: Fields, variables: Variables) -> JsonObject:
    """Change a webhook: what is given, the rest stays."""
    known = await _find(session, variables["webhook_id"])
    request = pb.UpdateSubscriptionRequest(
        name=known.name,
        display_name=known.display_name,
        occasions=known.occasions,
        description=known.description,
        paused=_paused(fields) if fields.has("status") else known.paused,
    )
    if fields.has("name"):
        request.display_name = _name(fields.required("name", limit=NAME_CHARS))
    if fields.has("description"):
        request.description = fields.text("description", limit=1_000)
    if fields.objects("events"):
        del request.occasions[:]
        request.occasions.extend(_occasions(fields))
    if fields.has("url") or fields.has("secret"):
        url = _url(fields.required("url")) if fields.has("url") else known.channel.mlflow.url
        secret = fields.text("secret", limit=1_000)
        request.channel.mlflow.CopyFrom(pb.MlflowChannel(url=url, secret=secret))
    changed = await session.call(NotificationService.UPDATE_SUBSCRIPTION, request)
    return {"webhook": message(changed)}


async def delete(session: Session, _: Fields, variables: Variables) -> JsonObject:
    """Delete a webhook."""
    known = await _find(session, variables["webhook_id"])
    request = pb.DeleteSubscriptionRequest(name=known.name)
    await session.call(NotificationService.DELETE_SUBSCRIPTION, request)
    return {}


async def test(session: Session, fields: Fields, variables: Variables) -> JsonObject:
    """Tell a webhook of something that did not happen, and answer what came of it."""
    known = await _find(session, variables["webhook_id"])
    request = pb.TestSubscriptionRequest(name=known.name)
    if fields.has("event"):
        request.occasion = _occasion(fields.child("event"))
    answer = await session.call(NotificationService.TEST_SUBSCRIPTION, request)
    result: dict[str, object] = {"success": answer.delivered}
    status = re.fullmatch(r"HTTP (\d+)", answer.outcome)
    if status is not None:
        result["response_status"] = int(status[1])
    if not answer.delivered:
        result["error_message"] = answer.outcome
    return {"result": result}


async def _homes(session: Session) -> list[str]:
    """Return where the caller's webhooks may be: the first is where new ones go."""
    default = (await experiments.find(session, DEFAULT_ID)).name
    try:
        session.check("notification.write", session.org, write=True)
    except PermissionDenied:
        return [default]
    return [session.org, default]


def _after(homes: list[str], home: str) -> str:
    following = homes[homes.index(home) + 1 :]
    return f"{following[0]}:" if following else ""


def _is_webhook(subscription: pb.Subscription) -> bool:
    return subscription.channel.HasField("mlflow")


async def _find(session: Session, webhook_id: str) -> pb.Subscription:
    missing = no_such(f"Webhook with ID {webhook_id} not found.")
    try:
        uid = UUID(webhook_id)
    except ValueError:
        raise missing from None
    for home in await _homes(session):
        request = pb.GetSubscriptionRequest(name=f"{home}/subscriptions/{uid}")
        with suppress(NotFound):
            found = await session.call(NotificationService.GET_SUBSCRIPTION, request)
            if _is_webhook(found):
                return found
    raise missing


def _url(url: str) -> str:
    if not url.startswith(("http://", "https://")):
        raise MlflowError(f"Invalid webhook URL: {url[:300]!r}: it begins with https:// or http://")
    return url


def _name(name: str) -> str:
    if _NAME.match(name) is None:
        raise MlflowError(
            f"Webhook name '{name}' is invalid: letters, digits, underscores, dots and dashes, "
            "the first a letter or digit"
        )
    return name


def _paused(fields: Fields) -> bool:
    status = fields.text("status") or "ACTIVE"
    if status not in ("ACTIVE", "DISABLED"):
        raise MlflowError(f"Invalid value {status} for parameter 'status' supplied.")
    return status == "DISABLED"


def _occasions(fields: Fields) -> list[pb.Occasion]:
    found = [_occasion(one) for one in fields.objects("events")]
    if not found:
        raise MlflowError("Webhook events cannot be empty: name at least one")
    return list(dict.fromkeys(found))


def _occasion(fields: Fields) -> pb.Occasion:
    event = (fields.required("entity"), fields.required("action"))
    if event not in _OCCASIONS:
        known = sorted(f"{entity}.{action}".lower() for entity, action in _OCCASIONS)
        raise MlflowError(
            f"Invalid webhook event {'.'.join(event).lower()!r}. Valid ones are {known}"
        )
    return _OCCASIONS[event]


def routes() -> list[MlflowRoute]:
    """Return the routes of webhooks."""
    one = "webhooks/{webhook_id}"
    return [
        MlflowRoute("POST", "webhooks", create),
        MlflowRoute("GET", "webhooks", list_webhooks),
        MlflowRoute("GET", one, path_handler=get),
        MlflowRoute("PATCH", one, path_handler=update),
        MlflowRoute("DELETE", one, path_handler=delete),
        MlflowRoute("POST", f"{one}/test", path_handler=test),
    ]
