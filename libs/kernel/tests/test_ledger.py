from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from uuid import UUID, uuid4

import epochal_proto.v1 as pb
import pytest
from epochal_kernel.clock import SystemClock
from epochal_kernel.errors import (
    AlreadyExists,
    CommandMismatch,
    Internal,
    LogCorrupted,
    VersionConflict,
)
from epochal_kernel.ids import Position
from epochal_kernel.log.commands import Command, NewEvent, Stream
from epochal_kernel.log.events import EventCodec
from epochal_kernel.log.ledger import Ledger, Outcome
from epochal_kernel.log.subjects import Subjects
from google.protobuf.message import Message
from kernel_world import LogWorld, command, context, tags


class TagNames:
    """The names set so far, in order."""

    category = "telemetry"

    def initial(self) -> tuple[str, ...]:
        return ()

    def evolve(self, state: tuple[str, ...], event: Message) -> tuple[str, ...]:
        assert isinstance(event, pb.TagsSet)
        return (*state, *event.tags)


NAMES = TagNames()
Decide = Callable[[tuple[str, ...]], Sequence[Message]]


def claim(stream: UUID, name: str) -> Decide:
    """Set a name unless it is set."""

    def decide(state: tuple[str, ...]) -> Sequence[Message]:
        if name in state:
            raise AlreadyExists(f"{name} is set")
        return [tags(stream, name)]

    return decide


def ensure(stream: UUID, name: str) -> Decide:
    """Set a name unless it is set; nothing to do then."""
    return lambda state: [] if name in state else [tags(stream, name)]


async def run(
    ledger: Ledger, stream: UUID, decide: Decide, command_id: UUID | None = None
) -> Outcome[tuple[str, ...]]:
    return await ledger.execute(NAMES, stream, "resource", decide, context(command_id))


def other_of(world: LogWorld) -> Ledger:
    """Another process's ledger on the same log."""
    return Ledger(world.pool, world.appender, EventCodec(Subjects(world.pool, SystemClock())))


async def test_a_decision_is_appended_and_folded(world: LogWorld) -> None:
    stream = uuid4()
    first = await run(world.ledger, stream, claim(stream, "a"))
    second = await run(world.ledger, stream, claim(stream, "b"))
    assert (first.state, first.version, first.position, first.repeated) == (("a",), 1, 1, False)
    assert (second.state, second.version, second.position) == (("a", "b"), 2, 2)
    assert [type(event) for event in second.events] == [pb.TagsSet]
    assert await world.ledger.load(NAMES, stream) == (("a", "b"), 2)
    assert await other_of(world).load(NAMES, stream) == (("a", "b"), 2)
    assert await world.ledger.load(NAMES, uuid4()) == ((), 0)


async def test_a_repeated_command_is_answered_although_it_would_be_refused_now(
    world: LogWorld,
) -> None:
    stream, command_id = uuid4(), uuid4()
    for ledger in (world.ledger, world.ledger, other_of(world)):
        outcome = await run(ledger, stream, claim(stream, "a"), command_id)
        assert (outcome.state, outcome.position) == (("a",), 1)
    assert outcome.repeated
    with pytest.raises(AlreadyExists):
        await run(world.ledger, stream, claim(stream, "a"))


async def test_a_repeated_command_that_would_decide_otherwise_now_changes_nothing(
    world: LogWorld,
) -> None:
    stream, command_id = uuid4(), uuid4()
    await run(world.ledger, stream, ensure(stream, "a"), command_id)
    again = await run(world.ledger, stream, lambda state: [tags(stream, "later")], command_id)
    assert (again.repeated, again.events, again.state, again.position) == (True, (), ("a",), 1)
    assert (await world.reader.head()).position == 1


async def test_a_command_id_with_another_request_is_refused_whatever_is_decided(
    world: LogWorld,
) -> None:
    stream, command_id = uuid4(), uuid4()
    await run(world.ledger, stream, claim(stream, "a"), command_id)
    other = context(command_id, b"\1" * 32)
    for decide in (claim(stream, "a"), claim(stream, "b"), ensure(stream, "a")):
        with pytest.raises(CommandMismatch):
            await world.ledger.execute(NAMES, stream, "r", decide, other)


async def test_an_empty_decision_appends_nothing(world: LogWorld) -> None:
    stream = uuid4()
    await run(world.ledger, stream, ensure(stream, "a"))
    await world.appender.append(command(uuid4()))
    outcome = await run(world.ledger, stream, ensure(stream, "a"))
    assert (outcome.events, outcome.position, outcome.repeated) == ((), 2, False)
    assert (await world.reader.head()).position == 2


