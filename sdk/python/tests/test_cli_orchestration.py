"""Commands about pipelines, approvals, queues, components, terminals: what they ask and print."""

import io
import json
import os
import pty
import signal
import subprocess
import sys
import tarfile
import termios

import epochal_proto.v1 as pb
import pytest
from epochal.cli import main
from typer.testing import CliRunner

PROJECT = "orgs/default/projects/main"
SPEC = "version: 1.1\nkind: component\nrun: {kind: job}\n"


@pytest.fixture
def cli(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)

    def invoke(*args, code=0, **options):
        result = CliRunner().invoke(main.build(), [str(arg) for arg in args], **options)
        assert result.exit_code == code, (result.output, result.exception)
        return result

    return invoke


@pytest.fixture
def spec(tmp_path):
    file = tmp_path / "code" / "train.yaml"
    file.parent.mkdir()
    file.write_text(SPEC)
    return file


@pytest.fixture
def run(platform):
    return platform.world.CreateRun(
        pb.CreateRunRequest(parent=PROJECT, spec=b"x", display_name="sweep")
    )


def as_json(result):
    return json.loads(result.stdout)


def test_layers_are_sent_in_order(cli, platform, spec, tmp_path):
    (tmp_path / "gpu.yaml").write_text("queue: gpu")
    (tmp_path / "big.yaml").write_text("isPreset: true\nname: big\npriority: 1\n")
    cli("presets", "register", "big:v1", "-f", tmp_path / "big.yaml")
    cli(
        "run", "-f", spec, "-f", tmp_path / "gpu.yaml", "--preset", "big:v1", "-H",
        "lr=choice:1,2", "--queue", "gpu", "--priority", "5", "--no-cache", "--approval",
    )  # fmt: skip
    (request,) = platform.requests("CreateRun")
    assert request.spec == SPEC.encode()
    assert request.overlays[0] == b"isPreset: true\npriority: 1\n"
    assert request.overlays[1] == b"queue: gpu"
    assert json.loads(request.overlays[2])["matrix"]["kind"] == "grid"
    assert (request.queue, request.priority, request.needs_approval) == ("gpu", 5, True)
    assert request.cache == pb.CACHE_USE_OFF
    assert not request.awaits_upload


def test_a_component_is_not_a_preset(cli, platform, spec):
    cli("components", "register", "train", "-f", spec)
    told = cli("run", "-f", spec, "--preset", "train", code=1).stderr
    assert "--hub train" in told
    assert "add `isPreset" in cli("presets", "register", "x", "-f", spec, code=1).stderr


def test_runs_without_a_file(cli, platform):
    cli("run", "--hub", "train:v1", "-P", "lr=1")
    cli("run", "--url", "https://x.org/a.yaml")
    cli("run", "--cmd", "python a.py", "--env", "A=b", "--cpu", "2", "--port", "80")
    hub, url, cmd = (json.loads(request.spec) for request in platform.requests("CreateRun"))
    assert hub["hubRef"] == "train:v1"
    assert url["urlRef"] == "https://x.org/a.yaml"
    assert (cmd["cmd"], cmd["resources"], cmd["ports"]) == ("python a.py", {"cpu": "2"}, [80])
    assert "one of --hub" in cli("run", "--hub", "a", "--cmd", "b", code=1).stderr
    assert "goes with --cmd" in cli("run", "--hub", "a", "--cpu", "1", code=1).stderr
    assert "say what to run" in cli("run", code=1).stderr


def test_an_upload_arrives_before_the_run_is_released(cli, platform, spec, tmp_path):
    (spec.parent / "train.py").write_text("print(1)")
    result = cli("run", "-f", spec, "--upload-from", spec.parent, "-o", "json")
    assert as_json(result)["status"] == "RUN_STATUS_QUEUED"
    assert "uploaded 2 files" in result.stderr
    calls = [name for name, _ in platform.calls if name in {"CreateRun", "PUT", "ReleaseRun"}]
    assert calls == ["CreateRun", "PUT", "ReleaseRun"]
    ((_, path), body) = next(iter(platform.world.files.items()))
    assert path == "upload/code.tar.gz"
    with tarfile.open(fileobj=io.BytesIO(body)) as tar:
        assert tar.getnames() == ["train.py", "train.yaml"]
    assert "goes with --upload" in cli("run", "-f", spec, "--upload-to", "x", code=1).stderr
    assert "there is no" in cli("run", "-f", spec, "--upload-from", "x", code=1).stderr


