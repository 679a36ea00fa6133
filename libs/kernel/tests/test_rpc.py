from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import epochal_proto.v1 as pb
import pytest
import pytest_asyncio
from epochal_embedded.servers import NatsServer
from epochal_kernel.bus import Bus
from epochal_kernel.errors import (
    DeadlineExceeded,
    EpochalError,
    FailedPrecondition,
    Internal,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    Unavailable,
    Violation,
)
from epochal_kernel.rpc import wire
from epochal_kernel.rpc.client import RpcClient
from epochal_kernel.rpc.context import CallContext
from epochal_kernel.rpc.server import RpcServer
from epochal_kernel.telemetry import Telemetry
from epochal_proto.v1.services import MaintenanceService, TrackingService
from epochal_testing.waiting import until
from kernel_toy import on_bus
from kernel_world import IDS

SET, TAIL = TrackingService.SET_TAGS, TrackingService.TAIL_LOG_LINES
RUN = "orgs/acme/projects/p/runs/0192f0c0-0000-7000-8000-000000000000"


def context(timeout_s: float = 5.0, min_position: int = 0) -> CallContext:
    return CallContext(
        "users/alice",
        "acme",
        IDS.uuid7(),
        IDS,
        traceparent="00-11111111111111111111111111111111-2222222222222222-01",
        min_position=min_position,
        timeout_s=timeout_s,
    )


@pytest_asyncio.fixture(loop_scope="session")
async def bus(nats_url: str) -> AsyncIterator[Bus]:
    async with on_bus(nats_url) as opened:
        yield opened


class Handlers:
    """Answers as told, and notes what it was asked."""

    def __init__(self) -> None:
        self.contexts: list[CallContext] = []
        self.error: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.count = 10
        self.produced = 0
        self.closed = 0
        self.running = 0

    async def set_tags(
        self, request: pb.SetTagsRequest, context: CallContext
    ) -> pb.SetTagsResponse:
        self.contexts.append(context)
        self.running += 1
        try:
            await self.gate.wait()
        finally:
            self.running -= 1
        if self.error is not None:
            raise self.error
        context.wrote(41)
        context.wrote(40)
        return pb.SetTagsResponse()

    async def tail(
        self, request: pb.TailLogLinesRequest, context: CallContext
    ) -> AsyncIterator[pb.ListLogLinesResponse]:
        try:
            for number in range(self.count):
                self.produced += 1
                yield pb.ListLogLinesResponse(next_page_token=str(number))
            await self.gate.wait()
            if self.error is not None:
                raise self.error
        finally:
            self.closed += 1


@asynccontextmanager
async def serving(bus: Bus, handlers: Handlers) -> AsyncIterator[RpcServer]:
    server = RpcServer("tracker", "1.2.3", IDS, Telemetry("tracker", "1.2.3"))
    server.unary(SET, handlers.set_tags)
    server.stream(TAIL, handlers.tail)
    task = asyncio.create_task(server.run(bus))
    await until(lambda: server.serving)
    try:
        yield server
    finally:
        task.cancel()
        await asyncio.wait({task})


@pytest_asyncio.fixture(loop_scope="session")
async def handlers(bus: Bus) -> AsyncIterator[Handlers]:
    made = Handlers()
    async with serving(bus, made):
        yield made
        made.gate.set()


async def set_tags(bus: Bus, of: CallContext | None = None) -> CallContext:
    of = of or context()
    await RpcClient(bus).call(SET, pb.SetTagsRequest(run=RUN, tags={"a": "b"}), of)
    return of


async def tokens(bus: Bus) -> list[str]:
    stream = RpcClient(bus).stream(TAIL, pb.TailLogLinesRequest(run=RUN), context())
    return [answer.next_page_token async for answer in stream]


async def test_a_call_carries_who_and_why_and_brings_back_where(
    bus: Bus, handlers: Handlers
) -> None:
    sent = await set_tags(bus, context(min_position=7, timeout_s=2.5))
    assert sent.position == 41
    got = handlers.contexts[0]
    assert (got.actor, got.org_id, got.min_position, got.timeout_s) == (
        "users/alice",
        "acme",
        7,
        2.5,
    )
    assert (got.correlation_id, got.traceparent) == (sent.correlation_id, sent.traceparent)


