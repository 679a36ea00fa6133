"""Proofs through the doors: they hold, and no organisation reads another's events by them."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from uuid import uuid4

import epochal_proto.v1 as pb
import httpx
import pytest
from command_line import CommandLine
from epochal.client import Client
from epochal.errors import FailedPrecondition, PermissionDenied
from epochal_proto.v1.services import AccessService, ProofService
from epochal_testing.waiting import until
from platform_world import Platform

# The key in the documentation of golang.org/x/mod/sumdb/note: it signs nothing of ours.
OTHER_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"


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
        made = json.loads(key.text)["verifierKey"]
        assert made.startswith("epochal.local/")
        position = key.headers["epochal-position"]
        export = rest.get(
            "/v1/log:export", params={"after": int(position) - 1, "through": position}
        )
        assert "SigningKeyRotated" in export.text


@pytest.fixture
def auditor(platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    """The administrator's command line, on a machine that has seen no checkpoint yet."""
    monkeypatch.setenv("EPOCHAL_CHECKPOINTS", str(tmp_path / "seen"))
    return CommandLine(platform, tmp_path)


async def test_command_line_proves_the_log_and_remembers_what_it_saw(
    auditor: CommandLine, admin: Client
) -> None:
    found = await sealed(admin, "orgs/default")
    first = auditor("audit", "verify")
    assert "intact" in first.stdout
    assert "first checkpoint seen here" in first.stdout
    position = found.checkpoint.size
    assert (
        f"event {position} is in the checkpoint" in auditor("audit", "prove", str(position)).stdout
    )
    admin.call(AccessService.CREATE_TOKEN, pb.CreateTokenRequest(parent="orgs/default"))
    await sealed(admin, "orgs/default")
    again = auditor("audit", "verify")
    assert "It continues the checkpoint of" in again.stdout
    assert auditor.json("audit", "verify")["intact"] is True
    assert auditor("audit", "checkpoint").stdout.startswith(found.checkpoint.origin)
    assert auditor.json("audit", "checkpoints", "-n", "1")[0]["origin"] == found.checkpoint.origin


async def test_a_seen_checkpoint_that_is_contradicted_is_an_error(
    auditor: CommandLine, admin: Client, tmp_path: Path
) -> None:
    await sealed(admin, "orgs/default")
    auditor("audit", "verify")
    (file,) = (tmp_path / "seen").iterdir()
    kept = json.loads(file.read_text())
    lines = kept["note"].split("\n")
    lines[2] = "A" * 43 + "="
    file.write_text(json.dumps(kept | {"note": "\n".join(lines)}))
    assert "the log was rewritten" in auditor("audit", "verify", code=1).stderr
    file.write_text(json.dumps(kept | {"note": kept["note"].replace(lines[1], "9" * 12, 1)}))
    assert "its tail is gone" in auditor("audit", "verify", code=1).stderr
    file.write_text(json.dumps({"note": kept["note"], "key": OTHER_KEY}))
    assert "signed neither by" in auditor("audit", "verify", code=1).stderr


def check_alone(folder: Path, key: str) -> subprocess.CompletedProcess[str]:
    """Run the program that lies in the bundle."""
    command = [sys.executable, "-I", "audit/verify.py", "audit", "--key", key, "--json"]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.parametrize("whole", [True, False])
async def test_exported_bundle_is_proved_by_the_program_in_it(
    auditor: CommandLine, admin: Client, tmp_path: Path, whole: bool
) -> None:
    found = await sealed(admin, "orgs/default")
    auditor("audit", "export", "--out", "audit.zip", *(["--whole"] if whole else []))
    with zipfile.ZipFile(tmp_path / "audit.zip") as bundle:
        bundle.extractall(tmp_path / "audit")
    key = found.verifier_keys[0]
    done = check_alone(tmp_path, key)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    verdict = json.loads(done.stdout)
    assert verdict["whole"] is whole
    assert verdict["events"] > 0
    if whole:
        assert verdict["events"] + verdict["withheld"] == verdict["size"]
    events = tmp_path / "audit/events.jsonl"
    rows = [json.loads(line) for line in events.read_text().splitlines()]
    chosen = next(row for row in rows if "actor" in row)
    chosen["actor"] += "x"
    events.write_text("".join(json.dumps(row) + "\n" for row in rows))
    broken = auditor("audit", "verify", "--bundle", "audit", "--key", key, code=1)
    assert f"first bad position {chosen['position']}" in broken.stdout


async def test_object_store_has_the_tiles_of_what_is_signed(
    platform: Platform, admin: Client
) -> None:
    found = await sealed(admin, "orgs/default")
    log = platform.home.objects / "tlog"

    def published() -> bool:
        file = log / "checkpoint"
        return file.exists() and int(file.read_text().split("\n")[1]) >= found.checkpoint.size

    await until(published, 30, what="the checkpoint in the object store")
    digests = [record.digest for record in exported(admin, "orgs/default")]
    width = int((log / "checkpoint").read_text().split("\n")[1])
    name, width = ("000", 256) if width >= 256 else (f"000.p/{width}", width)
    tile = (log / f"tile/0/{name}").read_bytes()
    entries = (log / f"tile/entries/{name}").read_bytes()
    leaves = [hashlib.sha256(b"\x00" + digest).digest() for digest in digests[:width]]
    assert tile == b"".join(leaves)
    assert entries == b"".join(b"\x00\x20" + digest for digest in digests[:width])
