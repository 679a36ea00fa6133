"""Ask a program of the platform whether it is ready, and what is wrong when it is not.

Spoken by hand: an HTTP client library would cost the supervisor more start-up time than the servers
need.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass

from epochal_embedded.servers.ports import LOOPBACK

_DEADLINE_S = 2.0
_LONGEST_ANSWER_BYTES = 64 * 1024
_REQUEST = b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Answer:
    """What `/readyz` said."""

    ready: bool
    problems: str


async def probe(port: int) -> Answer:
    """Return the answer of `GET /readyz` on a loopback port; no answer is an answer too."""
    try:
        async with asyncio.timeout(_DEADLINE_S):
            reader, writer = await asyncio.open_connection(LOOPBACK, port)
            try:
                writer.write(_REQUEST)
                answer = await reader.read(_LONGEST_ANSWER_BYTES)
                while more := await reader.read(_LONGEST_ANSWER_BYTES - len(answer)):
                    answer += more
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return Answer(ready=False, problems="it does not answer its probe")
    head, _, body = answer.partition(b"\r\n\r\n")
    status = head.split(b" ", 2)[1:2]
    if status == [b"200"]:
        return Answer(ready=True, problems="")
    return Answer(ready=False, problems=_problems(body))


def probe_all(ports: Sequence[int]) -> list[Answer]:
    """Probe many ports at once, for a caller without an event loop."""

    async def gathered() -> list[Answer]:
        return await asyncio.gather(*(probe(port) for port in ports))

    return asyncio.run(gathered())


def _problems(body: bytes) -> str:
    """Return the problems a service names, as "part: what is wrong"."""
    try:
        found = json.loads(body)["problems"]
        return "; ".join(f"{part}: {problem}" for part, problem in found.items())
    except (ValueError, KeyError, TypeError, AttributeError):
        return "it is not ready and does not say why"
