"""Finding, comparing, drawing and exporting runs: SDK and CLI against the whole platform."""

from __future__ import annotations

import csv
import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import epochal_proto.v1 as pb
import pytest
from epochal import search_runs
from epochal.errors import FailedPrecondition, InvalidArgument, PermissionDenied
from epochal_proto.v1.services import ProjectService
from platform_world import Platform

PROGRAM = """
import sys, epochal
for number in range(8):
    params = {"lr": number / 10, "model": "ab"[number % 2]}
    with epochal.init(name=f"trial-{number}", params=params, tags={"team": "x"}) as run:
        run.log_series("val/loss", [1 / (step + 1) + number for step in range(50)])
        run.log_metric("acc", 1 - number / 10)
"""


@dataclass
class Trials:
    """Eight finished runs in a project of their own."""

    platform: Platform
    project: str
    folder: Path

    def cli(self, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "epochal.cli.main", *words],
            env=self.environment(), cwd=self.folder, capture_output=True, text=True, timeout=90,
        )  # fmt: skip
        assert done.returncode == code, (done.stdout, done.stderr)
        return done

    def environment(self) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("EPOCHAL_")}
        return kept | {
            "EPOCHAL_URL": self.platform.url,
            "EPOCHAL_TOKEN": self.platform.token,
            "EPOCHAL_PROJECT": self.project,
            "EPOCHAL_SPOOL": str(self.folder / "spool"),
            "EPOCHAL_CONFIG": str(self.folder / "none.json"),
            "COLUMNS": "160",
        }


@pytest.fixture(scope="module")
def trials(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Trials:
    name = f"trials-{uuid4().hex[:8]}"
    with platform.client() as admin:
        project = admin.call(
            ProjectService.CREATE_PROJECT,
            pb.CreateProjectRequest(parent="orgs/default", project_id=name),
        ).name
    made = Trials(platform, project, tmp_path_factory.mktemp("trials"))
    subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=made.environment(), cwd=made.folder, check=True, timeout=120,
    )  # fmt: skip
    return made


def test_runs_are_found_in_both_languages(trials: Trials) -> None:
    with trials.platform.client() as client:
        ours = search_runs(
            '(metrics.acc:>0.55 OR params.lr:0.7), metrics."val/loss":~nil, status:succeeded',
            projects=[trials.project],
            order_by="-metrics.acc",
            client=client,
        )
        theirs = search_runs(
            "(metrics.acc > 0.55 OR params.lr = '0.7') AND attributes.status = 'FINISHED'",
            projects=[trials.project],
            order_by="metrics.acc DESC",
            grammar="mlflow",
            client=client,
        )
        deleted = search_runs(view="deleted", projects=[trials.project], client=client)
        few = search_runs(projects=["orgs/default"], limit=3, client=client)
        with pytest.raises(InvalidArgument, match="or 'metrics'"):
            search_runs("metrix.acc:1", client=client)
        with pytest.raises(InvalidArgument, match="grammar is epochal or mlflow"):
            search_runs(grammar="sql", client=client)
        with pytest.raises(PermissionDenied):
            search_runs(projects=["orgs/nobody/projects/none"], client=client)
    names = [run.display_name for run in ours]
    assert names == [f"trial-{number}" for number in (0, 1, 2, 3, 4, 7)]
    assert [run.uid for run in theirs] == [run.uid for run in ours]
    assert len(deleted) == 0
    assert len(few) == 3
    row = ours.rows()[1]
    assert (row["params.lr"], row["params.model"], row["tags.team"]) == (0.1, "b", "x")
    assert row["metrics.acc"] == 0.9
    assert ours[:2].columns() == ours.columns()


def test_runs_are_compared_grouped_and_ranked(trials: Trials) -> None:
    table = json.loads(trials.cli("runs", "compare", "trial-0", "trial-3", "-o", "json").stdout)
    assert [run["displayName"] for run in table["runs"]] == ["trial-0", "trial-3"]
    differing = {f"{row['section']}.{row['name']}" for row in table["rows"]}
    assert {"params.lr", "params.model", "metrics.acc", "run.name"} <= differing
    assert "tags.team" not in differing
    shown = trials.cli("runs", "compare", "-q", "metrics.acc:>0.65", "--all").stdout
    assert "trial-2" in shown
    assert "tags.team" in shown
    assert "name runs, or give a filter" in trials.cli("runs", "compare", code=1).stderr
    groups = trials.cli(
        "runs", "group", "params.model", "--value", "max(metrics.acc)", "--best-by",
        "metrics.acc desc", "-o", "json",
    )  # fmt: skip
    found = {each["keys"][0]["stringValue"]: each for each in json.loads(groups.stdout)}
    assert {name: each["count"] for name, each in found.items()} == {"a": "4", "b": "4"}
    assert found["b"]["values"] == [0.9]
    ranks = json.loads(trials.cli("runs", "importance", "metrics.acc", "-o", "json").stdout)
    assert ranks["params"][0]["name"] == "lr"
    assert ranks["params"][0]["correlation"] == pytest.approx(-1)
    assert "lr" in trials.cli("runs", "importance", "metrics.acc").stdout


