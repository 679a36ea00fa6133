"""Streams, offsets and names, on a real broker."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import faust
import nats
import pytest
from faust_jetstream import BrokerGone, configure
from faust_jetstream.broker import Broker, Limits, Storage
from faust_jetstream.places import partition_of, stream_of, subject_of, subjects_of, word
from faust_jetstream.reading import CREDIT, Reader
from hypothesis import given
from hypothesis import strategies as st


def broker_of(url: str, limits: Limits | None = None) -> Broker:
    return Broker(url, Storage.MEMORY, limits or Limits())


async def publish(broker: Broker, topic: str, key: bytes | None, count: int) -> None:
    jetstream = await broker.jetstream()
    for number in range(count):
        await jetstream.publish(broker.subject(topic, 0, key), str(number).encode())


async def test_a_compacted_partition_keeps_the_newest_of_each_key(nats_url: str) -> None:
    broker = broker_of(nats_url)
    await broker.ensure("log", 1, compacted=True)
    for key in (b"a", b"b/\x00", b""):
        await publish(broker, "log", key, 3)
    extent = await broker.extent("log", 0)
    assert (extent.earliest, extent.next) == (2, 9)
    arrived = asyncio.Event()
    reader = Reader(broker, "log", 0, 0, arrived)
    found = []
    while len(found) < 3:
        await asyncio.wait_for(arrived.wait(), 10)
        arrived.clear()
        found += reader.take(10)
    assert [(one.offset, one.value) for one in found] == [(2, b"2"), (5, b"2"), (8, b"2")]
    await reader.close()
    await broker.close()


async def test_a_reader_reads_everything_once_in_order_and_not_too_far_ahead(
    nats_url: str,
) -> None:
    broker = broker_of(nats_url)
    await broker.ensure("many", 1, compacted=False)
    total = 3 * CREDIT
    await publish(broker, "many", None, total)
    arrived = asyncio.Event()
    reader = Reader(broker, "many", 0, 10, arrived)
    offsets: list[int] = []
    while len(offsets) < total - 10:
        if not reader:
            arrived.clear()
            await asyncio.wait_for(arrived.wait(), 10)
        taken = reader.take(2 * CREDIT)
        assert len(taken) < 2 * CREDIT
        offsets += [one.offset for one in taken]
    assert offsets[0] == 10
    assert all(after == before + 1 for before, after in pairwise(offsets))
    await reader.close()
    await broker.close()


async def test_offsets_are_kept_by_application(nats_url: str) -> None:
    broker = broker_of(nats_url)
    await broker.ensure("numbers", 2, compacted=False)
    await publish(broker, "numbers", None, 10)
    assert await broker.committed("app", "numbers", 0) == 0
    await broker.commit("app", {("numbers", 0): 7})
    await broker.close()
    again = broker_of(nats_url)
    await again.ensure("numbers", 2, compacted=False)
    assert await again.committed("app", "numbers", 0) == 7
    assert await again.committed("app", "numbers", 1) == 0
    assert await again.committed("other", "numbers", 0) == 0
    await again.commit("app", {("numbers", 0): 99})
    assert await again.committed("app", "numbers", 0) == 10, "never beyond what there is"
    await again.close()


async def test_offsets_of_a_stream_that_was_made_anew_do_not_count(nats_url: str) -> None:
    broker = broker_of(nats_url)
    await broker.ensure("numbers", 1, compacted=False)
    await publish(broker, "numbers", None, 10)
    await broker.commit("app", {("numbers", 0): 7})
    client = await nats.connect(nats_url)
    await client.jetstream().delete_stream(stream_of("numbers", 0))
    with pytest.raises(BrokerGone, match="not there"):
        await broker.extent("numbers", 0)
    again = broker_of(nats_url)
    await again.ensure("numbers", 1, compacted=False)
    await publish(again, "numbers", None, 10)
    with pytest.raises(BrokerGone, match="made anew"):
        await broker.extent("numbers", 0)
    assert await again.committed("app", "numbers", 0) == 0
    for one in (broker, again):
        await one.close()
    await client.close()


async def test_a_full_partition_drops_its_oldest(nats_url: str) -> None:
    broker = broker_of(nats_url, Limits(max_bytes=2_000))
    await broker.ensure("small", 1, compacted=False)
    await publish(broker, "small", None, 100)
    extent = await broker.extent("small", 0)
    assert extent.next == 100
    assert 0 < extent.earliest < 100
    assert await broker.committed("app", "small", 0) == extent.earliest
    await broker.close()


@given(st.text(min_size=1, max_size=60), st.text(min_size=1, max_size=60))
def test_names_of_topics_are_told_apart(one: str, other: str) -> None:
    assert (word(one) == word(other)) == (one == other)
    for sign in " .*>\t\n\r":
        assert sign not in word(one)


@given(st.binary(max_size=50), st.binary(max_size=50))
def test_keys_of_changelogs_are_told_apart(one: bytes, other: bytes) -> None:
    subject = subject_of("t", 0, one, compacted=True)
    assert (subject == subject_of("t", 0, other, compacted=True)) == (one == other)
    assert subject.startswith(subjects_of("t", 0, compacted=True).rstrip("*"))


@given(st.binary(max_size=50), st.integers(1, 100))
def test_a_key_has_one_partition(key: bytes, partitions: int) -> None:
    assert 0 <= partition_of(key, partitions) < partitions
    assert partition_of(key, partitions) == partition_of(key, partitions)


def test_workers_are_numbered_from_0() -> None:
    app = faust.App("numbered", broker="nats://127.0.0.1:1")
    with pytest.raises(ValueError, match="numbered from 0"):
        configure(app, worker=2, workers=2)


def test_an_unknown_option_of_the_broker_is_refused() -> None:
    app = faust.App("options", broker="nats://127.0.0.1:1?speed=high")
    with pytest.raises(ValueError, match="unknown option 'speed'"):
        _ = app.transport