def test_a_run_whose_upload_is_refused_is_stopped(cli, platform, spec):
    platform.fail("ReleaseRun", "FAILED_PRECONDITION", message="no")
    stderr = cli("run", "-f", spec, "--upload", code=1).stderr
    assert "was stopped" in stderr
    assert platform.requests("StopRun")[0].reason == "its files were not uploaded"


def test_a_mistake_names_the_layer_it_is_in(cli, platform, spec, tmp_path):
    (tmp_path / "over.yaml").write_text("queu: x")
    platform.world.spec_issues = [
        pb.SpecIssue(line=1, column=1, field="queu", rule="unknown", message="queue?", source=1)
    ]
    stderr = cli("check", "-f", spec, "-f", tmp_path / "over.yaml", code=1).stderr
    assert f"{tmp_path / 'over.yaml'}:1:1: queu: queue? (unknown)" in stderr


def test_lint_fails_on_a_warning(cli, platform, spec):
    result = cli("check", "--lint", "-f", spec, code=1)
    assert result.stdout == ""
    assert "has one warning" in result.stderr


def test_the_schema_is_printed_or_written(cli, platform, tmp_path):
    assert as_json(cli("schema")) == {"$id": "polyaxonfile"}
    cli("schema", "--to", tmp_path / "schema.json")
    assert json.loads((tmp_path / "schema.json").read_text()) == {"$id": "polyaxonfile"}
    assert "cannot write" in cli("schema", "--to", tmp_path, code=1).stderr


@pytest.mark.parametrize(
    ("command", "status"),
    [("resume", "queued"), ("skip", "skipped"), ("approve", "queued"), ("deny", "stopped")],
)
def test_decisions_are_made_with_a_reason(cli, platform, run, command, status):
    assert f"sweep is {status}" in cli("runs", command, "sweep", "-m", "why").stdout
    name = "ApproveRun" if command in {"approve", "deny"} else f"{command.capitalize()}Run"
    (request,) = platform.requests(name)
    assert request.reason == "why"
    assert as_json(cli("runs", command, run.uid, "-o", "json"))["name"] == run.name


def test_pipelines_are_paused_widened_and_extended(cli, platform, run):
    assert "paused" in cli("runs", "pause", "sweep").stdout
    assert "paused" not in cli("runs", "unpause", "sweep").stdout
    cli("runs", "extend", "sweep", "--add", "50")
    cli("runs", "concurrency", "sweep", "8")
    more, wider = platform.requests("UpdatePipeline")
    assert (more.add_runs, wider.concurrency) == (50, 8)


def test_new_runs_come_of_old_ones(cli, platform, run):
    assert "copy of" in cli("runs", "restart", run.uid, "-P", "lr=2", "--copy").stdout
    shown = as_json(cli("runs", "fork", run.uid, "--from", "a", "--from", "b", "-o", "json"))
    assert shown["originKind"] == "fork"
    restart, fork = platform.requests("RestartRun")
    assert restart.params["lr"].int_value == 2
    assert fork.steps == ["a", "b"]


def test_an_explanation_has_place_and_reasons(cli, platform, run):
    text = cli("runs", "explain", "sweep").stdout
    assert "waits for room in its queue" in text
    assert "place 3 in its queue, 2 ahead" in text
    assert "concurrency  1 of 1 run  orgs/default/queues/gpu" in text
    assert as_json(cli("runs", "explain", "sweep", "-o", "json"))["position"] == 3


