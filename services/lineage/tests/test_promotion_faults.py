"""A platform that dies while a version is promoted has moved it whole, with its reasons, or not."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import epochal_proto.v1 as pb
import pytest
from epochal_kernel.log.events import EventCodec
from epochal_kernel.log.reader import LogReader
from epochal_kernel.postgres import connect
from epochal_lineage.services.registry_messages import stream_of
from google.protobuf.message import Message
from promotion_worker import MODEL, VERSIONS, ledger_of, register_all

WORKER = Path(__file__).with_name("promotion_worker.py")


async def run(url: str, failpoints: str = "") -> int:
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(WORKER), url, env={**os.environ, "EPOCHAL_FAILPOINTS": failpoints}
    )
    async with asyncio.timeout(60):
        return await process.wait()


async def told(url: str) -> list[Message]:
    codec = EventCodec()
    async with await connect(url, name="reading") as pool:
        return [
            codec.decode_payload(one.type, one.payload, one.position)
            async for one in LogReader(pool).stream("registry", stream_of(MODEL))
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
