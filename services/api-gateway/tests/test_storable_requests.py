"""What a request may hold: the rules of proto/, and only what tables and clocks can keep."""

from __future__ import annotations

import epochal_proto.v1 as pb
import pytest
from epochal_gateway.doors.validation import validate
from epochal_kernel.errors import InvalidArgument, Violation
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

PROJECT = "orgs/acme/projects/vision"
RUN = f"{PROJECT}/runs/0193a000-0000-7000-8000-000000000001"


def violations(request: Message) -> list[Violation]:
    with pytest.raises(InvalidArgument) as caught:
        validate(request)
    assert caught.value.reason == "RULE_BROKEN"
    return list(caught.value.violations)


def create(**changes: object) -> pb.CreateRunRequest:
    return pb.CreateRunRequest(parent=PROJECT, **({"tracked": pb.TrackedRun()} | changes))


def test_a_good_request_passes() -> None:
    validate(create(display_name="é \n", tags={"a": "b"}, params={"x": pb.Value(int_value=0)}))
    validate(create(spec=b"\0", tracked=None))  # bytes are bytes
    edges = (
        Timestamp(seconds=-62_135_596_800),
        Timestamp(seconds=253_402_300_799, nanos=10**9 - 1),
    )
    for edge in edges:
        edge.ToDatetime()  # what the projections do with it
        validate(create(tracked=pb.TrackedRun(start_time=edge)))


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (create(display_name="a\0"), "display_name"),
        (create(tags={"\0": "x"}), "tags"),
        (create(tags={"x": "\0"}), "tags"),
        (create(params={"x": pb.Value(string_value="\0")}), "params.string_value"),
        (create(params={"x": pb.Value(json_value='"\0"')}), "params.json_value"),
        (
            pb.CreateTokenRequest(parent="orgs/acme", scopes=["run.read", "run\0read"]),
            "scopes",
        ),
        (
            pb.UpdateProjectRequest(project=pb.Project(name=PROJECT, description="\0")),
            "project.description",
        ),
    ],
)
def test_no_text_has_a_nul(request_: Message, field: str) -> None:
    assert Violation(field, "no_nul", "must not contain the character U+0000") in violations(
        request_
    )


@pytest.mark.parametrize(
    "at",
    [
        Timestamp(seconds=253_402_300_800),
        Timestamp(seconds=-62_135_596_801),
        Timestamp(seconds=2**62),
        Timestamp(nanos=-1),
        Timestamp(nanos=10**9),
    ],
)
def test_no_time_lies_outside_the_calendar(at: Timestamp) -> None:
    (found,) = violations(create(tracked=pb.TrackedRun(start_time=at)))
    assert (found.field, found.rule) == ("tracked.start_time", "timestamp")


def test_every_broken_rule_is_named_with_its_field() -> None:
    found = violations(
        pb.ListRunsRequest(parent="orgs/UPPER", page_size=1_001, page_token="x" * 20_001)
    )
    assert [one.field for one in found] == ["parent", "page_size", "page_token"]
    assert all(one.rule and one.message for one in found)
    with pytest.raises(InvalidArgument, match=r"^parent: .* \(and 2 more\)$"):
        validate(pb.ListRunsRequest(parent="orgs/UPPER", page_size=1_001, page_token="x" * 20_001))


@pytest.mark.parametrize("path", ["a/../b", "..", "/a", "a//b", "a/", "./a", "é" * 501])
def test_a_path_of_an_artifact_stays_below_its_run_and_fits_an_index(path: str) -> None:
    request = pb.CommitArtifactRequest(run=RUN, path=path, sha256=bytes(32), kind="file")
    assert [one.field for one in violations(request)] == ["path"]


def test_a_path_may_be_a_thousand_bytes() -> None:
    validate(pb.CommitArtifactRequest(run=RUN, path="é" * 500, sha256=bytes(32), kind="file"))
