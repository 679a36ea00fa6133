"""`epochal notifications`: who is told of what."""

from __future__ import annotations

import secrets
from enum import StrEnum
from typing import Annotated, Final

import epochal_proto.v1 as pb
import typer
from epochal_proto.v1.services import NotificationService

from epochal.cli.output import Column, Output, errors_console, show_list, show_one, when
from epochal.cli.session import LimitOption, OutputOption, ProjectOption, session
from epochal.errors import InvalidArgument
from epochal.names import last_part

app = typer.Typer(no_args_is_help=True, help="Notifications: subscriptions and deliveries.")


class When(StrEnum):
    """Occasions."""

    succeeded = "succeeded"
    failed = "failed"
    crashed = "crashed"
    stopped = "stopped"
    alert_raised = "alert-raised"
    alert_resolved = "alert-resolved"
    stage_changed = "stage-changed"
    promotion_waiting = "promotion-waiting"
    promotion_refused = "promotion-refused"
    promoted = "promoted"
    promotion_rejected = "promotion-rejected"
    emergency = "emergency"
    reviewed = "reviewed"
    rolled_back = "rolled-back"


_OCCASIONS: Final = {
    When.succeeded: pb.OCCASION_RUN_SUCCEEDED,
    When.failed: pb.OCCASION_RUN_FAILED,
    When.crashed: pb.OCCASION_RUN_CRASHED,
    When.stopped: pb.OCCASION_RUN_STOPPED,
    When.alert_raised: pb.OCCASION_ALERT_RAISED,
    When.alert_resolved: pb.OCCASION_ALERT_RESOLVED,
    When.stage_changed: pb.OCCASION_MODEL_STAGE_CHANGED,
    When.promotion_waiting: pb.OCCASION_PROMOTION_WAITING,
    When.promotion_refused: pb.OCCASION_PROMOTION_REFUSED,
    When.promoted: pb.OCCASION_PROMOTION_COMPLETED,
    When.promotion_rejected: pb.OCCASION_PROMOTION_REJECTED,
    When.emergency: pb.OCCASION_PROMOTION_EMERGENCY,
    When.reviewed: pb.OCCASION_PROMOTION_REVIEWED,
    When.rolled_back: pb.OCCASION_MODEL_ROLLED_BACK,
}

_FIELDS = [
    Column[pb.Subscription]("ID", lambda each: last_part(each.name), "dim"),
    Column[pb.Subscription]("NAME", lambda each: each.display_name, "bold"),
    Column[pb.Subscription]("WHERE TO", lambda each: _target(each.channel)),
    Column[pb.Subscription]("WHEN", lambda each: " ".join(map(_word, each.occasions))),
    Column[pb.Subscription]("CREATED", lambda each: when(each.create_time)),
]

_DELIVERY = [
    Column[pb.Delivery]("ID", lambda each: last_part(each.name), "dim"),
    Column[pb.Delivery]("WHEN", lambda each: when(each.create_time)),
    Column[pb.Delivery]("ON", lambda each: _word(each.occasion)),
    Column[pb.Delivery]("RUN", lambda each: last_part(each.run)[:13]),
    Column[pb.Delivery](
        "STATE", lambda each: pb.DeliveryState.Name(each.state).removeprefix("DELIVERY_STATE_")
    ),
    Column[pb.Delivery]("ATTEMPTS", lambda each: str(each.attempts), right=True),
    Column[pb.Delivery]("OUTCOME", lambda each: each.last_outcome),
]


WholeOption = Annotated[
    bool, typer.Option("--org", help="Of the organisation: told of all its projects.")
]


@app.command("ls")
def list_subscriptions(
    org: WholeOption = False,
    project: ProjectOption = "",
    limit: LimitOption = 50,
    output: OutputOption = Output.table,
) -> None:
    """List the subscriptions of a project, or of the organisation, without their secrets.

    For example:

        epochal notifications ls -o json

        epochal notifications ls --org
    """
    with session(project) as opened:
        found = opened.paged(
            NotificationService.LIST_SUBSCRIPTIONS,
            pb.ListSubscriptionsRequest(parent=opened.org if org else opened.project),
            lambda page: page.subscriptions,
            limit,
        )
        show_list(found, _FIELDS, output, "no subscriptions")


