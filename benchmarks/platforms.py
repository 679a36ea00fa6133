"""A whole platform for benchmarks that need its doors."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from epochal import config
from epochal.config import Connection
from epochal_embedded import control
from epochal_embedded.home import Home


@contextmanager
def running_platform() -> Iterator[tuple[Home, Connection]]:
    """Start a platform, yield its folder and how to reach it, stop it."""
    with tempfile.TemporaryDirectory(prefix="epochal-bench-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        home = Home(folder / "home")
        control.start(home)
        try:
            control.wait_ready(home, lambda _: None)
            connection = config.read(home.client)
            assert connection is not None
            yield home, connection
        finally:
            control.stop(home, lambda _: None)
