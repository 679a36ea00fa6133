import asyncio
import signal

import psutil
import pytest
from epochal_testing.processes import ProcessDied, python_process
from epochal_testing.waiting import NotInTime, until

_READY_THEN_WAIT = "import time; print('listening on 1234'); time.sleep(60)"


async def test_until_line_returns_the_match() -> None:
    async with python_process("-c", _READY_THEN_WAIT) as process:
        match = await process.until_line(r"listening on (\d+)")
        assert match[1] == "1234"
        assert await process.kill() == -signal.SIGKILL


async def test_death_before_ready_shows_the_output() -> None:
    async with python_process("-c", "raise SystemExit('no licence')") as process:
        with pytest.raises(ProcessDied, match="no licence"):
            await process.until_line("listening")


async def test_missing_line_is_reported_with_the_output() -> None:
    async with python_process("-c", _READY_THEN_WAIT) as process:
        await process.until_line("listening")
        with pytest.raises(NotInTime, match="listening on 1234"):
            await process.until_line("never", timeout_s=0.05)


async def test_nothing_is_left_of_a_process_and_its_children() -> None:
    code = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print('child', child.pid); time.sleep(60)"
    )
    async with python_process("-c", code) as process:
        child = psutil.Process(int((await process.until_line(r"child (\d+)"))[1]))

    def gone() -> bool:
        return not child.is_running() or child.status() == psutil.STATUS_ZOMBIE

    await until(gone)


async def test_failpoints_reach_the_process() -> None:
    code = "import os; print(os.environ['EPOCHAL_FAILPOINTS'])"
    points = {"relay.after_publish": "kill@2", "append.before": "kill"}
    async with python_process("-c", code, failpoints=points) as process:
        assert await process.wait() == 0
        assert process.output == "relay.after_publish=kill@2,append.before=kill"


async def test_armed_failpoint_kills_like_a_power_loss() -> None:
    code = (
        "import atexit\n"
        "from epochal_kernel.failpoints import failpoint\n"
        "atexit.register(print, 'cleaned up')\n"
        "failpoint('append.before')\n"
        "failpoint('append.after_commit')\n"
    )
    async with python_process("-c", code, failpoints={"append.after_commit": "kill"}) as process:
        assert await process.wait() == -signal.SIGKILL
        assert "cleaned up" not in process.output


async def test_until_waits_for_assertions_and_values() -> None:
    seen = iter([False, True])

    def not_yet() -> str:
        assert next(seen)
        return "value"

    assert await until(not_yet) == "value"


async def test_until_takes_coroutine_functions_and_lets_errors_through() -> None:
    async def broken() -> bool:
        await asyncio.sleep(0)
        raise LookupError("wrong test")

    with pytest.raises(LookupError):
        await until(broken)


async def test_until_names_what_was_missing() -> None:
    with pytest.raises(NotInTime, match="the moon was not true"):
        await until(lambda: False, 0.01, what="the moon")
