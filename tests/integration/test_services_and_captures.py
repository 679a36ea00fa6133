"""Agents on a real platform: outputs, files, captures, services behind the gateway, commands."""

from __future__ import annotations

from collections.abc import AsyncIterator

import epochal_proto.v1 as pb
import httpx
import pytest
import pytest_asyncio
from epochal.client import Client
from epochal.errors import EpochalError
from epochal_proto.v1.services import (
    ArtifactService,
    RunService,
    TerminalService,
    TrackingService,
)
from epochal_testing.waiting import until
from platform_world import Platform

PROJECT = "orgs/default/projects/main"
ENDED = {pb.RUN_STATUS_SUCCEEDED, pb.RUN_STATUS_FAILED, pb.RUN_STATUS_STOPPED}

JOB = """
version: 1.1
kind: component
name: outputs
inputs:
- {name: seed, type: int, value: 7}
outputs:
- {name: acc, type: float, validation: {le: 1}}
run:
  kind: job
  container:
    command: [python, -c]
    args:
    - |
      import epochal, pathlib, os
      pathlib.Path(os.environ["EPOCHAL_RUN_OUTPUTS_PATH"], "model.txt").write_text("weights")
      run = epochal.init()
      run.log_outputs(acc=%s)
      run.log_metric("loss", 0.5)
"""

SERVICE = """
version: 1.1
kind: component
name: echo
run:
  kind: service
  rewritePath: true
  container:
    command: [python, -c]
    args:
    - |
      import http.server, os
      class Handler(http.server.BaseHTTPRequestHandler):
          def do_GET(self):
              self.send_response(200)
              self.end_headers()
              self.wfile.write(self.path.encode())
          def log_message(self, *args): pass
      port = int(os.environ["PORT"])
      http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""

USES = """
version: 1.1
kind: component
name: uses
run:
  kind: job
  init:
  - artifacts: {{files: [["{uid}/outputs/model.txt", "in.txt"]]}}
  container:
    command: [python, -c, "print('read', open('in.txt').read())"]
"""


def started(admin: Client, spec: str) -> pb.Run:
    request = pb.CreateRunRequest(parent=PROJECT, spec=spec.encode())
    return admin.call(RunService.CREATE_RUN, request)


async def ended(admin: Client, name: str) -> pb.Run:
    def now() -> pb.Run:
        run = admin.call(RunService.GET_RUN, pb.GetRunRequest(name=name))
        assert run.status in ENDED, pb.RunStatus.Name(run.status)
        return run

    return await until(now, 60)


def lines(admin: Client, name: str) -> list[str]:
    request = pb.ListLogLinesRequest(run=name)
    return [one.text for one in admin.call(TrackingService.LIST_LOG_LINES, request).lines]


@pytest_asyncio.fixture(loop_scope="session")
async def web(platform: Platform) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"authorization": f"Bearer {platform.token}"}
    async with httpx.AsyncClient(base_url=platform.url, headers=headers, timeout=30) as client:
        yield client


async def test_outputs_files_and_captures_of_a_run_are_kept_and_compared(admin: Client) -> None:
    first = await ended(admin, started(admin, JOB % "0.5").name)
    second = await ended(admin, (started(admin, JOB % "0.75")).name)
    for run, acc in ((first, 0.5), (second, 0.75)):
        assert run.status == pb.RUN_STATUS_SUCCEEDED, run.message
        assert run.outputs["acc"].double_value == acc
    listed = admin.call(
        ArtifactService.LIST_ARTIFACTS,
        pb.ListArtifactsRequest(run=first.name, path_prefix="outputs/"),
    )
    assert [one.path for one in listed.artifacts] == ["outputs/model.txt"]

    def capture() -> pb.Capture:
        return admin.call(TrackingService.GET_CAPTURE, pb.GetCaptureRequest(run=second.name))

    def captured() -> pb.Capture:
        try:
            return capture()
        except EpochalError as error:
            raise AssertionError(error.message) from error

    found = await until(captured, 30)
    assert found.spec_digest == second.spec_digest
    assert found.packages["pytest"] == pytest.__version__
    assert found.seeds["param:seed"] == "7"
    answer = admin.call(
        TrackingService.COMPARE_RUNS,
        pb.CompareRunsRequest(run=first.name, other=second.name),
    )
    told = {(one.section, one.name): (one.left, one.right) for one in answer.differences}
    assert told["outputs", "acc"] == ("0.5", "0.75")
    assert answer.equal["environment"] > 10
    assert answer.equal["metrics"] == 1


async def test_an_output_that_breaks_its_rule_fails_the_run(admin: Client) -> None:
    run = await ended(admin, (started(admin, JOB % "1.5")).name)
    assert run.status == pb.RUN_STATUS_FAILED
    assert "output 'acc' = 1.5 breaks its rule: 1.5 must be at most 1" in run.message


async def test_a_run_reads_what_another_left(admin: Client) -> None:
    first = await ended(admin, started(admin, JOB % "0.5").name)
    second = await ended(admin, (started(admin, USES.format(uid=first.uid))).name)
    assert second.status == pb.RUN_STATUS_SUCCEEDED, second.message
    assert "read weights" in lines(admin, second.name)


async def test_a_service_answers_behind_the_gateway_until_it_is_stopped(
    admin: Client, web: httpx.AsyncClient
) -> None:
    made = started(admin, SERVICE)

    def ready() -> pb.Run:
        run = admin.call(RunService.GET_RUN, pb.GetRunRequest(name=made.name))
        assert run.service_path, pb.RunStatus.Name(run.status)
        return run

    run = await until(ready, 60)
    assert run.service_path == f"/services/v1/{made.name}/"
    assert (await web.get(f"{run.service_path}a?b=1")).text == "/a?b=1"
    nobody = await web.get(run.service_path, headers={"authorization": ""})
    assert nobody.status_code == 401

    opened = admin.call(
        TerminalService.OPEN_TERMINAL,
        pb.OpenTerminalRequest(run=made.name, command=["sh", "-c", "echo port $PORT; exit 3"]),
    )
    outputs = list(
        admin.stream(
            TerminalService.READ_TERMINAL,
            pb.ReadTerminalRequest(run=made.name, terminal=opened.terminal),
        )
    )
    assert b"".join(one.data for one in outputs).startswith(b"port ")
    assert outputs[-1].exit_code == 3

    admin.call(RunService.STOP_RUN, pb.StopRunRequest(name=made.name, reason="enough"))
    assert (await ended(admin, made.name)).service_path == ""

    async def refused() -> bool:
        answer = await web.get(run.service_path)
        return (answer.status_code, answer.json()["reason"]) == (503, "SERVICE_NOT_READY")

    await until(refused, 10)
