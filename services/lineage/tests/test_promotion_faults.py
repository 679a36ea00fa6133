"""A platform that dies while a version is promoted has moved it whole, with its reasons, or not."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import epochal_proto.v1 as pb
import pytest
from epochal_kernel.clock import SystemClock
from epochal_kernel.log.events import EventCodec
from epochal_kernel.log.reader import LogReader
from epochal_kernel.log.subjects import Subjects
from epochal_kernel.postgres import connect
from epochal_lineage.services.registry_messages import stream_of
from google.protobuf.message import Message
from promotion_worker import COMPONENT, DATASET, MODEL, VERSIONS, ledger_of, register_all

WORKER = Path(__file__).with_name("promotion_worker.py")


async def run(url: str, failpoints: str = "", resource: str = MODEL) -> int:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(WORKER),
        url,
        resource,
        env={**os.environ, "EPOCHAL_FAILPOINTS": failpoints},
    )
    async with asyncio.timeout(60):
        return await process.wait()


async def told(url: str, stream: str = MODEL) -> list[Message]:
    async with await connect(url, name="reading") as pool:
        codec = EventCodec(Subjects(pool, SystemClock()))
        return [
            await codec.decode_payload(one.type, one.payload, one.position)
            async for one in LogReader(pool).stream("registry", stream_of(stream))
        ]


def check(events: list[Message]) -> int:
    """Every wish has its gates, every completed one its move, and there is one holder."""
    stages: dict[str, str] = {}
    wished = [one.name for one in events if isinstance(one, pb.PromotionRequested)]
    evaluated = [one.promotion for one in events if isinstance(one, pb.PromotionEvaluated)]
    completed = [one.promotion for one in events if isinstance(one, pb.PromotionCompleted)]
    assert wished == evaluated == completed, "all of a promotion is there, or nothing"
    for one in events:
        if isinstance(one, pb.ModelVersionStageChanged):
            assert one.promotion in completed
            stages[one.name] = one.stage
    holders = [name for name, stage in stages.items() if stage == "Production"]
    assert holders == ([f"{MODEL}/versions/{len(completed)}"] if completed else [])
    return len(completed)


@pytest.mark.faults
@pytest.mark.parametrize("number", [1, 3])
@pytest.mark.parametrize(
    ("point", "more"),
    [("append.before", 0), ("append.before_commit", 0), ("append.after_commit", 1)],
)
async def test_a_promotion_that_is_killed_is_whole_or_not_there(
    database: str, point: str, more: int, number: int
) -> None:
    async with ledger_of(database) as ledger:
        await register_all(ledger)
    assert await run(database, f"{point}=kill@{number}") == -signal.SIGKILL
    assert check(await told(database)) == number - 1 + more
    assert await run(database) == 0
    assert check(await told(database)) == VERSIONS, "the same commands end what was begun, once"


def check_stages(events: list[Message]) -> int:
    """Every wish has its gates, its move and its end; each move takes the stage from its holder."""
    wished = [one.name for one in events if isinstance(one, pb.PromotionRequested)]
    evaluated = [one.promotion for one in events if isinstance(one, pb.PromotionEvaluated)]
    completed = [one.promotion for one in events if isinstance(one, pb.PromotionCompleted)]
    held: dict[str, str] = {}
    moves: list[str] = []
    for one in events:
        match one:
            case pb.DatasetStageSet(stage=stage, version=version, old_version=old):
                moves.append(one.promotion)
            case pb.ComponentStageSet(stage=stage, tag=version, old_tag=old):
                moves.append(one.promotion)
            case _:
                continue
        assert old == held.get(stage, "")
        held[stage] = version
    assert wished == evaluated == moves == completed, "all of a promotion is there, or nothing"
    return len(completed)


@pytest.mark.faults
@pytest.mark.parametrize(("resource", "asked"), [(DATASET, VERSIONS), (COMPONENT, 2 * VERSIONS)])
@pytest.mark.parametrize(
    ("point", "more"),
    [("append.before", 0), ("append.before_commit", 0), ("append.after_commit", 1)],
)
async def test_a_stage_that_is_given_when_the_platform_dies_is_given_whole_or_not(
    database: str, resource: str, asked: int, point: str, more: int
) -> None:
    stream, number = f"{resource}/stages", 4
    async with ledger_of(database):
        pass
    assert await run(database, f"{point}=kill@{number}", resource) == -signal.SIGKILL
    assert check_stages(await told(database, stream)) == number - 1 + more
    assert await run(database, resource=resource) == 0
    assert check_stages(await told(database, stream)) == asked, "what was begun ends, once"
