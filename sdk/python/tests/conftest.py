"""A platform for every test that wants one, and no trace of the developer's own."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from sdk_gateway import Gateway


@pytest.fixture(autouse=True)
def own_environment(monkeypatch, tmp_path):
    """No test sees the platform, the settings or the spool of whoever runs it."""
    for name in ("URL", "TOKEN", "PROJECT", "RUN", "ATTEMPT", "MODE", "STRICT", "HOME"):
        monkeypatch.delenv(f"EPOCHAL_{name}", raising=False)
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    monkeypatch.setenv("EPOCHAL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("EPOCHAL_CONFIG", str(tmp_path / "config.json"))
    monkeypatch.setenv("EPOCHAL_CAPTURE", "0")
    monkeypatch.setenv("EPOCHAL_SYSTEM_METRICS_S", "0")
    monkeypatch.delenv("EPOCHAL_OUTPUTS_FILE", raising=False)
    monkeypatch.setenv("EPOCHAL_SPOOL", str(tmp_path / "spool"))


@pytest.fixture
def gateway():
    with Gateway() as running:
        yield running


@pytest.fixture
def platform(gateway, monkeypatch):
    """A gateway that the environment points to."""
    monkeypatch.setenv("EPOCHAL_URL", gateway.url)
    monkeypatch.setenv("EPOCHAL_TOKEN", gateway.world.token)
    return gateway