def test_children_are_a_tree_with_counts(cli, platform, run):
    world = platform.world
    run.kind = pb.RUN_KIND_DAG
    assert "no children" in cli("runs", "children", "sweep").stderr
    world.child(run, step="load", status=pb.RUN_STATUS_SUCCEEDED)
    inner = world.child(run, step="search", kind=pb.RUN_KIND_MATRIX, status=pb.RUN_STATUS_RUNNING)
    for number in (1, 2, 3):
        world.child(inner, iteration=number, status=pb.RUN_STATUS_FAILED, message="boom\nx")
    text = cli("runs", "children", "sweep", "-n", "2").stdout
    assert "1 of 2 ended: " in text
    assert "3 of 3 ended: 3 failed" in text
    assert "boom" in text
    assert "and 1 more" in text
    assert len(as_json(cli("runs", "children", "sweep", "-o", "json"))) == 2
    assert len(as_json(cli("runs", "ls", "--pipeline", "sweep", "-o", "json"))) == 2
    assert len(as_json(cli("runs", "ls", "--kind", "dag", "-o", "json"))) == 1


def test_outputs_are_printed(cli, platform, run):
    assert "has no outputs" in cli("runs", "outputs", "sweep").stderr
    run.outputs["loss"].double_value = 0.5
    assert cli("runs", "outputs", "sweep", "loss").stdout == "0.5\n"
    assert "loss" in cli("runs", "outputs", "sweep").stdout
    assert as_json(cli("runs", "outputs", "sweep", "-o", "json")) == {"loss": 0.5}
    assert "no output 'acc'" in cli("runs", "outputs", "sweep", "acc", code=1).stderr


def captured(platform, run, **fields):
    platform.world.captures[run.name] = [pb.Capture(run=run.name, **fields)]


def test_a_capture_is_shown(cli, platform, run):
    assert "nothing captured" in cli("runs", "capture", "sweep", code=1).stderr
    git = pb.GitState(url="https://x.org/a", commit="a" * 40, branch="main", dirty=True)
    packages = {f"package{number}": "1" for number in range(12)}
    captured(platform, run, command=["python", "a.py"], git=git, packages=packages)
    text = cli("runs", "capture", "sweep").stdout
    assert "python a.py" in text
    assert f"{'a' * 12} (main), with changes" in text
    assert "and 2 more" in text


def test_a_difference_is_told_by_section(cli, platform, run):
    other = platform.world.RestartRun(pb.RestartRunRequest(name=run.name, display_name="other"))
    assert "no differences" in cli("runs", "diff", "sweep", "other").stdout
    platform.world.differences = [
        pb.Difference(section="params", name="lr", left="1", right="2"),
        pb.Difference(section="metrics", name="loss", left="0.5"),
    ]
    result = cli("runs", "diff", "sweep", "other")
    assert other.uid[:13] in result.stdout
    assert "not known: the weather" in result.stderr
    found = as_json(cli("runs", "diff", "sweep", "other", "--section", "params", "-o", "json"))
    assert [each["name"] for each in found["differences"]] == ["lr"]


def test_a_run_is_reproduced_and_what_was_not_pinned_is_told(cli, platform, run, monkeypatch):
    run.status = pb.RUN_STATUS_SUCCEEDED
    captured(platform, run, missing=["the data is no artifact"])
    world, restart = platform.world, platform.world.RestartRun

    def and_capture(request):
        made = restart(request)
        captured(platform, made)
        return made

    monkeypatch.setattr(world, "RestartRun", and_capture)
    result = cli("runs", "reproduce", "sweep")
    assert "the data is no artifact" in result.stdout
    assert "no seed is known" in result.stdout
    assert "reproduced" in result.stdout
    world.differences = [
        pb.Difference(section="environment", name="package:numpy", left="1", right="2"),
        pb.Difference(section="metrics", name="loss", left="1", right="2"),
    ]
    result = cli("runs", "reproduce", "sweep", "-o", "json", code=1)
    found = as_json(result)
    assert [each["name"] for each in found["differences"]] == ["package:numpy"]
    assert [each["name"] for each in found["results"]] == ["loss"]
    assert platform.requests("RestartRun")[0].cache == pb.CACHE_USE_OFF
    assert "epochal runs diff" in cli("runs", "reproduce", "sweep", "--no-wait").stdout


