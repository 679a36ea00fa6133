"""Upcasters, ids, page tokens, failpoints, signals, migrations: the kernel's small change."""

from __future__ import annotations

import asyncio
import itertools
import signal
import sys
from contextlib import suppress
from pathlib import Path
from uuid import UUID

import epochal_proto.v1 as pb
import pytest
from epochal_kernel import failpoints
from epochal_kernel.bus import Bus
from epochal_kernel.cancelling import check_cancelled
from epochal_kernel.clock import SystemClock
from epochal_kernel.errors import InvalidArgument, Unavailable
from epochal_kernel.failpoints import FAILPOINTS, UnknownFailpoint, failpoint
from epochal_kernel.ids import SystemIds
from epochal_kernel.log.events import EventCodec, UndecodableEvent, category_of
from epochal_kernel.log.upcasting import Upcasters
from epochal_kernel.migrations import migrate
from epochal_kernel.paging import pack, unpack, unpack_number
from epochal_kernel.postgres import connect
from epochal_kernel.projections.store import Progress
from epochal_kernel.signals import LogSignal
from epochal_testing.processes import python_process
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st


def renamed(message: Message) -> Message:
    assert isinstance(message, pb.ParamsLogged)
    return pb.TagsSet(run=message.run, tags={"from": "params"})


async def test_old_events_are_seen_in_todays_shape() -> None:
    codec = EventCodec(None, upcasters=Upcasters({"epochal.v1.ParamsLogged": renamed}))
    old = pb.ParamsLogged(run="r").SerializeToString()
    today = await codec.decode_payload("epochal.v1.ParamsLogged", old, 1)
    assert today == pb.TagsSet(run="r", tags={"from": "params"})


def test_upcasters_follow_each_other_and_never_go_in_a_circle() -> None:
    def back(message: Message) -> Message:
        return pb.ParamsLogged()

    def on(message: Message) -> Message:
        return pb.TelemetrySealed(run="end")

    chain = Upcasters({"epochal.v1.ParamsLogged": renamed, "epochal.v1.TagsSet": on})
    assert chain.upcast(pb.ParamsLogged()) == pb.TelemetrySealed(run="end")
    circle = Upcasters({"epochal.v1.ParamsLogged": renamed, "epochal.v1.TagsSet": back})
    with pytest.raises(ValueError, match=r"circle at epochal\.v1\.ParamsLogged"):
        circle.upcast(pb.ParamsLogged())
    untouched = pb.TagsSet()
    assert Upcasters().upcast(untouched) is untouched


async def test_what_cannot_be_decoded_says_which_event_and_why() -> None:
    codec = EventCodec(None)
    with pytest.raises(UndecodableEvent, match=r"event 7 has type 'x\.Y'.*upgrade this service"):
        await codec.decode_payload("x.Y", b"", 7)
    with pytest.raises(UndecodableEvent, match=r"event 8 \(epochal\.v1\.TagsSet\) does not parse"):
        await codec.decode_payload("epochal.v1.TagsSet", b"\xff", 8)


def test_an_event_declares_its_category() -> None:
    assert category_of(pb.TagsSet) == "telemetry"
    with pytest.raises(TypeError, match="SetTagsRequest is not an event"):
        category_of(pb.SetTagsRequest)


def test_ids_of_one_process_grow_strictly_and_are_version_7() -> None:
    ids = SystemIds()
    made = [ids.uuid7() for _ in range(20_000)]
    assert all(before < after for before, after in itertools.pairwise(made))
    assert {one.version for one in made} == {7}
    assert {one.variant for one in made} == {UUID(int=0x8 << 60).variant}


def test_ids_still_grow_when_the_clock_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = SystemIds()
    first = ids.uuid7()
    monkeypatch.setattr("epochal_kernel.ids.time.time_ns", lambda: 1_000_000_000)
    assert first < ids.uuid7() < ids.uuid7()


@given(st.text())
def test_a_page_token_gives_back_its_key(key: str) -> None:
    assert unpack(pack(key)) == key


@given(st.text())
def test_a_token_is_ours_or_is_refused(token: str) -> None:
    try:
        key = unpack(token)
    except InvalidArgument as error:
        assert error.violations[0].field == "page_token"  # noqa: PT017 - either way is right
    else:
        assert pack(key) == token


@pytest.mark.parametrize("token", ["!!!!", "é", "YQ==", "YQ\n", "_w", pack("a") + "*"])
def test_foreign_tokens_are_refused(token: str) -> None:
    with pytest.raises(InvalidArgument):
        unpack(token)


def test_a_number_token_is_a_number() -> None:
    assert unpack_number("") is None
    assert unpack_number(pack("42")) == 42
    for key in ("-1", "x", "٣", "1" * 19, "1.5"):
        with pytest.raises(InvalidArgument):
            unpack_number(pack(key))


