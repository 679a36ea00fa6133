"""Who wrote reads what it wrote, over every door; a repeated request is answered, not repeated."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import epochal_proto.v1 as pb
import grpc
import httpx
import pytest
from epochal.client import Client
from epochal.errors import EpochalError, InvalidArgument, Unauthenticated
from epochal_proto.method import UnaryMethod
from epochal_proto.v1.services import (
    AccessService,
    NotificationService,
    ProjectService,
    RegistryService,
    RunService,
    TrackingService,
)
from epochal_testing.waiting import until
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from platform_world import Platform

PROJECT = "orgs/default/projects/main"


@pytest.fixture(scope="module")
def rest(platform: Platform) -> Iterator[httpx.Client]:
    headers = {"authorization": f"Bearer {platform.token}"}
    with httpx.Client(base_url=platform.url, headers=headers, timeout=20) as client:
        yield client


def tracked(admin: Client, **changes: object) -> pb.Run:
    request = pb.CreateRunRequest(parent=PROJECT, tracked=pb.TrackedRun(), **changes)
    return admin.call(RunService.CREATE_RUN, request)


def test_rest_never_reads_stale_without_saying_a_position(rest: httpx.Client) -> None:
    run = rest.post(f"/v1/{PROJECT}/runs", json={"tracked": {}}).json()["name"]
    for number in range(40):
        written = rest.post(f"/v1/{run}:setTags", json={"tags": {"n": str(number)}})
        assert int(written.headers["epochal-position"]) > 0
        assert rest.get(f"/v1/{run}").json()["tags"] == {"n": str(number)}


def test_grpc_reads_what_a_position_says(platform: Platform, rest: httpx.Client) -> None:
    """Another token than the writer's, so that the gateway remembers nothing for it."""
    made = rest.post("/v1/orgs/default/tokens", json={}).json()["secret"]
    address = rest.get("/.well-known/epochal").json()["grpc"]
    run = rest.post(f"/v1/{PROJECT}/runs", json={"tracked": {}}).json()["name"]
    request = pb.GetRunRequest(name=run).SerializeToString()
    with grpc.insecure_channel(address) as channel:
        get = channel.unary_unary(RunService.GET_RUN.path)
        for number in range(30):
            written = rest.post(f"/v1/{run}:setTags", json={"tags": {"n": str(number)}})
            position = written.headers["epochal-position"]
            metadata = (("authorization", f"Bearer {made}"), ("epochal-min-position", position))
            found = pb.Run.FromString(get(request, metadata=metadata, timeout=20))
            assert found.tags["n"] == str(number)


def test_a_position_that_is_not_there_yet_is_waited_for_and_then_refused(
    rest: httpx.Client,
) -> None:
    answer = rest.get(f"/v1/{PROJECT}/runs", headers={"epochal-min-position": "999999999"})
    assert answer.status_code == 503
    assert answer.json()["reason"] == "VIEW_BEHIND"
    assert answer.json()["retryable"]


def test_a_repeated_request_has_the_same_answer_and_another_body_is_refused(
    admin: Client, rest: httpx.Client
) -> None:
    uid = str(uuid4())
    first = tracked(admin, request_id=uid, display_name="once")
    again = tracked(admin, request_id=uid, display_name="once")
    assert first.name == again.name
    with pytest.raises(EpochalError) as caught:
        tracked(admin, request_id=uid, display_name="twice")
    assert caught.value.reason == "COMMAND_MISMATCH"
    body = {"tags": {"a": "b"}, "requestId": str(uuid4())}
    one, two = (rest.post(f"/v1/{first.name}:setTags", json=body) for _ in range(2))
    assert one.headers["epochal-position"] == two.headers["epochal-position"]


def test_many_at_once_with_one_request_id_do_it_once(admin: Client) -> None:
    uid, name = str(uuid4()), uuid4().hex[:8]
    with ThreadPoolExecutor(8) as pool:
        made = list(
            pool.map(lambda _: tracked(admin, request_id=uid, display_name=name).name, range(8))
        )
    assert len(set(made)) == 1
    found = admin.call(
        RunService.LIST_RUNS, pb.ListRunsRequest(parent=PROJECT, filter=f"name:{name}")
    )
    assert [run.name for run in found.runs] == made[:1]


