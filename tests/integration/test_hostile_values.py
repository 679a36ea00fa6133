"""Values that no database column holds are refused at the doors: one of them in the log would stop
a projection for everyone."""

from __future__ import annotations

import random

import epochal_proto.v1 as pb
import grpc
import httpx
import pytest
from epochal.client import Client
from epochal.errors import InvalidArgument
from epochal_proto.v1.services import AccessService, ProjectService, RunService, TrackingService
from google.protobuf.timestamp_pb2 import Timestamp
from platform_world import Platform

PROJECT = "orgs/default/projects/main"
BEYOND = Timestamp(seconds=10**13)


@pytest.fixture
def still_serving(platform: Platform, admin: Client) -> object:
    """Afterwards every service still follows the log."""
    yield None
    made = admin.call(
        RunService.CREATE_RUN, pb.CreateRunRequest(parent=PROJECT, tracked=pb.TrackedRun())
    )
    assert admin.call(RunService.GET_RUN, pb.GetRunRequest(name=made.name)).name == made.name
    admin.call(
        ProjectService.UPDATE_PROJECT,
        pb.UpdateProjectRequest(project=pb.Project(name=PROJECT, description=made.name)),
    )


def test_a_nul_in_a_name_is_refused(admin: Client, still_serving: object) -> None:
    with pytest.raises(InvalidArgument) as caught:
        admin.call(
            RunService.CREATE_RUN,
            pb.CreateRunRequest(parent=PROJECT, tracked=pb.TrackedRun(), display_name="a\0b"),
        )
    assert [one.field for one in caught.value.violations] == ["display_name"]


def test_a_nul_in_a_tag_or_parameter_is_refused(admin: Client, still_serving: object) -> None:
    run = admin.call(
        RunService.CREATE_RUN, pb.CreateRunRequest(parent=PROJECT, tracked=pb.TrackedRun())
    ).name
    with pytest.raises(InvalidArgument):
        admin.call(TrackingService.SET_TAGS, pb.SetTagsRequest(run=run, tags={"a": "\0"}))
    with pytest.raises(InvalidArgument):
        admin.call(TrackingService.SET_TAGS, pb.SetTagsRequest(run=run, tags={"\0": "a"}))
    with pytest.raises(InvalidArgument):
        admin.call(
            TrackingService.LOG_PARAMS,
            pb.LogParamsRequest(run=run, params={"a": pb.Value(string_value="x\0")}),
        )


def test_a_nul_in_a_search_is_refused(platform: Platform) -> None:
    answer = httpx.get(
        f"{platform.url}/v1/{PROJECT}/runs",
        params={"filter": "name:\0"},
        headers={"authorization": f"Bearer {platform.token}"},
    )
    assert answer.status_code == 400, answer.text


def test_times_beyond_the_calendar_are_refused(admin: Client, still_serving: object) -> None:
    with pytest.raises(InvalidArgument) as caught:
        admin.call(
            RunService.CREATE_RUN,
            pb.CreateRunRequest(parent=PROJECT, tracked=pb.TrackedRun(start_time=BEYOND)),
        )
    assert [one.field for one in caught.value.violations] == ["tracked.start_time"]
    with pytest.raises(InvalidArgument):
        admin.call(
            AccessService.CREATE_TOKEN,
            pb.CreateTokenRequest(parent="orgs/default", expire_time=BEYOND),
        )


@pytest.mark.parametrize("position", ["1" * 30, "²", "-1", "x"])
def test_a_min_position_that_is_no_number_is_refused_by_both_doors(
    platform: Platform, position: str
) -> None:
    headers = {"authorization": f"Bearer {platform.token}", "epochal-min-position": position}
    answer = httpx.get(
        f"{platform.url}/v1/{PROJECT}", headers={k: v.encode() for k, v in headers.items()}
    )
    assert answer.status_code == 400, answer.text
    if not position.isascii():
        return  # gRPC itself refuses such metadata
    address = httpx.get(f"{platform.url}/.well-known/epochal").json()["grpc"]
    with grpc.insecure_channel(address) as channel, pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary(ProjectService.GET_PROJECT.path)(
            pb.GetProjectRequest(name=PROJECT).SerializeToString(),
            metadata=tuple(headers.items()),
            timeout=20,
        )
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_the_longest_path_of_an_artifact_is_indexed_or_refused(
    platform: Platform, admin: Client, still_serving: object
) -> None:
    run = admin.call(
        RunService.CREATE_RUN, pb.CreateRunRequest(parent=PROJECT, tracked=pb.TrackedRun())
    ).name
    chosen = random.Random(1)
    path = "".join(chr(chosen.randrange(0x4E00, 0x9FA5)) for _ in range(1000))
    answer = httpx.put(
        f"{platform.url}/v1/{run}/artifacts/{path}",
        content=b"x",
        headers={"authorization": f"Bearer {platform.token}"},
    )
    assert answer.status_code == 400, answer.text


def test_a_run_whose_output_has_a_nul_fails_like_any_other(
    admin: Client, still_serving: object
) -> None:
    spec = b"""version: 1.1
kind: component
name: nul
run:
  kind: job
  container:
    command: [python, -c, "import sys; sys.stderr.write('bad ' + chr(0) + ' end'); sys.exit(3)"]
"""
    run = admin.call(RunService.CREATE_RUN, pb.CreateRunRequest(parent=PROJECT, spec=spec))
    *_, last = admin.stream(RunService.WATCH_RUN, pb.WatchRunRequest(name=run.name))
    assert last.status == pb.RUN_STATUS_FAILED
    assert last.exit_code == 3
