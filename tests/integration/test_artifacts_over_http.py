"""Artifacts over HTTP: streamed both ways, verified, served in ranges, kept below their run."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from urllib.parse import urlsplit
from uuid import uuid4

import epochal_proto.v1 as pb
import httpx
import pytest
from epochal.client import Client
from epochal_embedded import control
from epochal_proto.v1.services import ArtifactService, ProjectService, RunService
from platform_world import Platform

PROJECT = "orgs/default/projects/main"
MIB = 1024 * 1024
BIG = 64 * MIB


@pytest.fixture(scope="module")
def rest(platform: Platform) -> Iterator[httpx.Client]:
    headers = {"authorization": f"Bearer {platform.token}"}
    with httpx.Client(base_url=platform.url, headers=headers, timeout=60) as client:
        yield client


@pytest.fixture
def run(admin: Client) -> str:
    request = pb.CreateRunRequest(parent=PROJECT, tracked=pb.TrackedRun())
    return admin.call(RunService.CREATE_RUN, request).name


@pytest.fixture
def other_project_run(admin: Client) -> str:
    project_id = f"copies-{uuid4().hex[:8]}"
    project = admin.call(
        ProjectService.CREATE_PROJECT,
        pb.CreateProjectRequest(parent="orgs/default", project_id=project_id),
    ).name
    request = pb.CreateRunRequest(parent=project, tracked=pb.TrackedRun())
    return admin.call(RunService.CREATE_RUN, request).name


def gateway_memory(platform: Platform) -> int:
    report = control.observe(platform.home)
    assert report is not None
    (mark,) = [unit.mark for unit in report.units if unit.name == "gateway"]
    assert mark is not None
    return control.own_memory_bytes(mark)


def blocks() -> Iterator[bytes]:
    for number in range(BIG // MIB):
        yield hashlib.shake_128(number.to_bytes(4, "big")).digest(MIB)


def test_64_mib_pass_through_a_gateway_that_does_not_grow(
    platform: Platform, rest: httpx.Client, run: str
) -> None:
    digest = hashlib.sha256()
    for block in blocks():
        digest.update(block)
    rest.put(f"/v1/{run}/artifacts/warm", content=bytes(6 * MIB)).raise_for_status()
    before = gateway_memory(platform)
    most = before

    def watched() -> Iterator[bytes]:
        nonlocal most
        for number, block in enumerate(blocks()):
            if number % 8 == 0:
                most = max(most, gateway_memory(platform))
            yield block

    sent = rest.put(
        f"/v1/{run}/artifacts/big.bin",
        content=watched(),
        headers={"epochal-content-sha256": digest.hexdigest()},
    )
    assert sent.status_code == 200, sent.text
    assert sent.json()["digest"] == f"sha256:{digest.hexdigest()}"
    assert sent.json()["sizeBytes"] == str(BIG)
    found, size = hashlib.sha256(), 0
    with rest.stream("GET", f"/v1/{run}/artifacts/big.bin") as answer:
        for number, part in enumerate(answer.iter_bytes(MIB)):
            found.update(part)
            size += len(part)
            if number % 8 == 0:
                most = max(most, gateway_memory(platform))
    assert (size, found.digest()) == (BIG, digest.digest())
    most = max(most, gateway_memory(platform))
    assert most - before < BIG // 2, f"grew by {(most - before) / MIB:.0f} MiB"


def test_bytes_with_another_digest_are_refused_and_not_indexed(
    rest: httpx.Client, run: str
) -> None:
    refused = rest.put(
        f"/v1/{run}/artifacts/x", content=b"abc", headers={"epochal-content-sha256": "0" * 64}
    )
    assert (refused.status_code, refused.json()["reason"]) == (400, "DIGEST_MISMATCH")
    assert rest.get(f"/v1/{run}/artifacts/x").status_code == 404
    bad = rest.put(
        f"/v1/{run}/artifacts/x", content=b"abc", headers={"epochal-content-sha256": "abc"}
    )
    assert bad.json()["violations"][0]["field"] == "Epochal-Content-Sha256"


def test_ranges_etags_and_heads(rest: httpx.Client, run: str) -> None:
    path = f"/v1/{run}/artifacts/d/data.bin"
    data = bytes(range(256)) * 10
    rest.put(path, content=data, headers={"content-type": "text/x-test"}).raise_for_status()
    whole = rest.get(path)
    etag = whole.headers["etag"]
    assert whole.content == data
    assert etag == f'"sha256:{hashlib.sha256(data).hexdigest()}"'
    assert whole.headers["content-type"].startswith("text/x-test")
    assert whole.headers["x-content-type-options"] == "nosniff"
    assert whole.headers["content-disposition"] == "attachment"
    part = rest.get(path, headers={"range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, data[10:20])
    assert part.headers["content-range"] == f"bytes 10-19/{len(data)}"
    assert rest.get(path, headers={"range": "bytes=-5"}).content == data[-5:]
    beyond = rest.get(path, headers={"range": "bytes=99999-"})
    assert (beyond.status_code, beyond.json()["reason"]) == (416, "RANGE_NOT_SATISFIABLE")
    same = rest.get(path, headers={"if-none-match": etag, "range": "bytes=99999-"})
    assert (same.status_code, same.content) == (304, b"")
    head = rest.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(data))


def test_a_path_uploaded_again_has_the_new_bytes_and_the_old_stay_in_history(
    rest: httpx.Client, run: str, admin: Client
) -> None:
    path = f"/v1/{run}/artifacts/model.bin"
    rest.put(path, content=b"one").raise_for_status()
    rest.put(path, content=b"two", headers={"epochal-artifact-kind": "model"}).raise_for_status()
    assert rest.get(path).content == b"two"
    listed = admin.call(ArtifactService.LIST_ARTIFACTS, pb.ListArtifactsRequest(run=run))
    assert [(one.path, one.kind) for one in listed.artifacts] == [("model.bin", "model")]
    events = rest.get(
        "/v1/orgs/default/events", params={"resource": run, "types": "ArtifactLogged"}
    ).json()["events"]
    assert len(events) == 2


def test_an_upload_that_is_repeated_is_recorded_once(rest: httpx.Client, run: str) -> None:
    headers = {"epochal-request-id": str(uuid4())}
    positions = {
        rest.put(f"/v1/{run}/artifacts/once", content=b"x", headers=headers).headers[
            "epochal-position"
        ]
        for _ in range(3)
    }
    assert len(positions) == 1


@pytest.mark.parametrize("path", ["..", "a/../../b", "%2e%2e/%2e%2e/x", "a//b", "a/.", "a/"])
def test_no_path_leads_out_of_its_run(platform: Platform, run: str, path: str) -> None:
    # By hand: client libraries tidy paths up before they send them.
    parts = urlsplit(platform.url)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=20)
    headers = {"authorization": f"Bearer {platform.token}"}
    before = set(platform.home.objects.rglob("uploads/*"))
    with closing(connection):
        connection.request("PUT", f"/v1/{run}/artifacts/{path}", body=b"x", headers=headers)
        assert connection.getresponse().status == 400
    assert set(platform.home.objects.rglob("uploads/*")) <= before


def test_a_run_that_is_not_there_has_no_artifacts(rest: httpx.Client) -> None:
    nowhere = f"/v1/{PROJECT}/runs/{uuid4()}/artifacts/x"
    assert rest.put(nowhere, content=b"x").status_code == 404
    assert rest.get(nowhere).status_code == 404


def test_strangers_neither_read_nor_write(platform: Platform, run: str) -> None:
    for header in ({}, {"authorization": "Bearer epo_guess"}):
        for verb in ("GET", "PUT", "HEAD"):
            answer = httpx.request(
                verb, f"{platform.url}/v1/{run}/artifacts/x", headers=header, content=b"x"
            )
            assert answer.status_code == 401


def test_bytes_that_are_there_need_not_be_sent_again(
    rest: httpx.Client, admin: Client, run: str, other_project_run: str
) -> None:
    digest = hashlib.sha256(b"known").hexdigest()
    rest.put(f"/v1/{run}/artifacts/first", content=b"known").raise_for_status()

    def copy(source: str, expected: str = digest, into: str = run) -> httpx.Response:
        headers = {"epochal-copy-source": source, "epochal-content-sha256": expected}
        return rest.put(f"/v1/{into}/artifacts/second", content=b"", headers=headers)

    source = f"{run}/artifacts/first"
    made = copy(source, into=other_project_run)
    assert made.is_success, made.text
    assert made.json()["digest"] == f"sha256:{digest}"
    assert rest.get(f"/v1/{other_project_run}/artifacts/second").content == b"known"
    assert copy(source, "00" * 32).status_code == 400
    assert copy(f"{run}/artifacts/none").status_code == 404
    assert copy("nonsense").status_code == 400
    assert copy(f"orgs/absent/projects/p/runs/{uuid4()}/artifacts/x").status_code in (403, 404)
    assert rest.get(f"/v1/{run}/artifacts/second").status_code == 404
