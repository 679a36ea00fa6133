"""Attempts run as real processes, reported to fakes."""

import subprocess
import sys

import pytest
from agent_fakes import MARK, RUN, FakeLogs, FakeScheduler, executing, host, work_item
from epochal_kernel.errors import PermissionDenied
from epochal_scheduler.agent import executing as executor
from epochal_scheduler.agent import shipping
from epochal_scheduler.agent.launching import expand, plan_launch
from epochal_scheduler.agent.marks import Strangers, find_marked, kill_marked
from epochal_testing.waiting import until


async def run_code(code, folder, **more):
    async with executing(work_item(code, **more), folder) as (_, scheduler, logs, _task):
        pass
    return scheduler, logs


async def test_a_process_runs_and_all_it_says_is_shipped_and_sealed(tmp_path):
    code = "import sys; print('one'); print('two', file=sys.stderr); print('end', end='')"
    scheduler, logs = await run_code(code, tmp_path)
    assert scheduler.told == ["started", "exited"]
    assert scheduler.exited.exit_code == 0
    assert sorted(logs.lines()) == [("stderr", "two"), ("stdout", "end"), ("stdout", "one")]
    assert logs.sealed == len(logs.batches)


async def test_a_process_that_says_nothing_has_no_producer(tmp_path):
    logs = FakeLogs()
    logs.gate.clear()
    async with executing(work_item("pass"), tmp_path, logs=logs) as (_, scheduler, _l, _t):
        pass
    assert scheduler.told == ["started", "exited"]
    assert (logs.batches, logs.sealed) == ([], None)


async def test_a_failure_tells_its_last_lines(tmp_path):
    scheduler, _ = await run_code("raise SystemExit('it broke')", tmp_path)
    assert (scheduler.exited.exit_code, scheduler.exited.message) == (1, "it broke")
    assert not scheduler.exited.stopped


async def test_the_process_knows_its_run_and_no_secret(tmp_path):
    code = "import os, json; print(json.dumps(dict(os.environ))); print(os.getcwd())"
    _, logs = await run_code(code, tmp_path)
    import json

    env = json.loads(logs.lines()[0][1])
    assert env["EPOCHAL_RUN"] == RUN
    assert env["EPOCHAL_PROJECT"] == "orgs/acme/projects/vision"
    assert (env["EPOCHAL_TOKEN"], env["EPOCHAL_ATTEMPT"]) == ("epr_x", "1")
    assert "EPOCHAL_RUN_TOKEN_SECRET" not in env
    assert logs.lines()[1][1] == str(tmp_path / "runs" / RUN.rpartition("/")[2])
    assert (tmp_path / "runs" / RUN.rpartition("/")[2] / "outputs").is_dir()


async def test_a_program_that_is_not_there_is_a_failure(tmp_path):
    item = work_item("")
    item.compiled_json = item.compiled_json.replace('"python"', '"no-such-program"')
    async with executing(item, tmp_path) as (_, scheduler, logs, _task):
        pass
    assert scheduler.told == ["exited"]
    assert scheduler.exited.exit_code == 126
    assert "no-such-program" in scheduler.exited.message
    assert logs.lines()[0][0] == "system"


async def test_an_argument_no_process_can_have_is_a_failure(tmp_path):
    item = work_item("pass")
    item.compiled_json = item.compiled_json.replace('"pass"', r'"a\u0000b"')
    async with executing(item, tmp_path) as (_, scheduler, _logs, _task):
        pass
    assert scheduler.exited.exit_code == 126


async def test_a_timeout_ends_the_process(tmp_path):
    code = "import time; print('up', flush=True); time.sleep(60)"
    scheduler, logs = await run_code(code, tmp_path, timeout_s=1)
    assert scheduler.exited.timed_out
    assert scheduler.exited.exit_code == -15
    assert ("system", "the process is ended: timeout of 1 s") in logs.lines()


STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print("up", flush=True)
time.sleep(60)
"""


async def test_no_orphan_survives_a_stop(tmp_path):
    async with executing(work_item(STUBBORN), tmp_path, grace_s=0.2) as (held, scheduler, logs, _):
        await until(lambda: ("stdout", "up") in logs.lines())
        assert len(list(find_marked(f"EPOCHAL_AGENT_MARK={MARK}"))) == 3
        held.stop("someone asked")
    assert scheduler.exited.stopped
    assert scheduler.exited.exit_code == -9


async def test_what_a_process_leaves_behind_is_killed(tmp_path):
    code = (
        "import subprocess, sys; subprocess.Popen([sys.executable, '-c', "
        "'import time; time.sleep(60)'], start_new_session=True)"
    )
    scheduler, _ = await run_code(code, tmp_path)
    assert scheduler.exited.exit_code == 0


async def test_a_fenced_attempt_is_ended(tmp_path):
    scheduler = FakeScheduler(refuses={"started", "exited"})
    item = work_item("import time; time.sleep(60)")
    async with executing(item, tmp_path, scheduler):
        pass
    assert scheduler.exited.stopped


async def test_a_stop_before_the_start_is_not_lost(tmp_path):
    async with executing(work_item("import time; time.sleep(60)"), tmp_path) as (
        held,
        scheduler,
        *_,
    ):
        held.stop("at once")
    assert scheduler.exited.stopped


async def test_the_exit_is_told_after_the_lines_are_sealed(tmp_path):
    logs = FakeLogs()
    logs.gate.clear()
    async with executing(work_item("print('x')"), tmp_path, logs=logs) as (_, scheduler, _l, _t):
        scheduler.on_exit = lambda: scheduler.told.append(logs.sealed)
        await until(lambda: "started" in scheduler.told)
        assert "exited" not in scheduler.told
        logs.gate.set()
    assert scheduler.told == ["started", 1, "exited"]


async def test_the_exit_is_told_though_the_lines_cannot_be_sent_yet(tmp_path, monkeypatch):
    monkeypatch.setattr(executor, "SEAL_BEFORE_EXIT_S", 0.1)
    logs = FakeLogs()
    logs.gate.clear()
    async with executing(work_item("print('x')"), tmp_path, logs=logs) as (_, scheduler, _l, _t):
        await until(lambda: "exited" in scheduler.told)
        assert logs.sealed is None
        logs.gate.set()
    assert logs.lines() == [("stdout", "x")]
    assert logs.sealed == 1


async def test_refused_logs_do_not_hurt_the_run(tmp_path):
    logs = FakeLogs()
    logs.refusal = PermissionDenied("no")
    async with executing(work_item("print('x')"), tmp_path, logs=logs) as (_, scheduler, *_rest):
        pass
    assert scheduler.exited.exit_code == 0
    assert logs.batches == []


async def test_a_full_buffer_makes_the_process_wait_and_loses_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(shipping, "MAX_WAITING_CHARS", 100_000)
    logs = FakeLogs()
    logs.gate.clear()
    item = work_item("for n in range(50000): print(f'{n:0100}')")
    async with executing(item, tmp_path, logs=logs) as (_, scheduler, _l, _t):
        await until(lambda: "started" in scheduler.told)
        logs.gate.set()
    assert [int(text) for _, text in logs.lines()] == list(range(50_000))


async def test_a_spool_is_private_and_removed_when_nothing_is_left_in_it(tmp_path):
    code = "import os; p = os.environ['EPOCHAL_SPOOL']; os.mkdir(p); print(p)"
    _, logs = await run_code(code, tmp_path)
    spool = tmp_path / "spools" / f"{RUN.rpartition('/')[2]}-1"
    assert logs.lines() == [("stdout", str(spool))]
    assert spool.parent.stat().st_mode & 0o777 == 0o700
    assert list(spool.parent.iterdir()) == []


LEAVES_A_RUN = """
import epochal, os, signal
run = epochal.init(mode="offline")
run.log_metric("loss", 1.0)
run._telemetry.flush()
os.kill(os.getpid(), signal.SIGKILL)
"""

LEAVES_SOMETHING_ELSE = """
import os, pathlib
folder = pathlib.Path(os.environ["EPOCHAL_SPOOL"], "a")
folder.mkdir(parents=True)
(folder / "run.json").write_text("no run")
"""


@pytest.mark.parametrize(
    ("code", "exit_code", "why"),
    [(LEAVES_A_RUN, -9, "within 0.5 s"), (LEAVES_SOMETHING_ELSE, 0, "not")],
)
async def test_what_cannot_be_sent_is_kept_and_said_and_the_exit_is_told(
    tmp_path, code, exit_code, why
):
    async with executing(work_item(code), tmp_path, salvage_s=0.5 if exit_code else 20.0) as (
        _,
        scheduler,
        logs,
        _task,
    ):
        pass
    assert scheduler.told == ["started", "exited"]
    assert (scheduler.exited.exit_code, scheduler.exited.message) == (exit_code, "")
    spool = tmp_path / "spools" / f"{RUN.rpartition('/')[2]}-1"
    assert len(list(spool.iterdir())) == 1
    (told,) = [text for stream, text in logs.lines() if stream == "system"]
    assert f"kept in {spool}: " in told
    assert why in told


def test_a_process_is_found_however_often_others_were_passed_over():
    strangers = Strangers("A_MARK=of-this-test")
    assert list(strangers.find("A=1")) == []
    for number in ("1", "2"):
        with subprocess.Popen(
            [sys.executable, "-c", "input()"],
            stdin=subprocess.PIPE,
            env={"A_MARK": "of-this-test", "A": number},
        ) as process:
            try:
                assert list(strangers.find("A=3")) == []
                assert list(strangers.find(f"A={number}")) == [process.pid]
                assert list(strangers.find(f"A={number}")) == [process.pid]
                assert kill_marked(f"A={number}", strangers=strangers) == 1
            finally:
                process.communicate()


@pytest.mark.parametrize(
    ("text", "expected"),
    [("$(A)", "1"), ("x$(A)y$(B)", "x1y$(B)"), ("$$(A)", "$(A)"), ("$A", "$A"), ("$()", "$()")],
)
def test_references_expand_as_in_kubernetes(text, expected):
    assert expand(text, {"A": "1"}) == expected


def test_platform_variables_cannot_be_replaced(tmp_path):
    extra = "env: [{name: EPOCHAL_TOKEN, value: mine}, {name: A, value: $(EPOCHAL_ATTEMPT)}]"
    launch = plan_launch(work_item("", container=extra), host(tmp_path))
    assert (launch.env["EPOCHAL_TOKEN"], launch.env["A"]) == ("epr_x", "1")
    assert launch.argv[0] == sys.executable