async def test_a_stale_cache_never_misleads(world: LogWorld) -> None:
    """Another process changed the stream: refusal, acceptance and "nothing to do" all see it."""
    stream = uuid4()
    other = other_of(world)
    await run(world.ledger, stream, claim(stream, "a"))
    await run(other, stream, claim(stream, "b"))
    with pytest.raises(AlreadyExists):
        await run(world.ledger, stream, claim(stream, "b"))
    await run(other, stream, claim(stream, "c"))
    assert (await run(world.ledger, stream, ensure(stream, "c"))).state == ("a", "b", "c")
    await run(other, stream, claim(stream, "d"))

    def needs_d(state: tuple[str, ...]) -> Sequence[Message]:
        if "d" not in state:
            raise AlreadyExists("no d yet")
        return [tags(stream, "e")]

    outcome = await run(world.ledger, stream, needs_d)
    assert outcome.state == ("a", "b", "c", "d", "e")


async def test_two_ledgers_that_decide_at_once_both_decide_on_the_truth(world: LogWorld) -> None:
    stream = uuid4()
    ledgers = [other_of(world) for _ in range(2)]
    outcomes = await asyncio.gather(
        *(run(ledgers[n % 2], stream, claim(stream, f"n{n}")) for n in range(20)),
        *(run(ledger, stream, claim(stream, "one")) for ledger in ledgers),
        return_exceptions=True,
    )
    assert sum(isinstance(outcome, AlreadyExists) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, Outcome) for outcome in outcomes) == 21
    state, version = await other_of(world).load(NAMES, stream)
    assert version == 21
    assert sorted(state) == sorted({*(f"n{n}" for n in range(20)), "one"})


async def test_a_stream_that_never_stands_still_is_given_up(world: LogWorld) -> None:
    stream = uuid4()
    ledger = Ledger(world.pool, _Outrun(world), EventCodec(Subjects(world.pool, SystemClock())))  # type: ignore[arg-type]  # a fake
    with pytest.raises(VersionConflict):
        await run(ledger, stream, claim(stream, "a"))


class _Outrun:
    """An appender before which somebody else always gets in."""

    def __init__(self, world: LogWorld) -> None:
        self._world = world

    async def append(self, wanted: Command) -> object:
        await self._world.appender.append(command(wanted.stream.id))
        return await self._world.appender.append(wanted)


async def test_the_cache_is_bounded(world: LogWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("epochal_kernel.log.ledger.CACHE", 2)
    streams = [uuid4() for _ in range(5)]
    for stream in streams:
        await run(world.ledger, stream, claim(stream, "a"))
    assert len(world.ledger._cache) == 2
    assert (await world.ledger.load(NAMES, streams[0]))[1] == 1


async def test_a_hole_in_a_stream_is_corruption(world: LogWorld) -> None:
    stream = uuid4()
    for name in "abc":
        await run(world.ledger, stream, claim(stream, name))
    async with world.pool.acquire() as connection:
        await connection.execute("ALTER TABLE log.event DISABLE TRIGGER USER")
        await connection.execute("DELETE FROM log.event WHERE version = 2")
    with pytest.raises(LogCorrupted, match="version 2"):
        await other_of(world).load(NAMES, stream)


async def test_a_value_that_postgresql_refuses_fails_its_own_command_only(
    world: LogWorld,
) -> None:
    """Commands that share a transaction do not share a fate."""
    good = [uuid4() for _ in range(20)]
    bad = uuid4()
    refused = Command(context(), Stream("telemetry", bad), None, [NewEvent(tags(bad), "orgs/\0")])
    results = await asyncio.gather(
        *(world.appender.append(command(stream)) for stream in good[:10]),
        world.appender.append(refused),
        *(world.appender.append(command(stream)) for stream in good[10:]),
        return_exceptions=True,
    )
    assert isinstance(results[10], Internal)
    assert not any(isinstance(result, BaseException) for n, result in enumerate(results) if n != 10)
    assert len(await world.reader.page(Position(0))) == 20


async def test_a_beginning_on_a_stream_that_exists_decides_on_what_is_there(
    world: LogWorld,
) -> None:
    stream = uuid4()
    await world.ledger.begin(NAMES, stream, "resource", claim(stream, "a"), context())
    other = other_of(world)
    outcome = await other.begin(NAMES, stream, "resource", claim(stream, "b"), context())
    assert (outcome.state, outcome.version) == (("a", "b"), 2)
