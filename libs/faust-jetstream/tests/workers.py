"""Counting workers as child processes, and messages for them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from faust_jetstream.broker import Broker, Limits, Storage
from faust_jetstream.places import KEY, partition_of

PROGRAM = Path(__file__).with_name("counting.py")
PARTITIONS = 4
DEADLINE_S = 60.0


@dataclass
class Worker:
    """A worker's process and what it has said."""

    process: asyncio.subprocess.Process
    seen: Counter[tuple[str, int]] = field(default_factory=Counter)
    tables: dict[str, dict[str, int]] = field(default_factory=dict)

    async def line(self) -> str:
        """Read what it says next; empty at its end."""
        assert self.process.stdout is not None
        async with asyncio.timeout(DEADLINE_S):
            text = (await self.process.stdout.readline()).decode().strip()
        word, _, rest = text.partition(" ")
        if word == "SEEN":
            key, value = rest.split()
            self.seen[key, int(value)] += 1
        elif word == "TABLES":
            self.tables = json.loads(rest)
        return text

    async def until(self, word: str) -> None:
        """Read until it says something."""
        while True:
            text = await self.line()
            assert text, f"ended before it said {word}"
            if text.startswith(word):
                return

    async def until_seen(self, count: int) -> None:
        """Read until it has seen so many different messages."""
        while len(self.seen) < count:
            assert await self.line(), f"ended with {len(self.seen)} of {count} seen"

    async def end(self) -> int:
        """Stop it in good order; return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return await self.gone()

    async def gone(self) -> int:
        """Read to its end; return its exit code."""
        while await self.line():
            pass
        return await self.process.wait()


@asynccontextmanager
async def worker(
    url: str, folder: Path, app_id: str, number: int = 0, of: int = 1, kill_after: int = 0
) -> AsyncIterator[Worker]:
    """Run a worker; it is killed at the end if it still runs."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(PROGRAM),
        f"{url}?storage=memory",
        app_id,
        str(number),
        str(of),
        str(kill_after),
        env={**os.environ, "FAUST_DATADIR": str(folder)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield Worker(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@asynccontextmanager
async def broker_at(url: str) -> AsyncIterator[Broker]:
    """A broker's client that knows the topic of the workers."""
    broker = Broker(url, Storage.MEMORY, Limits())
    await broker.ensure("numbers", PARTITIONS, compacted=False)
    try:
        yield broker
    finally:
        await broker.close()


async def send(broker: Broker, values: Sequence[int]) -> dict[str, int]:
    """Send numbers under seven keys; return their sums by key."""
    jetstream = await broker.jetstream()
    sums: Counter[str] = Counter()
    for value in values:
        key = f"k{value % 7}"
        partition = partition_of(key.encode(), PARTITIONS)
        subject = broker.subject("numbers", partition, key.encode())
        headers = {KEY: key.encode().hex()}
        await jetstream.publish(subject, str(value).encode(), headers=headers)
        sums[key] += value
    return dict(sums)
