"""A real nats-server with JetStream, its data in one folder.

The folder holds `jetstream`, `token` (0600), `nats.conf` (0600), `server.log` and a lock.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
from dataclasses import dataclass
from pathlib import Path

from epochal_embedded.errors import StartTimedOut
from epochal_embedded.servers.binaries import find_nats
from epochal_embedded.servers.children import (
    Child,
    ProcessMark,
    Step,
    read_tail,
    rotate_log,
    start_child,
    stop_orphan,
)
from epochal_embedded.servers.complaints import failure, file_errors
from epochal_embedded.servers.folders import (
    FolderLock,
    kept_secret,
    make_folder,
    write_private,
)
from epochal_embedded.servers.ports import LOOPBACK, free_port

_NAME = "NATS"
_STOP_LADDER = (Step(signal.SIGINT, 20.0),)
_POLL_S = 0.01
_ANSWER_DEADLINE_S = 2.0


@dataclass(frozen=True, slots=True)
class NatsLimits:
    """What one server may take from the machine."""

    max_payload_bytes: int = 8 * 1024 * 1024
    max_pending_bytes: int = 64 * 1024 * 1024
    max_memory_store_bytes: int = 256 * 1024 * 1024


class NatsServer:
    """nats-server as a child of this process.

    `durable` makes JetStream sync every write to disk before it acknowledges it. Its own default,
    two minutes, loses acknowledged messages with the power.
    """

    def __init__(
        self,
        folder: Path,
        *,
        port: int = 0,
        monitor_port: int | None = None,
        durable: bool = True,
        limits: NatsLimits | None = None,
        log_path: Path | None = None,
    ) -> None:
        """Describe the server; nothing is touched before `start`.

        Args:
            folder: the server's own folder, made when missing.
            port: loopback port, 0 for a free one; kept over restarts.
            monitor_port: port of the HTTP monitoring endpoint, None for none.
            durable: False leaves syncing to the server's default, for tests.
            limits: payload and memory limits.
            log_path: the server's log, `server.log` in its folder when None.
        """
        self._folder = folder.absolute()
        self._port = port
        self._monitor_port = monitor_port
        self._durable = durable
        self._limits = limits or NatsLimits()
        self._log = log_path or self._folder / "server.log"
        self._child: Child | None = None
        self._lock = FolderLock(self._folder / "lock", _NAME)
        self._token = ""

    @property
    def name(self) -> str:
        """How the supervisor calls this server."""
        return "nats"

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
        """The server's folder."""
        return self._folder

    @property
    def pid(self) -> int | None:
        """The server's process id while it runs."""
        return self._child.pid if self.running and self._child else None

    @property
    def running(self) -> bool:
        """Whether the server lives."""
        return self._child is not None and self._child.returncode is None

    @property
    def url(self) -> str:
        """The connection URL, with the token in it."""
        return f"nats://{self._token}@{LOOPBACK}:{self._port}"

    async def start(self, *, timeout_s: float = 30.0) -> None:
        """Start the server and return once JetStream answers; harmless while it runs.

        Raises:
            ServerFailed: with the end of the server's log; DiskFull, PortTaken, FolderInUse and
                StartTimedOut when the cause is known.
            ServerMissing: there is no nats-server to run.
        """
        if self.running:
            return
        with file_errors(_NAME):
            await self._start(timeout_s)

    async def _start(self, timeout_s: float) -> None:
        binary = await asyncio.to_thread(find_nats)
        make_folder(self._folder, 0o700)
        self._lock.acquire()
        try:
            await self._clear_previous_life()
            self._token = kept_secret(self._folder / "token")
            if self._port == 0:
                self._port = free_port()
            write_private(self._folder / "nats.conf", self._configuration())
            await self._launch(binary, timeout_s)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Shut the server down cleanly; harmless when it is stopped."""
        if self._child is not None:
            await self._child.stop(_STOP_LADDER)
        self._release()

    async def kill(self) -> None:
        """Kill the server with SIGKILL, as a crash would; `start` recovers the folder."""
        if self._child is not None:
            self._child.send(signal.SIGKILL)
            await self._child.wait()
        self._release()

    async def wait(self) -> int:
        """Wait until the server exits and return its status."""
        if self._child is None:
            return 0
        return await self._child.wait()

    def _release(self) -> None:
        self._child = None
        self._lock.release()

    async def _clear_previous_life(self) -> None:
        """Stop a server left by a killed supervisor: it holds the store and the port."""
        mark = ProcessMark.read(self._folder / "process.json")
        orphan = mark.process() if mark is not None else None
        if orphan is not None:
            await stop_orphan(orphan, _STOP_LADDER)

    def _configuration(self) -> str:
        # A JSON string is a valid string of the configuration language, quotes and all.
        monitor = f'http: "{LOOPBACK}:{self._monitor_port}"\n' if self._monitor_port else ""
        sync = "  sync_interval: always\n" if self._durable else ""
        return (
            f'listen: "{LOOPBACK}:{self._port}"\n'
            f"{monitor}"
            "server_name: epochal\n"
            f"max_payload: {self._limits.max_payload_bytes}\n"
            f"max_pending: {self._limits.max_pending_bytes}\n"
            f"authorization {{ token: {json.dumps(self._token)} }}\n"
            "jetstream {\n"
            f"  store_dir: {json.dumps(str(self._folder))}\n"
            f"{sync}"
            f"  max_memory_store: {self._limits.max_memory_store_bytes}\n"
            "}\n"
        )

    async def _launch(self, binary: Path, timeout_s: float) -> None:
        log = self._log
        rotate_log(log)
        offset = log.stat().st_size if log.exists() else 0
        self._child = await start_child(
            [str(binary), "--config", str(self._folder / "nats.conf")],
            log_path=log,
            environment={"PATH": os.defpath, "TZ": "UTC"},
            death_signal=signal.SIGINT,
        )
        ProcessMark.of(self._child.pid).write(self._folder / "process.json")
        try:
            async with asyncio.timeout(timeout_s):
                await self._until_ready(self._child, log, offset)
        except TimeoutError:
            raise StartTimedOut(
                _NAME, f"it did not answer within {timeout_s:g} s", log_tail=read_tail(log, offset)
            ) from None

    async def _until_ready(self, child: Child, log: Path, offset: int) -> None:
        while True:
            if child.returncode is not None:
                tail = read_tail(log, offset)
                raise failure(_NAME, tail, f"it exited with status {child.returncode}")
            if await _answers(self._port, self._token):
                return
            await asyncio.sleep(_POLL_S)


async def _answers(port: int, token: str) -> bool:
    """Log in and ask JetStream for its account, as any client does, in the server's own protocol.

    Spoken by hand: importing the client library takes longer than starting the server.
    """
    login = json.dumps({"auth_token": token, "verbose": False, "lang": "python", "version": "0"})
    try:
        async with asyncio.timeout(_ANSWER_DEADLINE_S):
            reader, writer = await asyncio.open_connection(LOOPBACK, port)
            try:
                writer.write(
                    f"CONNECT {login}\r\nSUB _INBOX.ready 1\r\n"
                    "PUB $JS.API.INFO _INBOX.ready 0\r\n\r\n".encode()
                )
                while line := await reader.readline():
                    if line.startswith((b"MSG _INBOX.ready", b"-ERR")):
                        return line.startswith(b"MSG")
            finally:
                writer.close()
    except (OSError, TimeoutError, ValueError):  # ValueError: a line longer than the limit
        return False
    return False


__all__ = ["NatsLimits", "NatsServer"]
