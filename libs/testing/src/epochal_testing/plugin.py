"""Fixtures for every test of the platform: real servers, one set for each test process.

Loaded by pytest through the entry point `epochal`. Nothing starts before a test asks for it.

    postgres_server  session   a running PostgresServer (fsync off, commits still synchronous)
    nats_server      session   a running NatsServer with JetStream
    databases        session   makes databases and templates on postgres_server
    database         function  URL of a fresh, empty database; dropped afterwards
    nats_url         function  URL of nats_server; every stream is deleted afterwards
    clock            function  a ManualClock
    shared_folder    function  an empty folder that other accounts may pass through

With pytest-xdist each worker is a process with servers of its own. The servers are stopped when the
session ends, Ctrl-C included, and die with the process when it is killed.
"""

from __future__ import annotations

import shutil
import signal
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import hypothesis
import nats
import pytest
import pytest_asyncio
from epochal_embedded.servers import NatsServer, PostgresServer
from epochal_embedded.servers.postgres import PostgresPlaces

from epochal_testing.clock import ManualClock
from epochal_testing.databases import Databases


def pytest_configure(config: pytest.Config) -> None:
    """Hear Ctrl-C, and give Hypothesis no deadline: a busy machine is slow, not wrong."""
    _hear_interrupts()
    hypothesis.settings.register_profile("epochal", deadline=None)
    hypothesis.settings.load_profile("epochal")


def _hear_interrupts() -> None:
    """Let children hear SIGINT, even where this process was started with it ignored.

    A shell starts what it puts in the background so, and a program that inherits it ignores Ctrl-C:
    tests that interrupt one would wait for ever.
    """
    ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    if ignored and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def server_folder() -> Iterator[Path]:
    """The folder of this process's servers, reachable by PostgreSQL's account."""
    # Not tmp_path_factory: its folders are closed to other accounts, and root's PostgreSQL
    # runs as another account.
    yield from _open_folder()


@pytest.fixture
def shared_folder() -> Iterator[Path]:
    """An empty folder that other accounts may pass through, unlike tmp_path."""
    yield from _open_folder()


def _open_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="epochal-test-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def postgres_server(server_folder: Path) -> AsyncIterator[PostgresServer]:
    """A running PostgreSQL that belongs to this test process; a test may kill and start it."""
    places = PostgresPlaces(cache=server_folder / "cache", relocated=server_folder / "relocated")
    server = PostgresServer(server_folder / "postgres", durable=False, places=places)
    await server.start()
    yield server
    await server.stop()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def nats_server(server_folder: Path) -> AsyncIterator[NatsServer]:
    """A running nats-server that belongs to this test process; a test may kill and start it."""
    server = NatsServer(server_folder / "nats", durable=False)
    await server.start()
    yield server
    await server.stop()


@pytest.fixture(scope="session")
def databases(postgres_server: PostgresServer) -> Databases:
    """Makes databases and templates on `postgres_server`."""
    return Databases(postgres_server.url)


@pytest_asyncio.fixture(loop_scope="session")
async def database(postgres_server: PostgresServer, databases: Databases) -> AsyncIterator[str]:
    """The URL of a fresh, empty database; dropped after the test, sessions or not."""
    await postgres_server.start()  # an earlier test may have killed it
    url = await databases.create()
    yield url
    await postgres_server.start()
    await databases.drop(url)


@pytest_asyncio.fixture(loop_scope="session")
async def nats_url(nats_server: NatsServer) -> AsyncIterator[str]:
    """The URL of `nats_server` without any stream; what the test leaves is deleted."""
    await nats_server.start()  # an earlier test may have killed it
    yield nats_server.url
    await nats_server.start()
    client = await nats.connect(nats_server.url)
    try:
        stream = client.jetstream()
        for found in await stream.streams_info():
            if found.config.name is not None:
                await stream.delete_stream(found.config.name)
    finally:
        await client.close()


@pytest.fixture
def clock() -> ManualClock:
    """A clock that stands until the test turns it."""
    return ManualClock()