def test_a_command_in_a_run_has_streams_input_and_exit_code(platform, run):
    done = subprocess.run(
        [sys.executable, "-m", "epochal.cli.main", "runs", "exec", run.uid, "--", "cat", "-"],
        input=b"typed\n",
        capture_output=True,
        env=dict(os.environ),
        timeout=60,
        check=False,
    )
    assert done.returncode == 3, done.stderr
    assert done.stdout == b"out\ntyped\n"
    assert done.stderr == b"err\n"
    (request,) = platform.requests("OpenTerminal")
    assert (request.command, request.tty) == (["cat", "-"], False)


def test_a_shell_hands_keys_and_sizes_on_and_leaves_the_terminal_as_it_was(platform, run):
    world = platform.world
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (30, 100))
    before = termios.tcgetattr(slave)
    with subprocess.Popen(
        [sys.executable, "-m", "epochal.cli.main", "runs", "shell", run.uid],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env={key: value for key, value in os.environ.items() if key not in {"LINES", "COLUMNS"}},
        start_new_session=True,
    ) as shell:
        world.wait_until(lambda: platform.count("OpenTerminal"))
        world.wait_until(lambda: not termios.tcgetattr(slave)[3] & termios.ICANON)
        termios.tcsetwinsize(slave, (40, 120))
        shell.send_signal(signal.SIGWINCH)
        world.wait_until(lambda: any(written.rows == 40 for written in world.terminal))
        os.write(master, b"\x03")  # a key as any other: the command's Ctrl-C, not ours
        world.wait_until(lambda: any(b"\x03" in written.data for written in world.terminal))
        os.write(master, b"\x04")
        assert shell.wait(timeout=30) == 3
    assert termios.tcgetattr(slave) == before
    os.close(master)
    os.close(slave)
    (request,) = platform.requests("OpenTerminal")
    assert (request.tty, request.rows, request.columns) == (True, 30, 100)
    assert list(request.command) == []


def test_a_shell_needs_a_terminal(cli, platform, run):
    assert "epochal runs exec" in cli("runs", "shell", "sweep", code=1).stderr


def test_a_service_has_an_address_when_it_is_ready(cli, platform, run):
    stderr = cli("runs", "service", "sweep", "--wait", "0", code=1).stderr
    assert "answers nowhere" in stderr
    run.service_path = f"/services/v1/{run.name}/"
    assert cli("runs", "service", "sweep").stdout == f"{platform.url}{run.service_path}\n"
    assert as_json(cli("runs", "service", "sweep", "-o", "json"))["run"] == run.name


def test_a_backfill_is_made_and_counted(cli, platform, spec):
    result = cli(
        "backfill", "create", "-f", spec, "--param", "day", "--from", "2026-01-01", "--to",
        "2026-01-04", "--concurrency", "2", "--max-failures", "1", "--name", "january",
    )  # fmt: skip
    assert "epochal backfill status" in result.stderr
    given = platform.requests("CreateRun")[0].backfill
    assert (given.param, given.every, given.concurrency, given.max_failures) == ("day", "day", 2, 1)
    (made,) = platform.world.runs.values()
    for number, status in enumerate((pb.RUN_STATUS_SUCCEEDED, pb.RUN_STATUS_RUNNING), 1):
        part = platform.world.child(made, iteration=number, status=status)
        part.params["day"].string_value = f"2026-01-0{number}"
    text = cli("backfill", "status", "january").stdout
    assert "1 of 2 ended" in text
    assert "day=2026-01-02" in text
    assert len(as_json(cli("backfill", "status", "january", "-o", "json"))["parts"]) == 2
    assert "january" in cli("backfill", "ls").stdout
    platform.world.end(made.name, pb.RUN_STATUS_FAILED, "too many failed")
    assert "january failed" in cli("backfill", "status", "january", "-w", code=1).stdout


def test_schedules_are_previewed_in_their_zone(cli, platform, spec, run):
    text = cli("schedules", "preview", "-f", spec, "-n", "2").stdout
    assert text.splitlines() == [
        "Thu 2026-01-01 01:00:00 +0100 Europe/Berlin",
        "Fri 2026-01-02 01:00:00 +0100 Europe/Berlin",
    ]
    assert len(as_json(cli("schedules", "preview", "sweep", "-o", "json"))["times"]) == 10
    assert "or -f FILE" in cli("schedules", "preview", code=1).stderr
    assert "no schedules" in cli("schedules", "ls").stderr
    run.kind = pb.RUN_KIND_SCHEDULE
    assert "sweep" in cli("schedules", "ls", "--all").stdout
    assert "paused" in cli("schedules", "pause", "sweep").stdout
    assert "paused" not in cli("schedules", "unpause", "sweep").stdout


