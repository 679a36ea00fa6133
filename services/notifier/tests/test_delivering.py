"""From event to receiver on real PostgreSQL: intents once, attempts as events, crashes repeat."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID, uuid5

import epochal_proto.v1 as pb
import httpx
import pytest
import pytest_asyncio
from epochal_kernel.clock import SystemClock
from epochal_kernel.errors import Unavailable
from epochal_kernel.ids import SystemIds
from epochal_kernel.log.appender import Appender
from epochal_kernel.log.commands import Command, CommandContext, NewEvent, Stream
from epochal_kernel.log.events import Event, EventCodec
from epochal_kernel.log.ledger import Ledger
from epochal_kernel.log.reader import LogReader
from epochal_kernel.log.subjects import Subjects
from epochal_kernel.migrations import migrate
from epochal_kernel.postgres import Pool, connect
from epochal_kernel.projections.batch import apply_batch
from epochal_kernel.projections.rebuild import replay
from epochal_kernel.projections.store import create_generation, prepare
from epochal_kernel.signals import LogSignal
from epochal_notifier.channels.message import Deliver
from epochal_notifier.channels.webhook import WebhookChannel
from epochal_notifier.delivering import Deliverer
from epochal_notifier.handlers import TellReactor
from epochal_notifier.projections import READ_MODEL
from epochal_notifier.sealing import Sealer, without_secrets
from epochal_notifier.store.intents import IntentStore
from epochal_notifier.store.subscriptions import SubscriptionStore
from epochal_testing.waiting import until
from google.protobuf.message import Message
from notifier_world import PROJECT, RUN, Receiver, answer, http_receiver

IDS = SystemIds()
RUN_ID = UUID(RUN.rpartition("/")[2])


@dataclass
class World:
    """A log, the notifier's tables, and a receiver."""

    pool: Pool
    appender: Appender
    ledger: Ledger
    receiver: Receiver
    client: httpx.AsyncClient
    followed: int = 0

    async def append(self, event: Message, stream: UUID, resource: str) -> None:
        uid = IDS.uuid7()
        context = CommandContext(uid, "acme", "users/ann", uid, bytes(32))
        category = "run" if resource == RUN else "notify"
        await self.appender.append(
            Command(context, Stream(category, stream), None, [NewEvent(event, resource)])
        )

    async def subscribe(self, *occasions: int, name: str = "1", key: str = "key") -> str:
        uid = uuid5(RUN_ID, name)
        channel = pb.Channel(webhook=pb.WebhookChannel(url=self.receiver.url, secret="s" * 16))
        created = pb.SubscriptionCreated(
            name=f"{PROJECT}/subscriptions/{uid}",
            channel=without_secrets(channel),
            occasions=occasions,
            sealed_channel=Sealer(key).seal(channel),
        )
        await self.append(created, uid, created.name)
        return created.name

    async def run_event(self, event: Message) -> None:
        await self.append(event, RUN_ID, RUN)

    async def follow(self) -> list[Event]:
        """What the consumer does with new events: project, react, in one transaction."""
        codec, reactor = EventCodec(Subjects(self.pool, SystemClock())), TellReactor()
        async with self.pool.acquire() as connection, connection.transaction():
            records = await LogReader(connection).page(self.followed, 100)
            events = [await codec.decode(record) for record in records]
            await apply_batch(connection, READ_MODEL, events)
            for event in events:
                await reactor.react(connection, event)
        self.followed += len(events)
        return events

    async def fail_a_run(self) -> None:
        await self.run_event(pb.RunFailed(message="boom"))
        await self.follow()

    def deliverer(self, **changes: object) -> Deliverer:
        clock = SystemClock()
        channels: Mapping[str, Deliver] = {
            "webhook": WebhookChannel(self.client, clock, private_allowed=True)
        }
        parts: dict[str, object] = {
            "intents": IntentStore(self.pool),
            "subscriptions": SubscriptionStore(self.pool),
            "ledger": self.ledger,
            "sealer": Sealer("key"),
            "channels": channels,
            "clock": clock,
            "max_attempts": 3,
            "first_retry_s": 0.01,
            "public_url": "https://epochal.example/",
        }
        return Deliverer(**{**parts, **changes})

    @asynccontextmanager
    async def delivering(self, **changes: object) -> AsyncIterator[None]:
        task = asyncio.create_task(self.deliverer(**changes).run())
        try:
            yield
        finally:
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    async def attempts(self) -> list[pb.DeliveryAttempted]:
        rows = await self.pool.fetch(
            "SELECT payload FROM log.event WHERE type = 'epochal.v1.DeliveryAttempted' "
            "ORDER BY position"
        )
        return [pb.DeliveryAttempted.FromString(row[0]) for row in rows]

    async def all_done(self) -> bool:
        rows = await self.pool.fetch("SELECT done FROM notifier.intent")
        return bool(rows) and all(row[0] for row in rows)

    async def end_leases(self) -> None:
        await self.pool.execute("UPDATE notifier.intent SET next_at = clock_timestamp()")


