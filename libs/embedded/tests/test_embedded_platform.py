"""The supervisor with real servers and tiny real programs, driven as a person drives it."""

import asyncio
import json
import os
import signal
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import psutil
import pytest
from epochal_embedded import control
from epochal_embedded.cli import register
from epochal_embedded.errors import AlreadyRunning, EmbeddedError, NotRunning, PlatformNotReady
from epochal_embedded.home import Home
from epochal_embedded.state import PlatformReport, UnitReport
from epochal_embedded.supervisor import lock_home
from epochal_testing.processes import python_process
from epochal_testing.waiting import until
from typer import Typer
from typer.testing import CliRunner

_SERVICE = """
import http.server, json, os, signal, sys

class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(503 if os.path.exists("halted") else 200)
        self.end_headers()
        body = {"environment": dict(os.environ), "problems": {"consumer": "event 7 is poison"}}
        self.wfile.write(json.dumps(body).encode())
    def log_message(self, *arguments):
        pass

signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print("up", os.environ["EPOCHAL_HTTP_PORT"])
http.server.HTTPServer(("127.0.0.1", int(os.environ["EPOCHAL_HTTP_PORT"])), Answer).serve_forever()
"""
_BROKEN = "raise SystemExit('the licence has expired')"
_DEAF = (
    "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhile True:\n    signal.pause()"
)


@pytest.fixture
def home(shared_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A data folder, and two tiny programs in place of the platform's."""
    code = shared_folder / "code"
    code.mkdir()
    for name, text in (("tiny_service", _SERVICE), ("broken", _BROKEN), ("deaf", _DEAF)):
        (code / f"{name}.py").write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(code), prepend=os.pathsep)
    monkeypatch.setenv("EPOCHAL_TOKEN", "a client's")
    for name in ("EPOCHAL_DATABASE_URL", "EPOCHAL_NATS_URL", "EPOCHAL_HOME"):
        monkeypatch.delenv(name, raising=False)
    return Home(shared_folder / "home")


Choose = Callable[..., None]


