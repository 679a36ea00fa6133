# ruff: noqa: E501 - names of tests are sentences
"""Small parts: values, tokens, bells, queues, the sweeper's patience."""

import asyncio
import base64
import hashlib
import hmac
import json
import math
from dataclasses import dataclass
from types import SimpleNamespace
from uuid import UUID

import epochal_proto.v1 as pb
import pytest
from epochal_kernel.errors import InvalidArgument, Unavailable
from epochal_kernel.ids import SystemIds
from epochal_scheduler.bells import StopBell
from epochal_scheduler.domain.attempts import Backoff
from epochal_scheduler.domain.ending import Producers
from epochal_scheduler.domain.run import RunState
from epochal_scheduler.queues import consumer_name, work_subject
from epochal_scheduler.run_tokens import mint_run_token
from epochal_scheduler.store import Lease
from epochal_scheduler.texts import assert_storable, storable
from epochal_scheduler.values import from_value, to_value
from epochal_scheduler.working.leasing import LeaseSweeper
from hypothesis import given
from hypothesis import strategies as st

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@given(JSON)
def test_values_keep_their_type_there_and_back(value):
    back = from_value(pb.Value.FromString(to_value(value).SerializeToString()))
    assert back == value
    assert type(back) is type(value)


def test_special_numbers_become_the_text_of_protobuf_json():
    for number, text in ((math.inf, "Infinity"), (-math.inf, "-Infinity"), (math.nan, "NaN")):
        assert from_value(pb.Value(double_value=number)) == text
    assert from_value(pb.Value()) is None
    with pytest.raises(InvalidArgument):
        from_value(pb.Value(json_value="{"))
    with pytest.raises(InvalidArgument):
        from_value(pb.Value(json_value='"\\ud800"'))


def test_a_run_token_is_what_the_gateway_verifies():
    token = mint_run_token("secret", "orgs/a/projects/b/runs/c", 2, 1_900_000_000)
    payload, _, mac = token.removeprefix("epr_").partition(".")
    assert json.loads(base64.urlsafe_b64decode(payload + "==")) == {
        "run": "orgs/a/projects/b/runs/c", "attempt": 2, "exp": 1_900_000_000,
    }  # fmt: skip
    expected = hmac.new(b"secret", payload.encode(), hashlib.sha256).digest()
    assert base64.urlsafe_b64decode(mac + "=" * (-len(mac) % 4)) == expected
    assert mint_run_token("", "r", 1, 1) == ""


def test_queues_have_tokens_of_their_own():
    assert work_subject("agent/gpu") == "work.v1.agent_gpu"
    assert consumer_name("default") == "agents-default"


def test_nul_is_refused_in_names_and_replaced_in_messages():
    request = pb.CreateRunRequest(parent="p", display_name="a\0b", tags={"x\0": "y"})
    request.params["n"].string_value = "\0"
    with pytest.raises(InvalidArgument) as caught:
        assert_storable(request)
    assert {v.field for v in caught.value.violations} == {
        "display_name",
        "tags",
        "params.n.string_value",
    }
    assert_storable(pb.CreateRunRequest(parent="p", spec=b"\0", validate_only=True))
    refs = [pb.AttemptRef(run="a"), pb.AttemptRef(run="\0")]
    with pytest.raises(InvalidArgument):
        assert_storable(pb.HeartbeatRequest(queues=["ok"], attempts=refs))
    assert storable("a\0b") == "a\ufffdb"


async def test_a_bell_wakes_the_agent_that_waits_and_no_other():
    bell, ref = StopBell(), pb.AttemptRef(run="r", attempt=1, fence=1)
    bell.ring("agents/a", ref)  # nobody waits: the log will tell
    waiting = asyncio.create_task(bell.wait("agents/a", 10))
    other = asyncio.create_task(bell.wait("agents/b", 0.05))
    await asyncio.sleep(0)
    bell.ring("agents/a", ref)
    assert await waiting == [ref]
    assert await other == []
    assert await bell.wait("agents/a", 0) == []


@dataclass
class FakeStore:
    """One attempt whose agent is always silent; `fails` makes the database go away."""

    removed: int = 0
    fails: bool = False

    async def expired_leases(self, lease_s):
        if self.fails:
            raise Unavailable("gone")
        return [Lease(UUID(int=1), "acme", "orgs/acme/projects/v/runs/x", 1, 1, "agents/a")]

    async def producers(self, run_id):
        return Producers()

    async def remove_lease(self, run_id):
        self.removed += 1


class FakeCommands:
    """Notes decisions; what it decides about has ended, or is held by the silent agent."""

    backoff = Backoff()

    def __init__(self, clock):
        self.clock = clock
        self.held = RunState(
            status=pb.RUN_STATUS_RUNNING, attempt=1, fence=1, agent="agents/a", ended=False
        )
        self.given_up = 0

    async def execute(self, target, decide):
        events = decide(self.held)
        self.given_up += bool(events)
        return SimpleNamespace(events=events)


@pytest.fixture
def parts(clock):
    store, commands, bus = FakeStore(), FakeCommands(clock), SimpleNamespace(connected=True)
    return store, commands, bus, LeaseSweeper(store, commands, bus, SystemIds(), 10.0)


async def running(sweeper):
    task = asyncio.create_task(sweeper.run())
    await asyncio.sleep(0)
    return task


async def test_a_new_scheduler_listens_for_a_whole_lease_first(parts, clock):
    _, commands, _, sweeper = parts
    task = await running(sweeper)
    await clock.advance(9)
    assert commands.given_up == 0
    await clock.advance(2)
    assert commands.given_up > 0
    task.cancel()


async def test_silence_does_not_count_while_nobody_could_be_heard(parts, clock):
    store, commands, bus, sweeper = parts
    task = await running(sweeper)
    for trouble in ("bus", "sleep", "database"):
        await clock.advance(8)
        if trouble == "bus":
            bus.connected = False
            await clock.advance(2)
            bus.connected = True
        elif trouble == "sleep":
            clock.shift(3600)
            await clock.advance(1)
        else:
            await clock.advance(1.9)
            store.fails = True
            await clock.advance(2)
            store.fails = False
        assert commands.given_up == 0, trouble
    task.cancel()


async def test_a_lease_that_nobody_holds_is_removed(parts, clock):
    store, commands, _, sweeper = parts
    commands.held = RunState()
    task = await running(sweeper)
    await clock.advance(12)
    assert store.removed > 0
    assert commands.given_up == 0
    task.cancel()