@pytest_asyncio.fixture(loop_scope="session")
async def world(database: str) -> AsyncIterator[World]:
    async with await connect(database, name="test") as pool, pool.acquire() as connection:
        await migrate(connection, "log", "epochal_kernel.log")
        await migrate(connection, "notifier", "epochal_notifier")
        live = await prepare(connection, READ_MODEL)
    async with (
        await connect(database, name="test", search_path=f"{live.schema}, notifier") as pool,
        http_receiver() as receiver,
        httpx.AsyncClient(timeout=2, follow_redirects=False) as client,
    ):
        subjects = Subjects(pool, SystemClock())
        appender = Appender(pool, LogSignal(), IDS, SystemClock(), subjects)
        running = asyncio.create_task(appender.run())
        yield World(pool, appender, Ledger(pool, appender, EventCodec(subjects)), receiver, client)
        appender.close()
        await running


async def intents(world: World) -> list[str]:
    rows = await world.pool.fetch("SELECT subscription FROM notifier.intent ORDER BY 1")
    return [row[0] for row in rows]


async def test_those_who_asked_before_it_happened_are_told(world: World) -> None:
    failed = await world.subscribe(pb.OCCASION_RUN_FAILED, name="failed")
    both = await world.subscribe(pb.OCCASION_RUN_FAILED, pb.OCCASION_RUN_STOPPED, name="both")
    await world.subscribe(pb.OCCASION_RUN_SUCCEEDED, name="other")
    await world.run_event(pb.RunFailed(message="boom"))
    await world.subscribe(pb.OCCASION_RUN_FAILED, name="late")
    await world.follow()
    assert await intents(world) == sorted([failed, both])


async def test_the_same_event_again_makes_no_second_intent(world: World) -> None:
    await world.subscribe(pb.OCCASION_RUN_FAILED)
    await world.fail_a_run()
    world.followed = 0
    await world.follow()
    assert len(await intents(world)) == 1


async def test_history_read_again_tells_nobody(world: World) -> None:
    await world.subscribe(pb.OCCASION_RUN_FAILED)
    await world.fail_a_run()
    await world.pool.execute("DELETE FROM notifier.intent")
    async with world.pool.acquire() as c:
        before = await c.fetchval("SHOW search_path")
        await create_generation(c, READ_MODEL, "notifier_rm_9")
        async for _ in replay(
            c,
            READ_MODEL,
            "notifier_rm_9",
            EventCodec(Subjects(world.pool, SystemClock())),
            world.followed,
        ):
            continue
        rebuilt = await c.fetchval("SELECT count(*) FROM notifier_rm_9.subscription")
        await c.execute("SELECT set_config('search_path', $1, false)", before)
    assert rebuilt == 1
    assert await intents(world) == []


async def test_two_workers_never_claim_one_intent(world: World) -> None:
    for number in range(12):
        await world.subscribe(pb.OCCASION_RUN_FAILED, name=str(number))
    await world.fail_a_run()
    store = IntentStore(world.pool)
    claimed = await asyncio.gather(*(store.claim(3, 60.0) for _ in range(6)))
    ids = [intent.delivery_id for some in claimed for intent in some]
    assert len(ids) == len(set(ids)) == 12
    assert await store.claim(99, 60.0) == []


async def test_a_lease_that_ran_out_is_given_again(world: World) -> None:
    await world.subscribe(pb.OCCASION_RUN_FAILED)
    await world.fail_a_run()
    store = IntentStore(world.pool)
    (first,) = await store.claim(9, 0.0)
    (again,) = await store.claim(9, 60.0)
    assert first == again


async def test_503_and_then_200_are_two_attempts_in_the_log(world: World) -> None:
    name = await world.subscribe(pb.OCCASION_RUN_FAILED)
    world.receiver.answers = [answer(503), answer(200)]
    await world.run_event(pb.RunCreated(name=RUN, display_name="fit", creator="users/ann"))
    await world.fail_a_run()
    async with world.delivering():
        await until(world.all_done)
    first, second = await world.attempts()
    assert (first.attempt, first.state, first.outcome) == (1, pb.DELIVERY_STATE_PENDING, "HTTP 503")
    assert (second.attempt, second.state) == (2, pb.DELIVERY_STATE_DELIVERED)
    assert {first.subscription, second.subscription} == {name}
    keys = {request.headers["idempotency-key"] for request in world.receiver.received}
    assert keys == {first.delivery} == {second.delivery}
    assert b'"title": "fit"' in world.receiver.received[0].body
    assert f"https://epochal.example/{RUN}".encode() in world.receiver.received[0].body


@pytest.mark.parametrize(("status", "tries"), [(404, 1), (500, 3)])
async def test_a_delivery_is_given_up_in_the_end(world: World, status: int, tries: int) -> None:
    await world.subscribe(pb.OCCASION_RUN_FAILED)
    world.receiver.answers = [answer(status)]
    await world.fail_a_run()
    async with world.delivering():
        await until(world.all_done)
    found = await world.attempts()
    assert [one.attempt for one in found] == list(range(1, tries + 1))
    assert found[-1].state == pb.DELIVERY_STATE_FAILED
    assert len(world.receiver.received) == tries


