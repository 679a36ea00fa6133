"""MLflow's own server and this one are asked the same, and answer with the same status and code."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import epochal_proto.v1 as pb
import httpx
import pytest
from epochal_proto.v1.services import AccessService
from mlflow_server import served
from platform_world import Platform
from questions import Question, Things, questions

Answer = tuple[int, str]


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with (
        served(tmp_path_factory.mktemp("mlflow")) as url,
        httpx.Client(base_url=url, timeout=60) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def ours(platform: Platform) -> Iterator[httpx.Client]:
    org = f"same-{uuid4().hex[:8]}"
    with platform.client() as admin:
        admin.call(AccessService.CREATE_ORGANIZATION, pb.CreateOrganizationRequest(org_id=org))
        request = pb.CreateTokenRequest(parent=f"orgs/{org}")
        token = admin.call(AccessService.CREATE_TOKEN, request).secret
    headers = {"authorization": f"Bearer {token}"}
    with httpx.Client(base_url=platform.url, headers=headers, timeout=60) as client:
        yield client


def ask(server: httpx.Client, verb: str, path: str, said: object) -> httpx.Response:
    whole = path if path.startswith("/") else f"/api/2.0/mlflow/{path}"
    if verb == "GET":
        return server.get(whole, params=said)  # type: ignore[arg-type]  # pairs of texts and numbers
    return server.request(verb, whole, json=said)


def filled(server: httpx.Client) -> Things:
    """Make what questions are about."""

    def made(path: str, said: object) -> dict[str, object]:
        answer = ask(server, "POST", path, said)
        assert answer.status_code == 200, answer.text
        found: dict[str, object] = answer.json()
        return found

    experiment = str(made("experiments/create", {"name": "asked"})["experiment_id"])
    begun = {"experiment_id": experiment, "start_time": 1_700_000_000_000}
    answer = ask(server, "POST", "runs/create", begun)
    run = str(answer.json()["run"]["info"]["run_id"])
    made("registered-models/create", {"name": "asked"})
    made("model-versions/create", {"name": "asked", "source": "s3://bucket/x"})
    trace = f"tr-{uuid4().hex}"
    place = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": experiment}}
    info = {
        "trace_id": trace,
        "trace_location": place,
        "request_time": "2026-01-31T12:00:00Z",
        "state": "OK",
    }
    made("/api/3.0/mlflow/traces", {"trace": {"trace_info": info}})
    batch = {
        "metrics": [{"key": "m", "value": 1.0, "timestamp": 1, "step": 0}],
        "params": [{"key": "p", "value": "1"}],
        "tags": [{"key": "t", "value": "x"}],
    }
    made("runs/log-batch", {"run_id": run, **batch})
    return Things(experiment, run, "asked", trace)


def answered(server: httpx.Client, things: Things, question: Question) -> Answer:
    answer = ask(server, question.verb, question.path, question.about(things))
    try:
        return answer.status_code, str(answer.json().get("error_code", ""))
    except ValueError:
        return answer.status_code, "no JSON"


def test_both_servers_answer_alike(theirs: httpx.Client, ours: httpx.Client) -> None:
    things = filled(theirs), filled(ours)
    wrong: list[tuple[str, str, object, Answer, Answer]] = []
    for one in questions():
        their = answered(theirs, things[0], one)
        mine = answered(ours, things[1], one)
        if (their != mine) != bool(one.differs):
            wrong.append((one.verb, one.path, one.about(things[1]), their, mine))
    assert not wrong, "\n".join(map(repr, wrong))[:4_000]


def test_no_answer_of_ours_is_a_failure_inside(ours: httpx.Client) -> None:
    experiment = ask(ours, "POST", "experiments/create", {"name": "inside"}).json()["experiment_id"]
    things = Things(experiment, "0" * 32, "none", "tr-none")
    for one in questions():
        answer = ask(ours, one.verb, one.path, one.about(things))
        assert answer.status_code < 500, (one.path, answer.text)
