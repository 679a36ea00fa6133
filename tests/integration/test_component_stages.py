"""Stages of components: one version has one, specs refer to it, runs stay what they were."""

from __future__ import annotations

from uuid import uuid4

import epochal_proto.v1 as pb
import pytest
from epochal import errors
from epochal.client import Client
from epochal_proto.v1.services import ComponentService, RunService

SPEC = """
version: 1.1
kind: component
name: NAME
run: {kind: job, container: {command: [echo, "TEXT"]}}
"""


def stage(admin: Client, name: str, **more: object) -> pb.Component:
    request = pb.SetComponentStageRequest(name=name, stage="Production", **more)  # type: ignore[arg-type]  # fields
    return admin.call(ComponentService.SET_COMPONENT_STAGE, request)


def compiled(admin: Client, reference: str) -> str:
    request = pb.CompileOperationRequest(
        parent="orgs/default/projects/main",
        spec=f"version: 1.1\nkind: operation\nhubRef: {reference}\n".encode(),
    )
    return admin.call(RunService.COMPILE_OPERATION, request).compiled_json


def test_one_version_has_a_stage_and_specs_find_it(admin: Client) -> None:
    name = f"staged-{uuid4().hex[:8]}"
    first, second = (
        admin.call(
            ComponentService.REGISTER_COMPONENT,
            pb.RegisterComponentRequest(
                parent="orgs/default",
                component_id=name,
                tag=tag,
                spec=SPEC.replace("NAME", name).replace("TEXT", f"this is {tag}").encode(),
            ),
        ).name
        for tag in ("v1", "v2")
    )
    with pytest.raises(errors.EpochalError):
        compiled(admin, f"{name}@Production")
    assert list(stage(admin, first, reason="good").stages) == ["Production"]
    assert "this is v1" in compiled(admin, f"{name}@Production")
    assert list(stage(admin, second).stages) == ["Production"]
    assert "this is v2" in compiled(admin, f"{name}@Production")
    found = admin.call(
        ComponentService.LIST_COMPONENTS,
        pb.ListComponentsRequest(parent="orgs/default", component_id=name),
    ).components
    assert {one.name: list(one.stages) for one in found} == {first: [], second: ["Production"]}
    with pytest.raises(errors.FailedPrecondition, match="has Production"):
        admin.call(ComponentService.DELETE_COMPONENT, pb.DeleteComponentRequest(name=second))
    with pytest.raises(errors.FailedPrecondition, match="v2 is"):
        stage(admin, first, removed=True)
    assert not stage(admin, second, removed=True).stages
    admin.call(ComponentService.DELETE_COMPONENT, pb.DeleteComponentRequest(name=second))
    with pytest.raises(errors.EpochalError, match="no component"):
        stage(admin, second)
