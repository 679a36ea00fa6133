"""Faust's contract over JetStream: agents, tables, windows, offsets, recovery, partitions."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from epochal_embedded.servers import NatsServer
from workers import broker_at, send, worker


async def test_agents_fill_tables_and_windows(nats_url: str, tmp_path: Path) -> None:
    async with broker_at(nats_url) as broker, worker(nats_url, tmp_path, "fills") as one:
        sums = await send(broker, range(200))
        await one.until_seen(200)
        assert await one.end() == 0
        assert one.tables == {"totals": sums, "windows": sums}
        assert set(one.seen.values()) == {1}


async def test_a_restarted_worker_has_its_tables_and_reads_on(
    nats_url: str, tmp_path: Path
) -> None:
    async with broker_at(nats_url) as broker:
        sums = Counter(await send(broker, range(100)))
        async with worker(nats_url, tmp_path, "reads-on") as first:
            await first.until_seen(100)
            assert await first.end() == 0
        sums += Counter(await send(broker, range(100, 150)))
        async with worker(nats_url, tmp_path, "reads-on") as second:
            await second.until_seen(50)
            assert await second.end() == 0
        assert min(value for _, value in second.seen) == 100
        assert second.tables == {"totals": dict(sums), "windows": dict(sums)}


async def test_a_worker_that_restarts_with_nothing_new_knows_what_it_knew(
    nats_url: str, tmp_path: Path
) -> None:
    async with broker_at(nats_url) as broker:
        sums = await send(broker, range(30))
        async with worker(nats_url, tmp_path, "knows") as first:
            await first.until_seen(30)
            assert await first.end() == 0
        async with worker(nats_url, tmp_path, "knows") as second:
            await second.until("READY")
            assert await second.end() == 0
        assert not second.seen
        assert second.tables["totals"] == sums


async def test_a_killed_worker_misses_nothing(nats_url: str, tmp_path: Path) -> None:
    async with broker_at(nats_url) as broker:
        await send(broker, range(300))
        async with worker(nats_url, tmp_path, "killed", kill_after=120) as first:
            assert await first.gone() == -9
        async with worker(nats_url, tmp_path, "killed") as second:
            while len(first.seen | second.seen) < 300:
                assert await second.line()
            assert await second.end() == 0
    assert len(first.seen) >= 120
    assert {value for _, value in first.seen | second.seen} == set(range(300))


async def test_workers_share_the_partitions(nats_url: str, tmp_path: Path) -> None:
    async with (
        broker_at(nats_url) as broker,
        worker(nats_url, tmp_path, "share", 0, 2) as even,
        worker(nats_url, tmp_path, "share", 1, 2) as odd,
    ):
        sums = await send(broker, range(140))
        theirs = {key for key in sums if hash_partition(key) % 2 == 0}
        await even.until_seen(sum(1 for value in range(140) if f"k{value % 7}" in theirs))
        await odd.until_seen(140 - len(even.seen))
        assert await even.end() == 0
        assert await odd.end() == 0
    assert {key for key, _ in even.seen} == theirs
    assert {key for key, _ in odd.seen} == set(sums) - theirs
    assert even.tables["totals"] | odd.tables["totals"] == sums


async def test_a_broker_that_lost_its_streams_ends_the_worker(
    nats_server: NatsServer, nats_url: str, tmp_path: Path
) -> None:
    """Streams in memory go with the broker: going on would count into the void."""
    async with worker(nats_url, tmp_path, "lost") as one:
        async with broker_at(nats_url) as broker:
            await send(broker, range(20))
            await one.until_seen(20)
        await nats_server.kill()
        await nats_server.start()
        assert await one.gone() == 3
    async with broker_at(nats_url) as broker:
        sums = await send(broker, range(40))
        async with worker(nats_url, tmp_path, "lost") as again:
            await again.until_seen(40)
            assert await again.end() == 0
        assert again.tables["totals"] == sums


def hash_partition(key: str) -> int:
    from workers import PARTITIONS, partition_of

    return partition_of(key.encode(), PARTITIONS)
