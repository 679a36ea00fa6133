"""Watching a run and tailing its output live over REST; who asked is told how runs end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from uuid import uuid4

import epochal_proto.v1 as pb
import httpx
import pytest
from epochal.client import Client
from epochal_embedded.demo.receiver import Receiver
from epochal_proto.v1.services import NotificationService, ProjectService, RunService
from epochal_testing.waiting import until
from platform_world import Platform

PROJECT = "orgs/default/projects/main"
SECRET = "a webhook secret of this test"


def spec(code: str) -> bytes:
    return (
        "version: 1.1\nkind: component\nname: job\nrun:\n  kind: job\n  container:\n"
        f"    command: [python, -u, -c]\n    args: [{json.dumps(code)}]\n"
    ).encode()


def submit(admin: Client, code: str, parent: str = PROJECT) -> str:
    request = pb.CreateRunRequest(parent=parent, spec=spec(code))
    return admin.call(RunService.CREATE_RUN, request).name


def events(platform: Platform, path: str) -> Iterator[tuple[str, dict[str, object]]]:
    headers = {"authorization": f"Bearer {platform.token}"}
    with httpx.stream("GET", f"{platform.url}/v1/{path}", headers=headers, timeout=60) as answer:
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"].startswith("text/event-stream")
        kind = "message"
        for line in answer.iter_lines():
            if line.startswith("event: "):
                kind = line.removeprefix("event: ")
            elif line.startswith("data: "):
                yield kind, json.loads(line.removeprefix("data: "))
                kind = "message"


def test_a_watch_shows_every_status_once_and_then_ends(platform: Platform, admin: Client) -> None:
    run = submit(admin, "print('done')")
    found = list(events(platform, f"{run}:watch"))
    assert found[-1] == ("end", {})
    statuses = [str(item["status"]) for kind, item in found if kind == "message"]
    assert statuses[-1] == "RUN_STATUS_SUCCEEDED"
    assert all(before != after for before, after in pairwise(found))


def test_a_tail_sends_every_line_once_and_ends_with_the_run(
    platform: Platform, admin: Client
) -> None:
    run = submit(
        admin, "import time\nfor n in range(400): print('line', n)\ntime.sleep(0.3)\nprint('last')"
    )
    lines = [
        str(line["text"])
        for kind, item in events(platform, f"{run}/logs:tail")
        if kind == "message"
        for line in item["lines"]
    ]
    assert lines == [*(f"line {n}" for n in range(400)), "last"]
    listed = httpx.get(
        f"{platform.url}/v1/{run}/logs",
        params={"pageSize": "150"},
        headers={"authorization": f"Bearer {platform.token}"},
    ).json()
    assert [line["text"] for line in listed["lines"]] == lines[:150]


def test_a_watch_of_nothing_is_an_ordinary_404(platform: Platform) -> None:
    answer = httpx.get(
        f"{platform.url}/v1/{PROJECT}/runs/{uuid4()}:watch",
        headers={"authorization": f"Bearer {platform.token}"},
    )
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.fixture
def receiver() -> Iterator[tuple[Receiver, str]]:
    made = Receiver(SECRET)
    url = made.start()
    yield made, url
    made.stop()


async def test_who_asked_is_told_how_runs_end(
    platform: Platform, admin: Client, receiver: tuple[Receiver, str]
) -> None:
    heard, url = receiver
    with platform.client() as client:
        project = f"orgs/default/projects/n-{uuid4().hex[:8]}"
        client.call(
            ProjectService.CREATE_PROJECT,
            pb.CreateProjectRequest(parent="orgs/default", project_id=project.split("/")[-1]),
        )
    made = admin.call(
        NotificationService.CREATE_SUBSCRIPTION,
        pb.CreateSubscriptionRequest(
            parent=project,
            channel=pb.Channel(webhook=pb.WebhookChannel(url=url, secret=SECRET)),
            occasions=[pb.OCCASION_RUN_FAILED, pb.OCCASION_RUN_STOPPED],
        ),
    )
    assert made.channel.webhook.secret == ""
    failed = submit(admin, "import sys; sys.exit(1)", project)
    succeeded = submit(admin, "pass", project)
    stopped = submit(admin, "import time; time.sleep(60)", project)
    for run in admin.stream(RunService.WATCH_RUN, pb.WatchRunRequest(name=stopped)):
        if run.status == pb.RUN_STATUS_RUNNING:
            admin.call(RunService.STOP_RUN, pb.StopRunRequest(name=stopped, reason="enough"))
    *_, last = admin.stream(RunService.WATCH_RUN, pb.WatchRunRequest(name=succeeded))
    assert last.status == pb.RUN_STATUS_SUCCEEDED
    await until(lambda: len(heard.deliveries) >= 2, 20)
    told = {str(one["run"]): (one["type"], one["reason"]) for one in heard.deliveries.values()}
    assert set(told) == {failed, stopped}
    assert told[failed][0] == "run.failed"
    assert told[stopped] == ("run.stopped", "enough")
    assert heard.refused == 0

    def listed() -> bool:
        found = admin.call(
            NotificationService.LIST_DELIVERIES, pb.ListDeliveriesRequest(parent=project)
        ).deliveries
        return {one.name for one in found if one.state == pb.DELIVERY_STATE_DELIVERED} == set(
            heard.deliveries
        )

    await until(listed, 10)
    admin.call(
        NotificationService.DELETE_SUBSCRIPTION, pb.DeleteSubscriptionRequest(name=made.name)
    )
    left = admin.call(
        NotificationService.LIST_SUBSCRIPTIONS, pb.ListSubscriptionsRequest(parent=project)
    )
    assert list(left.subscriptions) == []
