"""Every command does what its help says, in tables and JSON, and fails in words."""

import json
import os
import signal
import subprocess
import sys
import threading

import epochal
import epochal_proto.v1 as pb
import pytest
from epochal.cli import main
from epochal.spool.folder import run_folders
from typer.testing import CliRunner

PROJECT = "orgs/default/projects/main"
SPEC = "version: 1.1\nkind: component\nrun: {kind: job}\n"


@pytest.fixture
def cli():
    def invoke(*args, code=0, **options):
        result = CliRunner().invoke(main.build(), [str(arg) for arg in args], **options)
        assert result.exit_code == code, (result.output, result.exception)
        return result

    return invoke


@pytest.fixture
def spec(tmp_path):
    file = tmp_path / "train.yaml"
    file.write_text(SPEC)
    return file


@pytest.fixture
def logged(platform):
    with epochal.init(name="brave-otter", params={"lr": 0.1}, tags={"team": "a"}) as run:
        run.log_series("loss", [0.5, 0.25])
        run.log_metric("acc", 0.9, 7)
        run.use_dataset("digits", b"data")
        run.log_model({"w": 1}, register="digits", alias="champion")
    return run


def as_json(result):
    return json.loads(result.stdout)


def commands(app, path=()):
    for command in app.registered_commands:
        yield (*path, command.name or command.callback.__name__)
    for group in app.registered_groups:
        yield from commands(group.typer_instance, (*path, group.name))


@pytest.mark.parametrize("command", sorted(commands(main.build())), ids=" ".join)
def test_every_command_has_examples(cli, command):
    shown = cli(*command, "--help").stdout
    assert "For example:" in shown
    assert f"epochal {' '.join(command)}" in " ".join(shown.split())


def test_without_a_platform_every_command_says_what_to_do(cli):
    for command in (["whoami"], ["runs", "ls"], ["audit", "verify"], ["config", "show"]):
        result = cli(*command, code=1)
        assert "epochal up" in result.stderr
        assert result.stdout == ""


def test_a_platform_that_is_down_is_a_short_error(cli, platform):
    platform.stop()
    stderr = cli("runs", "ls", code=1).stderr
    assert stderr.startswith("error: nothing answers at http://127.0.0.1")
    assert "Traceback" not in stderr
    assert len(stderr.strip().splitlines()) == 1


def test_other_distributions_add_commands(cli, monkeypatch):
    class Entry:
        name = "extra"

        def load(self):
            def register(app):
                @app.command("dance")
                def dance():
                    raise epochal.NotFound("no music")

            return register

    monkeypatch.setattr(main, "entry_points", lambda group: [Entry()])
    assert cli("dance", code=1).stderr == "error: no music\n"


def test_the_version_is_printed(cli):
    assert cli("--version").stdout.startswith("epochal 0.")


def test_whoami_and_config(cli, platform, tmp_path):
    assert "users/admin" in cli("whoami").stdout
    assert as_json(cli("whoami", "-o", "json"))["platformAdmin"] is True
    shown = as_json(cli("config", "show", "-o", "json"))
    assert (shown["url"], shown["token"]) == (platform.url, "set")
    cli("config", "set", "--url", platform.url, "--token", "-", "--project", "vision", input="t\n")
    stored = json.loads((tmp_path / "config.json").read_text())
    assert stored == {"url": platform.url, "token": "t", "project": "orgs/default/projects/vision"}
    assert "token    set\n" in cli("config", "show").stdout


def test_config_is_only_remembered_when_it_answers(cli, tmp_path):
    cli("config", "set", code=1)
    cli("config", "set", "--url", "http://127.0.0.1:9", code=1)
    assert not (tmp_path / "config.json").exists()


def test_run_starts_with_typed_params_and_tags(cli, platform, spec):
    result = cli(
        "run", "-f", spec, "-P", "lr=0.1", "-P", "opt=adam", "--tag", "team=a", "--tag", "gpu",
        "--name", "mine", "-o", "json",
    )  # fmt: skip
    assert as_json(result)["displayName"] == "mine"
    (request,) = platform.requests("CreateRun")
    assert request.spec == SPEC.encode()
    assert request.params["lr"].double_value == 0.1
    assert request.params["opt"].string_value == "adam"
    assert request.tags == {"team": "a", "gpu": "true"}


def test_run_reads_standard_input(cli, platform):
    assert "queued" in cli("run", "-f", "-", input=SPEC).stdout
    assert platform.requests("CreateRun")[0].spec == SPEC.encode()


