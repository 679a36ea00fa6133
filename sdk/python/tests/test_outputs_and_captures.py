"""Outputs reach whoever comes next, and what a run is made of is known without its asking."""

import json
import os
import subprocess
import sys

import epochal
import pytest
from epochal import surroundings
from epochal.errors import InvalidArgument
from epochal.spool.folder import run_folders

RUN = "orgs/default/projects/main/runs/0193a000-0000-4000-8000-000000000001"


def only_run(gateway):
    (run,) = gateway.world.runs.values()
    return run


def git(folder, *arguments):
    command = ["git", "-c", "user.name=t", "-c", "user.email=t@t", *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def repository(tmp_path, monkeypatch):
    folder = tmp_path / "code"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=main")
    git(folder, "remote", "add", "origin", "https://me:secret@host/o/code.git")
    (folder / "a.py").write_text("one\n")
    git(folder, "add", "a.py")
    git(folder, "commit", "--quiet", "-m", "first")
    monkeypatch.chdir(folder)
    return folder


def test_outputs_of_a_tracked_run_go_to_the_platform(platform):
    with epochal.init() as run:
        run.log_outputs({"acc": 0.5, "best": "a"}, epochs=3)
        epochal.log_outputs(acc=0.75)
    outputs = only_run(platform).outputs
    assert outputs["acc"].double_value == 0.75
    assert (outputs["best"].string_value, outputs["epochs"].int_value) == ("a", 3)


def test_outputs_of_a_scheduled_run_go_to_its_agent(platform, monkeypatch, tmp_path):
    file = tmp_path / "outputs"
    monkeypatch.setenv("EPOCHAL_RUN", RUN)
    monkeypatch.setenv("EPOCHAL_OUTPUTS_FILE", str(file))
    run = epochal.init(mode="offline")
    run.log_outputs(acc=0.5, tags=[1, {"a": None}])
    run.log_outputs(acc=0.75)
    run.finish()
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert lines == [{"acc": 0.5, "tags": [1, {"a": None}]}, {"acc": 0.75}]
    assert not platform.count("RecordOutputs")


def test_an_output_needs_a_name(platform):
    with epochal.init() as run, pytest.raises(InvalidArgument):
        run.log_outputs({"": 1})


def test_a_tracked_run_records_what_it_is_made_of(platform, repository, monkeypatch):
    monkeypatch.setenv("NUMPY_SEED", "7")
    (repository / "a.py").write_text("two\n")
    (repository / "unknown.py").write_text("x")
    with epochal.init(capture=True) as run:
        run.log_seeds(torch=1)
    first, *_ = [one for one in platform.world.captures[run.name] if one.command]
    assert list(first.command) == sys.orig_argv
    assert first.working_dir == str(repository)
    assert first.git.url == "https://host/o/code.git"
    assert first.git.commit == git(repository, "rev-parse", "HEAD").strip()
    assert (first.git.branch, first.git.dirty) == ("main", True)
    assert first.interpreter.startswith("CPython 3.")
    assert first.packages["pytest"] == pytest.__version__
    assert first.seeds["NUMPY_SEED"] == "7"
    assert int(first.hardware["cpu_count"]) == os.cpu_count()
    assert list(first.missing) == ["1 files or folders that git does not know are not kept"]
    assert platform.world.artifacts[run.name, first.git.diff_path].digest == first.git.diff_digest
    assert b"-one\n+two" in platform.world.files[run.name, first.git.diff_path]
    (seeds,) = [one for one in platform.world.captures[run.name] if not one.command]
    assert dict(seeds.seeds) == {"torch": "1"}


def test_code_without_a_repository_is_said_to_be_unknown(tmp_path):
    found = surroundings.code(tmp_path)
    assert found.state is None
    assert found.missing == ["the code is in no git repository with a commit"]


def test_a_machine_without_git_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert surroundings.code(tmp_path).missing == [
        "git is not installed: the state of the code is not known"
    ]


def test_a_large_difference_is_not_kept(repository, monkeypatch):
    monkeypatch.setattr(surroundings, "MAX_DIFF_BYTES", 10)
    (repository / "a.py").write_text("two\n")
    found = surroundings.code(repository)
    assert found.diff == b""
    assert "not kept" in found.missing[0]


def test_the_name_of_the_machine_can_be_hashed():
    plain = surroundings.hardware({})["hostname"]
    hashed = surroundings.hardware({"EPOCHAL_HASH_HOSTNAME": "1"})["hostname"]
    assert hashed != plain
    assert len(hashed) == 16


def test_captures_are_kept_while_the_platform_is_away(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = epochal.init(mode="offline", capture=True)
    run.finish()
    (path,) = run_folders(epochal.config.spool_root())
    assert b"RecordCaptureRequest" in (path / "journal.spool").read_bytes()


def test_no_capture_when_it_is_switched_off(platform):
    with epochal.init(capture=False):
        pass
    assert not platform.count("RecordCapture")
