"""What an alert does: people are told, a trigger fires, the run stops, and the CLI shows it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import epochal_proto.v1 as pb
import pytest
from command_line import CommandLine
from epochal.client import Client
from epochal_embedded.demo.receiver import Receiver
from epochal_proto.v1.services import NotificationService, ProjectService, RunService
from epochal_testing.waiting import until
from platform_world import Platform

SECRET = "a webhook secret of this test"
CODE = """
import time
import epochal
with epochal.init() as run:
    for step in range(600):
        run.log_metric("loss", 10.0 ** step, step)
        time.sleep(0.1)
"""

TRIGGER = b"""
version: 1.1
kind: operation
name: after-alert
events:
- {kinds: [alert_critical], ref: alerts.explodes, filter: "value > 100"}
component:
  run: {kind: job, container: {command: ["true"]}}
"""


@pytest.fixture
def receiver() -> Iterator[tuple[Receiver, str]]:
    made = Receiver(SECRET)
    url = made.start()
    yield made, url
    made.stop()


async def test_a_spec_alert_stops_its_run_tells_people_and_fires_a_trigger(
    platform: Platform, admin: Client, receiver: tuple[Receiver, str], tmp_path: Path
) -> None:
    heard, url = receiver
    project = f"orgs/default/projects/a-{uuid4().hex[:8]}"
    admin.call(
        ProjectService.CREATE_PROJECT,
        pb.CreateProjectRequest(parent="orgs/default", project_id=project.split("/")[-1]),
    )
    admin.call(
        NotificationService.CREATE_SUBSCRIPTION,
        pb.CreateSubscriptionRequest(
            parent=project,
            channel=pb.Channel(webhook=pb.WebhookChannel(url=url, secret=SECRET)),
            occasions=[pb.OCCASION_ALERT_RAISED],
        ),
    )
    trigger = admin.call(
        RunService.CREATE_RUN, pb.CreateRunRequest(parent=project, spec=TRIGGER)
    ).name
    spec = f"""
version: 1.1
kind: component
name: explosive
alerts:
- name: explodes
  metric: loss
  above: 1000
  severity: critical
  stop: true
  message: It diverges
run:
  kind: job
  container:
    command: [python, -u, -c]
    args: [{json.dumps(CODE)}]
"""
    run = admin.call(
        RunService.CREATE_RUN, pb.CreateRunRequest(parent=project, spec=spec.encode())
    ).name
    *_, last = admin.stream(RunService.WATCH_RUN, pb.WatchRunRequest(name=run))
    assert last.status == pb.RUN_STATUS_STOPPED
    assert last.message == "an alert's rule stops it: see its alerts"
    await until(lambda: len(heard.deliveries) == 1, 30)
    (told,) = heard.deliveries.values()
    assert (told["type"], told["run"], told["reason"]) == (
        "alert.raised",
        run,
        "critical: It diverges",
    )

    cli = CommandLine(platform, tmp_path)
    short = project.rpartition("/")[2]
    (alert,) = cli.json("alerts", "ls", "-p", short)
    assert (alert["rule"], alert["severity"]) == ("explodes", "ALERT_SEVERITY_CRITICAL")
    assert "It diverges" in cli("alerts", "ls", "-p", short, "--run", run).stdout
    rules = cli.json("alerts", "rules", run, "-p", short)
    assert [rule["name"] for rule in rules] == ["explodes", "not-a-number"]
    assert int(cli.json("alerts", "activity", run, "-p", short)["points"]) >= 4
    uid = trigger.rpartition("/")[2]
    await until(lambda: len(cli.json("triggers", "history", uid, "-p", short)) == 1, 60)
    admin.call(RunService.STOP_RUN, pb.StopRunRequest(name=trigger))
