"""Names, tags, deletions and restorations on the command line."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import epochal_proto.v1 as pb
import pytest
from command_line import CommandLine
from epochal.client import Client
from epochal_proto.v1.services import RunService
from platform_world import Platform


@pytest.fixture
def cli(platform: Platform, tmp_path: Path) -> CommandLine:
    return CommandLine(platform, tmp_path)


def test_a_run_is_renamed_deleted_and_restored(cli: CommandLine, admin: Client) -> None:
    request = pb.CreateRunRequest(
        parent="orgs/default/projects/main", tracked=pb.TrackedRun(), display_name=uuid4().hex
    )
    run = admin.call(RunService.CREATE_RUN, request)
    name = uuid4().hex
    assert name in cli("runs", "rename", run.uid, name).stdout
    assert f"epochal runs restore {run.uid}" in cli("runs", "delete", name).stdout
    assert run.uid[:13] not in cli("runs", "ls", "--limit", "1000").stdout
    assert "there again" in cli("runs", "restore", run.uid).stdout
    assert cli("runs", "rename", run.uid, "x" * 251, code=None).code != 0


def test_a_project_is_tagged_put_away_and_restored(cli: CommandLine) -> None:
    project = f"curated-{uuid4().hex[:8]}"
    cli("projects", "create", project)
    assert cli("projects", "tag", project, "a=1", "b=").stdout.strip() == "a=1, b="
    assert cli("projects", "tag", project, "a-", "b-").stdout.strip() == "no tags"
    assert cli("projects", "tag", project, "nonsense", code=None).code != 0
    cli("projects", "archive", project)
    assert cli("projects", "tag", project, "a=1", code=None).code != 0
    assert "is in use" in cli("projects", "restore", project).stdout
    assert cli("projects", "tag", project, "a=1").stdout.strip() == "a=1"
