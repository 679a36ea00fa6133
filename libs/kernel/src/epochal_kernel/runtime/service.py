"""Puts the parts of the kernel together: the one way a service starts, runs and drains.

Start: database (waited for), migrations, read model (built anew if this release has a new
generation), then relay, consumer, RPC and probes at once. Shutdown: intake stops, running calls
end, the appender answers what waits, checkpoints are committed already, connections close.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass

import structlog
from epochal_proto.v1.services import MaintenanceService
from starlette.applications import Starlette

from epochal_kernel.acts import Act, allowed_acts
from epochal_kernel.bus import Bus
from epochal_kernel.clock import Clock, SystemClock
from epochal_kernel.errors import Unavailable
from epochal_kernel.hints import Hints
from epochal_kernel.ids import Ids, Position, SystemIds
from epochal_kernel.log.appender import Appender
from epochal_kernel.log.events import EventCodec
from epochal_kernel.log.forks import Fork, read_fork
from epochal_kernel.log.ledger import Ledger
from epochal_kernel.log.subjects import Subjects
from epochal_kernel.migrations import migrate
from epochal_kernel.postgres import Pool, adapting, connect
from epochal_kernel.projections.consumer import Consumer, Listener
from epochal_kernel.projections.forgetting import Forget, Forgetting
from epochal_kernel.projections.inbox import Inbox
from epochal_kernel.projections.model import BatchReactor, Reactor, ReadModel
from epochal_kernel.projections.rebuild import catch_up, upgrade
from epochal_kernel.projections.store import Progress, prepare
from epochal_kernel.relay import Relay
from epochal_kernel.rpc.client import RpcClient
from epochal_kernel.rpc.server import RpcServer
from epochal_kernel.runtime.health import Health, serve_http
from epochal_kernel.runtime.maintenance import Maintenance
from epochal_kernel.runtime.settings import ServiceSettings
from epochal_kernel.signals import LogSignal
from epochal_kernel.telemetry import Telemetry

VERSION = "0.1.0"

_log = structlog.get_logger(__name__)

Background = Callable[[], Awaitable[None]]


@dataclass(frozen=True)
class Kernel:
    """What a service builds on; made by `open_kernel`, handed to its composition root."""

    settings: ServiceSettings
    pool: Pool
    bus: Bus
    signal: LogSignal
    progress: Progress
    appender: Appender
    ledger: Ledger
    codec: EventCodec
    subjects: Subjects
    server: RpcServer
    client: RpcClient
    telemetry: Telemetry
    health: Health
    clock: Clock
    ids: Ids
    model: ReadModel
    fork: Fork | None = None

    @property
    def past(self) -> Position:
        """The last position that is another platform's history: 0 unless this is a fork."""
        return self.fork.position if self.fork else Position(0)

    def may(self, act: Act) -> bool:
        """Whether this platform acts so of its own accord: a fork must have been allowed to."""
        return self.fork is None or act in allowed_acts(self.settings.fork_allows)


@dataclass(frozen=True)
class Parts:
    """What a service adds to the kernel.

    Attributes:
        reactors: write intents; live only, never in replay.
        listeners: kept level with the read model, in memory.
        background: endless tasks, such as workers that drain intents.
        http: the ASGI application; probes and metrics are added when it is None.
        forgets: told when somebody was erased and the read model made again without the name.
    """

    reactors: Sequence[Reactor | BatchReactor] = ()
    listeners: Sequence[Listener] = ()
    background: Sequence[Background] = ()
    http: Callable[[Health], Starlette] | None = None
    forgets: Sequence[Forget] = ()


async def run_service(
    settings: ServiceSettings,
    model: ReadModel,
    package: str,
    build: Callable[[Kernel], Awaitable[Parts]],
    *,
    on_bound: Callable[[int], None] = lambda port: None,
    stop: asyncio.Event | None = None,
) -> None:
    """Run a service until SIGTERM or SIGINT, or until `stop` is set.

    Args:
        settings: from the environment.
        model: the service's read model.
        package: where its sql/ folder is.
        build: binds RPC handlers and returns what else is to run.
        on_bound: told the port of the HTTP server.
        stop: for callers that stop it themselves.

    Raises:
        EpochalError: the database or the settings do not allow a start.
    """
    stop = stop or asyncio.Event()
    _handle_signals(stop)
    async with AsyncExitStack() as stack:
        await _prepare_database(settings, model, package, stop)
        if stop.is_set():
            return
        kernel = await _open(settings, model, stack)
        parts = await build(kernel)
        maintenance = Maintenance(kernel.pool, model, kernel.codec)
        kernel.server.stream(MaintenanceService.REPLAY_READ_MODELS, maintenance.replay_read_models)
        kernel.server.check_complete()
        forgetting = Forgetting(
            kernel.pool, model, kernel.codec, kernel.ledger, kernel.clock, parts.forgets
        )
        consumer = _consumer(kernel, parts, forgetting)
        hints = Hints(kernel.bus, kernel.signal)
        relay = Relay(kernel.pool, kernel.bus, kernel.signal, kernel.clock, hints)
        _add_checks(kernel, consumer, stop)
        app = parts.http or (lambda health: Starlette(routes=health.routes()))

        def bound(port: int) -> None:
            _log.info("service.listening", port=port)
            on_bound(port)

        tasks: list[Background] = [
            lambda: serve_http(
                app(kernel.health), settings.http_host, settings.http_port, on_bound=bound
            ),
            lambda: kernel.server.run(kernel.bus),
            consumer.run,
            relay.run,
            hints.tell,
            forgetting.run,
            lambda: _measure(kernel, relay),
            *parts.background,
        ]
        await _run_until(stop, tasks, kernel, settings.drain_s)
    _log.info("service.stopped")


