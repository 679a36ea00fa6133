"""Receivers that a test runs itself: an HTTP server that answers as told, a mail server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

import epochal_proto.v1 as pb
from epochal_notifier.channels.message import Message

PROJECT = "orgs/acme/projects/vision"
RUN = f"{PROJECT}/runs/0193a000-0000-7000-8000-000000000001"


def message(**changes: object) -> Message:
    values: dict[str, object] = {
        "delivery": f"{PROJECT}/deliveries/0193a000-0000-7000-8000-00000000000d",
        "occasion": pb.OCCASION_RUN_FAILED,
        "run": RUN,
        "title": "fit",
        "creator": "users/ann",
        "reason": "exit code 1",
        "occurred_at": datetime(2030, 1, 1, tzinfo=UTC),
        "position": 42,
        "url": "https://epochal.example/fit",
    }
    return Message(**{**values, **changes})


@dataclass(frozen=True)
class Received:
    """One request as it arrived."""

    line: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """Answers each request with the next of `answers`, the last one again and again."""

    url: str = ""
    answers: list[bytes] = field(default_factory=lambda: [answer(200)])
    received: list[Received] = field(default_factory=list)
    before_answer: Callable[[], Awaitable[object]] | None = None


def answer(status: int, *headers: str, body: bytes = b"") -> bytes:
    lines = [f"HTTP/1.1 {status} X", *headers, f"content-length: {len(body)}", "connection: close"]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


@asynccontextmanager
async def http_receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    serving: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving.add(task)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = dict(line.lower().split(": ", 1) for line in head[1:] if ": " in line)
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            exact = dict(line.split(": ", 1) for line in head[1:] if ": " in line)
            receiver.received.append(
                Received(head[0], {name.lower(): value for name, value in exact.items()}, body)
            )
            if receiver.before_answer is not None:
                await receiver.before_answer()
            place = min(len(receiver.received), len(receiver.answers)) - 1
            writer.write(receiver.answers[place])
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            serving.discard(task)
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    receiver.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
    try:
        yield receiver
    finally:
        server.close()
        for task in list(serving):
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)