@pytest.fixture
def choose(shared_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Choose:
    """Choose the programs of the next `up`."""

    def chosen(*programs: dict[str, object]) -> None:
        file = shared_folder / "programs.json"
        # The template process imports the kernel for longer than a tiny program runs.
        file.write_text(json.dumps([{"forked": False, **program} for program in programs]))
        monkeypatch.setenv("EPOCHAL_PROGRAMS", str(file))

    chosen(
        {"name": "gateway", "module": "tiny_service"},
        {"name": "tracker", "module": "tiny_service", "stop_order": 2},
    )
    return chosen


@pytest.fixture
def down_after(home: Home) -> Iterator[None]:
    """Leave nothing running, whatever the test did."""
    yield
    try:
        control.stop(home, _ignore, 20)
    except NotRunning:
        return


pytestmark = pytest.mark.usefixtures("down_after", "choose")


def _ignore(report: PlatformReport) -> None:
    return None


def _up(home: Home) -> PlatformReport:
    control.start(home)
    return control.wait_ready(home, _ignore)


def _unit(home: Home, name: str) -> UnitReport:
    report = control.observe(home)
    assert report is not None
    return next(unit for unit in report.units if unit.name == name)


def _processes(report: PlatformReport) -> list[psutil.Process]:
    marks = [report.supervisor, *(unit.mark for unit in report.units)]
    return [process for mark in marks if mark is not None and (process := mark.process())]


async def _database(report: PlatformReport, home: Home) -> asyncpg.Connection:
    password = (home.root / "postgres" / "password").read_text().strip()
    port = next(unit.port for unit in report.units if unit.name == "postgres")
    return await asyncpg.connect(f"postgresql://epochal:{password}@127.0.0.1:{port}/epochal")


async def test_up_down_up_resumes_with_all_data(home: Home, choose: Choose) -> None:
    choose(
        {"name": "gateway", "module": "tiny_service", "forked": True},
        {"name": "tracker", "module": "tiny_service", "forked": True, "stop_order": 2},
    )
    first = _up(home)
    connection = await _database(first, home)
    await connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    await connection.close()
    client = json.loads(home.client.read_text())
    processes = _processes(first)

    stopped = control.stop(home, _ignore)

    assert len(processes) == 5
    assert not _processes(first)
    assert stopped.phase == "stopped"
    assert {unit.name for unit in stopped.units} == {"postgres", "nats", "gateway", "tracker"}
    second = _up(home)
    connection = await _database(second, home)
    assert await connection.fetchval("SELECT answer FROM kept") == 42
    await connection.close()
    assert {unit.name: unit.port for unit in second.units} == {
        unit.name: unit.port for unit in first.units
    }
    assert json.loads(home.client.read_text()) == client
    assert client["url"] == second.url


@pytest.mark.parametrize("name", ["tracker", "postgres", "nats"])
async def test_what_dies_is_started_again_on_its_port(home: Home, name: str) -> None:
    _up(home)
    before = _unit(home, name)
    assert before.mark is not None
    os.kill(before.mark.pid, signal.SIGKILL)
    await until(lambda: _unit(home, name).restarts == 1 and _unit(home, name).state == "ready", 30)
    after = _unit(home, name)
    assert after.mark != before.mark
    assert after.port == before.port
    assert "killed by signal 9" in after.last_error


@pytest.mark.parametrize("forked", [False, True])
async def test_killed_supervisor_leaves_nothing_and_up_works_again(
    home: Home, choose: Choose, forked: bool
) -> None:
    choose({"name": "gateway", "module": "tiny_service", "forked": forked})
    first = _up(home)
    os.kill(first.supervisor.pid, signal.SIGKILL)
    await until(lambda: not _processes(first), 30)
    assert control.observe(home) is None
    second = _up(home)
    assert second.supervisor != first.supervisor


async def test_second_up_finds_the_first(home: Home) -> None:
    first = _up(home)
    assert control.start(home) is False
    assert control.wait_ready(home, _ignore).supervisor == first.supervisor
    with pytest.raises(AlreadyRunning):
        lock_home(home)


async def test_reused_process_id_is_not_taken_for_a_supervisor(home: Home) -> None:
    _up(home)
    control.stop(home, _ignore)
    found = json.loads(home.state.read_text())
    found["supervisor"]["pid"] = os.getpid()
    found["units"][0]["mark"] = {"pid": os.getpid(), "started_at_s": 1.0}
    home.state.write_text(json.dumps(found))
    assert control.observe(home) is None
    with pytest.raises(NotRunning):
        control.stop(home, _ignore)


async def test_program_that_cannot_start_fails_up_with_its_words(
    home: Home, choose: Choose
) -> None:
    choose({"name": "gateway", "module": "tiny_service"}, {"name": "tracker", "module": "broken"})
    control.start(home)
    with pytest.raises(PlatformNotReady, match="the licence has expired"):
        control.wait_ready(home, _ignore)
    report = PlatformReport.read(home)
    assert report is not None
    assert report.phase == "failed"
    await until(lambda: not _processes(report))


async def test_deaf_program_is_killed_after_its_patience(home: Home, choose: Choose) -> None:
    choose(
        {"name": "gateway", "module": "tiny_service"},
        {"name": "agent", "module": "deaf", "probed": False, "patience_s": 0.3},
    )
    report = _up(home)
    control.stop(home, _ignore)
    assert not _processes(report)


async def test_down_kills_what_does_not_end_in_time(home: Home, choose: Choose) -> None:
    choose(
        {"name": "gateway", "module": "tiny_service"},
        {"name": "agent", "module": "deaf", "probed": False, "patience_s": 600},
    )
    report = _up(home)
    control.stop(home, _ignore, timeout_s=0.5)
    assert not _processes(report)


async def test_secrets_are_private_and_clients_variables_are_not_inherited(home: Home) -> None:
    report = _up(home)
    tracker = next(unit.port for unit in report.units if unit.name == "tracker")
    reader, writer = await asyncio.open_connection("127.0.0.1", tracker)
    writer.write(b"GET / HTTP/1.0\r\n\r\n")
    seen = json.loads((await reader.read()).partition(b"\r\n\r\n")[2])["environment"]
    writer.close()
    assert "EPOCHAL_TOKEN" not in seen
    assert seen["EPOCHAL_NATS_URL"].startswith("nats://")
    assert seen["EPOCHAL_URL"] == report.url
    assert seen["EPOCHAL_DATABASE_URL"].startswith("postgresql://")
    assert "EPOCHAL_BOOTSTRAP_TOKEN" not in seen
    private = [home.client, home.root / "secrets.json", home.state, home.log_of("tracker")]
    assert {stat.S_IMODE(path.stat().st_mode) for path in private} == {0o600}


async def test_external_database_replaces_the_embedded_one(
    home: Home, database: str, nats_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EPOCHAL_DATABASE_URL", database)
    monkeypatch.setenv("EPOCHAL_NATS_URL", nats_url)
    report = _up(home)
    assert {unit.name for unit in report.units} == {"gateway", "tracker"}
    assert not (home.root / "postgres").exists()
    control.stop(home, _ignore)
    monkeypatch.delenv("EPOCHAL_DATABASE_URL")
    control.start(home)
    with pytest.raises(EmbeddedError, match="would start empty"):
        control.wait_ready(home, _ignore)


def test_command_line_from_start_to_end(home: Home) -> None:
    app = Typer()
    register(app)
    runner = CliRunner()
    place = ["--home", str(home.root)]
    assert runner.invoke(app, ["status", *place]).exit_code == 3
    started = runner.invoke(app, ["up", *place])
    assert started.exit_code == 0, started.output
    assert "Epochal is ready at http://127.0.0.1:" in started.output
    assert "Epochal runs already" in runner.invoke(app, ["up", *place]).output
    shown = runner.invoke(app, ["status", *place], env={"COLUMNS": "160"})
    assert shown.exit_code == 0
    assert "tracker" in shown.stdout
    listed = json.loads(runner.invoke(app, ["status", "-o", "json", *place]).stdout)
    assert listed["phase"] == "ready"
    assert all(process["memoryBytes"] > 0 for process in listed["processes"])
    (home.root / "halted").touch()
    halted = runner.invoke(app, ["status", *place], env={"COLUMNS": "200"})
    assert halted.exit_code == 1
    assert "not ready" in halted.stdout
    assert "consumer: event 7 is poison" in halted.stdout
    stopped = runner.invoke(app, ["down", *place])
    assert stopped.exit_code == 0
    assert "Stopped postgres, nats, gateway, tracker" in stopped.output
    assert runner.invoke(app, ["status", "-o", "json", *place]).exit_code == 3
    assert "No platform runs" in runner.invoke(app, ["down", *place]).output


def test_folder_that_cannot_be_made_is_named(shared_folder: Path, home: Home) -> None:
    (shared_folder / "file").write_text("")
    with pytest.raises(EmbeddedError, match="cannot be used: Not a directory"):
        control.start(Home(shared_folder / "file" / "home"))


async def test_foreground_stops_everything_on_ctrl_c(home: Home) -> None:
    code = (
        "import typer\nfrom epochal_embedded.cli import register\n"
        "app = typer.Typer()\nregister(app)\napp()"
    )
    arguments = ["-c", code, "up", "--foreground", "--home", str(home.root)]
    async with python_process(*arguments, environment={"COLUMNS": "200"}) as process:
        await process.until_line("Epochal is ready", timeout_s=60)
        report = control.observe(home)
        assert report is not None
        processes = _processes(report)
        process.send(signal.SIGINT)
        assert await process.wait(timeout_s=30) == 0
        assert "Everything is stopped" in process.output
    assert len(processes) == 5
    assert not _processes(report)
