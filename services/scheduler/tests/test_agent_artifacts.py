"""Artifacts over the gateway's door: what it answers, refuses, and how long it is waited for."""

import hashlib
import json

import httpx
import pytest
from agent_fakes import RUN
from epochal_kernel.clock import SystemClock
from epochal_kernel.errors import (
    DataLoss,
    FailedPrecondition,
    NotFound,
    PermissionDenied,
    Unavailable,
)
from epochal_scheduler.agent.artifacts import Artifacts
from epochal_scheduler.agent.ports import Stored

MODEL = "orgs/acme/projects/vision/models/digits"


class QuickClock(SystemClock):
    """Time passes as it is slept."""

    def __init__(self):
        self.passed = 0.0

    def monotonic(self):
        return self.passed

    async def sleep(self, seconds):
        self.passed += seconds


class Gateway:
    """Answers requests one by one with what a test put there, and notes them."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = []
        self.bodies = []

    async def __call__(self, request):
        self.asked.append((request.method, str(request.url.raw_path.decode())))
        assert request.headers["authorization"] == "Bearer epr_x"
        self.headers = request.headers
        self.bodies.append(await request.aread())
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def clock():
    return QuickClock()


def store(clock, *answers):
    gateway = Gateway(*answers)
    return Artifacts("http://gateway", clock, httpx.MockTransport(gateway)), gateway


async def test_all_pages_of_a_list_are_read(clock):
    one = {"path": "a", "digest": "sha256:1", "sizeBytes": "3"}
    found, gateway = store(
        clock,
        httpx.Response(200, json={"artifacts": [one], "nextPageToken": "t"}),
        httpx.Response(200, json={"artifacts": [{**one, "path": "b"}]}),
    )
    assert await found.list("epr_x", RUN, "outputs/") == [
        Stored("a", "sha256:1", 3),
        Stored("b", "sha256:1", 3),
    ]
    assert [path.partition("page_token=")[2] for _, path in gateway.asked] == ["", "t"]
    await found.close()


async def test_a_file_comes_whole_or_not_at_all(clock, tmp_path):
    digest = f"sha256:{hashlib.sha256(b'data').hexdigest()}"
    found, gateway = store(
        clock,
        httpx.Response(200, content=b"data", headers={"etag": f'"{digest}"'}),
        httpx.Response(200, content=b"dat", headers={"etag": f'"{digest}"'}),
    )
    target = tmp_path / "sub" / "a"
    assert await found.get("epr_x", RUN, "outputs/ä b", target) == digest
    assert target.read_bytes() == b"data"
    assert gateway.asked[0][1] == f"/v1/{RUN}/artifacts/outputs/%C3%A4%20b"
    with pytest.raises(DataLoss):
        await found.get("epr_x", RUN, "a", tmp_path / "b")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a", "sub"]
    await found.close()


async def test_a_file_is_sent_with_its_digest_and_again_after_a_failure(clock, tmp_path):
    file = tmp_path / "a.txt"
    file.write_bytes(b"data")
    found, gateway = store(
        clock, httpx.ConnectError("no"), httpx.Response(503, json={}), httpx.Response(200, json={})
    )
    await found.put("epr_x", RUN, "outputs/a.txt", file, "output")
    assert gateway.bodies == [b"data"] * 3
    assert gateway.headers["epochal-content-sha256"] == hashlib.sha256(b"data").hexdigest()
    assert gateway.headers["content-length"] == "4"
    assert gateway.headers["epochal-artifact-kind"] == "output"
    await found.close()


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (httpx.Response(404, json={"detail": "gone"}), NotFound),
        (httpx.Response(403, json={"detail": "gone"}), PermissionDenied),
        (httpx.Response(400, text="gone"), FailedPrecondition),
        (httpx.Response(503, json={"detail": "gone"}), Unavailable),
        (httpx.ConnectError("gone"), Unavailable),
    ],
)
async def test_a_refusal_is_told_and_an_absence_is_waited_for_a_while(clock, answer, kind):
    found, gateway = store(clock, answer)
    with pytest.raises(kind, match="gone"):
        await found.list("epr_x", RUN, "")
    assert (len(gateway.asked) > 1) == (kind is Unavailable)
    assert clock.passed < 121
    await found.close()


async def test_an_agent_without_a_gateway_says_what_to_do(clock):
    with pytest.raises(FailedPrecondition, match="EPOCHAL_URL"):
        await Artifacts("", clock).list("epr_x", RUN, "")


@pytest.mark.parametrize(("wanted", "number"), [("3", 3), ("champion", 2), ("latest", 5)])
async def test_a_model_is_found_by_number_or_alias(clock, wanted, number):
    known = httpx.Response(200, json={"aliases": {"champion": 2}, "latestVersion": 5})
    version = httpx.Response(200, json={"run": RUN, "artifactPath": "model/m/"})
    answers = [version] if wanted == "3" else [known, version]
    found, gateway = store(clock, *answers)
    name = f"{MODEL}/versions/{number}"
    assert await found.model_version("epr_x", MODEL, wanted) == (name, RUN, "model/m/")
    assert gateway.asked[-1][1] == f"/v1/{MODEL}/versions/{number}"
    await found.close()


async def test_an_alias_that_is_not_there_is_named(clock):
    known = httpx.Response(200, json={"aliases": {"champion": 2}})
    found, _ = store(clock, known)
    with pytest.raises(NotFound, match="'none'; it has champion"):
        await found.model_version("epr_x", MODEL, "none")
    await found.close()


async def test_reading_a_model_is_recorded_with_the_token_of_the_run(clock):
    found, gateway = store(clock, httpx.Response(503, json={}), httpx.Response(200, json={}))
    await found.use_model("epr_x", RUN, f"{MODEL}/versions/2")
    assert gateway.asked[-1] == ("POST", f"/v1/{RUN}:useModel")
    assert json.loads(gateway.bodies[-1]) == {"modelVersion": f"{MODEL}/versions/2"}
    await found.close()
