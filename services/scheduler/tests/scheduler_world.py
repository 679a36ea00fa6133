"""The scheduler and an agent as real processes, with a tracker that only seals."""

import asyncio
import json
from collections import defaultdict
from contextlib import asynccontextmanager

import epochal_proto.v1 as pb
import nats
import zstandard
from epochal_kernel.bus import TELEMETRY, Bus, StreamSpec
from epochal_kernel.clock import SystemClock
from epochal_kernel.errors import DeadlineExceeded, Unavailable
from epochal_kernel.ids import SystemIds
from epochal_kernel.log.appender import Appender
from epochal_kernel.log.commands import Command, NewEvent, Stream
from epochal_kernel.log.events import EventCodec
from epochal_kernel.log.reader import LogReader
from epochal_kernel.log.subjects import Subjects
from epochal_kernel.postgres import connect
from epochal_kernel.rpc.client import RpcClient
from epochal_kernel.rpc.context import CallContext
from epochal_kernel.rpc.server import RpcServer
from epochal_kernel.signals import LogSignal
from epochal_kernel.telemetry import Telemetry
from epochal_proto.v1.services import RunService, TrackingService
from epochal_scheduler.projections import run_id_of
from epochal_testing.processes import python_process
from epochal_testing.waiting import until

PARENT = "orgs/acme/projects/vision"


def spec(code, more=""):
    return (
        "version: 1.1\nkind: component\nname: test\n"
        "run:\n  kind: job\n  container:\n    command: [python, -c]\n"
        f"    args: [{json.dumps(code)}]\n{more}"
    ).encode()


class World:
    """What a test does to the platform, and sees of it."""

    def __init__(self, database, nats_url, folder):
        self.database, self.nats_url, self.folder = database, nats_url, folder
        self.environment = {
            "EPOCHAL_DATABASE_URL": database,
            "EPOCHAL_NATS_URL": nats_url,
            "EPOCHAL_DATA_DIR": str(folder),
            "EPOCHAL_RUN_TOKEN_SECRET": "secret",
            "EPOCHAL_AGENT_LEASE_S": "3",
            "EPOCHAL_HEARTBEAT_HOLD_S": "0.3",
            "EPOCHAL_RETRY_FIRST_S": "0.05",
            "EPOCHAL_STOP_GRACE_S": "1",
            "EPOCHAL_LOG_LEVEL": "debug",
        }
        self.ids = SystemIds()
        self.seals = True
        self.lines = defaultdict(list)

    @asynccontextmanager
    async def scheduler(self, **more):
        arguments = ("-m", "epochal_scheduler.main")
        async with python_process(*arguments, environment=self.environment, **more) as process:
            yield process

    @asynccontextmanager
    async def agent(self, **more):
        arguments = ("-m", "epochal_scheduler.agent.main")
        async with python_process(*arguments, environment=self.environment, **more) as process:
            yield process

    def context(self, timeout_s=3.0):
        context = CallContext("users/alice", "acme", self.ids.uuid7(), self.ids)
        context.timeout_s = timeout_s
        return context

    async def call(self, method, request):
        """Calls, again while nobody answers."""

        async def answered():
            try:
                return await self.client.call(method, request, self.context())
            except (Unavailable, DeadlineExceeded) as error:
                raise AssertionError(error.message) from error

        return await until(answered, 20)

    async def submit(self, code, more="", **fields):
        request = pb.CreateRunRequest(
            parent=PARENT, spec=spec(code, more), request_id=str(self.ids.uuid7()), **fields
        )
        return await self.call(RunService.CREATE_RUN, request)

    async def events(self, run):
        return [
            await self.codec.decode_payload(record.type, record.payload, record.position)
            async for record in self.reader.stream("run", run_id_of(run))
        ]

    async def names(self, run):
        return [type(event).__name__.removeprefix("Run") for event in await self.events(run)]

    async def until_event(self, run, kind, timeout_s=20.0):
        """Waits for an event of a kind and returns it."""

        async def found():
            events = await self.events(run)
            assert any(isinstance(event, kind) for event in events), await self.names(run)
            return next(event for event in events if isinstance(event, kind))

        return await until(found, timeout_s)

    async def _telemetry_fact(self, run, event):
        context = self.context().command(event)
        command = Command(
            context, Stream("telemetry", self.ids.uuid7()), None, [NewEvent(event, run)]
        )
        await self.appender.append(command)

    async def _open(self, request, context):
        opened = pb.ProducerOpened(run=request.run, producer=request.producer, epoch=1)
        await self._telemetry_fact(request.run, opened)
        return pb.ProducerCursor(run=request.run, producer=request.producer, epoch=1)

    async def _seal(self, request, context):
        if not self.seals:
            raise Unavailable("not today")
        sealed = pb.TelemetrySealed(
            run=request.run, producer=request.producer, last_batch=request.last_batch
        )
        await self._telemetry_fact(request.run, sealed)
        return pb.ProducerCursor(run=request.run, producer=request.producer, sealed=True)

    async def _record(self, request, context):
        return pb.RecordCaptureResponse()

    def also(self, server):
        """Has the tracker answer more calls, where a test needs it."""

    async def _read_logs(self):
        client = await nats.connect(self.nats_url)
        try:
            subscription = await client.jetstream().subscribe(
                "tel.v1.logs.*", ordered_consumer=True
            )
            async for message in subscription.messages:
                batch = pb.TelemetryBatch.FromString(message.data)
                lines = pb.LogLines.FromString(batch.payload)
                block = pb.LogBlock.FromString(zstandard.decompress(lines.block))
                self.lines[batch.run] += [line.text for line in block.lines]
        finally:
            await client.close()

    @asynccontextmanager
    async def open(self):
        async with asyncio.TaskGroup() as tasks:
            bus = Bus(self.nats_url, "test")
            running = [tasks.create_task(bus.run())]
            await bus.wait_connected(10)
            await bus.ensure_stream(StreamSpec(TELEMETRY, ("tel.v1.>",), 1 << 28))
            pool = await connect(self.database, name="test")
            self.pool = pool
            self.client, subjects = RpcClient(bus), Subjects(pool, SystemClock())
            self.codec = EventCodec(subjects)
            self.reader = LogReader(pool)
            self.appender = Appender(pool, LogSignal(), self.ids, SystemClock(), subjects)
            server = RpcServer("tracker", "0.1.0", self.ids, Telemetry("tracker", "0"))
            server.unary(TrackingService.OPEN_PRODUCER, self._open)
            server.unary(TrackingService.SEAL_PRODUCER, self._seal)
            server.unary(TrackingService.RECORD_CAPTURE, self._record)
            self.also(server)
            running.append(tasks.create_task(self.appender.run()))
            running.append(tasks.create_task(self._read_logs()))
            serving = tasks.create_task(server.run(bus))
            await until(lambda: server.serving)
            try:
                yield self
            finally:
                serving.cancel()
                await asyncio.wait({serving})
                for task in running:
                    task.cancel()
                await asyncio.wait(running)
                await pool.close()