def test_triggers_are_tried_and_have_a_history(cli, platform, spec, run):
    result = cli("triggers", "test", "-f", spec)
    assert "run_status_failed" in result.stdout
    assert "1 of 1000 events would fire it" in result.stderr
    assert as_json(cli("triggers", "test", "sweep", "--events", "5", "-o", "json"))["events"] == 5
    assert "has not fired" in cli("triggers", "history", "sweep").stderr
    platform.world.child(run, edges=[pb.RunEdge(kind="event", source="42")])
    assert "event 42" in cli("triggers", "history", "sweep").stdout
    run.kind = pb.RUN_KIND_TRIGGER
    assert "sweep" in cli("triggers", "ls", "--all").stdout


def test_events_are_emitted_with_typed_attributes(cli, platform):
    assert "event 1 of the log" in cli("events", "emit", "data-arrived", "-a", "rows=20").stdout
    (request,) = platform.requests("EmitEvent")
    assert request.attributes["rows"].int_value == 20
    assert as_json(cli("events", "emit", "x", "-o", "json"))["position"] == "2"


def test_queues_have_limits(cli, platform):
    cli("queues", "create", "agent/gpu", "--concurrency", "4", "--cpu", "500m", "--memory", "2Gi",
        "--resource", "licence=3", "--weight", "projects/vision=2", "--preempts")  # fmt: skip
    (queue,) = platform.world.queues.values()
    assert queue.name == "orgs/default/queues/agent~gpu"
    assert (queue.quota.cpu_millis, queue.quota.memory_bytes) == (500, 2**31)
    assert queue.quota.custom["licence"] == 3
    cli("queues", "update", "agent/gpu", "--concurrency", "0", "--no-preempts")
    assert list(platform.requests("UpdateQueue")[0].update_mask.paths) == [
        "concurrency",
        "preempts",
    ]
    assert (queue.concurrency, queue.preempts) == (0, False)
    assert "agent/gpu" in cli("queues", "ls").stdout
    assert "projects/vision=2" in cli("queues", "get", "agent/gpu").stdout
    assert "say what to change" in cli("queues", "update", "agent/gpu", code=1).stderr
    for wrong in (["--cpu", "many"], ["--memory", "2X"], ["--weight", "a=b"]):
        assert "takes" in cli("queues", "update", "agent/gpu", *wrong, code=1).stderr
    cli("queues", "delete", "agent/gpu")
    assert "no queues" in cli("queues", "ls").stderr


def test_agents_are_listed(cli, platform):
    assert "3 of 4" in cli("agents", "ls").stdout
    assert as_json(cli("agents", "ls", "-o", "json"))[0]["queues"] == ["default"]


def test_components_are_kept_by_tag(cli, platform, spec):
    cli("components", "register", "train:v1", "-f", spec, "--description", "first")
    assert "train:v1" in cli("components", "ls").stdout
    assert "no presets" in cli("presets", "ls").stderr
    assert cli("components", "get", "train:v1", "--spec").stdout == SPEC
    assert as_json(cli("components", "get", "train:v1", "-o", "json"))["spec"] == SPEC
    assert "first" in cli("components", "get", "default/train:v1").stdout
    assert "no orgs" in cli("components", "get", "train", code=1).stderr
    cli("components", "delete", "train:v1")
    assert "no components" in cli("components", "ls").stderr


def test_a_policy_keeps_what_is_not_named(cli, platform):
    cli("policy", "set", "--cache", "on")
    assert "never the author alone" in cli("policy", "set", "--four-eyes").stdout
    assert as_json(cli("policy", "get", "-o", "json"))["cache"] == "CACHE_USE_ON"
    assert "say what to change" in cli("policy", "set", code=1).stderr
