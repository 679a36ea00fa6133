"""What the kernel's tests stand on: a migrated log, an appender that runs, commands to append."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

import epochal_proto.v1 as pb
from epochal_kernel.clock import SystemClock
from epochal_kernel.ids import SystemIds, Version
from epochal_kernel.log.appender import Appender
from epochal_kernel.log.commands import Command, CommandContext, NewEvent, Stream
from epochal_kernel.log.events import EventCodec
from epochal_kernel.log.ledger import Ledger
from epochal_kernel.log.reader import LogReader
from epochal_kernel.log.subjects import Subjects
from epochal_kernel.migrations import migrate
from epochal_kernel.postgres import Pool, connect
from epochal_kernel.signals import LogSignal

IDS = SystemIds()


@dataclass
class LogWorld:
    """A log in a database of its own."""

    pool: Pool
    appender: Appender
    ledger: Ledger
    reader: LogReader
    signal: LogSignal


@asynccontextmanager
async def log_world(url: str) -> AsyncIterator[LogWorld]:
    """Open a log and run its appender."""
    pool = await connect(url, name="kernel-tests", max_size=6)
    async with pool.acquire() as connection:
        await migrate(connection, "log", "epochal_kernel.log")
    signal = LogSignal()
    subjects = Subjects(pool, SystemClock())
    appender = Appender(pool, signal, IDS, SystemClock(), subjects)
    running = asyncio.create_task(appender.run())
    try:
        yield LogWorld(
            pool, appender, Ledger(pool, appender, EventCodec(subjects)), LogReader(pool), signal
        )
    finally:
        appender.close()
        await running
        await pool.close()


def context(command_id: UUID | None = None, request: bytes = b"\0" * 32) -> CommandContext:
    """A command context, its id made up unless given."""
    command_id = command_id or IDS.uuid7()
    return CommandContext(command_id, "acme", "users/alice", command_id, request)


def tags(run: UUID, name: str = "n", value: str = "v") -> pb.TagsSet:
    """An event small enough to make many of."""
    return pb.TagsSet(run=f"orgs/acme/projects/p/runs/{run}", tags={name: value})


def command(
    stream_id: UUID,
    expected: int | None = None,
    *,
    events: Sequence[pb.TagsSet] | None = None,
    of: CommandContext | None = None,
) -> Command:
    """A command that sets tags."""
    events = events if events is not None else [tags(stream_id)]
    return Command(
        of or context(),
        Stream("telemetry", stream_id),
        None if expected is None else Version(expected),
        [NewEvent(event, event.run) for event in events],
    )