def test_curves_are_drawn_in_the_terminal_and_as_svg(trials: Trials) -> None:
    drawn = trials.cli("runs", "plot", "val/*", "trial-0", "trial-5").stdout
    assert "trial-5 val/loss" in drawn
    assert any("\u2800" < letter <= "\u28ff" for letter in drawn)
    trials.cli("runs", "plot", "val/loss", "-q", "params.model:a", "--out", "loss.svg")
    assert (trials.folder / "loss.svg").read_text().count('stroke-width="1.6"') == 4
    assert (
        "as .svg or .png" in trials.cli("runs", "plot", "acc", "x", "--out", "a.pdf", code=1).stderr
    )


def test_a_png_is_drawn_where_matplotlib_is(trials: Trials) -> None:
    words = ("runs", "plot", "acc", "trial-0", "--out", "acc.png")
    if importlib.util.find_spec("matplotlib") is None:
        assert "needs matplotlib" in trials.cli(*words, code=1).stderr
        return
    trials.cli(*words)
    assert (trials.folder / "acc.png").read_bytes().startswith(b"\x89PNG")


def test_runs_are_exported(trials: Trials) -> None:
    trials.cli("runs", "export", "runs.csv", "--order-by", "params.lr")
    with (trials.folder / "runs.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["display_name"] for row in rows] == [f"trial-{number}" for number in range(8)]
    assert rows[3]["params.lr"] == "0.3"
    assert float(rows[3]["metrics.val/loss"]) == pytest.approx(3.02)
    assert "as .csv or .parquet" in trials.cli("runs", "export", "runs.xls", code=1).stderr


@pytest.mark.parametrize(
    ("package", "made"),
    [("pandas", "to_pandas"), ("polars", "to_polars"), ("pyarrow", "to_parquet")],
)
def test_runs_are_frames_where_the_package_is(trials: Trials, package: str, made: str) -> None:
    with trials.platform.client() as client:
        found = search_runs(projects=[trials.project], order_by="params.lr", client=client)
    arguments = [trials.folder / "runs.parquet"] if made == "to_parquet" else []
    if importlib.util.find_spec(package) is None:
        with pytest.raises(FailedPrecondition, match=f"pip install {package}"):
            getattr(found, made)(*arguments)
        return
    frame = getattr(found, made)(*arguments)
    if made == "to_parquet":
        frame = importlib.import_module("pyarrow.parquet").read_table(frame)
        assert frame.column("params.lr").to_pylist() == [number / 10 for number in range(8)]
        return
    assert list(frame["params.lr"]) == [number / 10 for number in range(8)]
    assert next(iter(frame["display_name"])) == "trial-0"


def test_marks_and_saved_searches_find_runs(trials: Trials) -> None:
    trials.cli("runs", "note", "trial-1", "look at this one")
    trials.cli("runs", "pin", "trial-2")
    trials.cli("runs", "bookmark", "trial-3")
    marks = json.loads(trials.cli("runs", "marks", "trial-3", "-o", "json").stdout)
    assert (marks["bookmarked"], marks["pinned"], marks["note"]) == (True, False, "")
    any_mark = "note:%this% OR pinned:true OR bookmarked:true"
    trials.cli("searches", "save", "marked", "-q", any_mark, "--order-by", "params.lr", "--share")
    listed = json.loads(trials.cli("searches", "ls", "-o", "json").stdout)
    assert [(one["filter"], one["shared"]) for one in listed] == [(any_mark, True)]
    found = json.loads(trials.cli("searches", "run", "marked", "-o", "json").stdout)
    assert [run["displayName"] for run in found] == ["trial-1", "trial-2", "trial-3"]
    trials.cli("runs", "pin", "trial-2", "--remove")
    trials.cli("runs", "note", "trial-1", "")
    found = json.loads(trials.cli("searches", "run", "marked", "-o", "json").stdout)
    assert [run["displayName"] for run in found] == ["trial-3"]
    refused = trials.cli("searches", "save", "odd", "-q", "metrix.acc:1", code=1)
    assert "unknown field" in refused.stderr
    trials.cli("searches", "rm", "marked")
    assert "there is no" in trials.cli("searches", "get", "marked", code=1).stderr
