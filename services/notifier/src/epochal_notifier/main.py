"""The notifier process: the only place that builds its parts."""

from __future__ import annotations

import httpx
import uvloop
from epochal_kernel.acts import Act
from epochal_kernel.runtime.logs import configure_logs
from epochal_kernel.runtime.service import Kernel, Parts, run_service
from epochal_proto.v1.services import NotificationService

from epochal_notifier.channels.mail import MailChannel, SmtpServer
from epochal_notifier.channels.message import Deliver
from epochal_notifier.channels.mlflow import MlflowChannel
from epochal_notifier.channels.silent import SilentChannel
from epochal_notifier.channels.slack import SlackChannel
from epochal_notifier.channels.webhook import WebhookChannel
from epochal_notifier.delivering import Deliverer
from epochal_notifier.handlers import TellReactor
from epochal_notifier.projections import READ_MODEL
from epochal_notifier.sealing import Sealer
from epochal_notifier.services.changing import Changing
from epochal_notifier.services.notifications import Notifications
from epochal_notifier.settings import NotifierSettings
from epochal_notifier.store.intents import IntentStore
from epochal_notifier.store.subscriptions import SubscriptionStore


def main() -> None:
    """Run the notifier until it is told to stop."""
    settings = NotifierSettings()
    configure_logs("notifier", settings.log_level)
    uvloop.run(run(settings))


async def run(settings: NotifierSettings) -> None:
    """Run the notifier in this event loop."""
    async with httpx.AsyncClient(
        timeout=settings.delivery_timeout_s, follow_redirects=False
    ) as client:

        async def build(kernel: Kernel) -> Parts:
            return _build(kernel, settings, client)

        await run_service(settings, READ_MODEL, "epochal_notifier", build)


def _build(kernel: Kernel, settings: NotifierSettings, client: httpx.AsyncClient) -> Parts:
    sealer = Sealer(settings.secret_key.get_secret_value())
    store = SubscriptionStore(kernel.pool)
    channels = _channels(kernel, settings, client)
    notifications = Notifications(kernel.ledger, store, sealer, kernel.progress)
    changing = Changing(kernel.ledger, store, sealer, kernel.progress, channels, kernel.clock)
    server = kernel.server
    server.unary(NotificationService.GET_SUBSCRIPTION, notifications.get_subscription)
    server.unary(NotificationService.UPDATE_SUBSCRIPTION, changing.update_subscription)
    server.unary(NotificationService.TEST_SUBSCRIPTION, changing.test_subscription)
    server.unary(NotificationService.CREATE_SUBSCRIPTION, notifications.create_subscription)
    server.unary(NotificationService.LIST_SUBSCRIPTIONS, notifications.list_subscriptions)
    server.unary(NotificationService.DELETE_SUBSCRIPTION, notifications.delete_subscription)
    server.unary(NotificationService.LIST_DELIVERIES, notifications.list_deliveries)
    deliverer = Deliverer(
        intents=IntentStore(kernel.pool),
        subscriptions=store,
        ledger=kernel.ledger,
        sealer=sealer,
        channels=channels,
        clock=kernel.clock,
        max_attempts=settings.max_attempts,
        first_retry_s=settings.first_retry_s,
        public_url=settings.public_url,
    )
    if not kernel.may(Act.NOTIFY):
        return Parts()
    return Parts(reactors=[TellReactor()], background=[deliverer.run])


def _channels(
    kernel: Kernel, settings: NotifierSettings, client: httpx.AsyncClient
) -> dict[str, Deliver]:
    if not kernel.may(Act.NOTIFY):
        return dict.fromkeys(("slack", "email", "webhook", "mlflow"), SilentChannel())
    private = settings.notify_private_hosts
    return {
        "slack": SlackChannel(client, private_allowed=private),
        "email": MailChannel(
            SmtpServer(
                settings.smtp_host,
                settings.smtp_port,
                settings.smtp_user,
                settings.smtp_password.get_secret_value(),
                settings.smtp_tls,
                settings.smtp_sender,
                settings.delivery_timeout_s,
            )
        ),
        "webhook": WebhookChannel(client, kernel.clock, private_allowed=private),
        "mlflow": MlflowChannel(client, kernel.clock, private_allowed=private),
    }


if __name__ == "__main__":
    main()