def test_a_repeated_registration_names_its_own_version(admin: Client, rest: httpx.Client) -> None:
    run = tracked(admin).name
    rest.put(f"/v1/{run}/artifacts/m.bin", content=b"weights").raise_for_status()
    model = f"m-{uuid4().hex[:8]}"

    def register(uid: str, alias: str = "") -> pb.ModelVersion:
        return admin.call(
            RegistryService.REGISTER_MODEL_VERSION,
            pb.RegisterModelVersionRequest(
                parent=PROJECT, model_id=model, run=run, artifact_path="m.bin", request_id=uid,
                alias=alias,
            ),
        )  # fmt: skip

    first, second = str(uuid4()), str(uuid4())
    assert register(first, "champion").version == 1
    assert register(second).version == 2
    assert register(first, "champion").version == 1
    assert register(second).version == 2


def test_an_old_etag_is_refused_and_nothing_is_overwritten(
    admin: Client, rest: httpx.Client
) -> None:
    name = rest.post(
        "/v1/orgs/default/projects", json={"projectId": f"p-{uuid4().hex[:8]}"}
    ).json()["name"]
    read = rest.get(f"/v1/{name}").json()
    body = {"description": "mine", "etag": read["etag"], "name": name}
    query = {"requestId": str(uuid4())}
    first, again = (rest.patch(f"/v1/{name}", json=body, params=query) for _ in range(2))
    assert first.status_code == again.status_code == 200
    assert first.json() == again.json()
    late = rest.patch(f"/v1/{name}", json={"description": "late", "etag": read["etag"]})
    assert (late.status_code, late.json()["reason"]) == (409, "ETAG_MISMATCH")
    assert rest.get(f"/v1/{name}").json()["description"] == "mine"


def test_of_many_updates_with_one_etag_one_wins(rest: httpx.Client) -> None:
    for _ in range(5):
        made = rest.post("/v1/orgs/default/projects", json={"projectId": f"p-{uuid4().hex[:8]}"})
        name, etag = made.json()["name"], made.json()["etag"]

        def update(number: int, name: str = name, etag: str = etag) -> int:
            body = {"description": str(number), "etag": etag}
            return rest.patch(f"/v1/{name}", json=body).status_code

        with ThreadPoolExecutor(6) as pool:
            statuses = sorted(pool.map(update, range(6)))
        assert statuses == [200, *[409] * 5]


def test_fields_that_cannot_be_updated_are_named(rest: httpx.Client) -> None:
    answer = rest.patch(f"/v1/{PROJECT}", params={"updateMask": "archived"}, json={})
    assert answer.status_code == 400
    assert "archived" in answer.json()["detail"]


def test_validate_only_makes_nothing(rest: httpx.Client) -> None:
    uid = f"p-{uuid4().hex[:8]}"
    body = {"projectId": uid, "validateOnly": True}
    shown = rest.post("/v1/orgs/default/projects", json=body)
    assert shown.json()["name"] == f"orgs/default/projects/{uid}"
    assert rest.get(f"/v1/orgs/default/projects/{uid}").status_code == 404
    taken = rest.post("/v1/orgs/default/projects", json={"projectId": "main", "validateOnly": True})
    assert taken.status_code == 409


async def test_a_token_lives_until_its_time(platform: Platform, admin: Client) -> None:
    def issue(seconds: float) -> str:
        expire_time = Timestamp()
        expire_time.FromDatetime(datetime.now(UTC) + timedelta(seconds=seconds))
        request = pb.CreateTokenRequest(parent="orgs/default", expire_time=expire_time)
        return admin.call(AccessService.CREATE_TOKEN, request).secret

    with pytest.raises(InvalidArgument) as caught:
        issue(-1)
    assert [one.field for one in caught.value.violations] == ["expire_time"]
    with platform.client(issue(2)) as client:
        client.call(AccessService.GET_CALLER, pb.GetCallerRequest())

        def expired() -> bool:
            try:
                client.call(AccessService.GET_CALLER, pb.GetCallerRequest())
            except Unauthenticated as error:
                return error.reason == "TOKEN_EXPIRED"
            return False

        await until(expired, 10)


