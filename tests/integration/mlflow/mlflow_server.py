"""MLflow's own server, to be moved from and to be compared with."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from environments import interpreter, surroundings

STARTS_IN_S = 120.0


@contextmanager
def served(home: Path) -> Iterator[str]:
    """MLflow's own server over a database of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    python = interpreter("3.17-server")
    words = [
        str(python.parent / "mlflow"), "server", "--host", "127.0.0.1", "--port", str(port),
        "--workers", "1", "--backend-store-uri", f"sqlite:///{home}/mlflow.db",
        "--artifacts-destination", str(home / "artifacts"),
    ]  # fmt: skip
    with (home / "server.log").open("wb") as log:
        environment = surroundings(PATH=f"{python.parent}:{os.environ['PATH']}")
        server = subprocess.Popen(
            words, cwd=home, stdout=log, stderr=log, env=environment, start_new_session=True
        )
    url = f"http://127.0.0.1:{port}"
    try:
        _await(url, server, home)
        yield url
    finally:
        os.killpg(server.pid, 15)
        server.wait(30)


def _await(url: str, server: subprocess.Popen[bytes], home: Path) -> None:
    ends = time.monotonic() + STARTS_IN_S
    with httpx.Client(transport=httpx.HTTPTransport(retries=2)) as client:
        while time.monotonic() < ends:
            assert server.poll() is None, (home / "server.log").read_text()[-3000:]
            try:
                if client.get(f"{url}/health").status_code == 200:
                    return
            except httpx.HTTPError:
                continue
    raise AssertionError((home / "server.log").read_text()[-3000:])
