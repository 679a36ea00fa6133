"""Every call that MLflow's server serves is answered here, or refused by a name in the docs."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import epochal_proto.v1 as pb
import httpx
import pytest
from environments import FOLDER, interpreter, surroundings
from epochal_gateway.doors.mlflow.refusals import NOT_SERVED
from epochal_proto.v1.services import AccessService
from platform_world import Platform

DOCS = Path(__file__).parents[3] / "docs" / "mlflow.md"
#: MLflow's own words for where its services are: what its server registers.
LIST = """
import json
from mlflow.server.handlers import get_endpoints
print(json.dumps([[path, sorted(verbs)] for path, _, verbs in get_endpoints()]))
"""


@pytest.fixture(scope="module")
def endpoints() -> list[tuple[str, str]]:
    """Verb and path of every call of the client's API, without those of MLflow's pages."""
    done = subprocess.run(
        [interpreter("3.17-server"), "-c", LIST],
        env=surroundings(), cwd=FOLDER, capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = json.loads(done.stdout.splitlines()[-1])
    # One path of MLflow's lacks a slash.
    paths = [(path.replace("2.0mlflow", "2.0/mlflow"), verbs) for path, verbs in found]
    return sorted({(verb, path) for path, verbs in paths if "/api/" in path for verb in verbs})


@pytest.fixture(scope="module")
def door(platform: Platform) -> Iterator[httpx.Client]:
    org = f"walked-{uuid4().hex[:8]}"
    with platform.client() as admin:
        admin.call(AccessService.CREATE_ORGANIZATION, pb.CreateOrganizationRequest(org_id=org))
        request = pb.CreateTokenRequest(parent=f"orgs/{org}")
        token = admin.call(AccessService.CREATE_TOKEN, request).secret
    headers = {"authorization": f"Bearer {token}"}
    with httpx.Client(base_url=platform.url, headers=headers, timeout=60) as client:
        yield client


def refused(door: httpx.Client, verb: str, path: str) -> bool:
    """Whether a call that says nothing is not known; a complaint about it is an answer."""
    answer = door.request(verb, re.sub(r"<[^>]*>", "x", path), json={} if verb != "GET" else None)
    assert answer.status_code != 405, (verb, path)
    assert answer.status_code < 500, (verb, path, answer.text)
    if answer.status_code == 200:
        return False
    told = answer.json()
    assert "error_code" in told, (verb, path, answer.text)
    return bool(told["error_code"] == "ENDPOINT_NOT_FOUND")


def beginning_of(path: str) -> str:
    """What of the list of refusals a path begins with."""
    below = path.partition("/mlflow/")[2]
    found = [one for one in NOT_SERVED if below == one or below.startswith(f"{one}/")]
    return found[0] if found else ""


def test_what_is_not_answered_is_refused_by_name(
    door: httpx.Client, endpoints: list[tuple[str, str]]
) -> None:
    assert len(endpoints) > 150
    wrong = [
        (verb, path)
        for verb, path in endpoints
        if refused(door, verb, path) != bool(beginning_of(path))
    ]
    assert wrong == []
    assert {beginning_of(path) for _, path in endpoints} == {"", *NOT_SERVED}, "none for nothing"


def test_a_refusal_says_what_is_missing(door: httpx.Client) -> None:
    answer = door.post("/api/3.0/mlflow/datasets/create", json={})
    assert answer.status_code == 404
    assert "evaluation datasets are not served here" in answer.json()["message"]
    answer = door.post("/graphql", json={"query": "{}"})
    assert (answer.status_code, answer.json()["error_code"]) == (501, "NOT_IMPLEMENTED")


def test_the_docs_list_what_is_refused() -> None:
    section = DOCS.read_text().partition("## Not served")[2].partition("\n## ")[0]
    listed = [
        name
        for line in section.splitlines()
        if line.startswith("- ")
        for name in re.findall(r"`([^`]+)`", line)
    ]
    assert sorted(listed) == sorted(NOT_SERVED)
