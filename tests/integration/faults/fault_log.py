"""Appending from the test's own process, for when the service or the bus is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import epochal_proto.v1 as pb
from epochal_kernel.clock import SystemClock
from epochal_kernel.ids import SystemIds
from epochal_kernel.log.appender import Appender
from epochal_kernel.log.commands import Appended, Command, CommandContext, NewEvent, Stream
from epochal_kernel.log.subjects import Subjects
from epochal_kernel.postgres import Pool
from epochal_kernel.signals import LogSignal

IDS = SystemIds()


@asynccontextmanager
async def appending(pool: Pool) -> AsyncIterator[Appender]:
    """Run an appender."""
    appender = Appender(pool, LogSignal(), IDS, SystemClock(), Subjects(pool, SystemClock()))
    running = asyncio.create_task(appender.run())
    try:
        yield appender
    finally:
        appender.close()
        await running


def fact(tag: str, stream: UUID | None = None, value: str = "1") -> Command:
    """A command that sets one tag, its name also the command's id."""
    stream = stream or IDS.uuid7()
    command_id = UUID(tag)
    run = f"orgs/acme/projects/p/runs/{stream}"
    return Command(
        CommandContext(command_id, "acme", "users/alice", command_id, b"\0" * 32),
        Stream("telemetry", stream),
        None,
        [NewEvent(pb.TagsSet(run=run, tags={tag: value}), run)],
    )


async def facts(appender: Appender, count: int) -> list[Appended]:
    """Append some facts and return where they are."""
    return await asyncio.gather(*(appender.append(fact(str(IDS.uuid7()))) for _ in range(count)))
