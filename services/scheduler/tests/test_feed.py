"""The feed tells each fact once and in order; policies follow it."""

import json
from datetime import UTC, datetime
from uuid import UUID

import epochal_proto.v1 as pb
import pytest
from epochal_kernel.errors import InvalidArgument
from epochal_scheduler.service.backfilling import backfill_source
from epochal_scheduler.spec.documents import parse_document
from epochal_scheduler.working.feed import Fact, Feed
from epochal_scheduler.working.policies import Policies
from epochal_scheduler.working.resolving import order_by

NOW = datetime(2026, 11, 23, 13, tzinfo=UTC)
PROJECT = "orgs/acme/projects/vision"


def fact(position, stream=1, event=None, category="run"):
    run_id = UUID(int=stream)
    made = event or pb.RunQueued()
    return Fact(run_id, "acme", f"{PROJECT}/runs/{run_id}", category, made, position, NOW, run_id)


def test_what_was_told_at_once_is_not_told_again_by_the_log():
    heard = []
    feed = Feed()
    feed.subscribe(lambda told: heard.append((told.stream_id.int, told.position)))
    for told in (fact(5), fact(3, 2), fact(5), fact(4), fact(6), fact(3, 2)):
        feed.tell(told)
    assert heard == [(1, 5), (2, 3), (1, 6)]


def test_facts_of_other_categories_come_from_the_log_alone_and_are_all_told():
    heard = []
    feed = Feed()
    feed.subscribe(heard.append)
    for position in (7, 5):
        feed.tell(fact(position, category="pipeline", event=pb.CustomEventEmitted()))
    assert [told.position for told in heard] == [7, 5]


class FakeStore:
    """Policies in a database; `meanwhile` happens while one is read."""

    def __init__(self, meanwhile=lambda: None):
        self.reads, self.meanwhile = 0, meanwhile

    async def policy(self, project):
        self.reads += 1
        self.meanwhile()
        return pb.ProjectPolicy(name=project, cache=pb.CACHE_USE_ON)


async def test_a_policy_is_read_once_and_then_heard_of():
    store = FakeStore()
    policies = Policies(store)
    assert (await policies.of(PROJECT)).cache == pb.CACHE_USE_ON
    new = pb.ProjectPolicy(name=PROJECT, four_eyes=True)
    policies.hear(fact(1, event=pb.ProjectPolicySet(policy=new), category="queue"))
    assert await policies.of(PROJECT) == new
    assert store.reads == 1


async def test_a_policy_that_is_set_while_the_old_one_is_read_counts():
    new = pb.ProjectPolicy(name=PROJECT, four_eyes=True)
    told = fact(1, event=pb.ProjectPolicySet(policy=new), category="queue")
    policies = Policies(FakeStore(lambda: policies.hear(told)))
    assert await policies.of(PROJECT) == new


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        (None, ""),
        ("-metrics.loss", "metrics.loss desc"),
        ("-created_at, name", "create_time desc, name"),
        ("started_at,-finished_at", "start_time, end_time desc"),
        (" , two words", ""),
    ],
)
def test_the_order_of_polyaxon_s_queries_is_ours(sort, expected):
    assert order_by(sort) == expected


def values(**fields):
    """The parts of a backfill as its overlay maps them to runs."""
    source = backfill_source(pb.BackfillRange(param="day", **fields))
    parse_document(source)  # it is one
    return json.loads(source)["matrix"]


def test_a_range_becomes_one_run_for_each_part():
    found = values(start="2026-02-27", end="2026-03-02", every="day")
    assert [value["day"] for value in found["values"]] == ["2026-02-27", "2026-02-28", "2026-03-01"]
    assert found["concurrency"] == 1
    assert "earlyStopping" not in found


def test_hours_over_a_change_of_clocks_are_told_apart():
    found = values(
        start="2026-10-25T01:00", end="2026-10-25T04:00", every="hour", timezone="Europe/Berlin"
    )
    assert [value["day"][-14:] for value in found["values"]] == [
        "01:00:00+02:00", "02:00:00+02:00", "02:00:00+01:00", "03:00:00+01:00",
    ]  # fmt: skip


def test_a_backfill_tells_ends_limits_and_patience():
    found = values(
        start="2026-02-01", end="2026-02-05", every="day", end_param="until", concurrency=3,
        max_failures=1,
    )  # fmt: skip
    assert found["values"][0] == {"day": "2026-02-01", "until": "2026-02-02"}
    assert found["concurrency"] == 3
    assert found["earlyStopping"] == [{"kind": "failure_early_stopping", "percent": 25.0}]


@pytest.mark.parametrize("start", ["soon", "2026-02-30"])
def test_what_is_no_date_is_refused_by_its_field(start):
    with pytest.raises(InvalidArgument) as caught:
        values(start=start, end="2026-03-01", every="day")
    assert caught.value.violations[0].field == "backfill.start"
