"""Slack incoming webhooks, as Block Kit."""

from __future__ import annotations

import aiohttp
import epochal_proto.v1 as pb
from slack_sdk.errors import SlackClientError
from slack_sdk.models.blocks import (
    Block,
    ContextBlock,
    HeaderBlock,
    MarkdownTextObject,
    SectionBlock,
)
from slack_sdk.webhook.async_client import AsyncWebhookClient

from epochal_notifier.channels.hosts import HostRefused, check_host
from epochal_notifier.channels.message import Message
from epochal_notifier.channels.webhook import attempt_of
from epochal_notifier.domain.delivery import Attempt

_SIGNS = {
    pb.OCCASION_RUN_SUCCEEDED: ":white_check_mark:",
    pb.OCCASION_RUN_FAILED: ":x:",
    pb.OCCASION_RUN_CRASHED: ":boom:",
    pb.OCCASION_RUN_STOPPED: ":octagonal_sign:",
}


class SlackChannel:
    """Delivers to an incoming webhook."""

    def __init__(self, timeout_s: float, *, private_allowed: bool) -> None:
        self._timeout_s = timeout_s
        self._private_allowed = private_allowed

    async def __call__(self, channel: pb.Channel, message: Message) -> Attempt:
        """Make one attempt."""
        url = channel.slack.url
        try:
            await check_host(url, private_allowed=self._private_allowed)
            client = AsyncWebhookClient(url, timeout=max(1, int(self._timeout_s)))
            response = await client.send(text=message.headline, blocks=blocks_of(message))
        except HostRefused as error:
            return Attempt(delivered=False, permanent=True, outcome=str(error))
        except (aiohttp.ClientError, SlackClientError, TimeoutError, OSError) as error:
            return Attempt(False, False, f"{type(error).__name__}: {error}"[:500])
        headers = {name.lower(): value for name, value in response.headers.items()}
        return attempt_of(response.status_code, str(headers.get("retry-after", "")))


def blocks_of(message: Message) -> list[Block]:
    """Return the message as blocks; texts are escaped and cut to Slack's limits."""
    sign = _SIGNS[message.occasion]  # type: ignore[index]  # an enum is an int at run time
    facts = [f"*Project* {_escape(message.project)}", f"*By* {_escape(message.creator)}"]
    blocks: list[Block] = [HeaderBlock(text=message.headline[:150])]
    text = f"{sign} *{_escape(message.title)}* {message.verb}"
    if message.reason:
        text += f"\n```{_escape(message.reason)[:2000]}```"
    blocks.append(SectionBlock(text=MarkdownTextObject(text=text[:3000])))
    if message.url:
        facts.append(f"<{message.url}|open>")
    blocks.append(ContextBlock(elements=[MarkdownTextObject(text=" · ".join(facts)[:3000])]))
    return blocks


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
