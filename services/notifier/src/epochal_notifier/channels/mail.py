"""Mail: text and HTML in one message, through the platform's SMTP server."""

from __future__ import annotations

from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import format_datetime

import aiosmtplib
import epochal_proto.v1 as pb
from jinja2 import Environment, PackageLoader, select_autoescape

from epochal_notifier.channels.message import Message
from epochal_notifier.domain.delivery import Attempt

_templates = Environment(
    loader=PackageLoader("epochal_notifier"), autoescape=select_autoescape(["html"])
)


@dataclass(frozen=True, slots=True)
class SmtpServer:
    """The mail server; `tls` is "starttls", "tls" or "none"."""

    host: str
    port: int
    user: str
    password: str
    tls: str
    sender: str
    timeout_s: float


class MailChannel:
    """Delivers by SMTP."""

    def __init__(self, server: SmtpServer) -> None:
        self._server = server

    async def __call__(self, channel: pb.Channel, message: Message) -> Attempt:
        """Make one attempt; a 5xx reply of the server is permanent."""
        server = self._server
        if not server.host:
            return Attempt(False, True, "this platform has no mail server: set EPOCHAL_SMTP_HOST")
        try:
            await aiosmtplib.send(
                mail_of(message, server.sender, list(channel.email.to)),
                hostname=server.host,
                port=server.port,
                username=server.user or None,
                password=server.password or None,
                use_tls=server.tls == "tls",
                start_tls=server.tls == "starttls",
                timeout=server.timeout_s,
            )
        except aiosmtplib.SMTPResponseException as error:
            return Attempt(
                False, 500 <= error.code < 600, f"SMTP {error.code} {error.message}"[:500]
            )
        except aiosmtplib.SMTPRecipientsRefused as error:
            codes = [refused.code for refused in error.recipients]
            said = ", ".join(f"{one.recipient}: SMTP {one.code}" for one in error.recipients)
            return Attempt(False, all(500 <= code < 600 for code in codes), said[:500])
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            return Attempt(False, False, f"{type(error).__name__}: {error}"[:500])
        return Attempt(True, False, "accepted by the mail server")


def mail_of(message: Message, sender: str, to: list[str]) -> EmailMessage:
    """Return the mail; its Message-ID is made of the delivery, so repetitions can be told."""
    mail = EmailMessage()
    mail["From"] = sender
    mail["To"] = ", ".join(to)
    mail["Subject"] = " ".join(message.headline.split())
    mail["Date"] = format_datetime(message.occurred_at)
    mail["Message-ID"] = f"<{message.delivery.rpartition('/')[2]}@epochal>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(_templates.get_template("mail.txt").render(message=message))
    mail.add_alternative(
        _templates.get_template("mail.html").render(message=message), subtype="html"
    )
    return mail