def test_failpoints_are_read_from_the_environment() -> None:
    assert failpoints._parse("") == {}
    text = " relay.after_publish=kill, append.before=kill@3 ,"
    assert failpoints._parse(text) == {"relay.after_publish": 1, "append.before": 3}


@pytest.mark.parametrize(
    "text",
    ["nowhere=kill", "append.before", "append.before=raise", "append.before=kill@x", "=kill"]
    + [f"append.before=kill@{count}" for count in ("0", "-1", "1.5")],
)
def test_a_failpoint_that_means_nothing_ends_the_process_before_it_starts(text: str) -> None:
    with pytest.raises(UnknownFailpoint, match="is not NAME=kill"):
        failpoints._parse(text)


def test_an_unarmed_failpoint_does_nothing() -> None:
    for name in FAILPOINTS:
        failpoint(name)


async def test_an_armed_failpoint_kills_at_its_time() -> None:
    code = (
        "from epochal_kernel.failpoints import failpoint\n"
        "for n in range(5):\n    failpoint('append.before'); failpoint('sink.after_copy')\n"
        "    print('passed', n)"
    )
    async with python_process("-c", code, failpoints={"append.before": "kill@3"}) as process:
        assert await process.wait() == -signal.SIGKILL
    assert process.lines == ["passed 0", "passed 1"]


async def test_a_signal_wakes_who_waits_and_nobody_else() -> None:
    bell = LogSignal()
    waiting = [asyncio.create_task(bell.wait_beyond(n, 5)) for n in (0, 3)]
    await asyncio.sleep(0)
    bell.notify(2)
    bell.notify(1)
    assert await waiting[0]
    assert (bell.position, waiting[1].done()) == (2, False)
    bell.notify(4)
    assert await waiting[1]
    assert not await bell.wait_beyond(4, 0.01)


async def test_reading_your_writes_waits_and_is_bounded() -> None:
    progress = Progress()
    waiting = asyncio.create_task(progress.wait_for(5))
    await asyncio.sleep(0)
    progress.reached(7)
    progress.reached(3)
    await waiting
    assert progress.position == 7
    await progress.wait_for(7, timeout_s=0)
    with pytest.raises(Unavailable, match="is at position 7, 8 was asked for") as caught:
        await progress.wait_for(8, timeout_s=0.01)
    assert (caught.value.reason, caught.value.retry_after_s) == ("VIEW_BEHIND", 1.0)


async def test_who_applies_knows_that_somebody_waits() -> None:
    progress = Progress()
    await progress.wait_awaited(0.01)  # nobody does: only the time is up
    waiting = asyncio.create_task(progress.wait_for(5))
    await progress.wait_awaited(60)
    progress.reached(5)
    await waiting
    applying = asyncio.create_task(progress.wait_awaited(60))
    await asyncio.sleep(0)
    assert not applying.done()
    applying.cancel()


async def test_a_cancellation_that_was_swallowed_ends_the_loop_all_the_same() -> None:
    rounds = 0

    async def endless() -> None:
        nonlocal rounds
        while True:
            check_cancelled()
            rounds += 1
            with suppress(asyncio.CancelledError):  # as some library does
                await asyncio.Event().wait()

    check_cancelled()  # nobody cancelled this test
    task = asyncio.create_task(endless())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task}, timeout=5)
    assert task.cancelled()
    assert rounds == 1


async def test_migrations_are_applied_once_by_however_many_start_at_once(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "some_service"
    (package / "sql").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "sql" / "0001_a.sql").write_text("CREATE TABLE a (n int); CREATE TABLE b (n int);")
    (package / "sql" / "queries.sql").write_text("-- not a migration --\nSELECT 1;")
    monkeypatch.syspath_prepend(str(tmp_path))
    pool = await connect(database, name="migrations", max_size=4)

    async def migrated() -> list[str]:
        async with pool.acquire() as connection:
            return await migrate(connection, "some", "some_service")

    found = await asyncio.gather(*(migrated() for _ in range(4)))
    assert sorted(found) == [[], [], [], ["0001_a.sql"]]
    (package / "sql" / "0002_b.sql").write_text("INSERT INTO a VALUES (1)")
    (package / "sql" / "0003_c.sql").write_text("nonsense")
    with pytest.raises(Exception, match="nonsense"):
        await migrated()
    assert await pool.fetchval("SELECT count(*) FROM a") == 0, "all of a start or nothing"
    (package / "sql" / "0003_c.sql").unlink()
    assert await migrated() == ["0002_b.sql"]
    await pool.close()
    sys.modules.pop("some_service", None)


async def test_a_bus_that_was_never_reached_says_so() -> None:
    with pytest.raises(Unavailable, match="not reached yet"):
        _ = Bus("nats://127.0.0.1:1", "x").jetstream


async def test_the_system_clock_is_aware_and_sleeps_no_negative_time() -> None:
    clock = SystemClock()
    assert clock.now().utcoffset() is not None
    before = clock.monotonic()
    await clock.sleep(-1)
    assert clock.monotonic() >= before
