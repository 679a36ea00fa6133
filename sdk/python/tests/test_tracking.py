"""One script, three places: a laptop, a scheduled run, and a machine without a platform."""

import multiprocessing
import os
import subprocess
import sys
import threading
from pathlib import Path

import epochal
import epochal_proto.v1 as pb
import numpy as np
import pytest
from epochal.client import Client
from epochal.config import Connection, spool_root
from epochal.spool.folder import run_folders
from epochal.syncing import Result, sync_folder

TRAINER = Path(__file__).parent / "trainer.py"
PROJECT = "orgs/default/projects/main"


def left_behind():
    return list(run_folders(spool_root()))


def only_run(gateway):
    (run,) = gateway.world.runs.values()
    return run


def train(*args, **environ):
    return subprocess.run(
        [sys.executable, TRAINER, *args],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def client(platform):
    with Client(Connection(platform.url, platform.world.token)) as client:
        yield client


def test_a_run_on_a_laptop_is_made_filled_and_finished(platform, tmp_path):
    data = tmp_path / "digits.csv"
    data.write_text("1,2,3")
    with epochal.init(name="first", params={"lr": 0.1, "deep": [1]}, tags={"team": "a"}) as run:
        epochal.log_metric("loss", 0.5, 1)
        epochal.log_metrics({"acc": np.float32(0.5), "loss": 0.25}, 2)
        epochal.log_series("curve", np.arange(20_000) / 2)
        epochal.log_param("seed", 7)
        epochal.set_tag("note", "good")
        assert epochal.log_artifact(data) == "digits.csv"
        used = epochal.use_dataset("digits", data)
        assert epochal.current_run() is run
    stored = only_run(platform)
    assert (stored.status, stored.display_name) == (pb.RUN_STATUS_SUCCEEDED, "first")
    assert stored.params["lr"].double_value == 0.1
    assert stored.params["deep"].json_value == "[1]"
    assert stored.params["seed"].int_value == 7
    assert stored.tags == {"team": "a", "note": "good"}
    points = platform.world.points(run.name)
    assert points["loss"] == [(1, 0.5), (2, 0.25)]
    assert points["acc"] == [(2, 0.5)]
    assert points["curve"] == [(step, step / 2) for step in range(20_000)]
    assert platform.world.files[(run.name, "digits.csv")] == b"1,2,3"
    assert used.uri == data.as_uri()
    assert platform.world.datasets[run.name][0].digest == used.digest
    assert left_behind() == []
    with pytest.raises(epochal.NoActiveRun, match=r"epochal\.init"):
        epochal.log_metric("loss", 1.0)


def test_models_are_saved_uploaded_and_registered(platform, tmp_path):
    (tmp_path / "net").mkdir()
    (tmp_path / "net/weights.bin").write_bytes(b"w")
    with epochal.init() as run:
        logged = run.log_model({"weights": [1]}, register="digits", alias="champion")
        assert run.log_model(tmp_path / "net", "net").path == "model/net"
        assert run.log_model(tmp_path / "net/weights.bin", "one").path == "model/one"
        with pytest.raises(epochal.InvalidArgument, match="cannot be pickled"):
            run.log_model(lambda: 0)
        with pytest.raises(epochal.InvalidArgument, match="register="):
            run.log_model(1, alias="champion")
    assert logged.version == f"{PROJECT}/models/digits/versions/1"
    paths = sorted(path for _, path in platform.world.files)
    assert paths == [
        "model/model/model.joblib",
        "model/model/model.json",
        "model/net/weights.bin",
        "model/one/weights.bin",
    ]
    assert platform.world.artifacts[(run.name, paths[0])].kind == "model"
    (version,) = platform.world.versions[f"{PROJECT}/models/digits"]
    assert (version.run, version.artifact_path) == (run.name, "model/model/")


def test_a_failure_is_kept_with_its_traceback(platform):
    with pytest.raises(ZeroDivisionError), epochal.init():
        _ = 1 / 0
    stored = only_run(platform)
    assert stored.status == pb.RUN_STATUS_FAILED
    assert "ZeroDivisionError" in stored.message
    assert "test_tracking.py" in stored.message


def test_ctrl_c_is_a_stop(platform):
    with pytest.raises(KeyboardInterrupt), epochal.init():
        raise KeyboardInterrupt
    assert only_run(platform).status == pb.RUN_STATUS_STOPPED


def test_a_finished_run_refuses_more(platform):
    run = epochal.init()
    run.finish()
    run.finish()
    assert platform.count("FinishRun") == 1
    for log in (
        lambda: run.log_metric("loss", 1.0),
        lambda: run.log_params({"a": 1}),
        lambda: run.set_tag("a", "b"),
        lambda: run.log_artifact(TRAINER),
        lambda: run.log_model(1),
        lambda: run.use_dataset("d", b""),
    ):
        with pytest.raises(epochal.RunClosed):
            log()


def test_a_refusal_reaches_the_caller_and_the_run_goes_on(platform):
    with epochal.init(params={"lr": 0.1}) as run:
        with pytest.raises(epochal.FailedPrecondition):
            run.log_param("lr", 0.2)
        with pytest.raises(epochal.InvalidArgument):
            run.finish("exploded")
        run.log_param("seed", 1)
    assert only_run(platform).params["lr"].double_value == 0.1


def test_inside_a_scheduled_run_it_attaches_and_seals_and_never_finishes(platform, monkeypatch):
    made = platform.world.CreateRun(pb.CreateRunRequest(parent=PROJECT, spec=b"x"))
    monkeypatch.setenv("EPOCHAL_RUN", made.name)
    epochal.log_metric("loss", 1.0)
    run = epochal.current_run()
    assert (run.name, run.owned) == (made.name, False)
    run.log_params({"lr": 1})
    epochal.finish()
    assert platform.world.runs[made.name].status == pb.RUN_STATUS_QUEUED
    assert platform.count("CreateRun") == platform.count("FinishRun") == 0
    assert [p.sealed for p in platform.world.producers.values()] == [True]
    assert platform.world.points(made.name) == {"loss": [(0, 1.0)]}
    assert left_behind() == []


def test_a_scheduled_run_starts_while_the_gateway_is_away(platform, monkeypatch):
    made = platform.world.CreateRun(pb.CreateRunRequest(parent=PROJECT, spec=b"x"))
    monkeypatch.setenv("EPOCHAL_RUN", made.name)
    platform.stop()
    with epochal.init(params={"lr": 1}) as run:
        run.log_metric("loss", 1.0)
        platform.start(platform.http_port)
    assert platform.world.points(made.name) == {"loss": [(0, 1.0)]}
    assert platform.world.runs[made.name].params["lr"].int_value == 1


def test_without_a_platform_the_error_says_what_to_do(monkeypatch):
    with pytest.raises(epochal.NotConfigured, match="epochal up"):
        epochal.init()
    monkeypatch.setenv("EPOCHAL_URL", "http://127.0.0.1:9")
    with pytest.raises(epochal.PlatformUnreachable, match="offline"):
        epochal.init()
    assert left_behind() == []


def test_an_unknown_project_says_how_to_make_it(platform):
    with pytest.raises(epochal.NotFound, match="epochal projects create vision"):
        epochal.init(project="vision")
    assert left_behind() == []


def test_the_platform_may_go_away_and_come_back(platform, tmp_path, capsys):
    file = tmp_path / "weights.bin"
    file.write_bytes(b"first")
    with epochal.init() as run:
        run.log_metric("loss", 1.0)
        platform.stop()
        run.set_tag("while", "away")
        run.log_artifact(file)
        file.write_bytes(b"changed since")
        run.log_metric("loss", 2.0)
        platform.start(platform.http_port)
    stored = only_run(platform)
    assert (stored.status, stored.tags["while"]) == (pb.RUN_STATUS_SUCCEEDED, "away")
    assert platform.world.files[(run.name, "weights.bin")] == b"first"
    assert platform.world.points(run.name) == {"loss": [(0, 1.0), (1, 2.0)]}
    assert "the run goes on" in capsys.readouterr().err


def test_what_is_not_persisted_in_time_is_kept_and_synced(platform, client, monkeypatch, capsys):
    monkeypatch.setenv("EPOCHAL_FINISH_TIMEOUT_S", "0.2")
    platform.world.hold_persistence()
    with epochal.init() as run:
        run.log_metric("loss", 1.0)
    assert only_run(platform).status == pb.RUN_STATUS_RUNNING
    (folder,) = left_behind()
    assert f"epochal sync {folder}" in capsys.readouterr().err
    platform.world.resume_persistence()
    assert sync_folder(folder, client).result is Result.SENT
    assert only_run(platform).status == pb.RUN_STATUS_SUCCEEDED
    assert platform.world.points(run.name) == {"loss": [(0, 1.0)]}
    assert left_behind() == []


def test_a_run_that_was_sealed_and_not_finished_is_finished_by_sync(platform, client, monkeypatch):
    monkeypatch.setenv("EPOCHAL_FINISH_TIMEOUT_S", "0.2")
    platform.fail("UseDataset", "UNAVAILABLE", times=1000)
    with epochal.init() as run:
        run.log_metric("loss", 1.0)
        run._telemetry.flush()
        run.use_dataset("digits", b"data")
    (folder,) = left_behind()
    assert [producer.sealed for producer in platform.world.producers.values()] == [True]
    platform.faults.clear()
    assert sync_folder(folder, client).result is Result.SENT
    assert only_run(platform).status == pb.RUN_STATUS_SUCCEEDED
    assert len(platform.world.datasets[run.name]) == 1


def test_dropped_points_are_counted_said_and_mark_the_run(platform, monkeypatch, capsys):
    monkeypatch.setenv("EPOCHAL_SPOOL_MAX_MB", "0.00005")
    with epochal.init() as run:
        run.log_metric("loss", 1.0)
    assert run.dropped_points == 1
    (lost,) = only_run(platform).data_lost
    assert lost.startswith("1 points: the spool holds its limit")
    assert "DATA INCOMPLETE" in capsys.readouterr().err


def test_strict_raises_when_points_are_dropped(platform, monkeypatch):
    monkeypatch.setenv("EPOCHAL_SPOOL_MAX_MB", "0.00005")
    run = epochal.init(strict=True)
    run.log_metric("loss", 1.0)
    run._telemetry.flush()
    with pytest.raises(epochal.DataIncomplete):
        run.log_metric("loss", 1.0)
    with pytest.raises(epochal.DataIncomplete):
        run.finish()


def test_many_threads_log_to_one_run(platform):
    with epochal.init() as run:
        threads = [
            threading.Thread(
                target=lambda n=n: [run.log_metric(f"m{n}", float(i), i) for i in range(5000)]
            )
            for n in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    points = platform.world.points(run.name)
    assert {metric: len(column) for metric, column in points.items()} == {
        f"m{n}": 5000 for n in range(4)
    }


def test_two_runs_at_once_keep_apart(platform):
    with epochal.init(name="outer") as outer:
        with epochal.init(name="inner") as inner:
            epochal.log_metric("m", 2.0)
        epochal.log_metric("m", 1.0)
    assert platform.world.points(outer.name) == {"m": [(0, 1.0)]}
    assert platform.world.points(inner.name) == {"m": [(0, 2.0)]}


def test_offline_writes_here_and_sync_repeats_it_there(platform, client, tmp_path):
    file = tmp_path / "weights.bin"
    file.write_bytes(b"w")
    with epochal.init(mode="offline", name="away", params={"lr": 0.1}) as run:
        run.log_metric("loss", 1.0)
        run.set_tag("a", "b")
        run.log_artifact(file)
        run.log_artifact(file, "again.bin")
        assert run.log_model([1], register="digits").version == ""
        run.use_dataset("digits", np.eye(3))
    file.unlink()
    assert platform.calls == []
    (folder,) = left_behind()
    synced = sync_folder(folder, client)
    assert (synced.result, synced.batches, synced.notes) == (Result.SENT, 1, ())
    stored = only_run(platform)
    assert (stored.name, stored.display_name) == (run.name, "away")
    assert stored.status == pb.RUN_STATUS_SUCCEEDED
    assert platform.world.points(run.name) == {"loss": [(0, 1.0)]}
    assert platform.world.files[(run.name, "again.bin")] == b"w"
    assert f"{PROJECT}/models/digits" in platform.world.models
    assert left_behind() == []


@pytest.mark.parametrize(
    "method", ["CreateRun", "SetTags", "PUT", "OpenProducer", "SealProducer", "FinishRun"]
)
@pytest.mark.parametrize("how", ["fail", "lose_reply"])
def test_a_sync_broken_anywhere_is_repeated_without_doing_anything_twice(
    platform, client, method, how
):
    if (method, how) == ("PUT", "lose_reply"):
        method = "LogParams"
    with epochal.init(mode="offline") as run:
        run.log_metric("loss", 1.0)
        run.set_tag("a", "b")
        run.log_param("seed", 1)
        run.log_artifact(TRAINER)
    (folder,) = left_behind()
    if how == "fail":
        code = "UNAVAILABLE" if method == "PUT" else "INTERNAL"
        platform.fail(method, code, times=1)
        try:
            sync_folder(folder, client)
        except epochal.Internal:
            assert left_behind() == [folder]
            sync_folder(folder, client)
    else:
        platform.lose_reply(method, times=2)
        sync_folder(folder, client)
    stored = only_run(platform)
    assert stored.status == pb.RUN_STATUS_SUCCEEDED
    assert platform.world.points(run.name) == {"loss": [(0, 1.0)]}
    types = [event.type for event in platform.world.events]
    assert types.count("epochal.v1.TagsSet") == types.count("epochal.v1.RunEnded") == 1
    assert left_behind() == []


def test_what_the_platform_refuses_is_noted_and_the_rest_arrives(platform, client):
    with epochal.init(mode="offline", params={"lr": 1}) as run:
        run.log_param("lr", 2)
        run.set_tag("a", "b")
    (folder,) = left_behind()
    (note,) = sync_folder(folder, client).notes
    assert note.startswith("LogParams was refused: ")
    assert only_run(platform).tags == {"a": "b"}


def test_a_folder_in_use_is_left_alone(platform, client):
    run = epochal.init(mode="offline")
    assert sync_folder(run.folder, client).result is Result.BUSY
    run.finish()


def test_a_trainer_killed_with_sigkill_loses_nothing_that_was_logged(platform, client):
    platform.world.hold_persistence()
    with subprocess.Popen(
        [sys.executable, TRAINER, "wait", "50000"],
        env=dict(os.environ),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as trainer:
        name = trainer.stdout.readline().strip()
        trainer.kill()
    platform.world.resume_persistence()
    (folder,) = left_behind()
    sync_folder(folder, client)
    stored = platform.world.runs[name]
    assert stored.status == pb.RUN_STATUS_FAILED
    assert "ended without finishing" in stored.message
    assert stored.tags["phase"] == "logged"
    assert platform.world.points(name)["loss"] == [(s, float(s)) for s in range(50_000)]
    assert left_behind() == []


@pytest.mark.parametrize(
    ("ending", "code", "status"),
    [
        ("return", 0, pb.RUN_STATUS_SUCCEEDED),
        ("exit0", 0, pb.RUN_STATUS_SUCCEEDED),
        ("exit3", 3, pb.RUN_STATUS_FAILED),
        ("raise", 1, pb.RUN_STATUS_FAILED),
        ("forget", 0, pb.RUN_STATUS_SUCCEEDED),
    ],
)
def test_a_process_ends_its_run_as_it_ends_itself(platform, ending, code, status):
    ended = train(ending)
    assert ended.returncode == code, ended.stderr
    assert only_run(platform).status == status
    assert left_behind() == []
    assert "loss" in platform.world.points(only_run(platform).name)


def test_a_forked_child_leaves_the_run_to_its_parent(platform):
    run = epochal.init()
    pid = os.fork()
    if pid == 0:
        run.log_metric("child", 1.0)
        run.finish()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    run.log_metric("parent", 1.0)
    run.finish()
    assert list(platform.world.points(run.name)) == ["parent"]
    assert platform.count("FinishRun") == 1


def test_everything_a_run_can_do_can_be_done_without_naming_it(platform):
    with epochal.init() as run:
        epochal.log_params({"a": 1})
        epochal.set_tags({"b": 2})
        epochal.log_series("s", [1.0])
        epochal.use_dataset("d", "s3://bucket/d", digest=f"sha256:{'0' * 64}")
        assert epochal.log_model([1], "m").path == "model/m"
        assert (run.id, run.project) == (run.name[-36:], PROJECT)
        assert "ended" not in repr(run)
    assert "ended" in repr(run)
    assert only_run(platform).tags == {"b": "2"}
    with pytest.raises(epochal.NoActiveRun):
        epochal.current_run()
    epochal.finish()


@pytest.mark.parametrize(
    ("name", "value"),
    [("EPOCHAL_MODE", "sideways"), ("EPOCHAL_SPOOL_MAX_MB", "big"), ("EPOCHAL_RUN", "mine")],
)
def test_settings_that_cannot_be_are_named(platform, monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(epochal.InvalidArgument):
        epochal.init()


def test_telemetry_the_platform_refuses_is_kept_and_strict_says_so(platform, capsys):
    platform.fail("OpenProducer", "PERMISSION_DENIED", times=9, message="no more")
    run = epochal.init(strict=True)
    run.log_metric("loss", 1.0)
    run._telemetry.flush()
    platform.world.wait_until(lambda: run._telemetry.buffer._shut)
    with pytest.raises(epochal.PermissionDenied):
        run.log_metric("loss", 1.0)
    with pytest.raises(epochal.EpochalError):
        run.finish()
    assert "does not take this run's telemetry: no more" in capsys.readouterr().err
    assert left_behind() == [run.folder]


def test_quiet_says_nothing(platform, monkeypatch, capsys):
    monkeypatch.setenv("EPOCHAL_QUIET", "1")
    with epochal.init():
        pass
    assert capsys.readouterr().err == ""


def test_what_a_later_call_finds_refused_is_said(platform, capsys):
    with epochal.init(params={"lr": 1}) as run:
        platform.fail("LogParams", "UNAVAILABLE", times=1000)
        run.log_param("lr", 2)
        platform.faults.clear()
        run._recorder._try_again_at = 0.0
        run.set_tag("a", "b")
    assert "LogParams was refused" in capsys.readouterr().err
    assert only_run(platform).tags == {"a": "b"}


def test_finishing_a_run_that_was_stopped_meanwhile_is_said_not_raised(platform, capsys):
    platform.fail("FinishRun", "FAILED_PRECONDITION", message="it is stopped already")
    with epochal.init():
        pass
    assert "it is stopped already" in capsys.readouterr().err
    assert left_behind() == []


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_children_of_a_scheduled_process_log_and_seal_for_themselves(platform, monkeypatch, method):
    made = platform.world.CreateRun(pb.CreateRunRequest(parent=PROJECT, spec=b"x"))
    monkeypatch.setenv("EPOCHAL_RUN", made.name)
    epochal.log_metric("parent", 1.0)
    context = multiprocessing.get_context(method)
    children = [
        context.Process(target=epochal.log_metric, args=(f"child-{number}", 1.0))
        for number in range(2)
    ]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
    assert [child.exitcode for child in children] == [0, 0]
    epochal.finish()
    assert sorted(platform.world.points(made.name)) == ["child-0", "child-1", "parent"]
    assert [producer.sealed for producer in platform.world.producers.values()] == [True] * 3
    assert left_behind() == []
