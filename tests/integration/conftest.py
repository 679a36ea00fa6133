"""One real platform for all tests of a process: embedded servers, five services, one agent."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from epochal import config
from epochal.client import Client
from epochal_embedded import control
from epochal_embedded.home import Home

sys.path.insert(0, str(Path(__file__).parent))

from platform_world import Platform


@pytest.fixture(scope="session")
def platform() -> Iterator[Platform]:
    folder = Path(tempfile.mkdtemp(prefix="epochal-platform-"))
    folder.chmod(0o711)
    home = Home(folder / "home")
    # For the tests of clients that empty an organisation of their own.
    os.environ["EPOCHAL_ALLOW_TEST_RESET"] = "true"
    # A slow test must not find metrics of the machine among its own.
    os.environ["EPOCHAL_SYSTEM_METRICS_S"] = "0"
    # Tests of archives wait for retention.
    os.environ["EPOCHAL_RETENTION_EVERY_S"] = "1"
    # One of them makes a platform of what is archived of this one's log.
    os.environ["EPOCHAL_AUDIT_ARCHIVE"] = (folder / "log-archive").as_uri()
    os.environ["EPOCHAL_AUDIT_ARCHIVE_NAMES"] = (folder / "names").as_uri()
    os.environ["EPOCHAL_AUDIT_ARCHIVE_S"] = "2"
    # Tests of proofs wait for a checkpoint.
    os.environ["EPOCHAL_AUDIT_SEAL_S"] = "1"
    control.start(home)
    try:
        control.wait_ready(home, lambda _: None)
        connection = config.read(home.client)
        assert connection is not None
        yield Platform(home, connection, connection.url)
    finally:
        control.stop(home, lambda _: None)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def admin(platform: Platform) -> Iterator[Client]:
    with platform.client() as client:
        yield client
