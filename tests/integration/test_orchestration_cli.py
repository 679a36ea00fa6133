"""What people do on the command line with pipelines, on a real platform."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent
from typing import Any

import epochal_proto.v1 as pb
import pytest
from command_line import CommandLine
from epochal.cli.statuses import status_text
from epochal_proto.v1.services import RunService
from epochal_testing.waiting import until
from platform_world import Platform

JOB = "run: {kind: job, container: {command: ['true']}}"


@pytest.fixture
def cli(platform: Platform, tmp_path: Path) -> CommandLine:
    return CommandLine(platform, tmp_path)


def write(cli: CommandLine, name: str, text: str) -> str:
    file = cli.folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(dedent(text))
    return name


async def reaches(platform: Platform, name: str, *statuses: str) -> pb.Run:
    with platform.client() as client:

        def now() -> pb.Run:
            found = client.call(RunService.GET_RUN, pb.GetRunRequest(name=name))
            assert status_text(found) in statuses, status_text(found)
            return found

        return await until(now, 60)


async def test_a_line_of_shell_runs_without_a_file(cli: CommandLine) -> None:
    done = cli("run", "--cmd", "echo $GREETING $(cat a.txt 2>&1)", "--env", "GREETING=hi", "-l")
    assert "hi cat: a.txt" in done.stdout
    write(cli, "a.txt", "there")
    done = cli("run", "--cmd", "cat to/a.txt", "-u", "--upload-to", "to", "--logs")
    assert "there" in done.stdout
    assert cli("run", "--cmd", "exit 3", "-w", code=1).code == 1


async def test_layers_presets_components_and_path_refs_become_one_operation(
    cli: CommandLine,
) -> None:
    write(
        cli,
        "parts/say.yaml",
        """
        kind: component
        inputs: [{name: word, type: str}]
        run: {kind: job, container: {command: [echo, "!{{ word }}"]}}
        """,
    )
    cli("components", "register", "say:v1", "-f", "parts/say.yaml")
    write(cli, "quiet.yaml", "isPreset: true\nname: quiet\ntags: [preset]\n")
    cli("presets", "register", "quiet:v1", "-f", "quiet.yaml")
    write(cli, "over.yaml", "kind: operation\nisPreset: true\ntags: [overlay]\n")
    made = cli.json(
        "run", "--hub", "say:v1", "-f", "over.yaml", "--preset", "quiet:v1", "-P", "word=hello",
        "--name", "said", "-w",
    )  # fmt: skip
    assert made["tags"] == {"preset": "true", "overlay": "true"}
    assert made["displayName"] == "said"
    assert cli("runs", "logs", made["uid"]).stdout == "!hello\n"

    write(
        cli,
        "dag.yaml",
        """
        kind: component
        run:
          kind: dag
          operations:
            - {name: a, pathRef: parts/again.yaml, params: {word: x}}
        """,
    )
    write(cli, "parts/again.yaml", "kind: operation\npathRef: say.yaml\n")
    done = cli.json("run", "-f", "dag.yaml", "-w")
    assert done["status"] == "RUN_STATUS_SUCCEEDED"
    (child,) = cli.json("runs", "children", done["uid"])
    assert cli("runs", "logs", child["uid"]).stdout == "!x\n"


async def test_check_prints_yaml_and_mistakes_of_the_right_file(cli: CommandLine) -> None:
    write(cli, "a.yaml", f"kind: component\nname: a\n{JOB}\n")
    write(cli, "b.yaml", "kind: operation\nisPreset: true\nqueu: x\n")
    assert "kind: job" in cli("check", "-f", "a.yaml").stdout
    wrong = cli("check", "-f", "a.yaml", "-f", "b.yaml", code=1).stderr
    assert "b.yaml:3:1" in wrong
    assert "queue" in wrong
    assert cli("schema").stdout.startswith("{")


async def test_a_sweep_of_options_is_paused_extended_and_counted(
    cli: CommandLine, platform: Platform
) -> None:
    write(
        cli,
        "f.yaml",
        """
        kind: component
        name: flat
        inputs: [{name: x, type: int}]
        run: {kind: job, container: {command: [sh, -c, "sleep 2; echo {{ x }}"]}}
        """,
    )
    made = cli.json(
        "run", "-f", "f.yaml", "-H", "x=range:0:100:1", "--matrix-kind", "random",
        "--matrix-num-runs", "3", "--matrix-concurrency", "1",
    )  # fmt: skip
    assert made["kind"] == "RUN_KIND_MATRIX"
    assert cli.json("runs", "pause", made["uid"])["paused"]
    assert "paused" in cli("runs", "explain", made["uid"]).stdout
    cli("runs", "concurrency", made["uid"], "3")
    cli("runs", "unpause", made["uid"])
    assert (await reaches(platform, made["name"], "succeeded")).kind == pb.RUN_KIND_MATRIX
    cli("runs", "extend", made["uid"], "--add", "2")

    def five() -> bool:
        found = cli.json("runs", "ls", "--pipeline", made["uid"], "--status", "succeeded")
        return len(found) == 5

    await until(five, 60)
    assert "5 of 5 ended" in cli("runs", "children", made["uid"]).stdout


async def test_what_failed_is_resumed_and_what_is_wanted_anew_is_restarted(
    cli: CommandLine, platform: Platform
) -> None:
    flag = cli.folder / "flag"
    write(
        cli,
        "dag.yaml",
        f"""
        kind: component
        name: two
        run:
          kind: dag
          operations:
            - name: a
              component: {{{JOB}}}
            - name: b
              dependencies: [a]
              component:
                run: {{kind: job, container: {{command: [test, -e, "{flag}"]}}}}
        """,
    )
    failed = cli.json("run", "-f", "dag.yaml", "-w", code=1)
    assert "two  failed" in cli("runs", "children", failed["uid"]).stdout
    flag.touch()
    cli("runs", "resume", failed["uid"], "-m", "the flag is there")
    await reaches(platform, failed["name"], "succeeded")
    fork = cli.json("runs", "fork", failed["uid"], "--from", "b")
    await reaches(platform, fork["name"], "succeeded")
    assert "reused from" in cli("runs", "children", fork["uid"]).stdout


async def test_a_run_waits_for_approval_and_for_its_queue(
    cli: CommandLine, platform: Platform
) -> None:
    waiting = cli.json("run", "--cmd", "true", "--approval")
    assert "waits for approval" in cli("runs", "get", waiting["uid"]).stdout + (
        cli("runs", "explain", waiting["uid"]).stdout
    )
    assert "stopped" in cli("runs", "deny", waiting["uid"], "-m", "no").stdout

    cli("queues", "create", "slow", "--concurrency", "1", "--description", "one at a time")
    cli("queues", "update", "slow", "--priority", "3")
    first = cli.json("run", "--cmd", "sleep 60", "--queue", "slow")
    second = cli.json("run", "--cmd", "true", "--queue", "slow", "--priority", "2")
    explained = cli.json("runs", "explain", second["uid"])
    assert explained["items"], explained
    assert "skipped" in cli("runs", "skip", second["uid"]).stdout
    cli("runs", "stop", first["uid"])
    await reaches(platform, first["name"], "stopped")
    listed = {queue["name"].rpartition("/")[2]: queue for queue in cli.json("queues", "ls")}
    assert (listed["slow"]["concurrency"], listed["slow"]["priority"]) == (1, 3)
    assert "default" in cli("agents", "ls").stdout
    cli("queues", "delete", "slow")


async def test_a_backfill_runs_each_day_and_tells_its_progress(cli: CommandLine) -> None:
    write(
        cli,
        "daily.yaml",
        """
        kind: component
        inputs: [{name: day, type: str}]
        run: {kind: job, container: {command: [grep, "{{ day }}", days.txt]}}
        """,
    )
    write(cli, "days.txt", "2026-02-27 2026-02-28 2026-03-01\n")
    done = cli(
        "backfill", "create", "-u", "-f", "daily.yaml", "--param", "day", "--from", "2026-02-27",
        "--to", "2026-03-02", "--concurrency", "3", "--name", "leap", "--watch",
    )  # fmt: skip
    assert "3 of 3 ended: 3 succeeded" in done.stdout
    days = [part["params"]["day"]["stringValue"] for part in parts(cli, "leap")]
    assert days == ["2026-02-27", "2026-02-28", "2026-03-01"]


def parts(cli: CommandLine, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = cli.json("backfill", "status", name)["parts"]
    return found


async def test_an_event_of_ones_own_fires_a_trigger(cli: CommandLine) -> None:
    write(
        cli,
        "on.yaml",
        """
        kind: operation
        name: on-data
        events:
          - {kinds: [project_custom_event], ref: events.data-arrived, filter: "rows > 10"}
        component:
          inputs: [{name: rows, type: int, value: 0}]
          run: {kind: job, container: {command: [echo, "{{ rows }}"]}}
        """,
    )
    made = cli.json("run", "-f", "on.yaml")
    cli("events", "emit", "data-arrived", "-a", "rows=5")
    cli("events", "emit", "data-arrived", "-a", "rows=20")

    def fired() -> bool:
        return len(cli.json("triggers", "history", made["uid"])) == 1

    await until(fired, 60)
    assert "on-data" in cli("triggers", "ls").stdout
    tested = cli.json("triggers", "test", "-f", "on.yaml")
    assert [match["fires"] for match in tested["matches"][:2]] == [True, False]
    cli("runs", "stop", made["uid"])


async def test_a_run_is_reproduced_and_compared(cli: CommandLine) -> None:
    write(
        cli,
        "seeded.yaml",
        """
        kind: component
        name: seeded
        inputs: [{name: seed, type: int, value: 7}]
        outputs: [{name: drawn, type: float}]
        run: {kind: job, container: {command: [python, draw.py, "{{ seed }}"]}}
        """,
    )
    write(
        cli,
        "draw.py",
        """
        import os, random, sys
        random.seed(sys.argv[1])
        open(os.environ["EPOCHAL_OUTPUTS_FILE"], "w").write(f"drawn={random.random()}")
        """,
    )
    first = cli.json("run", "-f", "seeded.yaml", "-u", "-w")

    def captured() -> bool:
        return cli("runs", "capture", first["uid"], code=None).code == 0

    await until(captured, 30)
    again = cli.json("runs", "reproduce", first["uid"])
    assert (again["status"], again["differences"], again["results"]) == ("succeeded", [], [])
    other = cli.json("runs", "restart", first["uid"], "-P", "seed=8")
    cli("runs", "logs", "-f", other["uid"])
    found = cli.json("runs", "diff", first["uid"], other["uid"], "--section", "params")
    assert [(each["name"], each["right"]) for each in found["differences"]] == [("seed", "8")]


async def test_a_policy_reuses_equal_runs_and_says_why(cli: CommandLine) -> None:
    project = "cached"
    cli("projects", "create", project)
    cli("policy", "set", "--cache", "on", "--four-eyes", "-p", project)
    first = cli.json("run", "--cmd", "echo once", "-p", project, "-w")

    def reused() -> dict[str, Any]:
        second: dict[str, Any] = cli.json("run", "--cmd", "echo once", "-p", project)
        assert second["status"] == "RUN_STATUS_SUCCEEDED"
        return second

    second = await until(reused, 30)
    assert first["uid"] in cli("runs", "explain", second["uid"], "-p", project).stdout
    fresh = cli.json("run", "--cmd", "echo once", "--no-cache", "-p", project, "-w")
    assert fresh["attempt"] == 1
