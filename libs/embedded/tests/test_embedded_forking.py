import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
from epochal_embedded.forking import template as template_module
from epochal_embedded.forking.launching import Template
from epochal_embedded.programs import Program
from epochal_testing.processes import python_process
from epochal_testing.waiting import until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="programs are forked on Linux only")

_PROGRAM = """
import os, signal, sys
assert __name__ == "__main__"
print("words", sys.argv, os.environ.get("GIVEN"), os.environ.get("PATH"), os.getcwd())
print("last words", file=sys.stderr)
if os.environ.get("GIVEN") == "wait":
    signal.pause()
sys.exit(7)
"""


@pytest.fixture
async def template(tmp_path: Path) -> AsyncIterator[Template]:
    code = tmp_path / "code"
    code.mkdir()
    (code / "tiny.py").write_text(_PROGRAM)
    (code / "torn.py").write_text("raise LookupError('torn')")
    path = os.pathsep.join([str(code), os.environ.get("PYTHONPATH", "")])
    made = Template(tmp_path / "template.log", {**os.environ, "PYTHONPATH": path})
    yield made
    await made.stop()


async def test_fork_runs_as_a_program_of_its_own(template: Template, tmp_path: Path) -> None:
    log = tmp_path / "tiny.log"
    child = await template.fork("tiny", "tiny", {"GIVEN": "x"}, log, tmp_path)
    assert await child.wait() == 7
    assert child.returncode == 7
    said = log.read_text()
    assert f"tiny.py'] x None {tmp_path}" in said
    assert "last words" in said


async def test_fork_leads_its_session_and_can_be_told_by_name(
    template: Template, tmp_path: Path
) -> None:
    log = tmp_path / "tiny.log"
    child = await template.fork("tiny", "tiny", {"GIVEN": "wait"}, log, tmp_path)
    await until(lambda: log.exists() and "last words" in log.read_text())
    assert os.getsid(child.pid) == child.pid
    assert psutil.Process(child.pid).name() == "epochal-tiny"
    child.send(signal.SIGKILL)
    assert await child.wait() == -signal.SIGKILL


async def test_traceback_of_a_fork_is_in_its_own_log(template: Template, tmp_path: Path) -> None:
    log = tmp_path / "torn.log"
    child = await template.fork("torn", "torn", {}, log, tmp_path)
    assert await child.wait() == 1
    assert "LookupError: torn" in log.read_text()


async def test_programs_die_with_their_template_and_the_next_fork_starts_another(
    template: Template, tmp_path: Path
) -> None:
    log = tmp_path / "tiny.log"
    children = [
        await template.fork("tiny", "tiny", {"GIVEN": "wait"}, log, tmp_path) for _ in range(3)
    ]
    mother = psutil.Process(children[0].pid).ppid()
    os.kill(mother, signal.SIGKILL)
    statuses = await asyncio.gather(*(child.wait() for child in children))
    assert set(statuses) == {-signal.SIGKILL}
    after = await template.fork("tiny", "tiny", {}, log, tmp_path)
    assert await after.wait() == 7


async def test_what_is_preloaded_starts_no_thread() -> None:
    code = (
        "import importlib, os, sys\n"
        f"for name in {template_module.PRELOADED!r}: importlib.import_module(name)\n"
        "print('threads', len(os.listdir('/proc/self/task')))"
    )
    async with python_process("-c", code) as process:
        assert (await process.until_line(r"threads (\d+)"))[1] == "1"


def test_program_with_variables_of_its_own_is_not_forked() -> None:
    assert Program("tracker", "epochal_tracker.main").shares_an_interpreter
    failing = {"EPOCHAL_FAILPOINTS": "append.before=kill"}
    assert not Program("tracker", "x", environment=failing).shares_an_interpreter
    assert not Program("tracker", "x", forked=False).shares_an_interpreter