@app.command("create")
def create_subscription(
    name: Annotated[str, typer.Argument(help="Name for people.")],
    slack: Annotated[str, typer.Option(help="URL of a Slack incoming webhook.")] = "",
    email: Annotated[list[str] | None, typer.Option(help="A recipient; again for more.")] = None,
    webhook: Annotated[str, typer.Option(help="URL to POST signed JSON to.")] = "",
    secret: Annotated[str, typer.Option(help="Signing key of the webhook; made if left out.")] = "",
    on: Annotated[
        list[When] | None, typer.Option("--on", help="Occasion; again for more. All but stopped.")
    ] = None,
    org: WholeOption = False,
    project: ProjectOption = "",
    output: OutputOption = Output.table,
) -> None:
    """Be told when runs end.

    For example:

        epochal notifications create team --slack https://hooks.slack.com/services/T/B/X

        epochal notifications create me --email me@example.org --on failed --on crashed

        epochal notifications create ci --webhook https://ci.example.org/hook

        epochal notifications create oncall --org --email oncall@example.org --on crashed
    """
    if sum(map(bool, (slack, email, webhook))) != 1:
        raise InvalidArgument("give one of --slack, --email and --webhook")
    made_up = bool(webhook and not secret)
    secret = secret or secrets.token_urlsafe(32)
    if slack:
        channel = pb.Channel(slack=pb.SlackChannel(url=slack))
    elif email:
        channel = pb.Channel(email=pb.EmailChannel(to=email))
    else:
        channel = pb.Channel(webhook=pb.WebhookChannel(url=webhook, secret=secret))
    occasions = on or [When.succeeded, When.failed, When.crashed]
    with session(project) as opened:
        request = pb.CreateSubscriptionRequest(
            parent=opened.org if org else opened.project,
            display_name=name,
            channel=channel,
            occasions=[_OCCASIONS[each] for each in dict.fromkeys(occasions)],
        )
        made = opened.client.call(NotificationService.CREATE_SUBSCRIPTION, request)
    show_one(made, _FIELDS, output)
    if made_up:
        errors_console().print(
            f"signing key, not shown again: {secret}", highlight=False, soft_wrap=True
        )


@app.command("rm")
def remove_subscription(
    subscription: Annotated[str, typer.Argument(help="Its id.")],
    org: WholeOption = False,
    project: ProjectOption = "",
) -> None:
    """Delete a subscription.

    For example:

        epochal notifications rm 0190f5c8-0000-7000-8000-000000000001
    """
    with session(project) as opened:
        bare = "/" not in subscription
        parent = opened.org if org else opened.project
        name = f"{parent}/subscriptions/{subscription}" if bare else subscription
        request = pb.DeleteSubscriptionRequest(name=name)
        opened.client.call(NotificationService.DELETE_SUBSCRIPTION, request)
    errors_console().print(f"{subscription} is deleted", highlight=False)


@app.command("deliveries")
def list_deliveries(
    project: ProjectOption = "", limit: LimitOption = 50, output: OutputOption = Output.table
) -> None:
    """List what was sent, newest first, with its attempts.

    For example:

        epochal notifications deliveries -n 10
    """
    with session(project) as opened:
        found = opened.paged(
            NotificationService.LIST_DELIVERIES,
            pb.ListDeliveriesRequest(parent=opened.project),
            lambda page: page.deliveries,
            limit,
        )
        show_list(found, _DELIVERY, output, "nothing was sent yet")


def _target(channel: pb.Channel) -> str:
    match channel.WhichOneof("kind"):
        case "slack":
            return f"slack {channel.slack.url}"
        case "email":
            return f"mail {' '.join(channel.email.to)}"
        case "webhook":
            return f"webhook {channel.webhook.url}"
        case "mlflow":
            return f"mlflow webhook {channel.mlflow.url}"
        case _:
            return ""


def _word(occasion: pb.Occasion) -> str:
    name = pb.Occasion.Name(occasion).removeprefix("OCCASION_").removeprefix("RUN_")
    return name.lower().replace("_", "-")
