"""Values keep their type; digests depend on content alone; downloads are whole or absent."""

import json

import epochal_proto.v1 as pb
import numpy as np
import pytest
from epochal import artifacts, digests, errors, values
from epochal.client import Client
from epochal.config import Connection
from hypothesis import given
from hypothesis import strategies as st

RUN = "orgs/default/projects/main/runs/0190f5c8-0000-7000-8000-000000000001"


@given(
    st.one_of(
        st.text(), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False)
    )
)
def test_plain_values_come_back_with_their_type(value):
    back = values.from_value(values.to_value(value))
    assert (type(back), back) == (type(value), value)


@pytest.mark.parametrize(
    ("value", "wire"),
    [
        (np.int64(3), pb.Value(int_value=3)),
        (np.float64(0.5), pb.Value(double_value=0.5)),
        (2**70, pb.Value(json_value=str(2**70))),
        (None, pb.Value(json_value="null")),
        ({"b": 1, "a": [2]}, pb.Value(json_value='{"a":[2],"b":1}')),
    ],
)
def test_other_values_are_exact_or_json(value, wire):
    assert values.to_value(value) == wire


@pytest.mark.parametrize(
    ("text", "wire"),
    [
        ("0.1", pb.Value(double_value=0.1)),
        ("3", pb.Value(int_value=3)),
        ("true", pb.Value(bool_value=True)),
        ('"3"', pb.Value(string_value="3")),
        ("vgg", pb.Value(string_value="vgg")),
        ("[1]", pb.Value(json_value="[1]")),
    ],
)
def test_values_from_the_command_line_are_typed(text, wire):
    assert values.parse_value(text) == wire


def test_a_folder_is_its_paths_and_bytes(tmp_path):
    for name in ("one", "two"):
        folder = tmp_path / name
        (folder / "deep").mkdir(parents=True)
        (folder / "deep/a").write_bytes(b"a")
        (folder / "b").write_bytes(b"b")
    first, second = (digests.describe(tmp_path / name) for name in ("one", "two"))
    assert first.digest == second.digest
    (tmp_path / "two/b").rename(tmp_path / "two/c")
    assert digests.describe(tmp_path / "two").digest != first.digest


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (np.eye(2), np.eye(2).astype("float32")),
        (np.arange(6), np.arange(6).reshape(2, 3)),
        (b"a", b"b"),
        ((b"ab", b"c"), (b"a", b"bc")),
    ],
)
def test_different_data_has_different_digests(one, other):
    assert digests.describe(one).digest == digests.describe(one).digest
    assert digests.describe(one).digest != digests.describe(other).digest


def test_the_layout_of_an_array_in_memory_does_not_count():
    array = np.arange(12).reshape(3, 4)
    assert digests.describe(array).digest == digests.describe(np.asfortranarray(array)).digest


def test_a_uri_is_a_place_without_a_digest():
    assert digests.describe("s3://bucket/x") == digests.Content("s3://bucket/x", "")


@pytest.mark.parametrize("data", ["/no/such/file", object(), [], np.array([object()])])
def test_what_has_no_digest_is_refused(data):
    with pytest.raises(errors.InvalidArgument):
        digests.describe(data)


@pytest.mark.parametrize("path", ["", "/a", "a//b", "../a", "a/.", "x" * 1001])
def test_paths_that_leave_the_run_are_refused(path):
    with pytest.raises(errors.InvalidArgument):
        artifacts.checked_path(path)


@pytest.fixture
def door(gateway):
    with Client(Connection(gateway.url, gateway.world.token)) as client:
        door = artifacts.ArtifactDoor(client)
        yield door
        door.close()


def test_bytes_go_up_and_come_down_verified(door, gateway, tmp_path):
    source, target = tmp_path / "a b#?.bin", tmp_path / "deep/copy.bin"
    source.write_bytes(b"x" * 3_000_000)
    sha256 = digests.file_sha256(source)
    sent = []
    door.put(RUN, "deep/a b#?.bin", source, sha256=sha256, kind="data", progress=sent.append)
    artifact = gateway.world.artifacts[(RUN, "deep/a b#?.bin")]
    assert (artifact.kind, sum(sent)) == ("data", 3_000_000)
    door.get(RUN, "deep/a b#?.bin", target, digest=artifact.digest)
    assert target.read_bytes() == source.read_bytes()


def test_other_bytes_than_recorded_are_not_kept(door, gateway, tmp_path):
    gateway.world.files[(RUN, "a")] = b"other"
    with pytest.raises(errors.DataLoss):
        door.get(RUN, "a", tmp_path / "a", digest="sha256:" + "0" * 64)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(errors.NotFound):
        door.get(RUN, "b", tmp_path / "b", digest="")


def test_an_upload_is_tried_again_and_a_refusal_is_told(door, gateway, tmp_path):
    file = tmp_path / "a"
    file.write_bytes(b"a")
    gateway.fail("PUT", "UNAVAILABLE", times=2)
    door.put(RUN, "a", file, sha256=digests.file_sha256(file), kind="file")
    with pytest.raises(errors.InvalidArgument, match="sha256") as caught:
        door.put(RUN, "a", file, sha256=b"0" * 32, kind="file")
    assert caught.value.reason == "DIGEST_MISMATCH"


def test_problem_json_of_the_gateway_keeps_its_fields():
    from epochal.statuses import from_problem

    body = {
        "status": 400,
        "reason": "R",
        "detail": "bad",
        "violations": [{"field": "f", "rule": "r", "message": "m"}],
    }
    error = from_problem(400, json.dumps(body).encode())
    assert (error.reason, error.message) == ("R", "bad")
    assert error.violations == (errors.Violation("f", "r", "m"),)
    assert "502" in str(from_problem(502, b"<html>"))
