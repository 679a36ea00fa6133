"""Proofs through the doors: they hold, and no organisation reads another's events by them."""

from __future__ import annotations

import json
from uuid import uuid4

import epochal_proto.v1 as pb
import httpx
import pytest
from epochal.client import Client
from epochal.errors import FailedPrecondition, PermissionDenied
from epochal_proto.v1.services import AccessService, ProofService
from epochal_testing.waiting import until
from platform_world import Platform


def make_auditor(admin: Client, org: str) -> tuple[str, str]:
    name = admin.call(
        AccessService.CREATE_ORGANIZATION, pb.CreateOrganizationRequest(org_id=org)
    ).name
    admin.call(
        AccessService.SET_MEMBER,
        pb.SetMemberRequest(parent=name, user=f"users/{org}", role=pb.ROLE_ADMIN),
    )
    secret = admin.call(
        AccessService.CREATE_TOKEN, pb.CreateTokenRequest(parent=name, user=f"users/{org}")
    ).secret
    return name, secret


@pytest.fixture(scope="module")
def auditors(platform: Platform) -> tuple[tuple[str, str], tuple[str, str]]:
    """Two organisations, each with somebody who may read its audit."""
    with platform.client() as admin:
        one, other = (make_auditor(admin, f"proof-{uuid4().hex[:8]}") for _ in range(2))
    return one, other


async def sealed(client: Client, org: str) -> pb.GetCheckpointResponse:
    """A checkpoint that has all that happened until now."""
    request, heads = pb.GetCheckpointRequest(parent=org), []

    def there() -> pb.GetCheckpointResponse | None:
        try:
            found = client.call(ProofService.GET_CHECKPOINT, request)
        except FailedPrecondition:
            return None  # no checkpoint at all yet
        heads.append(found.head)
        return found if found.checkpoint.size >= heads[0] else None

    return await until(there, 70, what="a checkpoint")


def exported(client: Client, org: str) -> list[pb.ExportedRecord]:
    stream = client.stream(ProofService.EXPORT_RECORDS, pb.ExportRecordsRequest(parent=org))
    return [record for batch in stream for record in batch.records]


async def test_export_has_every_digest_but_only_the_content_of_ones_own(
    platform: Platform, auditors: tuple[tuple[str, str], tuple[str, str]]
) -> None:
    (org, secret), (other, other_secret) = auditors
    with platform.client(secret) as client:
        found = await sealed(client, org)
        records = exported(client, org)
    assert [record.position for record in records] == list(range(1, found.checkpoint.size + 1))
    assert all(len(record.digest) == 32 for record in records)
    shown = [record.event for record in records if record.HasField("event")]
    assert {event.org_id for event in shown} == {org.removeprefix("orgs/")}
    assert not any(event.type.endswith("TokenIssued") for event in shown)
    text = b"".join(record.SerializeToString() for record in records)
    assert other.encode() not in text
    with platform.client(other_secret) as client:
        theirs = exported(client, other)
    for mine, hers in zip(records, theirs, strict=False):
        assert mine.digest == hers.digest


def test_nobody_is_told_of_another_organisation(
    platform: Platform, auditors: tuple[tuple[str, str], tuple[str, str]]
) -> None:
    (_, secret), (other, _) = auditors
    with platform.client(secret) as client:
        for method, request in (
            (ProofService.GET_CHECKPOINT, pb.GetCheckpointRequest(parent=other)),
            (ProofService.GET_PROOF, pb.GetProofRequest(parent=other, position=1)),
            (ProofService.LIST_CHECKPOINTS, pb.ListCheckpointsRequest(parent=other)),
        ):
            with pytest.raises(PermissionDenied):
                client.call(method, request)
        with pytest.raises(PermissionDenied):
            exported(client, other)
        with pytest.raises(PermissionDenied):
            list(client.stream(ProofService.EXPORT_LOG, pb.ExportLogRequest()))


def test_errors_say_what_to_do_over_rest(platform: Platform) -> None:
    headers = {"authorization": f"Bearer {platform.token}"}
    with httpx.Client(base_url=platform.url, headers=headers, timeout=20) as rest:
        both = rest.get("/v1/orgs/default/log/proof", params={"position": 1, "fromSize": 1})
        assert both.status_code == 400
        assert "give position or from_size" in both.text
        late = rest.get("/v1/orgs/default/log/proof", params={"position": 10**9})
        assert late.status_code == 400
        assert "is not in the checkpoint" in late.text
        none = rest.get("/v1/orgs/default/log/checkpoint", params={"size": 10**9})
        assert none.status_code == 404
        line = rest.post("/v1/orgs/default/log/cosignatures", json={"size": 1, "line": "x"})
        assert line.status_code in (400, 404)
        key = rest.post("/v1/log:rotateKey", json={})
        assert key.status_code == 200
        assert json.loads(key.text)["verifierKey"].startswith("epochal.local/")
