from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from uuid import uuid4

import epochal_proto.v1 as pb
import pytest
from epochal_kernel.clock import SystemClock
from epochal_kernel.errors import InvalidArgument
from epochal_kernel.log.commands import Command, NewEvent, Stream
from epochal_kernel.log.events import EventCodec
from epochal_kernel.log.personal import is_person, is_pseudonym, put_names, renamed, users_in
from epochal_kernel.log.reader import verify
from epochal_kernel.log.subjects import BELIEVED_S, Subjects, erase
from epochal_proto.v1.events import EVENTS
from epochal_testing.clock import ManualClock
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from kernel_world import LogWorld, command, context

#: Fields of events that say who, and hold a name such as "users/alice".
WHO = {
    "user", "creator", "requester", "editor", "rejecter", "approver", "approvers", "author",
    "authors", "reviewer", "owner",
}  # fmt: skip


def inside(descriptor: Descriptor, seen: set[str]) -> list[FieldDescriptor]:
    """All fields of a message and of the messages in it."""
    if descriptor.full_name in seen:
        return []
    seen.add(descriptor.full_name)
    found = list(descriptor.fields)
    for field in descriptor.fields:
        if field.message_type is not None:
            found += inside(field.message_type, seen)
    return found


def fill(message: Message, user: str) -> None:
    """Put a name into every marked field, and one message into every repeated one."""
    for field in message.DESCRIPTOR.fields:
        marked = field.GetOptions().Extensions[pb.personal] == pb.PERSONAL_USER
        if field.type == FieldDescriptor.TYPE_STRING and marked:
            if field.is_repeated:
                getattr(message, field.name).extend([user, "role:admin", user])
            else:
                setattr(message, field.name, user)
        elif field.message_type is not None and not field.message_type.GetOptions().map_entry:
            if field.message_type.file.package != "epochal.v1":
                continue
            inner = getattr(message, field.name)
            fill(inner.add() if field.is_repeated else inner, user)
            if not field.is_repeated and not inner.ByteSize():
                message.ClearField(field.name)


def test_every_field_that_says_who_is_marked() -> None:
    seen: set[str] = set()
    unmarked = [
        field.full_name
        for kind in EVENTS.values()
        for field in inside(kind.DESCRIPTOR, seen)
        if field.name in WHO
        and field.type == FieldDescriptor.TYPE_STRING
        and field.GetOptions().Extensions[pb.personal] != pb.PERSONAL_USER
    ]
    assert unmarked == []


@pytest.mark.parametrize("name", sorted(EVENTS))
def test_names_in_every_type_of_event_can_be_replaced_and_put_back(name: str) -> None:
    event = EVENTS[name]()
    fill(event, "users/alice")
    before = event.SerializeToString(deterministic=True)
    hidden = renamed(event, {"users/alice": "users/anon-x"})
    assert b"users/alice" not in hidden.SerializeToString()
    assert event.SerializeToString(deterministic=True) == before
    assert set(users_in(hidden)) == ({"users/anon-x"} if b"users/" in before else set())
    assert renamed(hidden, {"users/anon-x": "users/alice"}) == event
    assert put_names(hidden, lambda _: None) == set(users_in(hidden))
    assert put_names(hidden, {"users/anon-x": "users/alice"}.get) == set()
    assert hidden == event


def test_what_names_no_person_is_not_copied() -> None:
    event = pb.RunCreated(name="orgs/a/projects/p/runs/1", creator="runs/1")
    assert renamed(event, {"users/alice": "x"}) is event
    assert not is_person("services/tracker")
    assert is_person("users/anon-short")
    assert is_pseudonym("users/anon-" + "a2" * 13)


async def added(world: LogWorld, user: str) -> None:
    await world.appender.append(
        Command(
            context(),
            Stream("access", uuid4()),
            None,
            [NewEvent(pb.MemberAdded(parent="orgs/acme", user=user), "orgs/acme")],
        )
    )


async def pseudonym_of(world: LogWorld, user: str) -> str:
    pseudonym = await world.pool.fetchval("SELECT pseudonym FROM log.subject WHERE name = $1", user)
    assert isinstance(pseudonym, str)
    return pseudonym


async def erased(world: LogWorld, pseudonym: str) -> None:
    async with world.pool.acquire() as connection:
        await erase(connection, pseudonym)


