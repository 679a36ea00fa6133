"""The toy service as a real process, a load on it, and the invariants that must hold after."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import epochal_proto.v1 as pb
from epochal_kernel.bus import Bus
from epochal_kernel.errors import DeadlineExceeded, NotFound, Unavailable
from epochal_kernel.ids import Position, SystemIds
from epochal_kernel.log.events import EventRecord
from epochal_kernel.log.reader import LogReader, verify
from epochal_kernel.postgres import Pool, connect
from epochal_kernel.relay import control_stream, current_epoch
from epochal_kernel.rpc.client import RpcClient
from epochal_kernel.rpc.context import CallContext
from epochal_proto.v1.services import MaintenanceService, TrackingService
from epochal_testing.processes import PythonProcess, python_process
from epochal_testing.waiting import until
from nats.js.errors import NotFoundError

HOST = str(Path(__file__).parent / "fault_toy" / "host.py")
PROJECT = "orgs/acme/projects/p"
STREAMS = 6
CALL_S = 2.0
RECOVERY_S = 30.0


@dataclass
class World:
    """What a fault test does to the service, and sees of it."""

    database: str
    nats_url: str
    pool: Pool
    bus: Bus
    client: RpcClient
    ids: SystemIds = field(default_factory=SystemIds)
    streams: list[UUID] = field(default_factory=list)
    #: command_id of every acknowledged command, with the position it was told.
    acknowledged: dict[str, int] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        return {"EPOCHAL_DATABASE_URL": self.database, "EPOCHAL_NATS_URL": self.nats_url}

    @asynccontextmanager
    async def host(
        self, failpoints: Mapping[str, str] | None = None
    ) -> AsyncIterator[PythonProcess]:
        """Run the toy service."""
        async with python_process(
            HOST, environment=self.environment, failpoints=failpoints
        ) as process:
            try:
                yield process
            except BaseException:
                print(process.output[-20_000:])  # pytest shows it with the failure
                raise

    def context(self) -> CallContext:
        context = CallContext("users/alice", "acme", self.ids.uuid7(), self.ids)
        context.timeout_s = CALL_S
        return context

    async def set_tag(self, command_id: str, stream: UUID, tag: str = "") -> int:
        """Send one command until it is acknowledged, always with the same id."""
        request = pb.SetTagsRequest(
            run=f"{PROJECT}/runs/{stream}", tags={tag or command_id: "1"}, request_id=command_id
        )

        async def answered() -> CallContext:
            context = self.context()
            try:
                await self.client.call(TrackingService.SET_TAGS, request, context)
            except (Unavailable, DeadlineExceeded) as error:
                raise AssertionError(error.message) from error
            return context

        position = (await until(answered, RECOVERY_S)).position
        self.acknowledged[command_id] = position
        return position

    async def load(self, commands: int, writers: int = 8) -> None:
        """Send many commands from several writers over a few streams."""
        queue = [str(self.ids.uuid7()) for _ in range(commands)]

        async def write() -> None:
            while queue:
                command_id = queue.pop()
                await self.set_tag(command_id, self.streams[UUID(command_id).int % STREAMS])

        await asyncio.gather(*(write() for _ in range(writers)))

    async def load_while(self, going_on: Callable[[], bool], writers: int = 8) -> None:
        """Send commands for as long as something goes on, then until each is acknowledged."""

        async def write() -> None:
            while going_on():
                command_id = str(self.ids.uuid7())
                await self.set_tag(command_id, self.streams[UUID(command_id).int % STREAMS])

        await asyncio.gather(*(write() for _ in range(writers)))

    async def records(self) -> list[EventRecord]:
        """Read the whole log; the reader asserts that positions are contiguous."""
        return await LogReader(self.pool).page(Position(0), limit=1_000_000)

    async def check(self) -> None:
        """Check every invariant; the service must be running."""
        head = (await LogReader(self.pool).head()).position
        await self.check_log()
        await self.check_control_stream(head)
        await self.check_read_model(head)

    async def check_log(self) -> None:
        records = await self.records()
        versions: Counter[UUID] = Counter()
        seen: dict[str, list[int]] = {}
        for record in records:
            versions[record.stream_id] += 1
            assert record.version == versions[record.stream_id]
            for tag in pb.TagsSet.FromString(record.payload).tags:
                seen.setdefault(tag, []).append(record.position)
        for command_id, position in self.acknowledged.items():
            assert seen.get(command_id) == [position], f"command {command_id}"
        assert all(len(positions) == 1 for positions in seen.values())
        steps = [step async for step in verify(self.pool)]
        assert (steps[-1].bad, steps[-1].checked) == (None, len(records))

    async def check_control_stream(self, head: int) -> None:
        """Check that what is in the CONTROL stream is the log, sequence for position."""
        name = control_stream(await current_epoch(self.pool))
        jetstream = self.bus.jetstream

        async def complete() -> bool:
            try:
                return (await jetstream.stream_info(name)).state.last_seq >= head
            except NotFoundError as error:
                raise AssertionError(f"there is no stream {name}") from error

        await until(complete, RECOVERY_S, what=f"{name} reaching {head}")
        state = (await jetstream.stream_info(name)).state
        assert state.last_seq == head
        for record in await self.records():
            try:
                message = await jetstream.get_msg(name, record.position)
            except NotFoundError:
                continue  # a test deleted it; the consumer has it from PostgreSQL
            assert message.data is not None
            assert EventRecord.from_envelope(pb.EventEnvelope.FromString(message.data)) == record

    async def check_read_model(self, head: int) -> None:
        """Check that the read model is level, equals a rebuild, and has one intent an event."""

        async def level() -> bool:
            return await self.pool.fetchval("SELECT position FROM toy_rm_1.checkpoint") == head

        await until(level, RECOVERY_S, what=f"the read model reaching {head}")
        answer = await self.rebuilt()
        assert answer.target == head
        for table in answer.tables:
            assert (table.live_rows, table.live_digest) == (
                table.rebuilt_rows,
                table.rebuilt_digest,
            )
        intents = [row[0] for row in await self.pool.fetch("SELECT position FROM toy.intent")]
        assert sorted(intents) == list(range(1, head + 1))

    async def rebuilt(self) -> pb.ReplayLogResponse:
        """Ask the service to rebuild its read model beside the live one."""

        async def answered() -> pb.ReplayLogResponse:
            request = pb.ReplayReadModelsRequest()
            method = MaintenanceService.REPLAY_READ_MODELS
            try:
                stream = self.client.stream(method, request, self.context(), "toy")
                return [answer async for answer in stream][-1]
            except (Unavailable, NotFound) as error:
                raise AssertionError(error.message) from error

        answer = await until(answered, RECOVERY_S)
        assert answer.done
        return answer


@asynccontextmanager
async def open_world(database: str, nats_url: str) -> AsyncIterator[World]:
    """Connect a test to its database and bus."""
    pool = await connect(database, name="fault-tests", max_size=4)
    bus = Bus(nats_url, "fault-tests")
    running = asyncio.create_task(bus.run())
    await bus.wait_connected(10)
    world = World(database, nats_url, pool, bus, RpcClient(bus))
    world.streams = [world.ids.uuid7() for _ in range(STREAMS)]
    try:
        yield world
    finally:
        running.cancel()
        await asyncio.wait({running})
        await pool.close()
