"""A real PostgreSQL server with its data in one folder.

The folder holds `data` (PGDATA), `password` (0600), `server.log` and a lock. Clients come in over
loopback TCP with a generated password; there is no Unix socket and no `trust`.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from epochal_embedded.errors import IncompatibleData, ServerFailed, StartTimedOut
from epochal_embedded.servers.accounts import Account, server_account
from epochal_embedded.servers.binaries import PostgresBinaries, find_postgres
from epochal_embedded.servers.children import (
    Child,
    Step,
    read_tail,
    rotate_log,
    start_child,
)
from epochal_embedded.servers.complaints import failure, file_errors
from epochal_embedded.servers.folders import FolderLock, kept_secret
from epochal_embedded.servers.placing import own_folder, write_for
from epochal_embedded.servers.ports import LOOPBACK, free_port
from epochal_embedded.servers.postgres_settings import DURABLE, SETTINGS, VOLATILE
from epochal_embedded.servers.postmaster import clear_previous_life, is_ready

_NAME: Final = "PostgreSQL"
_USER = "epochal"
_STOP_LADDER = (Step(signal.SIGINT, 30.0), Step(signal.SIGQUIT, 10.0))
_POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class PostgresPlaces:
    """Where a server may put things when the wanted folder cannot be reached by its account."""

    cache: Path = Path("/var/cache/epochal")
    relocated: Path = Path("/var/lib/epochal/relocated")


class PostgresServer:
    """PostgreSQL as a child of this process.

    The port is chosen once and kept, so that a client reconnects after the server died and was
    started again. A folder left by a kill -9 is recovered: PostgreSQL replays its WAL, and a
    `postmaster.pid` that names no server of this folder is removed.
    """

    def __init__(
        self,
        folder: Path,
        *,
        port: int = 0,
        durable: bool = True,
        places: PostgresPlaces | None = None,
        log_path: Path | None = None,
    ) -> None:
        """Describe the server; nothing is touched before `start`.

        Args:
            folder: the server's own folder, made when missing.
            port: loopback port, 0 for a free one.
            durable: False turns fsync off, for tests whose data may be lost with the machine.
            places: where the binaries and the folder go when the account cannot reach them.
            log_path: the server's log, `server.log` in its folder when None.
        """
        self._wanted = folder.absolute()
        self._port = port
        self._durable = durable
        self._places = places or PostgresPlaces()
        self._folder = self._wanted
        self._log_path = log_path
        self._child: Child | None = None
        self._lock: FolderLock | None = None
        self._password = ""

    @property
    def name(self) -> str:
        """How the supervisor calls this server."""
        return "postgres"

    @property
    def probed(self) -> bool:
        """Whether `/readyz` is answered on its port; this server speaks no HTTP there."""
        return False

    @property
    def port(self) -> int:
        """The loopback port, 0 before the first start when it was left to the server."""
        return self._port

    @property
    def folder(self) -> Path:
        """The folder in use; another than asked for when the account could not reach that one."""
        return self._folder

    @property
    def pid(self) -> int | None:
        """The postmaster's process id while it runs."""
        return self._child.pid if self.running and self._child else None

    @property
    def running(self) -> bool:
        """Whether the postmaster lives."""
        return self._child is not None and self._child.returncode is None

    def url(self, database: str = "epochal") -> str:
        """The connection URL of a database, with the password in it."""
        return f"postgresql://{_USER}:{self._password}@{LOOPBACK}:{self._port}/{database}"

    async def start(self, *, timeout_s: float = 60.0) -> None:
        """Start the server and return once it answers a query; harmless while it runs.

        Raises:
            ServerFailed: with the end of the server's log; DiskFull, PortTaken, FolderInUse,
                IncompatibleData and StartTimedOut when the cause is known.
            ServerMissing: there is no PostgreSQL to run.
            AccountMissing: this process is root and there is nobody else to run the server as.
        """
        if self.running:
            return
        with file_errors(_NAME):
            await self._start(timeout_s)

    async def _start(self, timeout_s: float) -> None:
        account = server_account()
        binaries = await asyncio.to_thread(find_postgres, account, self._places.cache)
        self._folder = own_folder(self._wanted, account, self._places.relocated)
        self._lock = self._lock or FolderLock(self._folder / "lock", _NAME)
        self._lock.acquire()
        try:
            self._password = kept_secret(self._folder / "password")
            await self._prepare(binaries, account, timeout_s)
            await self._launch(binaries, account, timeout_s)
        except BaseException:
            await self._abandon()
            raise

    async def stop(self) -> None:
        """Stop after a checkpoint (fast shutdown: sessions are ended); harmless when stopped."""
        if self._child is not None:
            await self._child.stop(_STOP_LADDER)
        self._release()

    async def kill(self) -> None:
        """Kill the postmaster with SIGKILL, as a crash would; `start` recovers the folder."""
        if self._child is not None:
            self._child.send(signal.SIGKILL)
            await self._child.wait()
        self._release()

    async def wait(self) -> int:
        """Wait until the postmaster exits and return its status."""
        if self._child is None:
            return 0
        return await self._child.wait()

    def _release(self) -> None:
        self._child = None
        if self._lock is not None:
            self._lock.release()

    async def _abandon(self) -> None:
        await self.stop()

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    @property
    def _log(self) -> Path:
        return self._log_path or self._folder / "server.log"

    async def _prepare(
        self, binaries: PostgresBinaries, account: Account | None, timeout_s: float
    ) -> None:
        """Make the data folder complete, of the right version, and free of a previous life."""
        if not self._data.exists():
            await self._initialise(binaries, account, timeout_s)
        written_by = int((self._data / "PG_VERSION").read_text(encoding="ascii"))
        if written_by != binaries.major:
            raise IncompatibleData(
                _NAME,
                f"the folder {self._data} was written by version {written_by} and this is version "
                f"{binaries.major}; upgrade it with pg_upgrade, or start in another folder",
            )
        await clear_previous_life(self._data, _STOP_LADDER)
        write_for(
            account,
            self._data / "epochal.conf",
            SETTINGS + (DURABLE if self._durable else VOLATILE),
        )
        rotate_log(self._log)

    async def _initialise(
        self, binaries: PostgresBinaries, account: Account | None, timeout_s: float
    ) -> None:
        """Create the data folder in two steps, so that a crash leaves none or a complete one."""
        staging = self._folder / "data.new"
        if staging.exists():
            shutil.rmtree(staging)
        password_file = self._folder / ".initial-password"
        write_for(account, password_file, self._password)
        offset = _size(self._log)
        try:
            child = await start_child(
                [
                    binaries.initdb,
                    f"--pgdata={staging}",
                    f"--username={_USER}",
                    f"--pwfile={password_file}",
                    "--auth=scram-sha-256",
                    "--encoding=UTF8",
                    "--locale=C",
                    "--locale-provider=builtin",
                    "--builtin-locale=C.UTF-8",
                    # 256 random bits need no stretching, and each connection would pay for it.
                    "--set=scram_iterations=1",
                    *(() if self._durable else ("--no-sync",)),
                ],
                log_path=self._log,
                environment=_environment(),
                death_signal=signal.SIGKILL,
                account=account,
            )
            try:
                async with asyncio.timeout(timeout_s):
                    status = await child.wait()
            except TimeoutError:
                await child.stop(())
                raise StartTimedOut(_NAME, f"initdb took longer than {timeout_s:g} s") from None
        finally:
            password_file.unlink()
        if status != 0:
            raise failure(
                _NAME, read_tail(self._log, offset), f"initdb failed with status {status}"
            )
        with (staging / "postgresql.conf").open("a", encoding="utf-8") as configuration:
            configuration.write("\ninclude 'epochal.conf'\n")
        staging.rename(self._data)

    async def _launch(
        self, binaries: PostgresBinaries, account: Account | None, timeout_s: float
    ) -> None:
        if self._port == 0:
            self._port = free_port()
        offset = _size(self._log)
        self._child = await start_child(
            [binaries.postgres, "-D", str(self._data), "-p", str(self._port)],
            log_path=self._log,
            environment=_environment(),
            death_signal=signal.SIGINT,
            account=account,
        )
        try:
            async with asyncio.timeout(timeout_s):
                await self._until_ready(self._child, offset)
                await self._ensure_database("epochal")
        except TimeoutError:
            raise StartTimedOut(
                _NAME,
                f"it did not answer within {timeout_s:g} s",
                log_tail=read_tail(self._log, offset),
            ) from None

    async def _until_ready(self, child: Child, offset: int) -> None:
        import asyncpg  # while the server starts: the command line never needs it

        while True:
            if child.returncode is not None:
                tail = read_tail(self._log, offset)
                raise failure(_NAME, tail, f"it exited with status {child.returncode}")
            # The postmaster says so in its pid file before it accepts anybody.
            if is_ready(self._data / "postmaster.pid", child.pid):
                try:
                    connection = await asyncpg.connect(self.url("postgres"))
                except (OSError, asyncpg.CannotConnectNowError):
                    pass
                else:
                    await connection.close()
                    return
            await asyncio.sleep(_POLL_S)

    async def _ensure_database(self, name: str) -> None:
        import asyncpg  # loaded already; see _until_ready

        connection = await asyncpg.connect(self.url("postgres"))
        try:
            known = await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", name)
            if known is None:
                await connection.execute(f'CREATE DATABASE "{name}"')
        except asyncpg.DiskFullError as error:
            raise failure(_NAME, str(error), "it could not create its database") from error
        finally:
            await connection.close()


def _environment() -> dict[str, str]:
    # Not ours: PGDATA, PGPORT, LC_* or LD_PRELOAD of the caller would change the server.
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


__all__ = ["PostgresPlaces", "PostgresServer", "ServerFailed"]
