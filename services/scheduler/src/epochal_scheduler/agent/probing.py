"""Looks at a service from outside: does it answer, is it used."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import JsonValue

from epochal_scheduler.agent.commands import run_command
from epochal_scheduler.agent.launching import Launch, expand

LIMIT_S = 5.0
BODY_BYTES = 64 * 1024
LOCAL = "127.0.0.1"
ESTABLISHED = "01"


@dataclass(frozen=True, slots=True)
class Answer:
    """The status of an HTTP answer, and the beginning of its body."""

    status: int
    body: bytes

    @property
    def is_good(self) -> bool:
        """Whether Kubernetes would take it for success."""
        return 200 <= self.status < 400


async def is_ready(launch: Launch) -> bool:
    """Whether a service answers: as its readiness probe wants it, else on its first port."""
    container = launch.plan.container
    probe = (container.readiness_probe if container is not None else None) or {}
    if isinstance(http := probe.get("httpGet"), dict):
        answer = await http_get(_port(launch, http), str(http.get("path") or "/"))
        return answer is not None and answer.is_good
    if isinstance(command := probe.get("exec"), dict):
        return await _succeeds(launch, command.get("command"))
    tcp = probe.get("tcpSocket")
    return await connects(_port(launch, tcp if isinstance(tcp, dict) else {}))


async def is_active(launch: Launch, limit_s: float) -> bool:
    """Whether a service is used: as its activity probe tells, else by open connections.

    An HTTP probe that answers well means yes, unless its body is a JSON object that says better:
    `last_activity` as Jupyter's `/api/status` has it, or `active`.
    """
    termination = launch.plan.termination
    probe = termination.probe if termination is not None else None
    if probe is not None and probe.http:
        http = probe.http
        answer = await http_get(_port(launch, http), str(http.get("path") or "/"))
        return answer is not None and answer.is_good and _says_active(answer.body, limit_s)
    if probe is not None and probe.exec:
        return await _succeeds(launch, probe.exec.get("command"))
    return await asyncio.to_thread(has_connections, launch.ports)


async def connects(port: int) -> bool:
    """Whether a port of this machine takes connections."""
    try:
        async with asyncio.timeout(LIMIT_S):
            _, writer = await asyncio.open_connection(LOCAL, port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


async def http_get(port: int, path: str) -> Answer | None:
    """Returns the answer of a service to a GET, or None when there is none in time."""
    request = f"GET {path} HTTP/1.0\r\nHost: localhost:{port}\r\nConnection: close\r\n\r\n"
    try:
        async with asyncio.timeout(LIMIT_S):
            reader, writer = await asyncio.open_connection(LOCAL, port)
            try:
                writer.write(request.encode())
                await writer.drain()
                status = await reader.readline()
                while (await reader.readline()).strip():
                    pass
                body = await reader.read(BODY_BYTES)
            finally:
                writer.close()
        return Answer(int(status.split()[1]), body)
    except (OSError, TimeoutError, ValueError, IndexError):
        return None


def has_connections(ports: tuple[int, ...]) -> bool:
    """Whether any of these ports of this machine has an open connection (proc_net_tcp(5))."""
    wanted = {f"{port:04X}" for port in ports}
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            _, local, _, state, *_ = line.split()
            if state == ESTABLISHED and local.rpartition(":")[2] in wanted:
                return True
    return False


async def _succeeds(launch: Launch, command: JsonValue) -> bool:
    if not isinstance(command, list) or not command:
        return False
    argv = [expand(str(word), launch.env) for word in command]
    try:
        done = await run_command(launch, argv, launch.folder, {}, LIMIT_S)
    except OSError:
        return False
    return done.code == 0


def _says_active(body: bytes, limit_s: float) -> bool:
    try:
        found = json.loads(body)
        if isinstance(found, dict) and "active" in found:
            return bool(found["active"])
        if isinstance(found, dict) and "last_activity" in found:
            at = datetime.fromisoformat(str(found["last_activity"]))
            at = at if at.tzinfo else at.replace(tzinfo=UTC)
            return datetime.now(UTC) - at < timedelta(seconds=limit_s)
    except (ValueError, RecursionError):
        return True
    return True


def _port(launch: Launch, probe: Mapping[str, JsonValue]) -> int:
    """The port that a probe names by its declared number, else the first."""
    wanted = str(probe.get("port") or "")
    return launch.port_of(int(wanted)) if wanted.isdecimal() else launch.ports[0]