async def test_an_error_arrives_as_it_was_raised(bus: Bus, handlers: Handlers) -> None:
    handlers.error = FailedPrecondition(
        "no\r\nway: ünïcode",
        reason="NO_WAY",
        violations=[Violation("tags.a", "rule", "do other")],
        resource=RUN,
        retry_after_s=1.5,
    )
    with pytest.raises(FailedPrecondition) as caught:
        await set_tags(bus)
    error = caught.value
    assert (error.message, error.reason, error.violations, error.resource, error.retry_after_s) == (
        "no\r\nway: ünïcode",
        "NO_WAY",
        (Violation("tags.a", "rule", "do other"),),
        RUN,
        1.5,
    )


async def test_a_mistake_of_a_handler_is_one_error_to_one_caller(
    bus: Bus, handlers: Handlers
) -> None:
    handlers.error = KeyError("secret")
    sent = context()
    with pytest.raises(Internal, match=str(sent.correlation_id)) as caught:
        await set_tags(bus, sent)
    assert "secret" not in caught.value.message
    handlers.error = None
    await set_tags(bus)


async def test_a_handler_is_ended_at_the_deadline(bus: Bus, handlers: Handlers) -> None:
    handlers.gate.clear()
    with pytest.raises(DeadlineExceeded):
        await set_tags(bus, context(timeout_s=0.05))
    await until(lambda: handlers.contexts != [] and handlers.running == 0)


