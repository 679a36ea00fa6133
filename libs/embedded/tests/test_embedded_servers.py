"""The embedded servers against what really happens to servers."""

import asyncio
import errno
import os
import shutil
import signal
import socket
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import nats
import psutil
import pytest
from epochal_embedded.errors import (
    DiskFull,
    FolderInUse,
    IncompatibleData,
    PortTaken,
    ServerFailed,
)
from epochal_embedded.servers import NatsServer, PostgresServer, binaries
from epochal_embedded.servers.accounts import server_account
from epochal_embedded.servers.children import rotate_log
from epochal_embedded.servers.complaints import failure, file_errors
from epochal_embedded.servers.postgres import PostgresPlaces


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that PostgreSQL's account can reach, which root's tmp_path is not."""
    made = Path(tempfile.mkdtemp(prefix="epochal-test-"))
    made.chmod(0o711)
    yield made
    shutil.rmtree(made)


async def test_postgres_keeps_port_and_data_over_restart(folder: Path) -> None:
    server = PostgresServer(folder / "pg")
    await server.start()
    port = server.port
    connection = await asyncpg.connect(server.url())
    await connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    settings = {
        row["name"]: row["setting"]
        for row in await connection.fetch(
            "SELECT name, setting FROM pg_settings WHERE name = ANY($1)",
            ["fsync", "synchronous_commit", "max_connections", "data_checksums"],
        )
    }
    await connection.close()
    await server.stop()
    await server.start()
    connection = await asyncpg.connect(server.url())
    answer = await connection.fetchval("SELECT answer FROM kept")
    await connection.close()
    await server.stop()
    assert server.port == port
    assert answer == 42
    assert settings == {
        "fsync": "on",
        "synchronous_commit": "on",
        "max_connections": "120",
        "data_checksums": "on",
    }


async def test_postgres_recovers_after_kill_and_a_reused_process_id(folder: Path) -> None:
    server = PostgresServer(folder / "pg", durable=False)
    await server.start()
    connection = await asyncpg.connect(server.url())
    await connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    pid_file = server.folder / "data" / "postmaster.pid"
    await server.kill()
    await connection.close(timeout=1) if not connection.is_closed() else None
    lines = pid_file.read_text().splitlines()
    pid_file.write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")

    await server.start()

    connection = await asyncpg.connect(server.url())
    assert await connection.fetchval("SELECT answer FROM kept") == 42
    await connection.close()
    await server.stop()


async def test_postgres_refuses_a_wrong_password_and_keeps_its_own_private(folder: Path) -> None:
    server = PostgresServer(folder / "pg", durable=False)
    await server.start()
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(f"postgresql://epochal:wrong@127.0.0.1:{server.port}/epochal")
    assert stat.S_IMODE((server.folder / "password").stat().st_mode) == 0o600
    assert not (server.folder / ".initial-password").exists()
    await server.stop()


async def test_second_server_on_one_folder_is_refused(folder: Path) -> None:
    first = PostgresServer(folder / "pg", durable=False)
    await first.start()
    with pytest.raises(FolderInUse):
        await PostgresServer(folder / "pg").start()
    assert first.running
    await first.stop()


async def test_taken_port_is_named(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as squatter:
        port = squatter.getsockname()[1]
        with pytest.raises(PortTaken):
            await PostgresServer(folder / "pg", port=port, durable=False).start()
        with pytest.raises(PortTaken):
            await NatsServer(folder / "nats", port=port, durable=False).start()


async def test_folder_of_another_major_version_is_refused(folder: Path) -> None:
    server = PostgresServer(folder / "pg", durable=False)
    await server.start()
    await server.stop()
    (server.folder / "data" / "PG_VERSION").write_text("15\n")
    with pytest.raises(IncompatibleData, match="version 15"):
        await server.start()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as another account")
async def test_unreachable_folder_is_relocated_and_linked(folder: Path, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    places = PostgresPlaces(cache=folder / "cache", relocated=folder / "relocated")
    server = PostgresServer(closed / "pg", durable=False, places=places)
    await server.start()
    assert server.folder.parent == folder / "relocated"
    assert (closed / "pg").resolve() == server.folder
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700
    assert psutil.Process(server.pid).uids().real != 0
    await server.stop()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as another account")
def test_unreachable_installation_is_copied_once(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = binaries._wheel_installation()
    closed = tmp_path / "site-packages"
    package = installed.parent
    shutil.copytree(installed, closed / package.name / installed.name, symlinks=True)
    shutil.copytree(package.with_name(f"{package.name}.libs"), closed / f"{package.name}.libs")
    closed.chmod(0o700)
    monkeypatch.setattr(
        binaries, "_wheel_installation", lambda: closed / package.name / installed.name
    )
    monkeypatch.setenv("PATH", "/nowhere")
    found = binaries.find_postgres(server_account(), folder / "cache")
    assert found.folder.is_relative_to(folder / "cache")
    before = found.folder.stat().st_mtime_ns
    assert binaries.find_postgres(server_account(), folder / "cache") == found
    assert found.folder.stat().st_mtime_ns == before
    assert len(list((folder / "cache").iterdir())) == 1
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700


def test_older_server_on_path_is_passed_over(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, version in (("postgres", "postgres (PostgreSQL) 15.3"), ("nats-server", "v2.9.1")):
        program = folder / name
        program.write_text(f"#!/bin/sh\necho '{version}'\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.defpath}")
    assert binaries.find_postgres(None, folder / "cache").folder != folder
    assert binaries.find_nats().parent != folder


@pytest.mark.parametrize(
    ("log", "kind"),
    [
        ('FATAL: could not write "pg_wal/1": No space left on device', DiskFull),
        ("[FTL] listen tcp 127.0.0.1:4222: bind: address already in use", PortTaken),
        ('FATAL:  lock file "postmaster.pid" already exists', FolderInUse),
        ("FATAL:  database files are incompatible with server", IncompatibleData),
        ("something else", ServerFailed),
    ],
)
def test_last_words_of_a_server_become_a_typed_error(log: str, kind: type[ServerFailed]) -> None:
    error = failure("PostgreSQL", log, "it exited with status 1")
    assert type(error) is kind
    assert log in str(error)


def test_full_disk_of_our_own_files_is_a_typed_error() -> None:
    with pytest.raises(DiskFull), file_errors("NATS"):
        raise OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(ServerFailed, match="cannot be used"), file_errors("NATS"):
        raise PermissionError(errno.EACCES, "Permission denied")


def test_long_log_is_rotated_under_its_writer(tmp_path: Path) -> None:
    log = tmp_path / "tracker.log"
    with log.open("a") as writer:
        for text in ("first\n", "second\n", "third\n"):
            writer.write(text)
            writer.flush()
            assert rotate_log(log, 3)
        writer.write("fourth\n")
    assert not rotate_log(log, 1000)
    assert [path.read_text() for path in sorted(tmp_path.iterdir())] == [
        "fourth\n",
        "third\n",
        "second\n",
        "first\n",
    ]


async def test_nats_keeps_stream_port_and_token_after_kill(folder: Path) -> None:
    server = NatsServer(folder / "nats")
    await server.start()
    url = server.url
    client = await nats.connect(url)
    stream = client.jetstream()
    await stream.add_stream(name="KEPT", subjects=["kept"])
    await stream.publish("kept", b"x" * 2_000_000)
    await client.close()
    await server.kill()
    await server.start()
    client = await nats.connect(server.url)
    info = await client.jetstream().stream_info("KEPT")
    await client.close()
    assert server.url == url
    assert info.state.messages == 1
    assert "sync_interval: always" in (folder / "nats" / "nats.conf").read_text()
    assert stat.S_IMODE((folder / "nats" / "token").stat().st_mode) == 0o600
    await server.stop()
    assert server.pid is None


async def test_nats_refuses_a_client_without_the_token(folder: Path) -> None:
    server = NatsServer(folder / "nats", durable=False)
    await server.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    await reader.readline()
    writer.write(b'CONNECT {"auth_token":"wrong","verbose":false}\r\nPING\r\n')
    answer = await reader.readline()
    writer.close()
    assert answer.startswith(b"-ERR 'Authorization Violation'")
    await server.stop()


_PARENT = """
import asyncio, sys
from pathlib import Path
from epochal_embedded.servers import NatsServer, PostgresServer
async def main():
    folder = Path(sys.argv[1])
    postgres, nats = PostgresServer(folder / "pg", durable=False), NatsServer(folder / "nats")
    await asyncio.gather(postgres.start(), nats.start())
    print(postgres.pid, nats.pid, flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""


async def test_servers_die_with_a_killed_parent(folder: Path) -> None:
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _PARENT, str(folder), stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    servers = [psutil.Process(int(pid)) for pid in (await parent.stdout.readline()).split()]
    parent.send_signal(signal.SIGKILL)
    await parent.wait()
    gone, alive = await asyncio.to_thread(psutil.wait_procs, servers, 20)
    assert len(gone) == 2
    assert not alive
