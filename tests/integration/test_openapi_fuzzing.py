"""schemathesis against the served document: no 5xx, and every answer fits its schema."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import uuid4

import epochal_proto.v1 as pb
import httpx
import pytest
import schemathesis
from epochal_gateway.doors import openapi
from epochal_proto.v1.services import METHODS, AccessService, ProjectService, RunService
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from platform_world import Platform
from schemathesis.checks import not_a_server_error
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import response_schema_conformance


@dataclass(frozen=True)
class Ground:
    """An organisation for the fuzzer to break: its owner's token, and names that exist in it."""

    token: str
    names: dict[str, str]


@pytest.fixture(scope="module")
def ground(platform: Platform) -> Ground:
    name = f"fuzz-{uuid4().hex[:8]}"
    with platform.client() as admin:
        admin.call(AccessService.CREATE_ORGANIZATION, pb.CreateOrganizationRequest(org_id=name))
        admin.call(
            AccessService.SET_MEMBER,
            pb.SetMemberRequest(parent=f"orgs/{name}", user="users/fuzz", role=pb.ROLE_OWNER),
        )
        admin.call(
            ProjectService.CREATE_PROJECT,
            pb.CreateProjectRequest(parent=f"orgs/{name}", project_id="p"),
        )
        run = admin.call(
            RunService.CREATE_RUN,
            pb.CreateRunRequest(parent=f"orgs/{name}/projects/p", tracked=pb.TrackedRun()),
        )
        secret = admin.call(
            AccessService.CREATE_TOKEN,
            pb.CreateTokenRequest(parent=f"orgs/{name}", user="users/fuzz"),
        ).secret
    return Ground(secret, {"org": name, "project": "p", "run": run.uid})


def operations() -> dict[str, APIOperation]:
    """Every operation of the document, by operationId; streams would wait for their run to end."""
    loaded = schemathesis.openapi.from_dict(dict(openapi.document("test")))
    found = (result.ok() for result in loaded.get_all_operations())
    return {
        operation.definition.raw["operationId"]: operation
        for operation in found
        if not operation.path.endswith((":watch", ":tail", ":verify", ":replay", ":export"))
    }


OPERATIONS = operations()


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_no_answer_breaks_the_document(name: str, platform: Platform, ground: Ground) -> None:
    @settings(
        max_examples=12,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=OPERATIONS[name].as_strategy(), there=st.sampled_from([True, True, True, False]))
    def holds(case: schemathesis.Case, there: bool) -> None:
        if there:  # else a made-up name is refused before anything deeper is reached
            for key in case.path_parameters.keys() & ground.names.keys():
                case.path_parameters[key] = ground.names[key]
        response = case.call(
            base_url=platform.url, headers={"authorization": f"Bearer {ground.token}"}, timeout=20
        )
        case.validate_response(response, checks=[not_a_server_error, response_schema_conformance])

    holds()


def test_the_served_document_is_what_the_contract_says(platform: Platform) -> None:
    loaded = httpx.get(f"{platform.url}/openapi.json").json()
    served = {
        operation["operationId"].split("_")[1]
        for path in loaded["paths"].values()
        for operation in path.values()
    }
    assert served == {method.name for method in METHODS if method.policy.permission != "internal"}
