"""Alerts on a real platform: raised and resolved, told, stopping a run, and once whatever dies."""

from __future__ import annotations

import math
import os
import signal
from collections.abc import Iterator
from uuid import uuid4

import epochal
import epochal_proto.v1 as pb
import pytest
from epochal.client import Client
from epochal.errors import EpochalError
from epochal_embedded import control
from epochal_proto.v1.services import (
    AlertService,
    AuditService,
    ProjectService,
    RunService,
    TrackingService,
)
from epochal_testing.waiting import until
from google.protobuf.json_format import Parse
from platform_world import Platform


@pytest.fixture(scope="module")
def project(platform: Platform) -> Iterator[str]:
    with platform.client() as client:
        yield client.call(
            ProjectService.CREATE_PROJECT,
            pb.CreateProjectRequest(parent="orgs/default", project_id=f"alerts-{uuid4().hex[:8]}"),
        ).name


def tracked(client: Client, project: str) -> str:
    request = pb.CreateRunRequest(parent=project, tracked=pb.TrackedRun())
    return client.call(RunService.CREATE_RUN, request).name


def log(client: Client, run: str, *values: float, first: int = 0) -> None:
    """Each value in a batch of its own."""
    for step, value in enumerate(values, start=first):
        point = pb.MetricPoint(metric="loss", value=value, step=step)
        client.call(TrackingService.LOG_METRICS, pb.LogMetricsRequest(run=run, points=[point]))


def declare(client: Client, run: str, *rules: pb.AlertRule) -> None:
    client.call(AlertService.DECLARE_ALERT_RULES, pb.DeclareAlertRulesRequest(run=run, rules=rules))


def alerts(client: Client, parent: str, *, open_only: bool = False) -> list[pb.Alert]:
    request = pb.ListAlertsRequest(parent=parent, open_only=open_only)
    return list(client.call(AlertService.LIST_ALERTS, request).alerts)


def high(name: str = "high", bound: float = 10, **more: bool) -> pb.AlertRule:
    condition = pb.ThresholdCondition(above=bound)
    return pb.AlertRule(name=name, metric="loss", threshold=condition, **more)  # type: ignore[arg-type]  # stop_run


def history(client: Client, run: str) -> list[tuple[str, str, int]]:
    """What the log says of alerts of a run: type, rule, number."""
    request = pb.ListEventsRequest(parent="orgs/default", resource=run, page_size=1000)
    found = client.call(AuditService.LIST_EVENTS, request).events
    kinds = {
        "MetricAlertRaised": pb.MetricAlertRaised,
        "MetricAlertResolved": pb.MetricAlertResolved,
    }
    told: list[tuple[str, str, int]] = []
    for event in found:
        kind = kinds.get(event.type.rpartition(".")[2])
        if kind is not None:
            payload = Parse(event.payload_json, kind())
            told.append((kind.__name__, payload.rule, payload.number))
    return told


async def test_an_alert_is_raised_resolved_and_raised_again(admin: Client, project: str) -> None:
    run = tracked(admin, project)
    declare(admin, run, high())
    log(admin, run, 1, 20, 2, 30)
    await until(lambda: len(alerts(admin, run)) == 2, 30)
    second, first = alerts(admin, run)
    assert (first.rule, first.value, first.step) == ("high", 20.0, 1)
    assert first.message == "loss is 20, above 10"
    assert first.HasField("resolve_time")
    assert (second.value, second.HasField("resolve_time")) == (30.0, False)
    assert [one.value for one in alerts(admin, run, open_only=True)] == [30.0]
    assert {one.run for one in alerts(admin, project)} == {run}
    assert history(admin, run) == [
        ("MetricAlertRaised", "high", 1),
        ("MetricAlertResolved", "high", 1),
        ("MetricAlertRaised", "high", 2),
    ]


async def test_values_that_are_no_numbers_raise_by_themselves_unless_switched_off(
    admin: Client, project: str
) -> None:
    run, quiet = tracked(admin, project), tracked(admin, project)
    declare(
        admin,
        quiet,
        pb.AlertRule(name="not-a-number", never=pb.NeverCondition()),
        high(),
    )
    for one in (run, quiet):
        log(admin, one, math.nan, 20)
    await until(lambda: bool(alerts(admin, run)) and bool(alerts(admin, quiet)), 30)
    assert [one.rule for one in alerts(admin, run)] == ["not-a-number"]
    assert [one.rule for one in alerts(admin, quiet)] == ["high"]
    rules = admin.call(AlertService.LIST_ALERT_RULES, pb.ListAlertRulesRequest(run=run)).rules
    assert [rule.name for rule in rules] == ["not-a-number"]


