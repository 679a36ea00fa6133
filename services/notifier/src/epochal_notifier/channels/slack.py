"""Slack incoming webhooks, as Block Kit."""

from __future__ import annotations

import json
from typing import Final

import epochal_proto.v1 as pb
import httpx
from slack_sdk.models.blocks import (
    Block,
    ContextBlock,
    HeaderBlock,
    MarkdownTextObject,
    SectionBlock,
)

from epochal_notifier.channels.message import Message
from epochal_notifier.channels.posting import post
from epochal_notifier.domain.delivery import Attempt

_ENTITIES: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}

_SIGNS = {
    pb.OCCASION_RUN_SUCCEEDED: ":white_check_mark:",
    pb.OCCASION_RUN_FAILED: ":x:",
    pb.OCCASION_RUN_CRASHED: ":boom:",
    pb.OCCASION_RUN_STOPPED: ":octagonal_sign:",
    pb.OCCASION_ALERT_RAISED: ":rotating_light:",
    pb.OCCASION_ALERT_RESOLVED: ":large_green_circle:",
}


class SlackChannel:
    """Delivers to an incoming webhook."""

    def __init__(self, client: httpx.AsyncClient, *, private_allowed: bool) -> None:
        self._client = client
        self._private_allowed = private_allowed

    async def __call__(self, channel: pb.Channel, message: Message) -> Attempt:
        """Make one attempt."""
        # Not by slack-sdk's own client: that follows redirects.
        return await post(
            self._client,
            channel.slack.url,
            body_of(message),
            {"content-type": "application/json"},
            private_allowed=self._private_allowed,
        )


def body_of(message: Message) -> bytes:
    """Return the JSON body: blocks, and a text for clients that show none."""
    content = {
        "text": _escaped(message.headline, 1_000),
        "blocks": [block.to_dict() for block in blocks_of(message)],
    }
    return json.dumps(content, ensure_ascii=False).encode()


def blocks_of(message: Message) -> list[Block]:
    """Return the message as blocks; texts are escaped and cut to Slack's limits."""
    sign = _SIGNS[message.occasion]  # type: ignore[index]  # an enum is an int at run time
    text = f"{sign} *{_escaped(message.title, 600)}* {message.verb}"
    if message.reason:
        text += f"\n```{_escaped(message.reason.replace('```', chr(39) * 3), 2_000)}```"
    facts = [
        f"*Project* {_escaped(message.project, 500)}",
        f"*By* {_escaped(message.creator, 500)}",
    ]
    if message.url:
        facts.append(f"<{message.url}|open>")
    return [
        HeaderBlock(text=message.headline[:150]),
        SectionBlock(text=MarkdownTextObject(text=text)),
        ContextBlock(elements=[MarkdownTextObject(text=" · ".join(facts))]),
    ]


def _escaped(text: str, limit: int) -> str:
    """Return a text as mrkdwn takes it, of at most `limit` characters, no entity cut in half."""
    parts: list[str] = []
    for character in text:
        part = _ENTITIES.get(character, character)
        limit -= len(part)
        if limit < 0:
            break
        parts.append(part)
    return "".join(parts)
