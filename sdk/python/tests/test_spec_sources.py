"""What goes with a spec: files it names, folders it uploads, options instead of a file."""

import hashlib
import json
import os
import tarfile

import pytest
import yaml
from epochal.cli import inline
from epochal.cli.archives import members, pack
from epochal.cli.documents import (
    Document,
    Mount,
    default_file,
    is_preset,
    mounts,
    read_document,
    referred_files,
    without_fields,
)
from epochal.errors import InvalidArgument


def written(folder, **files):
    for name, text in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_files_named_by_path_ref_go_along_relative_to_who_names_them(tmp_path):
    written(
        tmp_path,
        main="run: {kind: dag, operations: [{name: a, pathRef: parts/a}, {pathRef: parts/b}]}",
        parts__a="{path_ref: inner/c}",
        parts__b="{x: &x {pathRef: a}, y: *x}",
        parts__inner__c="[]",
    )
    found = referred_files([read_document(str(tmp_path / "main"))])
    assert sorted(found) == ["a", "inner/c", "parts/a", "parts/b"]
    assert found["a"] == found["parts/a"]


def test_one_name_for_two_files_is_refused(tmp_path):
    written(tmp_path, main="[{pathRef: x/a}, {pathRef: c}]", x__a="{pathRef: c}", x__c="[]", c="[]")
    with pytest.raises(InvalidArgument, match=r"such as './c'"):
        referred_files([read_document(str(tmp_path / "main"))])


def test_a_missing_file_names_who_wants_it(tmp_path):
    written(tmp_path, main="{pathRef: gone}")
    with pytest.raises(InvalidArgument, match=r"main: pathRef 'gone': cannot read"):
        referred_files([read_document(str(tmp_path / "main"))])


def test_what_is_no_yaml_is_left_to_the_platform(tmp_path):
    for text in (b"{", b"\xff", b"[" * 5000, b"a: &a [*a]", b"pathRef: '{{ x }}'"):
        document = Document(text, "x", tmp_path)
        assert referred_files([document]) == {}
        assert mounts([document]) == []
        assert without_fields(document, ["a"]).label == "x"


def test_presets_are_known_and_lose_their_name():
    document = Document(b"isPreset: true\nname: big\nqueue: gpu\n", "x")
    assert is_preset(document)
    assert not is_preset(Document(b"kind: operation", "x"))
    assert yaml.safe_load(without_fields(document, ["name"]).text) == {
        "isPreset": True,
        "queue": "gpu",
    }


def test_a_file_is_found_by_its_usual_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidArgument, match="say what to run"):
        default_file()
    written(tmp_path, **{"polyaxonfile.yml": ""})
    assert default_file() == "polyaxonfile.yml"


def test_mounts_are_read_from_the_file(tmp_path):
    written(tmp_path, src__a="a", main="mount: [src, 'src:code', {from: src/a, to: b}]")
    found = mounts([read_document(str(tmp_path / "main"))])
    assert [(m.source.name, m.target) for m in found] == [("src", ""), ("src", "code"), ("a", "b")]
    written(tmp_path, main="mount: gone")
    with pytest.raises(InvalidArgument, match="mount: there is no"):
        mounts([read_document(str(tmp_path / "main"))])


def names(folder, to=""):
    return [member.name for member in members([Mount(folder, to)])]


@pytest.mark.parametrize("file", [".epochalignore", ".polyaxonignore", ".gitignore"])
def test_an_ignore_file_leaves_out_what_it_names(tmp_path, file):
    written(
        tmp_path,
        **{file: "*.bin\n/data/\n!keep.bin\n", "a.bin": "", "keep.bin": "", "data__x": "",
           "src__data__y": "", "src____pycache____z.pyc": "", ".git__config": ""},
    )  # fmt: skip
    assert names(tmp_path) == [file, "keep.bin", "src/data/y"]


def test_the_first_ignore_file_counts_alone(tmp_path):
    written(tmp_path, **{".gitignore": "b", ".epochalignore": "c", "b": "", "c": ""})
    assert names(tmp_path, "to") == ["to/.epochalignore", "to/.gitignore", "to/b"]