async def test_more_calls_than_the_limit_are_refused_at_once(
    bus: Bus, handlers: Handlers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("epochal_kernel.rpc.server.MAX_CALLS", 3)
    handlers.gate.clear()
    calls = [asyncio.create_task(set_tags(bus)) for _ in range(3)]
    await until(lambda: handlers.running == 3)
    with pytest.raises(ResourceExhausted, match="3 calls already") as caught:
        await set_tags(bus)
    assert caught.value.retryable
    handlers.gate.set()
    await asyncio.gather(*calls)


async def test_more_streams_than_the_limit_are_refused_at_once(
    bus: Bus, handlers: Handlers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("epochal_kernel.rpc.server.MAX_STREAMS", 0)
    with pytest.raises(ResourceExhausted, match="0 streams"):
        await tokens(bus)
    assert handlers.produced == 0


async def test_a_body_that_is_no_message_is_refused(bus: Bus, handlers: Handlers) -> None:
    with pytest.raises(InvalidArgument, match="SetTagsRequest"):
        await RpcClient(bus).call_raw(SET, b"\xff\xff", context())
    assert handlers.contexts == []


async def test_headers_that_are_no_numbers_are_refused(bus: Bus, handlers: Handlers) -> None:
    answer = await bus.client.request(
        wire.subject(SET), b"", timeout=5, headers={wire.MIN_POSITION: "x"}
    )
    assert answer.headers is not None
    error = wire.decode_error(answer.data, answer.headers[wire.ERROR])
    assert isinstance(error, InvalidArgument)


async def test_an_answer_too_large_for_a_message_says_what_to_do(
    bus: Bus, handlers: Handlers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("epochal_kernel.rpc.server.MAX_PAYLOAD_BYTES", 4095)
    with pytest.raises(ResourceExhausted, match="smaller page"):
        await set_tags(bus)


async def test_a_stream_arrives_whole_and_in_order(bus: Bus, handlers: Handlers) -> None:
    handlers.count = 500
    assert await tokens(bus) == [str(number) for number in range(500)]
    assert handlers.closed == 1


async def test_a_stream_that_fails_delivers_what_came_before(bus: Bus, handlers: Handlers) -> None:
    handlers.error = NotFound("gone", resource=RUN)
    stream = RpcClient(bus).stream(TAIL, pb.TailLogLinesRequest(run=RUN), context())
    got = []
    with pytest.raises(NotFound, match="gone"):  # noqa: PT012 - what came before is looked at
        async for answer in stream:
            got.append(answer)
    assert len(got) == 10


async def test_a_slow_caller_bounds_what_is_produced(bus: Bus, handlers: Handlers) -> None:
    handlers.count = 10_000
    stream = aiter(RpcClient(bus).stream(TAIL, pb.TailLogLinesRequest(run=RUN), context()))
    for taken in range(1, 101):
        await anext(stream)
        # What was granted, the window beyond it, and the one that waits for credit.
        assert handlers.produced <= taken + wire.WINDOW + 1
    await until(lambda: handlers.produced >= 100)
    await stream.aclose()
    await until(lambda: handlers.closed == 1)
    assert handlers.produced <= 100 + wire.WINDOW + 1


async def test_a_caller_that_goes_away_stops_the_generator(
    bus: Bus, handlers: Handlers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("epochal_kernel.rpc.wire.KEEPALIVE_S", 0.05)
    handlers.gate.clear()  # nothing more comes
    stream = aiter(RpcClient(bus).stream(TAIL, pb.TailLogLinesRequest(run=RUN), context()))
    await anext(stream)
    await stream.aclose()
    await until(lambda: handlers.closed == 1)


async def test_a_caller_that_died_stops_the_generator(
    bus: Bus, handlers: Handlers, nats_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("epochal_kernel.rpc.wire.KEEPALIVE_S", 0.05)
    monkeypatch.setattr("epochal_kernel.rpc.wire.GONE_S", 0.2)
    handlers.gate.clear()
    async with on_bus(nats_url) as dying:
        stream = aiter(RpcClient(dying).stream(TAIL, pb.TailLogLinesRequest(run=RUN), context()))
        await anext(stream)
        await dying.client.close()  # says nothing to the server
        await until(lambda: handlers.closed == 1)
        await stream.aclose()


async def test_an_idle_stream_stays_open(
    bus: Bus, handlers: Handlers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("epochal_kernel.rpc.wire.KEEPALIVE_S", 0.05)
    monkeypatch.setattr("epochal_kernel.rpc.wire.GONE_S", 0.3)
    handlers.gate.clear()
    reading = asyncio.create_task(tokens(bus))
    await asyncio.wait({reading}, timeout=0.8)
    assert not reading.done()
    handlers.gate.set()
    assert len(await reading) == 10


async def test_a_caller_busy_with_one_item_keeps_its_stream(
    bus: Bus, handlers: Handlers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its reader may be a terminal that was paused: it is slow, not gone."""
    monkeypatch.setattr("epochal_kernel.rpc.wire.KEEPALIVE_S", 0.05)
    monkeypatch.setattr("epochal_kernel.rpc.wire.GONE_S", 0.3)
    handlers.count = 200
    stream = aiter(RpcClient(bus).stream(TAIL, pb.TailLogLinesRequest(run=RUN), context()))
    await anext(stream)
    await asyncio.wait({asyncio.create_task(asyncio.Event().wait())}, timeout=0.8)
    assert len([item async for item in stream]) == 199


async def test_a_stream_whose_server_went_silent_is_lost(
    bus: Bus, nats_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("epochal_kernel.rpc.wire.GONE_S", 0.2)
    made = Handlers()
    made.gate.clear()
    async with AsyncExitStack() as stack:
        other = await stack.enter_async_context(on_bus(nats_url))
        await stack.enter_async_context(serving(other, made))
        stream = aiter(RpcClient(bus).stream(TAIL, pb.TailLogLinesRequest(run=RUN), context()))
        for _ in range(10):
            await anext(stream)
        await other.client.close()
        with pytest.raises(Unavailable, match="went silent") as caught:
            await anext(stream)
        assert caught.value.reason == "STREAM_LOST"


async def test_a_server_that_drains_ends_calls_and_tells_streams(bus: Bus, nats_url: str) -> None:
    made = Handlers()
    made.gate.clear()
    async with on_bus(nats_url) as other, AsyncExitStack() as stack:
        await stack.enter_async_context(serving(other, made))
        call = asyncio.create_task(set_tags(bus))
        reading = asyncio.create_task(tokens(bus))
        await until(lambda: made.running == 1 and made.produced == 10)
        closing = asyncio.create_task(stack.aclose())
        await asyncio.wait({closing}, timeout=0.1)
        made.error = None
        with pytest.raises(Unavailable):
            await set_tags(bus)
        made.gate.set()
        await closing
        assert (await call).position == 41
        with pytest.raises(Unavailable):
            await reading


async def test_a_stream_without_an_end_is_told_that_its_server_drains(
    bus: Bus, nats_url: str
) -> None:
    made = Handlers()
    made.gate.clear()
    async with on_bus(nats_url) as other:
        async with serving(other, made):
            reading = asyncio.create_task(tokens(bus))
            await until(lambda: made.produced == 10)
        with pytest.raises(Unavailable) as caught:
            await reading
        assert caught.value.reason == "DRAINING"
        assert made.closed == 1


async def test_nobody_there_is_unavailable_at_once(bus: Bus) -> None:
    for calling in (set_tags(bus), tokens(bus)):
        with pytest.raises(Unavailable) as caught:
            await calling
        assert caught.value.reason == "NO_INSTANCE"
        assert "no tracker is there" in caught.value.message


async def test_a_bus_that_never_connected_is_unavailable() -> None:
    bus = Bus("nats://127.0.0.1:1", "nowhere")
    with pytest.raises(EpochalError) as caught:
        await set_tags(bus, context(timeout_s=0.1))
    assert caught.value.retryable
    with pytest.raises(Unavailable):
        await bus.wait_connected(0.01)


async def test_a_broker_that_is_away_is_not_waited_for_beyond_the_deadline(
    bus: Bus, handlers: Handlers, nats_server: NatsServer
) -> None:
    await nats_server.stop()
    with pytest.raises(EpochalError) as caught:
        await set_tags(bus, context(timeout_s=0.2))
    assert caught.value.retryable
    await nats_server.start()

    async def back() -> bool:
        try:
            await set_tags(bus, context(timeout_s=1))
        except (Unavailable, DeadlineExceeded) as error:
            raise AssertionError(error.message) from error
        return True

    await until(back, 20)


async def test_instances_share_the_calls(bus: Bus, nats_url: str) -> None:
    first, second = Handlers(), Handlers()
    async with on_bus(nats_url) as other, serving(bus, first), serving(other, second):
        await asyncio.gather(*(set_tags(bus) for _ in range(60)))
    assert len(first.contexts) + len(second.contexts) == 60
    assert first.contexts
    assert second.contexts


async def test_a_service_is_found_with_its_statistics(bus: Bus, handlers: Handlers) -> None:
    await set_tags(bus)
    handlers.error = NotFound("not there")
    with pytest.raises(NotFound):
        await set_tags(bus)
    info = json.loads((await bus.client.request("$SRV.INFO.epochal-tracker", b"")).data)
    assert (info["name"], info["version"]) == ("epochal-tracker", "1.2.3")
    assert wire.subject(SET) in [endpoint["subject"] for endpoint in info["endpoints"]]
    stats = json.loads((await bus.client.request("$SRV.STATS.epochal-tracker", b"")).data)
    data = {endpoint["name"]: endpoint.get("data") for endpoint in stats["endpoints"]}[
        SET.full_name.replace(".", "-")
    ]
    assert (data["requests"], data["errors"], data["last_error"]) == (2, 1, "not there")


def test_a_service_that_does_not_serve_all_it_owns_does_not_start() -> None:
    server = RpcServer("tracker", "1", IDS, Telemetry("tracker", "1"))
    server.unary(SET, Handlers().set_tags)
    with pytest.raises(TypeError, match="TailLogLines"):
        server.check_complete()
    with pytest.raises(TypeError, match="has a handler already"):
        server.unary(SET, Handlers().set_tags)
    assert server.binds(SET)
    assert not server.binds(TAIL)


async def test_a_bound_method_can_be_called_without_the_bus() -> None:
    server = RpcServer("tracker", "1", IDS, Telemetry("tracker", "1"))
    made = Handlers()
    server.unary(SET, made.set_tags)
    of = context()
    await server.call(SET, pb.SetTagsRequest(run=RUN), of)
    assert of.position == 41
    made.error = NotFound("x")
    with pytest.raises(NotFound):
        await server.call(SET, pb.SetTagsRequest(run=RUN), of)


def test_a_method_of_every_service_has_a_subject_for_each() -> None:
    method = MaintenanceService.REPLAY_READ_MODELS
    assert wire.subject(method, "toy") == "rpc.v1.MaintenanceService.ReplayReadModels.toy"
    assert wire.subject(SET, "toy") == "rpc.v1.TrackingService.SetTags"


def test_the_same_request_has_the_same_hash_and_another_caller_another() -> None:
    request = pb.SetTagsRequest(run=RUN, tags={"b": "1", "a": "2"})
    same = pb.SetTagsRequest(run=RUN, tags={"a": "2", "b": "1"})
    request_id = str(IDS.uuid7())
    first, second = context().command(request, request_id), context().command(same, request_id)
    assert first.request_sha256 == second.request_sha256
    assert first.command_id == second.command_id
    other = context()
    other.actor = "users/bob"
    assert other.command(request, request_id).request_sha256 != first.request_sha256
    assert context().command(request).command_id != context().command(request).command_id
    with pytest.raises(InvalidArgument, match="must be a UUID"):
        context().command(request, "nonsense")


def test_an_error_without_details_is_internal() -> None:
    assert isinstance(wire.decode_error(b"\xff", "odd"), Internal)
    assert wire.decode_error(b"", "odd").message == "odd"