def test_every_list_is_walked_page_by_page(admin: Client, rest: httpx.Client) -> None:
    org = admin.call(
        AccessService.CREATE_ORGANIZATION,
        pb.CreateOrganizationRequest(org_id=f"pages-{uuid4().hex[:8]}"),
    ).name
    projects = [
        admin.call(
            ProjectService.CREATE_PROJECT, pb.CreateProjectRequest(parent=org, project_id=uid)
        ).name
        for uid in ("a", "b", "c")
    ]
    project = projects[0]
    for user in ("users/one", "users/two"):
        admin.call(
            AccessService.SET_MEMBER,
            pb.SetMemberRequest(parent=org, user=user, role=pb.ROLE_VIEWER),
        )
    for _ in range(3):
        admin.call(AccessService.CREATE_TOKEN, pb.CreateTokenRequest(parent=org))
        run = admin.call(
            RunService.CREATE_RUN, pb.CreateRunRequest(parent=project, tracked=pb.TrackedRun())
        ).name
        admin.call(
            NotificationService.CREATE_SUBSCRIPTION,
            pb.CreateSubscriptionRequest(
                parent=project,
                channel=pb.Channel(
                    webhook=pb.WebhookChannel(url="http://127.0.0.1:9/", secret="s" * 16)
                ),
                occasions=[pb.OCCASION_RUN_STOPPED],
            ),
        )
    admin.call(RunService.FINISH_RUN, pb.FinishRunRequest(name=run, status=pb.RUN_STATUS_STOPPED))
    for path in ("a", "b/c", "b/d"):
        rest.put(f"/v1/{run}/artifacts/{path}", content=path.encode()).raise_for_status()
    for model in ("m", "m", "n", "o"):
        rest.post(
            f"/v1/{project}/models:register",
            json={"modelId": model, "run": run, "artifactPath": "a"},
        ).raise_for_status()
    for path, field, expected in (
        (f"/v1/{org}/projects", "projects", 3),
        (f"/v1/{org}/members", "members", 3),
        (f"/v1/{org}/tokens", "tokens", 3),
        (f"/v1/{project}/runs", "runs", 3),
        (f"/v1/{run}/artifacts", "artifacts", 3),
        (f"/v1/{project}/models", "models", 3),
        (f"/v1/{project}/models/m/versions", "modelVersions", 2),
        (f"/v1/{project}/subscriptions", "subscriptions", 3),
        (f"/v1/{project}/deliveries", "deliveries", 3),
        (f"/v1/{org}/events", "events", None),
    ):
        whole = rest.get(path, params={"pageSize": 500}).json()
        assert "nextPageToken" not in whole, path
        walked, token = [], ""
        while True:
            page = rest.get(path, params={"pageSize": 1, "pageToken": token}).json()
            assert len(page[field]) == 1, path
            walked += page[field]
            token = page.get("nextPageToken", "")
            if not token:
                break
        if field == "events":  # history grows meanwhile: deliveries are tried again
            walked = walked[: len(whole[field])]
        assert [_known(item) for item in walked] == [_known(item) for item in whole[field]], path
        assert expected in (None, len(walked)), path
        for foreign in ("x", "!!", "bm90IG91cnM" * 90):
            if field in ("runs", "deliveries", "modelVersions", "events") or foreign != "x":
                refused = rest.get(path, params={"pageToken": foreign})
                assert refused.status_code == 400, (path, foreign)
                assert refused.json()["violations"][0]["field"] == "page_token"


def _known(item: dict[str, object]) -> object:
    return item["name"]


def test_metrics_and_lines_of_nothing_are_empty_pages(admin: Client) -> None:
    run = tracked(admin).name
    calls: list[tuple[UnaryMethod[Message, Message], Message]] = [
        (TrackingService.LIST_METRICS, pb.ListMetricsRequest(run=run)),
        (TrackingService.LIST_LOG_LINES, pb.ListLogLinesRequest(run=run)),
    ]
    for method, request in calls:
        answer = admin.call(method, request)
        assert not any(isinstance(value, list) for _, value in answer.ListFields())
