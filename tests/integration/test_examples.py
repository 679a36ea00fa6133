"""Every example runs as its README says, on a real platform, with real data."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import httpx
import pytest
from command_line import CommandLine
from epochal_testing.waiting import until
from platform_world import Platform

EXAMPLES = Path(__file__).parents[2] / "examples"

IRIS = "predict?sepal_length=5.1&sepal_width=3.5&petal_length=1.4&petal_width=0.2"


@pytest.fixture
def cli(platform: Platform, tmp_path: Path, request: pytest.FixtureRequest) -> CommandLine:
    """The command line in a copy of the example that the test names."""
    folder = tmp_path / "example"
    shutil.copytree(EXAMPLES / request.param, folder)
    return CommandLine(platform, folder)


def in_example(name: str) -> Any:
    return pytest.mark.parametrize("cli", [name], indirect=True, ids=[name])


def by_step(children: list[dict[str, Any]]) -> dict[str, str]:
    return {child["step"]: child["status"].removeprefix("RUN_STATUS_") for child in children}


@in_example("dag")
async def test_the_dag_publishes_the_best_and_skips_the_alarm(cli: CommandLine) -> None:
    made = cli.json("run", "-f", "pipeline.yaml", "-u")
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
async def test_the_sweep_stops_trials_that_fall_behind(cli: CommandLine) -> None:
    made = cli.json("run", "-f", "sweep.yaml", "-u")
    assert await cli.ended(made["name"]) == "succeeded"
    trials = cli.json("runs", "children", made["uid"])
    assert len(trials) == 9
    stopped = [trial for trial in trials if trial["status"] == "RUN_STATUS_STOPPED"]
    assert stopped
    assert "median" in cli("runs", "explain", stopped[0]["uid"]).stdout
    cli("check", "--lint", "-f", "sweep.yaml", "-f", "asha.yaml")


@in_example("nightly")
async def test_the_schedule_is_previewed_and_one_tick_is_made(cli: CommandLine) -> None:
    ticks = cli("schedules", "preview", "-f", "nightly.yaml", "-n", "5").stdout.splitlines()
    assert len(ticks) == 5
    assert all(" 02:30:00 " in tick and "Berlin" in tick for tick in ticks)
    made = cli.json("run", "-f", "nightly.yaml", "-f", "now.yaml", "-u")
    assert await cli.ended(made["name"]) == "succeeded"
    (tick,) = cli.json("runs", "children", made["uid"])
    assert tick["scheduleTime"]
    assert float(cli("runs", "outputs", tick["uid"], "accuracy").stdout) > 0.9


@in_example("approval")
async def test_the_release_waits_for_a_person(cli: CommandLine) -> None:
    made = cli.json("run", "-f", "release.yaml", "-u")

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
async def test_the_service_answers_behind_the_gateway(cli: CommandLine, platform: Platform) -> None:
    made = cli.json("run", "-f", "service.yaml", "-u")
    url = cli("runs", "service", made["uid"]).stdout.strip()
    headers = {"authorization": f"Bearer {platform.token}"}
    async with httpx.AsyncClient(headers=headers, timeout=30) as web:
        assert (await web.get(url + IRIS)).json() == {"species": "setosa"}
        assert (await web.get(f"{url}predict?sepal_length=x")).status_code == 400
    assert "serve.py" in cli("runs", "exec", made["uid"], "--", "ls").stdout
    assert cli("runs", "exec", made["uid"], "--", "python", "-", given="print(6 * 7)").stdout == (
        "42\n"
    )
    cli("runs", "stop", made["uid"])
    assert await cli.ended(made["name"]) == "stopped"
