"""`epochal agent`: what is said on the command line is what the agent is."""

import pytest
import typer
from epochal_scheduler.agent import cli, main
from typer.testing import CliRunner


@pytest.fixture
def started(monkeypatch):
    """Settings of agents that would have run."""
    found = []
    monkeypatch.setattr(main, "run", found.append)
    for name in ("NATS_URL", "URL", "AGENT_QUEUES", "AGENT_SLOTS", "AGENT_LABELS", "DATA_DIR"):
        monkeypatch.delenv(f"EPOCHAL_{name}", raising=False)
    return found


def invoke(*arguments):
    app = typer.Typer()
    cli.register(app)
    app.command("other")(lambda: None)
    return CliRunner().invoke(app, ["agent", *arguments])


def test_an_agent_is_what_its_options_say(started, tmp_path):
    result = invoke(
        "--queue", "gpu", "-q", "default", "--nats", "nats://t@h:1", "--url", "http://h:2",
        "--slots", "3", "--label", "zone=a", "--label", "gpu=a100",
        "--data-dir", str(tmp_path), "--name", "box",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    (settings,) = started
    assert (settings.nats_url, settings.url) == ("nats://t@h:1", "http://h:2")
    assert (settings.queues, settings.agent_slots) == (("gpu", "default"), 3)
    assert settings.labels == {"zone": "a", "gpu": "a100"}
    assert (settings.data_dir, settings.agent_name) == (tmp_path, "box")
    assert settings.agent_executor == "process"


def test_what_no_option_says_the_environment_does(started, monkeypatch):
    monkeypatch.setenv("EPOCHAL_AGENT_EXECUTOR", "noop")
    monkeypatch.setenv("EPOCHAL_NATS_URL", "nats://h:1")
    assert invoke().exit_code == 0
    assert started[0].agent_executor == "noop"


def test_files_go_to_the_account_s_own_folder(started, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert invoke("--nats", "nats://h:1").exit_code == 0
    assert started[0].data_dir == tmp_path / "epochal" / "agent"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "--nats"),
        (("--nats", "nats://h:1", "--label", "zone"), "NAME=VALUE"),
        (("--nats", "nats://h:1", "--slots", "0"), "--slots"),
    ],
)
def test_what_is_missing_or_wrong_is_said(started, arguments, says):
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert says in result.output
    assert not started


def test_the_help_has_examples():
    assert "epochal agent -q gpu" in invoke("--help").output