def test_links_are_followed_within_the_folder_alone(tmp_path):
    root = tmp_path / "root"
    written(root, real__a="a")
    (root / "link").symlink_to("real/a")
    (root / "folder").symlink_to("real")
    assert names(root) == ["folder/a", "link", "real/a"]
    (root / "out").symlink_to("/etc/hostname")
    with pytest.raises(InvalidArgument, match="leads out of"):
        names(root)
    (root / "out").unlink()
    (root / "out").symlink_to("nowhere")
    with pytest.raises(InvalidArgument, match="leads nowhere"):
        names(root)
    written(root, **{".epochalignore": "out\n"})
    assert "out" not in names(root)
    (root / "real/up").symlink_to("..")
    with pytest.raises(InvalidArgument, match="leads back"):
        names(root)


def test_equal_files_make_equal_archives(tmp_path):
    digests = []
    for number in (1, 2):
        root = tmp_path / str(number)
        written(root, src__run="#!/bin/sh", b="b")
        (root / "src/run").chmod(0o775)
        os.utime(root / "b", (number, number))
        read = []
        pack(members([Mount(root, "")]), tmp_path / "out.tgz", read.append)
        assert sum(read) == 10
        digests.append(hashlib.sha256((tmp_path / "out.tgz").read_bytes()).hexdigest())
    assert digests[0] == digests[1]
    with tarfile.open(tmp_path / "out.tgz") as tar:
        found = {member.name: (member.mode, member.mtime, member.uname) for member in tar}
    assert found == {"b": (0o644, 0, ""), "src/run": (0o755, 0, "")}


def test_too_much_names_the_largest(tmp_path):
    (tmp_path / "small").write_text("x")
    with (tmp_path / "huge.dat").open("wb") as file:
        file.truncate(3 * 1024**3)  # sparse
    with pytest.raises(InvalidArgument, match=r"3.0 GiB.*\n.*huge.dat") as error:
        names(tmp_path)
    assert ".epochalignore" in error.value.message


def test_nothing_and_collisions_are_refused(tmp_path):
    with pytest.raises(InvalidArgument, match="nothing to upload"):
        names(tmp_path)
    written(tmp_path, a__x="", b__x="")
    both = [Mount(tmp_path / "a", "to"), Mount(tmp_path / "b", "to")]
    with pytest.raises(InvalidArgument, match="would be uploaded as to/x"):
        members(both)
    with pytest.raises(InvalidArgument, match="below the run's folder"):
        names(tmp_path / "a", "../up")


def overlay(hparams, **options):
    wanted = {"kind": "", "concurrency": 0, "num_runs": 0, "metric": "", **options}
    made = inline.matrix_overlay(hparams, **wanted)
    return made and json.loads(made.text)["matrix"]


def test_hparams_make_a_sweep():
    assert overlay({}) is None
    assert overlay({"lr": "choice:0.1,0.2", "opt": "choice:adam,sgd"}, concurrency=2) == {
        "kind": "grid",
        "concurrency": 2,
        "params": {
            "lr": {"kind": "choice", "value": [0.1, 0.2]},
            "opt": {"kind": "choice", "value": ["adam", "sgd"]},
        },
    }
    found = overlay({"lr": "uniform:0,1"}, metric="acc:maximize", num_runs=5)
    assert found["kind"] == "tpe"
    assert found["metric"] == {"name": "acc", "optimization": "maximize"}
    assert overlay({"n": "range:0:10:2"})["params"]["n"]["value"] == "0:10:2"
    assert overlay({"n": "choice:[[1, 2]]"})["params"]["n"]["value"] == [[1, 2]]
    assert overlay({"n": "uniform:0,1"}, kind="bayes", num_runs=3)["numInitialRuns"] == 3


@pytest.mark.parametrize(
    ("hparams", "options", "told"),
    [
        ({"lr": "0.1"}, {}, "NAME=KIND:VALUE"),
        ({"lr": "uniform:0,1"}, {}, "--matrix-num-runs"),
        ({"lr": "choice:1"}, {"kind": "magic"}, "one of grid"),
        ({}, {"num_runs": 3}, "needs --hparams"),
    ],
)
def test_wrong_sweeps_are_told(hparams, options, told):
    with pytest.raises(InvalidArgument, match=told):
        overlay(hparams, **options)


def test_a_command_is_an_operation():
    made = inline.command_operation(
        "python a.py", env={"A": "b"}, resources={"cpu": "2", "gpu": ""}, ports=[80], image="x"
    )
    assert json.loads(made.text) == {
        "version": 1.1, "kind": "component", "cmd": "python a.py", "env": {"A": "b"},
        "resources": {"cpu": "2"}, "ports": [80], "container": {"image": "x"},
    }  # fmt: skip