def test_mistakes_in_a_spec_are_shown_with_their_lines(cli, platform, spec):
    platform.world.spec_issues = [
        pb.SpecIssue(
            line=3, column=5, field="run.knd", rule="unknown", message="did you mean kind"
        ),
        pb.SpecIssue(field="run", rule="required", message="add a run"),
    ]
    for command in ("run", "check"):
        stderr = cli(command, "-f", spec, code=1).stderr
        assert f"{spec}:3:5: run.knd: did you mean kind (unknown)" in stderr
        assert f"{spec}: run: add a run (required)" in stderr
        assert "2 mistakes" in stderr


def test_mistakes_told_as_violations_have_their_lines_too(cli, platform, spec):
    platform.fail(
        "CompileOperation",
        "INVALID_ARGUMENT",
        violations=[
            ("run.knd", "unknown", "line 3, column 5: did you mean [kind]"),
            ("queu", "unknown", "file 2, line 1, column 2: did you mean queue"),
        ],
    )
    (spec.parent / "over.yaml").write_text("queu: x")
    stderr = cli("check", "-f", spec, "-f", spec.parent / "over.yaml", code=1).stderr
    assert "over.yaml:1:2: queu: did you mean queue (unknown)" in stderr
    assert f"{spec}:3:5: run.knd: did you mean [kind] (unknown)" in stderr


def test_check_shows_the_compiled_operation_and_warnings(cli, platform, spec):
    result = cli("check", "-f", spec, "-P", "lr=1")
    assert result.stdout == "kind: operation\n"
    assert "is valid" in result.stderr
    assert f"{spec}:2:3: cache: later (ignored)" in result.stderr
    assert "compiledJson" in as_json(cli("check", "-f", spec, "-o", "json"))


@pytest.mark.parametrize(
    "args", [["-f", "/no/such.yaml"], ["-f", "-", "-P", "nonsense"], ["-f", "-", "--tag", "=x"]]
)
def test_run_refuses_what_it_cannot_read(cli, platform, args):
    assert cli("run", *args, code=1, input=SPEC).stderr.startswith("error:")
    assert platform.count("CreateRun") == 0


@pytest.mark.parametrize(
    ("status", "code"), [(pb.RUN_STATUS_SUCCEEDED, 0), (pb.RUN_STATUS_FAILED, 1)]
)
def test_watch_follows_output_to_the_end_and_exits_as_the_run(cli, platform, spec, status, code):
    def agent():
        platform.world.wait_until(lambda: platform.count("TailLogLines") > 0)
        (run,) = platform.world.runs.values()
        platform.world.log(run.name, "epoch 1", "epoch [2]")
        platform.world.end(run.name, status, "exit code 1" if code else "")

    thread = threading.Thread(target=agent)
    thread.start()
    result = cli("run", "-f", spec, "--watch", code=code)
    thread.join()
    assert "epoch 1\n" in result.stdout
    assert "epoch [2]\n" in result.stdout
    assert ("exit code 1" in result.stderr) == bool(code)


def test_watch_as_json_prints_the_ended_run_alone(cli, platform, spec):
    def agent():
        platform.world.wait_until(lambda: platform.count("WatchRun") > 0)
        (run,) = platform.world.runs.values()
        platform.world.end(run.name, pb.RUN_STATUS_FAILED, "exit code 1")

    thread = threading.Thread(target=agent)
    thread.start()
    result = cli("run", "-f", spec, "--watch", "-o", "json", code=1)
    thread.join()
    assert as_json(result)["status"] == "RUN_STATUS_FAILED"


def test_watching_survives_a_broken_stream(cli, platform, spec):
    platform.fail("WatchRun", "UNAVAILABLE", times=2)
    platform.fail("TailLogLines", "UNAVAILABLE", times=2)

    def agent():
        platform.world.wait_until(lambda: platform.count("TailLogLines") > 2)
        (run,) = platform.world.runs.values()
        platform.world.log(run.name, "once")
        platform.world.end(run.name, pb.RUN_STATUS_SUCCEEDED)

    thread = threading.Thread(target=agent)
    thread.start()
    result = cli("run", "-f", spec, "--watch")
    thread.join()
    assert result.stdout.count("once") == 1


