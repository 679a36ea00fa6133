"""A process of its own that promotes versions one after the other, and may die at a failpoint."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from uuid import NAMESPACE_URL, uuid5

from epochal_kernel.clock import SystemClock
from epochal_kernel.ids import SystemIds
from epochal_kernel.log.appender import Appender
from epochal_kernel.log.commands import CommandContext
from epochal_kernel.log.events import EventCodec
from epochal_kernel.log.ledger import Ledger
from epochal_kernel.log.subjects import Subjects
from epochal_kernel.migrations import migrate
from epochal_kernel.postgres import connect
from epochal_kernel.signals import LogSignal
from epochal_lineage.domain import promoting, registering
from epochal_lineage.domain.asking import Asked, Circumstances
from epochal_lineage.domain.gates.reading import read_policy
from epochal_lineage.domain.model import ModelAggregate
from epochal_lineage.domain.registering import Candidate
from epochal_lineage.domain.shelves import ShelfAggregate
from epochal_lineage.services.registry_messages import stream_of

MODEL = "orgs/acme/projects/vision/models/digits"
VERSIONS = 5
POLICY = read_policy(
    "stages: {Production: {gates: {metrics: ['metrics.acc > holder.metrics.acc']}}}", 1
)
DATASET, COMPONENT = "orgs/acme/projects/vision/datasets/digits", "orgs/acme/components/train"
STAGES = {
    DATASET: read_policy(
        "datasets: {stages: {Production: {gates: {metrics: "
        "['metrics.rows > holder.metrics.rows']}}}}",
        1,
    ).about("datasets"),
    COMPONENT: read_policy(
        "components: {stages: {Staging: {}, Production: {from: [Staging]}}}", 1
    ).about("components"),
}
METRICS = {number: {"acc": number / 10} for number in range(1, VERSIONS + 1)}


def command(name: str) -> CommandContext:
    """The same command whenever it is tried."""
    command_id = uuid5(NAMESPACE_URL, name)
    return CommandContext(command_id, "acme", "users/rob", command_id, b"\0" * 32)


@asynccontextmanager
async def ledger_of(url: str) -> AsyncIterator[Ledger]:
    async with await connect(url, name="promoting", max_size=4) as pool:
        async with pool.acquire() as connection:
            await migrate(connection, "log", "epochal_kernel.log")
        appender = Appender(
            pool, LogSignal(), SystemIds(), SystemClock(), Subjects(pool, SystemClock())
        )
        running = asyncio.create_task(appender.run())
        try:
            yield Ledger(pool, appender, EventCodec(Subjects(pool, SystemClock())))
        finally:
            appender.close()
            await running


async def register_all(ledger: Ledger) -> None:
    for number, metrics in METRICS.items():
        made = Candidate("", "", "", "", "users/ann", source="s3://x", metrics=metrics)
        await ledger.execute(
            ModelAggregate(),
            stream_of(MODEL),
            MODEL,
            lambda state, made=made: registering.register(state, MODEL, made),  # type: ignore[misc]  # binds the loop's
            command(f"register {number}"),
        )


async def promote(ledger: Ledger, version: int) -> None:
    asked = Asked(version, "Production", "", "users/rob")
    found = Circumstances(POLICY, datetime(2026, 11, 25, tzinfo=UTC), METRICS)
    await ledger.execute(
        ModelAggregate(),
        stream_of(MODEL),
        MODEL,
        lambda state: promoting.promote(state, MODEL, asked, found),
        command(f"promote {version}"),
    )


async def promote_stage(ledger: Ledger, resource: str, version: int, stage: str) -> None:
    """Give a stage of a dataset or a component to a version, through the gates of its policy."""
    asked = Asked(f"v{version}", stage, "", "users/rob")
    metrics = {f"v{number}": {"rows": float(number)} for number in range(1, VERSIONS + 1)}
    found = Circumstances(STAGES[resource], datetime(2026, 11, 25, tzinfo=UTC), metrics)
    await ledger.execute(
        ShelfAggregate(),
        stream_of(f"{resource}/stages"),
        resource,
        lambda state: promoting.promote(state, resource, asked, found),
        command(f"{stage} {version}"),
    )


async def work(url: str, resource: str) -> None:
    async with ledger_of(url) as ledger:
        for version in range(1, VERSIONS + 1):
            if resource == MODEL:
                await promote(ledger, version)
            else:
                if "Staging" in STAGES[resource].stages:
                    await promote_stage(ledger, resource, version, "Staging")
                await promote_stage(ledger, resource, version, "Production")


if __name__ == "__main__":
    asyncio.run(work(sys.argv[1], sys.argv[2]))
