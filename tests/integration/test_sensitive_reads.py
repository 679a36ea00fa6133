"""Reads of what a project calls sensitive are events of the log, and of nothing else."""

from __future__ import annotations

from uuid import uuid4

import epochal_proto.v1 as pb
import httpx
import pytest
from epochal.client import Client
from epochal_proto.v1.services import AuditService, ProjectService, RunService
from platform_world import Platform


@pytest.fixture
def run(admin: Client) -> str:
    """A run in a project that calls models and what is below pii/ sensitive."""
    project = admin.call(
        ProjectService.CREATE_PROJECT,
        pb.CreateProjectRequest(
            parent="orgs/default",
            project_id=f"reads-{uuid4().hex[:8]}",
            tags={"epochal.audit.reads": "kind:model pii/*"},
        ),
    ).name
    request = pb.CreateRunRequest(parent=project, tracked=pb.TrackedRun())
    return admin.call(RunService.CREATE_RUN, request).name


def test_reads_of_sensitive_artifacts_and_only_those_are_in_the_log(
    platform: Platform, admin: Client, run: str
) -> None:
    headers = {"authorization": f"Bearer {platform.token}"}
    with httpx.Client(base_url=f"{platform.url}/v1/{run}/artifacts/", headers=headers) as door:
        for path, kind in (("pii/a/b.csv", "file"), ("m.bin", "model"), ("plain.txt", "file")):
            door.put(
                path, content=b"0123456789", headers={"epochal-artifact-kind": kind}
            ).raise_for_status()
        assert door.get("pii/a/b.csv").content == b"0123456789"
        assert door.get("m.bin", headers={"range": "bytes=2-4"}).content == b"234"
        assert door.get("plain.txt").content == b"0123456789"
        assert door.head("m.bin").status_code == 200
        assert httpx.get(f"{door.base_url}m.bin").status_code == 401
    listed = admin.call(
        AuditService.LIST_EVENTS,
        pb.ListEventsRequest(parent="orgs/default", resource=run, types=["ArtifactRead"]),
    )
    assert [(event.actor, event.resource) for event in listed.events] == [
        ("users/admin", f"{run}/artifacts/pii/a/b.csv"),
        ("users/admin", f"{run}/artifacts/m.bin"),
    ]
    assert '"firstByte": "2"' in listed.events[1].payload_json
    assert '"lengthBytes": "3"' in listed.events[1].payload_json
