"""What a run tells of data it reads and makes."""

import json
from datetime import UTC, datetime, timedelta

import epochal
import epochal_proto.v1 as pb
import numpy as np
import pytest
from epochal.datasets import read_rules
from epochal.errors import DataInvalid, InvalidArgument

RULE = {"kind": "range", "column": "x", "min": 0}


def told(platform, call="UseDataset"):
    return platform.requests(call)[-1]


def test_data_is_looked_into_when_it_is_read(platform, tmp_path):
    file = tmp_path / "folder/d.csv"
    file.parent.mkdir()
    file.write_text("x,y\n1,a\n2,b\n")
    with epochal.init() as run:
        found = run.use_dataset("d", file, rules=[RULE], features=True)
        request = told(platform)
        assert request.contents.rows == 2
        assert [one.name for one in request.contents.columns] == ["x", "y"]
        assert request.contents.storage == pb.DATASET_STORAGE_REFERENCE
        assert request.features
        assert found.version.endswith(f"/datasets/d/versions/{found.digest[7:19]}")
        assert found.failed == ()
        run.use_dataset("d", file, profile=False)
        assert not told(platform).contents.columns
        epochal.use_dataset("array", np.eye(2))
        assert told(platform).contents.storage == pb.DATASET_STORAGE_DIGEST
        assert len(told(platform).contents.columns) == 2
        run.use_dataset("folder", file.parent, store="copy")
        assert told(platform).contents.path == "datasets/folder/folder"
        assert (run.name, "datasets/folder/folder/d.csv") in platform.world.files
        assert told(platform).contents.size_bytes == file.stat().st_size


def test_a_place_is_known_by_what_is_there(platform):
    at = datetime(2026, 1, 2, tzinfo=UTC)
    with epochal.init() as run:
        run.use_dataset("d", "s3://b/k", etag="e1", size_bytes=7, modified=at, snapshot="42")
    contents = told(platform).contents
    assert (contents.etag, contents.size_bytes, contents.snapshot) == ("e1", 7, "42")
    assert contents.modify_time.ToDatetime(tzinfo=UTC) == at
    assert told(platform).digest == ""


def test_a_rule_that_does_not_hold_stops_the_run_or_is_only_said(platform, capsys):
    bad = {**RULE, "column": "bad"}
    with epochal.init() as run:
        with pytest.raises(DataInvalid, match="bad was seen"):
            run.use_dataset("d", b"1", rules=[RULE, bad])
        found = run.log_dataset("d", b"1", rules=[bad], on_failure="warn")
    assert found.failed == ("bad was seen",)
    assert "bad was seen" in capsys.readouterr().err
    assert len(platform.requests("UseDataset")) == 1


def test_what_a_run_makes_is_kept_as_asked(platform, tmp_path):
    file = tmp_path / "d.bin"
    file.write_bytes(b"a" * 10)
    columns = {"y": [("datasets/raw/versions/1", "x", "aggregation"), ("v", "z")]}
    with epochal.init() as run:
        run.log_dataset("kept", file, store="copy", columns=columns)
        request = told(platform, "LogDataset")
        assert request.contents.path == "datasets/kept/d.bin"
        assert platform.world.files[run.name, "datasets/kept/d.bin"] == b"a" * 10
        assert [
            (one.column, one.source, one.source_column, one.transformation)
            for one in request.columns
        ] == [
            ("y", "datasets/raw/versions/1", "x", pb.COLUMN_TRANSFORMATION_AGGREGATION),
            ("y", "v", "z", pb.COLUMN_TRANSFORMATION_UNSPECIFIED),
        ]
        epochal.log_dataset("cut", file, store="chunks")
        contents = told(platform, "LogDataset").contents
        assert (contents.storage, contents.chunks) == (pb.DATASET_STORAGE_CHUNKS, 1)
        listed = json.loads(platform.world.files[run.name, contents.path])
        (chunk,) = listed["files"][0]["chunks"]
        assert platform.world.files[run.name, f"datasets/cut/chunks/{chunk}"] == b"a" * 10
        run.log_dataset("array", np.eye(2), store="copy")
        assert (run.name, "datasets/array/data.npy") in platform.world.files
        for data, how in ((file, "elsewhere"), ([np.eye(1)], "copy"), (tmp_path / "no", "copy")):
            with pytest.raises(InvalidArgument):
                run.log_dataset("x", data, store=how)
        with pytest.raises(InvalidArgument, match="no way"):
            run.log_dataset("x", b"", columns={"y": [("v", "z", "magic")]})


def test_a_chunk_that_the_platform_has_is_not_sent_again(platform, tmp_path, monkeypatch):
    monkeypatch.setattr("epochal.profiling.chunking.CHUNK_BYTES", 4)
    file, copied = tmp_path / "d.bin", platform.world.copied
    file.write_bytes(b"one.two.")
    with epochal.init() as first:
        first.log_dataset("d", file, store="chunks")
    assert copied == []
    file.write_bytes(b"one.two.more")
    with epochal.init() as second:
        second.log_dataset("d", file, store="chunks")
    assert len(copied) == 2
    pieces = [
        data
        for (run, path), data in platform.world.files.items()
        if run == second.name and "/chunks/" in path
    ]
    assert sorted(pieces) == [b"more", b"one.", b"two."]
    for key in [key for key in platform.world.files if key[0] == second.name]:
        del platform.world.files[key]
    with epochal.init() as third:
        third.log_dataset("d", file, store="chunks")  # what it would be copied from is gone
    assert len(copied) == 2
    assert sum(run == third.name and "/chunks/" in path for run, path in platform.world.files) == 3


def test_a_run_that_reads_a_model_says_so(platform):
    with epochal.init() as run:
        epochal.use_model("models/m/versions/1")
        assert told(platform, "UseModel").model_version == f"{run.project}/models/m/versions/1"
    with epochal.init(no_op=True) as silent:
        silent.use_model("x")
        assert silent.log_dataset("d", b"").version == ""


def test_rules_are_read_as_people_write_them():
    specs = [
        {"kind": "schema", "column": "a", "type": "int64"},
        {"kind": "range", "column": "a", "min": 0, "max": 1.5},
        {"kind": "nulls", "column": "a", "share": 0.1},
        {"kind": "unique", "column": "a"},
        {"kind": "fresh", "max_age": timedelta(days=1)},
        {"kind": "rows", "min": 1},
        {"kind": "values", "column": "a", "values": ["x", 1]},
    ]
    rules = read_rules(specs)
    assert [rule.kind for rule in rules] == list(range(1, 8))
    assert (rules[1].max, rules[4].max_age_s, list(rules[6].values)) == (1.5, 86_400, ["x", "1"])
    assert not rules[5].HasField("max")


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"kind": "magic"},
        {"kind": "unique"},
        {"kind": "rows", "column": "a"},
        {"kind": "nulls", "column": "a", "max": 1},
        {"kind": "range", "column": "a", "min": "low"},
        {"kind": "values", "column": "a", "values": "ab"},
        {"kind": "fresh", "max_age": "1d"},
    ],
)
def test_a_rule_that_is_none_is_refused(spec):
    with pytest.raises(InvalidArgument, match="rule 1"):
        read_rules([spec])