async def test_a_silent_run_is_stalled_until_points_come(admin: Client, project: str) -> None:
    run = tracked(admin, project)
    declare(admin, run, pb.AlertRule(name="silent", stall=pb.StallCondition(seconds=1)))
    log(admin, run, 1)
    await until(lambda: [one.rule for one in alerts(admin, run, open_only=True)] == ["silent"], 30)
    log(admin, run, 1, first=1)
    await until(lambda: not alerts(admin, run, open_only=True), 30)
    activity = admin.call(AlertService.GET_RUN_ACTIVITY, pb.GetRunActivityRequest(run=run))
    assert activity.points == 2
    assert activity.last_time.seconds


async def test_an_alert_may_stop_its_run(admin: Client, project: str) -> None:
    run = tracked(admin, project)
    declare(admin, run, high(stop_run=True))
    log(admin, run, 20)

    def stopped() -> bool:
        found = admin.call(RunService.GET_RUN, pb.GetRunRequest(name=run))
        return found.status == pb.RUN_STATUS_STOPPED and "alert" in found.message

    await until(stopped)


async def test_the_sdk_declares_rules_and_what_is_logged_next_is_judged(
    platform: Platform, project: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EPOCHAL_URL", platform.url)
    monkeypatch.setenv("EPOCHAL_TOKEN", platform.token)
    with epochal.init(project=project.rpartition("/")[2]) as run:
        run.alert_when("loss", above=10, severity="critical")
        for step in range(1000):
            run.log_metric("loss", 11.0 if step == 500 else 1.0, step)
    with platform.client() as client:
        await until(lambda: bool(alerts(client, run.name)), 30)
        (alert,) = alerts(client, run.name)
    assert (alert.rule, alert.value) == ("loss-threshold", 11.0)
    assert alert.severity == pb.ALERT_SEVERITY_CRITICAL


def pid_of(platform: Platform, name: str) -> int:
    report = control.observe(platform.home)
    assert report is not None
    unit = next(unit for unit in report.units if unit.name == name)
    return unit.mark.pid if unit.mark is not None else 0


@pytest.mark.faults
@pytest.mark.parametrize("victim", ["monitor", "nats"])
async def test_whoever_is_killed_again_and_again_no_alert_is_missed_or_repeated(
    platform: Platform, admin: Client, project: str, victim: str
) -> None:
    """The broker takes its memory with it: summaries, tables and offsets of the monitor."""
    runs = [tracked(admin, project) for _ in range(4)]
    for run in runs:
        declare(admin, run, high())
    # Points may be of any time, as clients that count from 0 send them.
    old = [tracked(admin, project) for _ in range(3)]
    for run, time_us in zip(old, (0, 1_000, 2**53), strict=True):
        point = pb.MetricPoint(metric="old", value=1, time_us=time_us)
        admin.call(TrackingService.LOG_METRICS, pb.LogMetricsRequest(run=run, points=[point]))
    values = [20.0 if step % 3 == 0 else 1.0 for step in range(30)]
    for place in range(0, len(values), 10):
        for run in runs:
            log(admin, run, *values[place : place + 10], first=place)
        killed = pid_of(platform, victim)
        os.kill(killed, signal.SIGKILL)
        await until(lambda old=killed: pid_of(platform, victim) not in (0, old), 60)
        await until(lambda: alive(admin, runs[0]), 60)
    expected = [
        (kind, "high", number)
        for number in range(1, 11)
        for kind in ("MetricAlertRaised", "MetricAlertResolved")
    ]
    for run in runs:
        await until(lambda one=run: len(history(admin, one)) >= len(expected), 60)
        assert history(admin, run) == expected
    for run in old:
        await until(lambda one=run: points_seen(admin, one) == 1, 60)


def points_seen(client: Client, run: str) -> int:
    """How many points of a run the monitor has counted."""
    try:
        request = pb.GetRunActivityRequest(run=run)
        return client.call(AlertService.GET_RUN_ACTIVITY, request).points
    except EpochalError:
        return 0


def alive(client: Client, run: str) -> bool:
    """Whether tracker and monitor answer."""
    try:
        client.call(AlertService.LIST_ALERT_RULES, pb.ListAlertRulesRequest(run=run))
        client.call(TrackingService.LIST_METRICS, pb.ListMetricsRequest(run=run))
    except EpochalError:
        return False
    return True
