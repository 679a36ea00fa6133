"""Every example runs as its README says, on a real platform, with real data."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import httpx
import pytest
from command_line import CommandLine, Result
from epochal_testing.waiting import until
from platform_world import Platform

EXAMPLES = Path(__file__).parents[2] / "examples"

IRIS = "predict?sepal_length=5.1&sepal_width=3.5&petal_length=1.4&petal_width=0.2"


Example = tuple[CommandLine, dict[str, Any]]

RUN = {
    "dag": ["-f", "pipeline.yaml"],
    "approval": ["-f", "release.yaml"],
    "service": ["-f", "service.yaml"],
    "nightly": ["-f", "nightly.yaml", "-f", "now.yaml"],
    "sweep": ["-f", "sweep.yaml"],
}


@pytest.fixture(scope="module")
def started(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Example]:
    """All examples, run at once: they spend most of their time in starting Python."""
    found = {}
    for name, files in RUN.items():
        folder = tmp_path_factory.mktemp(name) / "example"
        shutil.copytree(EXAMPLES / name, folder)
        cli = CommandLine(platform, folder)
        found[name] = cli, cli.json("run", *files, "-u")
    return found


@pytest.fixture
def example(started: dict[str, Example], request: pytest.FixtureRequest) -> Example:
    """The command line in the folder of the example that the test names, and its run."""
    return started[request.param]


def in_example(name: str) -> Any:
    return pytest.mark.parametrize("example", [name], indirect=True, ids=[name])


def by_step(children: list[dict[str, Any]]) -> dict[str, str]:
    return {child["step"]: child["status"].removeprefix("RUN_STATUS_") for child in children}


@in_example("dag")
async def test_the_dag_publishes_the_best_and_skips_the_alarm(example: Example) -> None:
    cli, made = example
    assert await cli.ended(made["name"]) == "succeeded"
    children = cli.json("runs", "children", made["uid"])
    assert by_step(children) == {
        "split": "SUCCEEDED",
        "fits": "SUCCEEDED",
        "best": "SUCCEEDED",
        "publish": "SUCCEEDED",
        "alarm": "SKIPPED",
    }
    best = next(child["uid"] for child in children if child["step"] == "best")
    assert float(cli("runs", "outputs", best, "accuracy").stdout) > 0.9
    assert "best" in cli("models", "versions", "digits").stdout


@in_example("sweep")
async def test_the_sweep_stops_trials_that_fall_behind(example: Example) -> None:
    cli, made = example
    assert await cli.ended(made["name"]) == "succeeded"
    trials = cli.json("runs", "children", made["uid"])
    assert len(trials) == 9
    stopped = [trial for trial in trials if trial["status"] == "RUN_STATUS_STOPPED"]
    assert stopped
    assert "median" in cli("runs", "explain", stopped[0]["uid"]).stdout
    cli("check", "--lint", "-f", "sweep.yaml", "-f", "asha.yaml")


@in_example("nightly")
async def test_the_schedule_is_previewed_and_one_tick_is_made(example: Example) -> None:
    cli, made = example
    ticks = cli("schedules", "preview", "-f", "nightly.yaml", "-n", "5").stdout.splitlines()
    assert len(ticks) == 5
    assert all(" 02:30:00 " in tick and "Berlin" in tick for tick in ticks)
    assert await cli.ended(made["name"]) == "succeeded"
    (tick,) = cli.json("runs", "children", made["uid"])
    assert tick["scheduleTime"]
    assert float(cli("runs", "outputs", tick["uid"], "accuracy").stdout) > 0.9


@in_example("approval")
async def test_the_release_waits_for_a_person(example: Example) -> None:
    cli, made = example

    def waiting() -> Any:
        found = cli.json("runs", "ls", "--pipeline", made["uid"], "-q", "step:release")
        assert [each["holds"] for each in found] == [["approval"]]
        return found[0]

    release = await until(waiting, 60)
    assert "roles/admin" in cli("runs", "explain", release["uid"]).stdout
    assert "queued" in cli("runs", "approve", release["uid"], "-m", "checked").stdout
    assert await cli.ended(made["name"]) == "succeeded"
    assert "champion" in cli("models", "versions", "iris").stdout


@in_example("service")
async def test_the_service_answers_behind_the_gateway(example: Example, platform: Platform) -> None:
    cli, made = example
    url = cli("runs", "service", made["uid"]).stdout.strip()
    headers = {"authorization": f"Bearer {platform.token}"}
    async with httpx.AsyncClient(headers=headers, timeout=30) as web:
        assert (await web.get(url + IRIS)).json() == {"species": "setosa"}
        assert (await web.get(f"{url}predict?sepal_length=x")).status_code == 400
    assert "serve.py" in cli.process("runs", "exec", made["uid"], "--", "ls").stdout
    inside = ["runs", "exec", made["uid"], "--", "python", "-"]
    assert cli.process(*inside, given="print(6 * 7); raise SystemExit(3)") == Result(3, "42\n", "")
    cli("runs", "stop", made["uid"])
    assert await cli.ended(made["name"]) == "stopped"