class CrashingLedger:
    """A ledger that is gone the first time, before or after it did its work."""

    def __init__(self, ledger: Ledger, *, after: bool) -> None:
        self.ledger, self.after, self.crashes = ledger, after, 1

    async def execute(self, *arguments: object) -> object:
        if self.crashes and not self.after:
            self.crashes -= 1
            raise Unavailable("crash between attempt and event")
        outcome = await self.ledger.execute(*arguments)
        if self.crashes:
            self.crashes -= 1
            raise Unavailable("crash between event and settling")
        return outcome


@pytest.mark.parametrize("after", [False, True])
async def test_a_crash_repeats_the_attempt_with_the_same_key_and_counts_it_once(
    world: World, after: bool
) -> None:
    await world.subscribe(pb.OCCASION_RUN_FAILED)
    await world.fail_a_run()
    ledger = CrashingLedger(world.ledger, after=after)
    async with world.delivering(ledger=ledger):
        await until(lambda: not ledger.crashes)
        assert not await world.all_done()
        await world.end_leases()
        await until(world.all_done)
    assert len(world.receiver.received) == 2
    assert len({request.headers["idempotency-key"] for request in world.receiver.received}) == 1
    assert [one.attempt for one in await world.attempts()] == [1]


async def test_a_subscription_deleted_meanwhile_is_not_told(world: World) -> None:
    name = await world.subscribe(pb.OCCASION_RUN_FAILED)
    await world.fail_a_run()
    await world.append(pb.SubscriptionDeleted(name=name), uuid5(RUN_ID, "1"), name)
    await world.follow()
    async with world.delivering():
        await until(world.all_done)
    (attempt,) = await world.attempts()
    assert (attempt.state, attempt.outcome) == (
        pb.DELIVERY_STATE_FAILED,
        "the subscription was deleted",
    )
    assert world.receiver.received == []


async def test_a_channel_sealed_with_another_key_says_so(world: World) -> None:
    await world.subscribe(pb.OCCASION_RUN_FAILED, key="old")
    await world.fail_a_run()
    async with world.delivering():
        await until(world.all_done)
    (attempt,) = await world.attempts()
    assert attempt.state == pb.DELIVERY_STATE_FAILED
    assert "EPOCHAL_SECRET_KEY" in attempt.outcome


async def test_one_bad_receiver_keeps_no_other_from_being_told(world: World) -> None:
    await world.subscribe(pb.OCCASION_RUN_FAILED, name="good")
    async with http_receiver() as bad:
        bad.answers = [b"nonsense\r\n\r\n"]
        good, world.receiver.url = world.receiver.url, bad.url
        await world.subscribe(pb.OCCASION_RUN_FAILED, name="bad")
        world.receiver.url = good
        await world.fail_a_run()
        async with world.delivering():
            await until(world.all_done)
    assert len(world.receiver.received) == 1
    assert len(bad.received) == 3


async def test_deliveries_are_listed_pending_too_newest_first(world: World) -> None:
    name = await world.subscribe(pb.OCCASION_RUN_FAILED, pb.OCCASION_RUN_STOPPED)
    await world.fail_a_run()
    async with world.delivering():
        await until(world.all_done)
    await world.run_event(pb.RunStopped(reason="enough"))
    await world.follow()
    store = SubscriptionStore(world.pool)
    newest, oldest = await store.deliveries(PROJECT, None, 9)
    assert (newest.state, newest.attempts) == (pb.DELIVERY_STATE_PENDING, 0)
    assert (oldest.state, oldest.attempts) == (pb.DELIVERY_STATE_DELIVERED, 1)
    assert {newest.subscription, oldest.subscription} == {name}
    place = (newest.cause_position, UUID(newest.name.rpartition("/")[2]))
    assert await store.deliveries(PROJECT, place, 9) == [oldest]


async def test_a_spec_asks_to_tell_a_subscription_by_its_name(world: World) -> None:
    uid = uuid5(RUN_ID, "named")
    channel = pb.Channel(webhook=pb.WebhookChannel(url=world.receiver.url, secret="s" * 16))
    created = pb.SubscriptionCreated(
        name=f"{PROJECT}/subscriptions/{uid}",
        display_name="slack",
        channel=without_secrets(channel),
        sealed_channel=Sealer("key").seal(channel),
    )
    await world.append(created, uid, created.name)
    for connections in (["slack"], ["other"]):
        await world.run_event(
            pb.RunNotificationRequested(run=RUN, connections=connections, status="failed")
        )
    await world.follow()
    rows = await world.pool.fetch("SELECT subscription, occasion, run FROM notifier.intent")
    assert [tuple(row) for row in rows] == [(created.name, pb.OCCASION_RUN_FAILED, RUN)]