def test_ctrl_c_ends_the_watching_and_not_the_run(platform, spec):
    with subprocess.Popen(
        [sys.executable, "-m", "epochal.cli.main", "run", "-f", spec, "--watch"],
        env=dict(os.environ),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as watcher:
        platform.world.wait_until(
            lambda: platform.count("TailLogLines") and platform.count("WatchRun")
        )
        watcher.send_signal(signal.SIGINT)
        _, stderr = watcher.communicate(timeout=30)
    assert watcher.returncode == 130
    assert "goes on" in stderr
    assert "epochal runs stop" in stderr
    assert "Traceback" not in stderr
    assert platform.count("StopRun") == 0


def test_runs_are_listed_filtered_and_paged(cli, platform):
    for number in range(1203):
        platform.world.CreateRun(
            pb.CreateRunRequest(parent=PROJECT, spec=b"x", display_name=f"run-{number}")
        )
    table = cli("runs", "ls").stdout.splitlines()
    assert len(table) == 51
    assert "run-1202" in table[1]
    assert len(as_json(cli("runs", "ls", "--limit", "0", "-o", "json"))) == 1203
    assert len(as_json(cli("runs", "ls", "-n", "601", "-o", "json"))) == 601
    result = cli("runs", "ls", "--status", "failed", "-q", "tags.a:b", "--order-by", "metrics.acc")
    assert "no runs in" in result.stderr
    last = platform.requests("ListRuns")[-1]
    assert (last.filter, last.order_by) == ("status:failed, (tags.a:b)", "metrics.acc")


def test_a_run_is_found_by_every_name_it_has(cli, logged):
    for reference in (logged.name, logged.id, logged.id[:8], "brave-otter"):
        assert as_json(cli("runs", "get", reference, "-o", "json"))["name"] == logged.name
    shown = cli("runs", "get", "brave-otter").stdout
    assert "lr=0.1" in shown
    assert "succeeded" in shown
    assert "no run 'nobody'" in cli("runs", "get", "nobody", code=1).stderr
    with epochal.init(name="brave-otter"):
        pass
    stderr = cli("runs", "get", "brave-otter", code=1).stderr
    assert "could be 2 runs" in stderr
    assert logged.id in stderr


def test_metrics_and_logs_are_printed(cli, platform, logged):
    table = cli("runs", "metrics", "brave-otter").stdout
    assert "acc" in table
    assert "0.25" in table
    points = as_json(cli("runs", "metrics", "brave-otter", "loss", "-o", "json"))
    assert points == [{"step": 0, "value": 0.5}, {"step": 1, "value": 0.25}]
    assert cli("runs", "metrics", "brave-otter", "loss").stdout == "0\t0.5\n1\t0.25\n"
    platform.world.log(logged.name, *(f"line {number}" for number in range(700)))
    for extra in ([], ["-f"]):
        lines = cli("runs", "logs", "brave-otter", *extra).stdout.splitlines()
        assert lines == [f"line {number}" for number in range(700)]
    line = json.loads(cli("runs", "logs", logged.id, "-o", "json").stdout.splitlines()[0])
    assert (line["stream"], line["text"]) == ("stdout", "line 0")


def test_a_run_is_stopped_with_a_reason(cli, platform):
    run = platform.world.CreateRun(pb.CreateRunRequest(parent=PROJECT, spec=b"x"))
    assert "is stopped" in cli("runs", "stop", run.uid, "--reason", "wrong data").stdout
    assert platform.requests("StopRun")[0].reason == "wrong data"
    assert as_json(cli("runs", "stop", run.uid, "-o", "json"))["status"] == "RUN_STATUS_STOPPED"


def test_projects(cli, platform):
    cli("projects", "create", "vision", "--name", "Vision")
    assert "vision" in cli("projects", "ls").stdout
    assert "exists already" in cli("projects", "create", "vision", code=1).stderr
    assert as_json(cli("projects", "get", "vision", "-o", "json"))["displayName"] == "Vision"
    cli("projects", "archive", "vision")
    assert "vision" not in cli("projects", "ls").stdout
    assert "yes" in cli("projects", "ls", "--archived").stdout
    assert "lower case" in cli("projects", "create", "Vision", code=1).stderr


def test_tokens(cli, platform):
    result = cli("tokens", "create", "ci", "--scope", "run.read", "--expires", "30d")
    assert result.stdout == "epo_secret\n"
    assert "shown once" in result.stderr
    (token,) = as_json(cli("tokens", "ls", "-o", "json"))
    assert token["scopes"] == ["run.read"]
    assert token["expireTime"]
    assert "yes" in cli("tokens", "revoke", token["name"].rsplit("/", 1)[1]).stdout
    assert "30d" in cli("tokens", "create", "ci", "--expires", "soon", code=1).stderr
    assert as_json(cli("tokens", "create", "bob's", "--user", "bob", "-o", "json"))["secret"]
    assert platform.requests("CreateToken")[-1].user == "users/bob"


def test_members(cli, platform):
    cli("members", "set", "alice", "editor", "-p", "main")
    cli("members", "set", "users/bob", "admin")
    assert "editor" in cli("members", "ls", "-p", "main").stdout
    (member,) = as_json(cli("members", "ls", "-o", "json"))
    assert (member["user"], member["role"]) == ("users/bob", "ROLE_ADMIN")
    cli("members", "remove", "alice", "-p", "main")
    assert "no members" in cli("members", "ls", "-p", "main").stderr


def test_models(cli, platform, logged):
    assert "champion->1" in cli("models", "ls").stdout
    assert as_json(cli("models", "get", "digits", "-o", "json"))["latestVersion"] == 1
    assert logged.id in cli("models", "versions", "digits").stdout
    assert "best->1" in cli("models", "alias", "digits", "best", "1").stdout
    assert "best" not in cli("models", "alias", "digits", "best", "--delete").stdout
    cli("models", "alias", "digits", "best", code=1)
    assert "no model" in cli("models", "get", "ghost", code=1).stderr


def test_artifacts_go_up_and_down(cli, platform, logged, tmp_path):
    (tmp_path / "plots").mkdir()
    (tmp_path / "plots/a.png").write_bytes(b"a")
    (tmp_path / "plots/b.png").write_bytes(b"b")
    cli("artifacts", "put", "brave-otter", tmp_path / "plots", "--name", "figures")
    assert "figures/a.png" in cli("artifacts", "ls", "brave-otter", "figures/").stdout
    cli("artifacts", "get", "brave-otter", "figures", "--to", tmp_path / "down")
    assert (tmp_path / "down/figures/b.png").read_bytes() == b"b"
    assert "no artifact" in cli("artifacts", "get", "brave-otter", "fig", code=1).stderr
    assert "no file" in cli("artifacts", "put", "brave-otter", "/no/such", code=1).stderr


def test_lineage_is_a_tree(cli, logged):
    tree = cli("lineage", "show", "brave-otter").stdout
    assert "came from" in tree
    assert "dataset datasets/digits/versions/" in tree
    graph = as_json(cli("lineage", "show", logged.name, "--direction", "upstream", "-o", "json"))
    assert len(graph["edges"]) == 1
    cli("lineage", "show", "models/digits/versions/1", "--direction", "downstream")


def test_notifications(cli, platform):
    result = cli("notifications", "create", "ci", "--webhook", "https://x.org/h", "--on", "failed")
    assert "signing key" in result.stderr
    cli("notifications", "create", "me", "--email", "a@x.org", "--email", "b@x.org")
    cli("notifications", "create", "team", "--slack", "https://hooks.slack.com/x")
    listed = as_json(cli("notifications", "ls", "-o", "json"))
    assert [each["displayName"] for each in listed] == ["ci", "me", "team"]
    assert listed[0]["occasions"] == ["OCCASION_RUN_FAILED"]
    assert "mail a@x.org b@x.org" in cli("notifications", "ls").stdout
    cli("notifications", "rm", listed[0]["name"].rsplit("/", 1)[1])
    assert len(as_json(cli("notifications", "ls", "-o", "json"))) == 2
    assert "give one of" in cli("notifications", "create", "none", code=1).stderr
    assert {one.parent for one in platform.requests("CreateSubscription")} == {PROJECT}
    cli("notifications", "create", "all", "--org", "--email", "a@x.org")
    assert platform.requests("CreateSubscription")[-1].parent == "orgs/default"
    cli("notifications", "ls", "--org")
    assert platform.requests("ListSubscriptions")[-1].parent == "orgs/default"
    platform.world.deliveries.append(
        pb.Delivery(name="d/1", state=pb.DELIVERY_STATE_FAILED, last_outcome="HTTP 503")
    )
    assert "HTTP 503" in cli("notifications", "deliveries").stdout


def test_events_are_filtered(cli, platform, logged):
    newest = cli("events", "--newest", "-n", "1").stdout
    assert "RunEnded" in newest
    events = as_json(
        cli("events", "-t", "RunCreated", "--since", "2026-01-01", "--actor", "users/admin",
            "--resource", PROJECT, "-o", "json")
    )  # fmt: skip
    assert [event["resource"] for event in events] == [logged.name]
    assert platform.requests("ListEvents")[-1].start_time.seconds > 0
    assert "not a time" in cli("events", "--until", "soon", code=1).stderr


def test_the_log_is_verified_and_replayed(cli, platform, monkeypatch):
    assert "intact" in cli("audit", "verify").stdout
    assert "equal  tracker.run" in cli("audit", "replay").stdout
    assert len(as_json(cli("audit", "replay", "-o", "json"))) == 2

    def broken(request):
        yield pb.VerifyLogResponse(checked=9, head=9, done=True, first_bad_position=4, problem="x")

    def different(request):
        table = pb.TableDigest(table="run", live_digest="aa", rebuilt_digest="bb")
        yield pb.ReplayLogResponse(service="tracker", done=True, tables=[table])

    monkeypatch.setattr(platform.world, "VerifyLog", broken)
    monkeypatch.setattr(platform.world, "ReplayLog", different)
    assert "position 4" in cli("audit", "verify", code=1).stderr
    result = cli("audit", "replay", code=1)
    assert "different  tracker.run" in result.stdout
    assert "not proved: tracker" in result.stderr
    monkeypatch.setattr(platform.world, "VerifyLog", lambda request: iter(()))
    assert "run it again" in cli("audit", "verify", code=1).stderr


def test_sync_sends_what_was_left_and_says_what_it_kept(cli, platform, tmp_path):
    for number in range(2):
        with epochal.init(mode="offline", name=f"away-{number}") as run:
            run.log_metric("loss", 1.0)
    assert len(as_json(cli("sync", "--list", "-o", "json"))) == 2
    assert run.name in cli("sync", "--list").stdout
    platform.fail("CreateRun", "PERMISSION_DENIED", message="ask an admin")
    result = cli("sync", code=1)
    assert "ask an admin" in result.stderr
    assert "kept in" in result.stderr
    assert result.stdout.startswith("sent")
    (left,) = run_folders(tmp_path / "spool")
    (synced,) = as_json(cli("sync", left, "-o", "json"))
    assert (synced["sent"], synced["batches"], synced["notes"]) == (True, 1, [])
    assert "nothing to send" in cli("sync").stderr
    assert "holds no run" in cli("sync", tmp_path / "elsewhere", code=1).stderr


def test_a_wrong_command_is_a_usage_error(cli):
    assert "No such command" in cli("rnu", code=2).stderr


def test_what_a_project_keeps_is_set_and_shown(cli, platform):
    cli("projects", "create", "vision")
    assert "for ever" in cli("projects", "retention", "vision").stdout
    assert "what to change" in cli("projects", "set-retention", "vision", code=1).stderr
    cli("projects", "set-retention", "vision", "--logs", 30)
    cli("projects", "set-retention", "vision", "--metrics", 365, "--artifacts", 7)
    kept = as_json(cli("projects", "retention", "vision", "-o", "json"))
    assert (kept["logsDays"], kept["metricsDays"], kept["artifactsDays"]) == (30, 365, 7)
    cli("projects", "set-retention", "vision", "--logs", 0, "--system-metrics", 3)
    kept = as_json(cli("projects", "retention", "vision", "-o", "json"))
    assert (kept.get("logsDays", 0), kept["systemMetricsDays"]) == (0, 3)


def test_a_run_is_purged_for_a_reason_and_not_without_asking(cli, platform):
    run = platform.world.CreateRun(pb.CreateRunRequest(parent=PROJECT, spec=b"x"))
    cli("runs", "purge", run.uid, "-m", "personal data", input="n\n", code=1)
    assert platform.count("PurgeRun") == 0
    shown = cli("runs", "purge", run.uid, "-m", "personal data", "--yes").stdout
    assert "3 points, 2 lines of output, 0 spans and 1 artifacts" in " ".join(shown.split())
    assert platform.requests("PurgeRun")[0].reason == "personal data"
    assert as_json(cli("runs", "purge", run.uid, "-m", "x", "-y", "-o", "json"))["points"] == "3"


def test_records_are_counted_listed_and_downloaded(cli, platform, tmp_path):
    import numpy as np

    with epochal.init() as run:
        for step in range(3):
            run.log_image("val/samples", np.full((2, 2), step, np.uint8), step, caption=f"n{step}")
        run.log_text("answer", "42")
    shown = as_json(cli("runs", "records", run.id, "-o", "json"))
    assert [(one["kind"], one["series"], one["count"]) for one in shown] == [
        ("image", "val/samples", "3"),
        ("text", "answer", "1"),
    ]
    assert "val/samples" in cli("runs", "records", run.id).stdout
    images = as_json(
        cli("runs", "records", run.id, "--kind", "image", "--from-step", "1", "-o", "json")
    )
    assert [one["caption"] for one in images] == ["n1", "n2"]
    cli("runs", "records", run.id, "--name", "answer", "--to", str(tmp_path / "got"))
    (file,) = (tmp_path / "got").rglob("*.txt")
    assert file.read_text() == "42"
    cli("runs", "records", run.id, "--kind", "image", "--to", str(tmp_path / "got"))
    assert len(list((tmp_path / "got").rglob("*.png"))) == 3