async def test_no_leaf_holds_a_name_and_every_reader_sees_it(world: LogWorld) -> None:
    await added(world, "users/bob")
    (record,) = await world.reader.page(0)  # type: ignore[arg-type]  # positions are numbers
    everything = json.dumps([str(value) for value in record]).encode() + record.payload
    assert b"alice" not in everything
    assert b"bob" not in everything
    event = await EventCodec(Subjects(world.pool, SystemClock())).decode(record)
    assert (event.actor, event.payload.user) == ("users/alice", "users/bob")


async def test_a_pseudonym_commits_to_the_name_under_the_persons_own_key(world: LogWorld) -> None:
    await added(world, "users/bob")
    rows = await world.pool.fetch("SELECT pseudonym, name, key FROM log.subject")
    assert {row[1] for row in rows} == {"users/alice", "users/bob"}
    assert len({row[2] for row in rows}) == 2
    for pseudonym, name, key in rows:
        digest = hmac.digest(key, name.encode(), hashlib.sha256)
        assert pseudonym == "users/anon-" + base64.b32encode(digest).decode().lower()[:26]


async def test_processes_that_meet_somebody_at_once_agree_on_the_pseudonym(
    world: LogWorld,
) -> None:
    processes = [Subjects(world.pool, SystemClock()) for _ in range(5)]
    found = await asyncio.gather(*(one.pseudonyms(["users/x", "users/y"]) for one in processes))
    assert all(one == found[0] for one in found)
    assert await world.pool.fetchval("SELECT count(*) FROM log.subject") == 2


async def test_who_was_erased_stays_a_pseudonym_and_the_chain_still_verifies(
    world: LogWorld,
) -> None:
    await added(world, "users/bob")
    clock = ManualClock()
    subjects = Subjects(world.pool, clock)
    codec = EventCodec(subjects)
    (record,) = await world.reader.page(0)  # type: ignore[arg-type]  # positions are numbers
    bob = await pseudonym_of(world, "users/bob")
    assert (await codec.decode(record)).payload.user == "users/bob"
    await erased(world, bob)
    await clock.advance(BELIEVED_S)
    assert (await codec.decode(record)).payload.user == bob
    assert (await codec.decode(record)).actor == "users/alice"
    assert await subjects.stored_as("users/bob") == ["users/bob"]
    row = await world.pool.fetchrow("SELECT * FROM log.subject WHERE pseudonym = $1", bob)
    assert row["name"] is None
    assert row["key"] is None
    last = [step async for step in verify(world.pool)][-1]
    assert (last.checked, last.bad) == (1, None)


async def test_the_same_name_later_is_somebody_else(world: LogWorld) -> None:
    await added(world, "users/bob")
    first = await pseudonym_of(world, "users/bob")
    await erased(world, first)
    subjects = Subjects(world.pool, SystemClock())
    second = (await subjects.pseudonyms(["users/bob"]))["users/bob"]
    assert second != first
    assert dict(await subjects.names([first, second])) == {first: first, second: "users/bob"}


async def test_a_pseudonym_may_be_named_again_and_is_nobody_new(world: LogWorld) -> None:
    """As when the membership of somebody who was erased is removed."""
    await added(world, "users/bob")
    bob = await pseudonym_of(world, "users/bob")
    await erased(world, bob)
    await added(world, bob)
    assert await world.pool.fetchval("SELECT count(*) FROM log.subject") == 2


async def test_nobody_is_named_by_the_pseudonym_of_somebody_who_has_a_name(
    world: LogWorld,
) -> None:
    """Else a role could be given to an owner as if they had none."""
    await added(world, "users/bob")
    with pytest.raises(InvalidArgument, match="somebody who has a name"):
        await added(world, await pseudonym_of(world, "users/bob"))
    assert len(await world.reader.page(0)) == 1  # type: ignore[arg-type]  # positions are numbers


async def test_a_log_without_names_reads_as_if_all_were_erased(world: LogWorld) -> None:
    await added(world, "users/bob")
    await world.pool.execute("TRUNCATE log.subject")
    (record,) = await world.reader.page(0)  # type: ignore[arg-type]  # positions are numbers
    event = await EventCodec(Subjects(world.pool, SystemClock())).decode(record)
    assert is_pseudonym(event.actor)
    assert is_pseudonym(event.payload.user)


async def test_only_one_erasure_is_possible_and_nothing_comes_back(world: LogWorld) -> None:
    await world.appender.append(command(uuid4()))
    alice = await pseudonym_of(world, "users/alice")
    await erased(world, alice)
    at = await world.pool.fetchval("SELECT erased_at FROM log.subject")
    await erased(world, alice)
    assert await world.pool.fetchval("SELECT erased_at FROM log.subject") == at
