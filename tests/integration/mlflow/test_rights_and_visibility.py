"""Who may do what through the MLflow door, and that it shows the same runs as every other door."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from uuid import UUID, uuid4

import epochal_proto.v1 as pb
import httpx
import pytest
from epochal.client import Client
from epochal.errors import FailedPrecondition, PermissionDenied
from epochal_proto.v1.services import (
    AccessService,
    AuditService,
    NotificationService,
    ProjectService,
    RunService,
    TrackingService,
)
from epochal_scheduler.run_tokens import mint_run_token
from platform_world import Platform


@dataclass(frozen=True)
class World:
    """An organisation of its own, with a token for every role."""

    org: str
    project: str
    tokens: dict[str, str]
    url: str

    def call(
        self, who: str, verb: str, path: str, *, root: str = "api/2.0/mlflow", **more: object
    ) -> httpx.Response:
        headers = {"authorization": f"Bearer {self.tokens[who]}"} if who else {}
        url = "/".join(part for part in (self.url, root, path) if part)
        return httpx.request(verb, url, headers=headers, timeout=60, **more)


@pytest.fixture(scope="module")
def world(platform: Platform) -> Iterator[World]:
    org = f"orgs/door-{uuid4().hex[:8]}"
    with platform.client() as admin:
        admin.call(AccessService.CREATE_ORGANIZATION, pb.CreateOrganizationRequest(org_id=org[5:]))
        project = admin.call(
            ProjectService.CREATE_PROJECT, pb.CreateProjectRequest(parent=org, project_id="vision")
        )
        tokens = {}
        for role in (pb.ROLE_VIEWER, pb.ROLE_EDITOR, pb.ROLE_ADMIN):
            name = pb.Role.Name(role).removeprefix("ROLE_").lower()
            user = f"users/{name}-{uuid4().hex[:8]}"
            admin.call(
                AccessService.SET_MEMBER, pb.SetMemberRequest(parent=org, user=user, role=role)
            )
            tokens[name] = admin.call(
                AccessService.CREATE_TOKEN, pb.CreateTokenRequest(parent=org, user=user)
            ).secret
        tokens["owner"] = admin.call(
            AccessService.CREATE_TOKEN, pb.CreateTokenRequest(parent=org)
        ).secret
        tokens["stranger"] = platform.token
        yield World(org, str(project.number), tokens, platform.url)


@pytest.fixture
def owner(platform: Platform, world: World) -> Iterator[Client]:
    with platform.client(world.tokens["owner"]) as client:
        yield client


def error_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error_code"]


def begun(world: World, who: str = "editor") -> str:
    body = {"experiment_id": world.project, "start_time": 1_700_000_000_000}
    made = world.call(who, "POST", "runs/create", json=body)
    assert made.status_code == 200, made.text
    return str(made.json()["run"]["info"]["run_id"])


def test_nothing_but_probes_answers_without_a_token(world: World) -> None:
    answer = world.call("", "GET", "experiments/get", params={"experiment_id": "0"})
    assert error_of(answer) == (401, "UNAUTHENTICATED")
    assert world.call("", "GET", "health", root="").text == "OK"
    assert world.call("", "GET", "version", root="").text == "3.17.2"
    info = world.call("", "GET", "server-info", root="api/3.0/mlflow").json()
    assert info["store_type"] == "SqlStore"


def test_the_password_of_basic_auth_is_the_token(world: World) -> None:
    def answer(secret: str) -> httpx.Response:
        pair = base64.b64encode(f"anyone:{secret}".encode()).decode()
        return httpx.get(
            f"{world.url}/api/2.0/mlflow/experiments/get",
            params={"experiment_id": world.project},
            headers={"authorization": f"Basic {pair}"},
        )

    assert answer(world.tokens["viewer"]).json()["experiment"]["name"] == "vision"
    assert error_of(answer("wrong")) == (401, "UNAUTHENTICATED")
    broken = httpx.get(
        f"{world.url}/api/2.0/mlflow/experiments/get", headers={"authorization": "Basic ?"}
    )
    assert error_of(broken) == (401, "UNAUTHENTICATED")


def test_roles_hold_per_experiment(world: World) -> None:
    run = begun(world)
    name = {"name": f"made-{uuid4().hex[:8]}"}
    assert error_of(world.call("editor", "POST", "experiments/create", json=name)) == (
        403,
        "PERMISSION_DENIED",
    )
    assert world.call("admin", "POST", "experiments/create", json=name).status_code == 200
    tag = {"run_id": run, "key": "k", "value": "v"}
    assert error_of(world.call("viewer", "POST", "runs/set-tag", json=tag)) == (
        403,
        "PERMISSION_DENIED",
    )
    assert world.call("viewer", "GET", "runs/get", params={"run_id": run}).status_code == 200
    upload = f"artifacts/{world.project}/{run}/artifacts/x"
    answer = world.call("viewer", "PUT", upload, root="api/2.0/mlflow-artifacts", content=b"x")
    assert error_of(answer) == (403, "PERMISSION_DENIED")


def test_of_many_who_race_for_a_name_one_gets_it(world: World) -> None:
    name = {"name": f"Race {uuid4().hex[:8]}"}
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(
                lambda _: world.call("admin", "POST", "experiments/create", json=name), range(16)
            )
        )
    made = [answer.json() for answer in answers if answer.status_code == 200]
    assert len(made) == 1
    refused = {error_of(answer) for answer in answers if answer.status_code != 200}
    assert refused == {(400, "RESOURCE_ALREADY_EXISTS")}


def test_a_search_may_name_a_thousand_experiments_or_all(world: World) -> None:
    run = begun(world)
    body = {"experiment_ids": [world.project] * 1001, "filter": f"run_id = '{run}'"}
    found = world.call("viewer", "POST", "runs/search", json=body).json()["runs"]
    assert [one["info"]["run_id"] for one in found] == [run]


def test_another_organisation_sees_nothing(world: World) -> None:
    run = begun(world)
    for answer in (
        world.call("stranger", "GET", "runs/get", params={"run_id": run}),
        world.call("stranger", "GET", "experiments/get", params={"experiment_id": world.project}),
        world.call("stranger", "POST", "runs/delete", json={"run_id": run}),
        world.call(
            "stranger",
            "GET",
            f"artifacts/{world.project}/{run}/artifacts/x",
            root="api/2.0/mlflow-artifacts",
        ),
    ):
        assert error_of(answer) == (404, "RESOURCE_DOES_NOT_EXIST")


def test_the_older_and_the_pages_paths_are_the_same_door(world: World) -> None:
    for root in ("ajax-api/2.0/mlflow", "api/2.0/preview/mlflow", "ajax-api/2.0/preview/mlflow"):
        answer = world.call(
            "viewer", "GET", "experiments/get", root=root, params={"experiment_id": world.project}
        )
        assert answer.json()["experiment"]["experiment_id"] == world.project


def test_requests_that_are_none_get_mlflows_codes(world: World) -> None:
    assert error_of(world.call("editor", "POST", "no/such/call", json={})) == (
        404,
        "ENDPOINT_NOT_FOUND",
    )
    for body in (b"{", b"[]", b"3"):
        answer = world.call("editor", "POST", "runs/create", content=body)
        assert error_of(answer) == (400, "BAD_REQUEST")
    missing = world.call("editor", "POST", "runs/log-metric", json={"key": "m"})
    assert error_of(missing) == (400, "INVALID_PARAMETER_VALUE")
    assert missing.json()["message"].startswith("Missing value for required parameter 'run_id'")
    run = begun(world)
    for field, wrong in (("value", "x"), ("timestamp", "1.5"), ("step", {}), ("key", 3)):
        body = {"run_id": run, "key": "m", "value": 1, "timestamp": 1, "step": 0, field: wrong}
        answer = world.call("editor", "POST", "runs/log-metric", json=body)
        assert error_of(answer) == (400, "INVALID_PARAMETER_VALUE")
        assert f"for parameter '{field}' supplied" in answer.json()["message"]
    large = {"run_id": run, "tags": [{"key": "t", "value": "x" * 8000}] * 130}
    answer = world.call("editor", "POST", "runs/log-batch", json=large)
    assert "at most 1000000 bytes" in answer.json()["message"]
    for status in ("SCHEDULED", "NONSENSE"):
        body = {"run_id": run, "status": status}
        answer = world.call("editor", "POST", "runs/update", json=body)
        assert error_of(answer) == (400, "INVALID_PARAMETER_VALUE")


def test_a_run_of_mlflows_is_a_run_of_ours(world: World, owner: Client) -> None:
    run = begun(world)
    name = f"{world.org}/projects/vision/runs/{UUID(run)}"
    body = {"run_id": run, "metrics": [{"key": "m", "value": 2, "timestamp": 5, "step": 7}]}
    assert world.call("editor", "POST", "runs/log-batch", json=body).status_code == 200
    param = {"run_id": run, "key": "p", "value": "1"}
    assert world.call("editor", "POST", "runs/log-parameter", json=param).status_code == 200
    end = {"run_id": run, "status": "FINISHED", "end_time": 1_700_000_001_000}
    assert world.call("editor", "POST", "runs/update", json=end).status_code == 200
    found = owner.call(RunService.GET_RUN, pb.GetRunRequest(name=name))
    assert found.status == pb.RUN_STATUS_SUCCEEDED
    assert found.kind == pb.RUN_KIND_TRACKED
    assert found.params["p"].string_value == "1"
    assert (found.metrics["m"].last, found.metrics["m"].last_step) == (2.0, 7)
    assert (found.start_time.seconds, found.end_time.seconds) == (1_700_000_000, 1_700_000_001)


def test_a_body_that_comes_again_is_once_in_our_own_series_too(world: World, owner: Client) -> None:
    run = begun(world)
    points = [
        {"key": "loss", "value": step / 4, "step": step, "timestamp": 1_700_000_000_000 + step}
        for step in range(5)
    ]
    body = {"run_id": run, "metrics": points}

    def log(_: int) -> int:
        return world.call("editor", "POST", "runs/log-batch", json=body).status_code

    with ThreadPoolExecutor(4) as many:
        assert list(many.map(log, range(8))) == [200] * 8
    other = {"run_id": run, "params": [{"key": "p", "value": "1"}], **body}
    assert world.call("editor", "POST", "runs/log-batch", json=other).status_code == 200
    one = {"run_id": run, "key": "acc", "value": 0.5, "timestamp": 1_700_000_000_000}
    for _ in range(2):
        assert world.call("editor", "POST", "runs/log-metric", json=one).status_code == 200
    name = f"{world.org}/projects/vision/runs/{UUID(run)}"
    shown = owner.call(RunService.GET_RUN, pb.GetRunRequest(name=name))
    assert {key: metric.points for key, metric in shown.metrics.items()} == {"loss": 5, "acc": 1}
    request = pb.GetMetricSeriesRequest(run=name, metric="loss")
    series = owner.call(TrackingService.GET_METRIC_SERIES, request)
    assert list(series.steps) == [0, 1, 2, 3, 4]


def test_a_run_of_ours_reads_as_mlflow_would_have_written_it(world: World, owner: Client) -> None:
    made = owner.call(
        RunService.CREATE_RUN,
        pb.CreateRunRequest(
            parent=f"{world.org}/projects/vision",
            tracked=pb.TrackedRun(),
            display_name="ours",
            params={
                "i": pb.Value(int_value=3),
                "f": pb.Value(double_value=0.1),
                "b": pb.Value(bool_value=True),
            },
        ),
    )
    run = made.uid.replace("-", "")
    # Somebody else is to see it: once its maker has read it, everybody can.
    owner.call(RunService.GET_RUN, pb.GetRunRequest(name=made.name))
    found = world.call("viewer", "GET", "runs/get", params={"run_id": run}).json()["run"]
    params = {one["key"]: one["value"] for one in found["data"]["params"]}
    assert params == {"i": "3", "f": "0.1", "b": "True"}
    assert found["info"]["run_name"] == "ours"
    assert {"key": "mlflow.runName", "value": "ours"} in found["data"]["tags"]
    same = {"run_id": run, "params": [{"key": "i", "value": "3"}, {"key": "new", "value": "x"}]}
    assert world.call("editor", "POST", "runs/log-batch", json=same).status_code == 200
    other = {"run_id": run, "key": "f", "value": "0.2"}
    answer = world.call("editor", "POST", "runs/log-parameter", json=other)
    assert error_of(answer) == (400, "INVALID_PARAMETER_VALUE")
    assert "logged with value='0.1'" in answer.json()["message"]


def test_a_job_ends_as_its_agent_says(world: World, owner: Client) -> None:
    spec = b"version: 1.1\nkind: component\nrun: {kind: job, container: {command: [x]}}\n"
    parent = f"{world.org}/projects/vision"
    made = owner.call(
        RunService.CREATE_RUN, pb.CreateRunRequest(parent=parent, spec=spec, needs_approval=True)
    )
    run = made.uid.replace("-", "")
    for status in ("RUNNING", "FINISHED", "FAILED"):
        body = {"run_id": run, "status": status}
        answer = world.call("editor", "POST", "runs/update", json=body)
        assert answer.json()["run_info"]["status"] == "SCHEDULED"
    body = {"run_id": run, "status": "KILLED"}
    answer = world.call("editor", "POST", "runs/update", json=body)
    assert answer.json()["run_info"]["status"] == "KILLED"


def test_a_job_logs_to_itself_with_its_own_token(platform: Platform, world: World) -> None:
    run, other = begun(world), begun(world)
    name = f"{world.org}/projects/vision/runs/{UUID(run)}"
    key = json.loads((platform.home.root / "secrets.json").read_text())["run_token_secret"]
    own = World(world.org, world.project, {"job": mint_run_token(key, name, 1, 2**33)}, world.url)
    assert own.call("job", "GET", "runs/get", params={"run_id": run}).status_code == 200
    again = own.call("job", "POST", "runs/update", json={"run_id": run, "status": "RUNNING"})
    assert again.json()["run_info"]["status"] == "RUNNING"
    point = {"key": "m", "value": 1, "timestamp": 1}
    assert own.call("job", "POST", "runs/log-metric", json={"run_id": run, **point}).text == "{}"
    answer = own.call("job", "POST", "runs/log-metric", json={"run_id": other, **point})
    assert error_of(answer) == (403, "PERMISSION_DENIED")
    found = own.call("job", "POST", "experiments/search", json={}).json()["experiments"]
    assert [one["experiment_id"] for one in found] == [world.project]


def test_a_deleted_run_is_closed_at_every_door(world: World, owner: Client) -> None:
    run = begun(world)
    name = f"{world.org}/projects/vision/runs/{UUID(run)}"
    owner.call(RunService.DELETE_RUN, pb.DeleteRunRequest(name=name))
    assert owner.call(RunService.GET_RUN, pb.GetRunRequest(name=name)).HasField("delete_time")
    tag = {"run_id": run, "key": "k", "value": "v"}
    answer = world.call("editor", "POST", "runs/set-tag", json=tag)
    assert error_of(answer) == (400, "INVALID_PARAMETER_VALUE")
    assert "must be in the 'active' state" in answer.json()["message"]
    with pytest.raises(FailedPrecondition, match="deleted"):
        owner.call(TrackingService.SET_TAGS, pb.SetTagsRequest(run=name, tags={"a": "b"}))
    with pytest.raises(FailedPrecondition, match="deleted"):
        owner.call(
            TrackingService.OPEN_PRODUCER, pb.OpenProducerRequest(run=name, producer=str(uuid4()))
        )
    capture = pb.RecordCaptureRequest(run=name, capture=pb.Capture(run=name, attempt=1))
    with pytest.raises(FailedPrecondition, match="deleted"):
        owner.call(TrackingService.RECORD_CAPTURE, capture)


def test_a_webhook_hears_of_no_more_than_its_maker_may_see(
    platform: Platform, world: World, owner: Client
) -> None:
    body = {
        "name": "hook",
        "url": "https://example.org/hook",
        "events": [{"entity": "REGISTERED_MODEL", "action": "CREATED"}],
    }
    made = world.call("admin", "POST", "webhooks", json=body)
    assert made.status_code == 200, made.text
    listed = owner.call(
        NotificationService.LIST_SUBSCRIPTIONS, pb.ListSubscriptionsRequest(parent=world.org)
    )
    assert [one.display_name for one in listed.subscriptions] == ["hook"]
    # Somebody who has a role in the default project only.
    main, user = f"{world.org}/projects/main", f"users/guest-{uuid4().hex[:8]}"
    owner.call(
        AccessService.SET_MEMBER, pb.SetMemberRequest(parent=main, user=user, role=pb.ROLE_ADMIN)
    )
    with platform.client() as admin:
        secret = admin.call(
            AccessService.CREATE_TOKEN, pb.CreateTokenRequest(parent=world.org, user=user)
        ).secret
    world.tokens["guest"] = secret
    made = world.call("guest", "POST", "webhooks", json={**body, "name": "small"})
    assert made.status_code == 200, made.text
    listed = owner.call(
        NotificationService.LIST_SUBSCRIPTIONS, pb.ListSubscriptionsRequest(parent=main)
    )
    assert [one.display_name for one in listed.subscriptions] == ["small"]
    seen = world.call("guest", "GET", "webhooks").json()["webhooks"]
    assert [one["name"] for one in seen] == ["small"]
    with platform.client(secret) as guest, pytest.raises(PermissionDenied):
        guest.call(
            NotificationService.CREATE_SUBSCRIPTION,
            pb.CreateSubscriptionRequest(
                parent=world.org,
                channel=pb.Channel(mlflow=pb.MlflowChannel(url="https://example.org")),
                occasions=[pb.OCCASION_MODEL_CREATED],
            ),
        )


def test_a_reset_empties_one_organisation_and_says_so(platform: Platform, world: World) -> None:
    org = f"orgs/reset-{uuid4().hex[:8]}"
    with platform.client() as admin:
        admin.call(AccessService.CREATE_ORGANIZATION, pb.CreateOrganizationRequest(org_id=org[5:]))
        secret = admin.call(AccessService.CREATE_TOKEN, pb.CreateTokenRequest(parent=org)).secret
    own = World(org, "0", {"owner": secret}, world.url)
    for name in ("a", "b"):
        own.call("owner", "POST", "experiments/create", json={"name": name})
    run = begun(own, "owner")
    held = "artifacts/0/traces/t/artifacts/x"
    proxy = "api/2.0/mlflow-artifacts"
    assert own.call("owner", "PUT", held, root=proxy, content=b"1").status_code == 200
    assert error_of(world.call("admin", "POST", "reset", root="test")) == (403, "PERMISSION_DENIED")
    answer = own.call("owner", "POST", "reset", root="test")
    assert answer.json() == {"archived_experiments": 2, "deleted_runs": 1}
    left = own.call("owner", "POST", "experiments/search", json={}).json()["experiments"]
    assert [one["name"] for one in left] == ["Default"]
    found = own.call("owner", "GET", "runs/get", params={"run_id": run}).json()["run"]
    assert found["info"]["lifecycle_stage"] == "deleted"
    assert own.call("owner", "PUT", held, root=proxy, content=b"2").status_code == 200
    again = own.call("owner", "POST", "experiments/create", json={"name": "a"})
    assert again.status_code == 200, "names are free again"
    assert begun(world), "the other organisation is as it was"
    with platform.client(secret) as owner:
        events = owner.call(AuditService.LIST_EVENTS, pb.ListEventsRequest(parent=org)).events
    assert "epochal.v1.ExperimentsReset" in {one.type for one in events}
