"""What an auditor and an operator see: filters, no secrets, metrics, a bus that dies."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from uuid import uuid4

import epochal_proto.v1 as pb
import httpx
import pytest
from epochal.client import Client
from epochal.errors import DeadlineExceeded, InvalidArgument, Unavailable
from epochal_embedded import control
from epochal_proto.v1.services import (
    AccessService,
    AuditService,
    RunService,
    TrackingService,
)
from epochal_testing.waiting import until
from platform_world import Platform

PROJECT = "orgs/default/projects/main"
HOOK_SECRET = f"hook-{uuid4().hex}"
SLACK_PATH = f"T000/B000/{uuid4().hex}"


@pytest.fixture(scope="module")
def rest(platform: Platform) -> Iterator[httpx.Client]:
    headers = {"authorization": f"Bearer {platform.token}"}
    with httpx.Client(base_url=platform.url, headers=headers, timeout=20) as client:
        yield client


@pytest.fixture(scope="module")
def org(platform: Platform) -> str:
    """An organisation with some history by two people."""
    uid = f"audit-{uuid4().hex[:8]}"
    with platform.client() as admin:
        org = admin.call(
            AccessService.CREATE_ORGANIZATION, pb.CreateOrganizationRequest(org_id=uid)
        ).name
        admin.call(
            AccessService.SET_MEMBER,
            pb.SetMemberRequest(parent=org, user="users/ann", role=pb.ROLE_OWNER),
        )
        secret = admin.call(
            AccessService.CREATE_TOKEN, pb.CreateTokenRequest(parent=org, user="users/ann")
        ).secret
    with platform.client(secret) as ann:
        for user in ("users/bob", "users/cleo"):
            ann.call(
                AccessService.SET_MEMBER,
                pb.SetMemberRequest(parent=org, user=user, role=pb.ROLE_VIEWER),
            )
        ann.call(AccessService.REMOVE_MEMBER, pb.RemoveMemberRequest(name=f"{org}/members/bob"))
    return org


def listed(admin: Client, org: str, **asked: object) -> list[pb.AuditEvent]:
    return list(
        admin.call(AuditService.LIST_EVENTS, pb.ListEventsRequest(parent=org, **asked)).events
    )


def short(events: list[pb.AuditEvent]) -> list[str]:
    return [event.type.rsplit(".", 1)[-1] for event in events]


def test_events_are_found_by_actor_type_resource_time_and_cause(admin: Client, org: str) -> None:
    whole = listed(admin, org)
    assert short(whole) == [
        "OrganizationCreated", "MemberAdded", "MemberAdded", "TokenIssued", "MemberAdded",
        "MemberAdded", "MemberRemoved",
    ]  # fmt: skip
    assert listed(admin, org, actor="users/ann") == whole[4:]
    assert listed(admin, org, actor="users/nobody") == []
    assert listed(admin, org, types=["MemberRemoved", "epochal.v1.TokenIssued"]) == [
        whole[3],
        whole[6],
    ]
    assert listed(admin, org, resource=f"{org}/") == whole
    assert listed(admin, org, resource=whole[3].resource) == [whole[3]]
    assert listed(admin, org, resource=org[:-1]) == []  # a prefix of a name is no parent of it
    cut = whole[4].record_time
    assert listed(admin, org, start_time=cut) == whole[4:]
    assert listed(admin, org, end_time=cut) == whole[:4]
    assert listed(admin, org, correlation_id=whole[0].correlation_id) == whole[:2]
    assert listed(admin, org, descending=True) == whole[::-1]


def test_events_are_found_by_the_permission_they_need(admin: Client, org: str) -> None:
    whole = listed(admin, org)
    assert short(listed(admin, org, permission="token.write")) == ["TokenIssued"]
    assert listed(admin, org, permission="access.manage") == [
        event for event in whole if event.type.startswith("epochal.v1.Member")
    ]
    assert listed(admin, org, permission="access.manage", types=["TokenIssued"]) == []
    assert {event.permission for event in whole} == {
        "platform.admin", "access.manage", "token.write"
    }  # fmt: skip
    with pytest.raises(InvalidArgument, match=r"no event is caused by"):
        listed(admin, org, permission="tea.make")


@pytest.mark.parametrize("descending", [False, True])
def test_events_are_walked_without_gap_or_repetition(
    admin: Client, org: str, descending: bool
) -> None:
    request = pb.ListEventsRequest(parent=org, page_size=2, descending=descending)
    found: list[pb.AuditEvent] = []
    while True:
        page = admin.call(AuditService.LIST_EVENTS, request)
        found += page.events
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert found == listed(admin, org, descending=descending)


def test_a_type_that_is_none_is_told_which_is_near(rest: httpx.Client) -> None:
    answer = rest.get("/v1/orgs/default/events", params={"types": "RunSuceeded"})
    assert answer.status_code == 400
    assert "RunSucceeded" in answer.json()["violations"][0]["message"]


def test_no_secret_is_in_the_log_the_answers_or_the_files(
    platform: Platform, admin: Client, rest: httpx.Client
) -> None:
    made = rest.post("/v1/orgs/default/tokens", json={"displayName": "for the secrets test"}).json()
    for channel in (
        {"webhook": {"url": "http://127.0.0.1:9/hook", "secret": HOOK_SECRET}},
        {"slack": {"url": f"https://hooks.slack.com/services/{SLACK_PATH}"}},
    ):
        body = {"channel": channel, "occasions": ["OCCASION_RUN_CRASHED"]}
        rest.post(f"/v1/{PROJECT}/subscriptions", json=body).raise_for_status()
    with platform.client(made["secret"]) as client:
        client.call(AccessService.GET_CALLER, pb.GetCallerRequest())
    httpx.get(f"{platform.url}/v1/{PROJECT}", headers={"authorization": "Bearer epo_wrong"})
    secrets = [made["secret"], HOOK_SECRET, SLACK_PATH, platform.token]
    answers = [
        rest.get(path, params={"pageSize": 1000, "descending": "true"} if "events" in path else {})
        for path in (
            "/v1/orgs/default/events",
            "/v1/orgs/default/tokens",
            f"/v1/{PROJECT}/subscriptions",
        )
    ]
    texts = [answer.text for answer in answers]
    assert all(answer.status_code == 200 for answer in answers)
    assert "for the secrets test" in texts[1]
    assert "https://hooks.slack.com/..." in texts[2]
    assert "(hidden)" in texts[0]
    texts += [path.read_text(errors="replace") for path in platform.home.logs.glob("*.log")]
    assert len(texts) > 8
    for secret in secrets:
        assert not any(secret in text for text in texts)


SERVICES = ("gateway", "scheduler", "tracker", "monitor", "lineage", "notifier")


def samples(text: str, name: str) -> dict[str, float]:
    found = re.findall(rf"^{name}(\{{[^}}]*\}})? ([0-9.e+-]+)$", text, flags=re.MULTILINE)
    return {labels: float(value) for labels, value in found}


@pytest.fixture
def position(rest: httpx.Client) -> int:
    """The position of a write, and a read that waited for it."""
    written = rest.post(f"/v1/{PROJECT}/runs", json={"tracked": {}})
    rest.get(f"/v1/{written.json()['name']}")
    return int(written.headers["epochal-position"])


async def test_every_service_measures_its_position_and_its_calls(
    platform: Platform, admin: Client, position: int
) -> None:
    for _ in admin.stream(AuditService.REPLAY_LOG, pb.ReplayLogRequest()):
        """Every service answers a call: how long calls took is known once there was one."""
    report = control.observe(platform.home)
    assert report is not None
    ports = {unit.name: unit.port for unit in report.units if unit.name in SERVICES}
    assert set(ports) == set(SERVICES)
    async with httpx.AsyncClient() as client:
        for service, port in ports.items():

            async def level(service: str = service, port: int = port) -> bool:
                host = platform.url if service == "gateway" else f"http://127.0.0.1:{port}"
                text = (await client.get(f"{host}/metrics")).text
                shown = [
                    value
                    for name in set(re.findall(r"^(\w*position\w*)", text, flags=re.MULTILINE))
                    for value in samples(text, name).values()
                ]
                return max(shown, default=0) >= position and "_bucket{" in text

            await until(level, 10, what=f"metrics of {service}")


async def test_writes_go_on_while_the_bus_dies_and_everything_catches_up(
    platform: Platform, admin: Client
) -> None:
    run = admin.call(
        RunService.CREATE_RUN, pb.CreateRunRequest(parent=PROJECT, tracked=pb.TrackedRun())
    ).name
    report = control.observe(platform.home)
    assert report is not None
    (nats,) = [unit for unit in report.units if unit.name == "nats"]
    assert nats.mark is not None
    for number in range(5):
        admin.call(TrackingService.SET_TAGS, pb.SetTagsRequest(run=run, tags={str(number): "x"}))
    os.kill(nats.mark.pid, signal.SIGKILL)
    for number in range(5, 15):
        request = pb.SetTagsRequest(run=run, tags={str(number): "x"}, request_id=str(uuid4()))

        def written(request: pb.SetTagsRequest = request) -> bool:
            """A call that was under way when the bus died is lost; the same one again is safe."""
            try:
                admin.call(TrackingService.SET_TAGS, request, timeout_s=3)
            except (DeadlineExceeded, Unavailable):
                return False
            return True

        await until(written, 40)
    found = admin.call(RunService.GET_RUN, pb.GetRunRequest(name=run))
    assert set(found.tags) == {str(number) for number in range(15)}

    def restarted() -> bool:
        now = control.observe(platform.home)
        assert now is not None
        (unit,) = [unit for unit in now.units if unit.name == "nats"]
        return unit.restarts > nats.restarts and unit.state == "ready"

    await until(restarted, 30)
    *_, last = admin.stream(AuditService.VERIFY_LOG, pb.VerifyLogRequest())
    assert last.intact, last.problem
    for step in admin.stream(AuditService.REPLAY_LOG, pb.ReplayLogRequest()):
        assert not step.problem, step.problem
        for table in step.tables:
            assert table.live_digest == table.rebuilt_digest, (step.service, table.table)


def test_a_second_up_leaves_the_first_alone(platform: Platform) -> None:
    before = control.observe(platform.home)
    assert control.start(platform.home) is False
    after = control.wait_ready(platform.home, lambda _: None)
    assert before is not None
    assert after.supervisor == before.supervisor


def test_health_is_open_and_tells_nothing_secret(platform: Platform) -> None:
    for path in ("/healthz", "/readyz", "/openapi.json", "/.well-known/epochal"):
        answer = httpx.get(f"{platform.url}{path}")
        assert answer.status_code == 200, path
        assert platform.token not in answer.text
