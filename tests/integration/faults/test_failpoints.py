"""The process dies at each named step of the kernel, and no step is left out."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest
from epochal_kernel.failpoints import FAILPOINTS
from fault_world import World

pytestmark = pytest.mark.faults

KERNEL = [name for name in FAILPOINTS if name.split(".")[0] in ("append", "relay", "consumer")]
SINK = [name for name in FAILPOINTS if name.startswith("sink.")]
WRITER = [name for name in FAILPOINTS if name.startswith("writer.")]
SPANS = [name for name in FAILPOINTS if name.startswith("traces.")]
SCHEDULER = [name for name in FAILPOINTS if name.split(".")[0] in ("dispatch", "agent")]
ARCHIVER = [name for name in FAILPOINTS if name.split(".")[0] in ("archive", "restore")]
SEALER = [name for name in FAILPOINTS if name.split(".")[0] in ("seal", "segment")]
FORK = [name for name in FAILPOINTS if name.startswith("fork.")]
ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("name", KERNEL)
async def test_a_service_killed_at_a_kernel_failpoint_loses_and_repeats_nothing(
    world: World, name: str
) -> None:
    async with world.host(failpoints={name: "kill@4"}) as dying:
        load = asyncio.create_task(world.load_while(lambda: dying.returncode is None))
        assert await dying.wait(40) == -signal.SIGKILL
        assert not load.done(), "commands are under way"
    async with world.host():
        await load
        await world.load(10)
        await world.check()
    assert len(world.acknowledged) >= 18


def test_every_failpoint_has_a_test() -> None:
    tested = KERNEL + SINK + WRITER + SPANS + SCHEDULER + SEALER + ARCHIVER + FORK
    assert sorted(tested) == sorted(FAILPOINTS)
    sink = (ROOT / "tests/integration/faults/test_sink_faults.py").read_text()
    assert "FAILPOINTS" in sink
    writer = (ROOT / "tests/integration/faults/test_writer_faults.py").read_text()
    assert "FAILPOINTS" in writer
    spans = (ROOT / "tests/integration/faults/test_span_faults.py").read_text()
    for name in SPANS:
        assert f'"{name}=' in spans, f"{name} is not killed at while spans are stored"
    scheduler = (ROOT / "services/scheduler/tests/test_scheduler_faults.py").read_text()
    for name in SCHEDULER:
        assert f'"{name}"' in scheduler, f"{name} is not killed at in the scheduler's tests"
    archiver = "".join(
        (ROOT / f"services/tracker/tests/test_{name}.py").read_text()
        for name in ("archiving", "restoring")
    )
    for name in ARCHIVER:
        assert f'"{name}"' in archiver, f"{name} is not killed at in the archiver's tests"
    sealer = "".join(
        (ROOT / f"services/lineage/tests/test_{name}.py").read_text()
        for name in ("sealing", "log_archive")
    )
    for name in SEALER:
        assert f'"{name}"' in sealer, f"{name} is not killed at in the sealer's tests"
    fork = (ROOT / "libs/embedded/tests/test_forking_a_log.py").read_text()
    assert "FAILPOINTS" in fork


def test_every_failpoint_is_a_place_in_the_code() -> None:
    sources = [
        path.read_text()
        for folder in ("libs/kernel/src", "libs/embedded/src", "services")
        for path in (ROOT / folder).rglob("*.py")
    ]
    for name in FAILPOINTS:
        assert any(f'failpoint("{name}")' in text for text in sources), name