async def _open(settings: ServiceSettings, model: ReadModel, stack: AsyncExitStack) -> Kernel:
    clock, ids = SystemClock(), SystemIds()
    telemetry = Telemetry(model.service, VERSION, settings.otlp_endpoint)
    stack.callback(telemetry.close)
    pool = await connect(
        settings.database_url,
        name=f"epochal-{model.service}",
        search_path=f"{model.schema}, {model.service}, public",
        min_size=2,
        max_size=settings.pool_size,
    )
    stack.push_async_callback(_close_pool, pool)
    subjects = Subjects(pool, clock)
    codec = EventCodec(subjects)
    bus = Bus(settings.nats_url, f"epochal-{model.service}")
    fork = await read_fork(pool)
    if fork is not None:
        allowed = sorted(allowed_acts(settings.fork_allows))
        _log.info("service.of_a_fork", position=fork.position, source=fork.source, allowed=allowed)
    signal_ = LogSignal()
    appender = Appender(pool, signal_, ids, clock, subjects)
    return Kernel(
        settings=settings,
        pool=pool,
        bus=bus,
        signal=signal_,
        progress=Progress(),
        appender=appender,
        ledger=Ledger(pool, appender, codec),
        codec=codec,
        subjects=subjects,
        server=RpcServer(model.service, VERSION, ids, telemetry),
        client=RpcClient(bus),
        telemetry=telemetry,
        health=Health(telemetry),
        clock=clock,
        ids=ids,
        model=model,
        fork=fork,
    )


async def _prepare_database(
    settings: ServiceSettings, model: ReadModel, package: str, stop: asyncio.Event
) -> None:
    """Wait for PostgreSQL, migrate, and bring the read model to this release's generation."""
    pause_s = 0.1
    while not stop.is_set():
        try:
            pool = await connect(
                settings.database_url, name=f"epochal-{model.service}-setup", max_size=3
            )
            try:
                await _bring_up_to_date(pool, model, package)
            finally:
                await _close_pool(pool)
            return
        except Unavailable as error:
            _log.warning("service.waits_for_database", error=error.message)
            await _pause(stop, pause_s)
            pause_s = min(2.0, pause_s * 2)


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()


async def _bring_up_to_date(pool: Pool, model: ReadModel, package: str) -> None:
    with adapting():
        async with pool.acquire() as connection:
            for owner, source in (("log", "epochal_kernel.log"), (model.service, package)):
                for name in await migrate(connection, owner, source):
                    _log.info("service.migrated", owner=owner, name=name)
            await prepare(connection, model)
        codec = EventCodec(Subjects(pool, SystemClock()))
        async for position in upgrade(pool, model, codec):
            _log.info("service.rebuilding", schema=model.schema, position=position)
        fork = await read_fork(pool)
        if fork is not None:
            async for position in catch_up(pool, model, codec, fork.position):
                _log.info("service.replaying_the_past", schema=model.schema, position=position)


def _consumer(kernel: Kernel, parts: Parts, forgetting: Forgetting) -> Consumer:
    return Consumer(
        pool=kernel.pool,
        model=kernel.model,
        reactors=parts.reactors,
        inbox=Inbox(kernel.bus, kernel.pool, kernel.model.service, kernel.clock),
        signal=kernel.signal,
        progress=kernel.progress,
        codec=kernel.codec,
        clock=kernel.clock,
        listeners=(*parts.listeners, forgetting),
    )


def _add_checks(kernel: Kernel, consumer: Consumer, stop: asyncio.Event) -> None:
    kernel.health.add("shutdown", lambda: "draining" if stop.is_set() else "")
    kernel.health.add("bus", lambda: "" if kernel.bus.connected else "NATS does not answer")
    kernel.health.add("rpc", lambda: "" if kernel.server.serving else "not serving yet")
    kernel.health.add("consumer", lambda: consumer.halted.message if consumer.halted else "")


async def _run_until(
    stop: asyncio.Event, work: Sequence[Background], kernel: Kernel, drain_s: float
) -> None:
    """Run everything; on stop, cancel intake first, then let the appender finish."""
    async with asyncio.TaskGroup() as outer:
        bus = outer.create_task(kernel.bus.run(), name="bus")
        appending = outer.create_task(kernel.appender.run(), name="appender")
        inner = outer.create_task(_run_all(work), name="work")
        stopping = outer.create_task(stop.wait(), name="stop")
        await asyncio.wait({inner, stopping}, return_when=asyncio.FIRST_COMPLETED)
        _log.info("service.draining")
        stop.set()
        inner.cancel()
        await asyncio.wait({inner}, timeout=drain_s)
        kernel.appender.close()
        await asyncio.wait({appending}, timeout=drain_s)
        appending.cancel()
        bus.cancel()
        stopping.cancel()


async def _run_all(work: Sequence[Background]) -> None:
    async def one(background: Background) -> None:
        await background()

    async with asyncio.TaskGroup() as tasks:
        for background in work:
            tasks.create_task(one(background))


async def _measure(kernel: Kernel, relay: Relay) -> None:
    """Publish how far the parts are, for dashboards and alarms."""
    while True:
        position = kernel.telemetry.position
        position.labels("read_model").set(kernel.progress.position)
        position.labels("relay").set(relay.position if relay.leading else 0)
        position.labels("head").set(kernel.signal.position)
        await kernel.clock.sleep(1.0)


def _handle_signals(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)


async def _close_pool(pool: Pool) -> None:
    try:
        async with asyncio.timeout(3):
            await pool.close()
    except TimeoutError:
        pool.terminate()
