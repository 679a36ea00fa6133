"""A bad spec is answered with line, field and rule, whichever door it came through."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import epochal_proto.v1 as pb
import httpx
import pytest
from epochal.client import Client
from epochal.errors import InvalidArgument
from epochal_proto.v1.services import RunService
from platform_world import Platform

PROJECT = "orgs/default/projects/main"
HEAD = "version: 1.1\nkind: component\nname: x\n"
BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join([f'*{chr(97 + n)}'] * 10)}]\n" for n in range(8)
)


@dataclass(frozen=True)
class Bad:
    """A bad spec: its bytes, what must be said of it, and the line (0: none is named)."""

    spec: bytes
    says: str
    line: int
    params: tuple[tuple[str, str], ...] = ()


JOB = "run:\n  kind: job\n  container:\n    command: [python, -c, pass]\n"
BAD = {
    "unknown_field": Bad((HEAD + JOB.replace("command", "comand")).encode(), "command", 7),
    "wrong_type": Bad((HEAD + "termination: {maxRetries: many}\n" + JOB).encode(), "maxRetries", 4),
    "missing_param": Bad((HEAD + "inputs:\n  - {name: lr, type: float}\n" + JOB).encode(), "lr", 5),
    "wrong_param": Bad(
        (HEAD + "inputs:\n  - {name: lr, type: float}\n" + JOB).encode(),
        "lr",
        0,
        (("lr", "fast"),),
    ),
    "cyclic_reference": Bad((HEAD + "tags: &t [*t]\n" + JOB).encode(), "", 4),
    "yaml_bomb": Bad((HEAD + BOMB + JOB).encode(), "", 8),
    "not_utf8": Bad(HEAD.encode() + b"description: \xff\xfe\n" + JOB.encode(), "UTF-8", 4),
    "not_yaml": Bad((HEAD + "run: [unclosed\n").encode(), "", 5),
    "empty": Bad(b"", "", 0),
}


@pytest.mark.parametrize("name", BAD)
def test_grpc_says_what_is_wrong_and_where(admin: Client, name: str) -> None:
    bad = BAD[name]
    with pytest.raises(InvalidArgument) as caught:
        admin.call(
            RunService.CREATE_RUN,
            pb.CreateRunRequest(
                parent=PROJECT,
                spec=bad.spec,
                params={key: pb.Value(string_value=value) for key, value in bad.params},
            ),
        )
    assert caught.value.violations
    said = " ".join(f"{v.field} {v.rule} {v.message}" for v in caught.value.violations)
    assert bad.says in said
    if bad.line:
        assert "line " in said


@pytest.mark.parametrize("name", BAD)
def test_rest_says_the_same_as_problem_json(platform: Platform, name: str) -> None:
    bad = BAD[name]
    response = httpx.post(
        f"{platform.url}/v1/{PROJECT}/runs",
        headers={"authorization": f"Bearer {platform.token}"},
        json={
            "spec": base64.b64encode(bad.spec).decode(),
            "params": {key: {"stringValue": value} for key, value in bad.params},
        },
    )
    assert response.status_code == 400
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert problem["code"] == "INVALID_ARGUMENT"
    assert problem["violations"]
    assert bad.says in str(problem["violations"])


@pytest.mark.parametrize("name", BAD)
def test_the_cli_says_it_with_file_and_line(platform: Platform, tmp_path: Path, name: str) -> None:
    bad = BAD[name]
    spec = tmp_path / "spec.yaml"
    spec.write_bytes(bad.spec)
    params = [part for key, value in bad.params for part in ("-P", f"{key}={value}")]
    result = subprocess.run(
        [sys.executable, "-m", "epochal.cli.main", "check", "-f", str(spec), *params],
        env={**os.environ, "EPOCHAL_HOME": str(platform.home.root), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    said = result.stdout + result.stderr
    assert result.returncode != 0
    assert bad.says in said
    assert "Traceback" not in said
    if bad.line:
        assert f"spec.yaml:{bad.line}" in said


def test_a_spec_of_absurd_size_is_refused_before_it_is_read(platform: Platform) -> None:
    response = httpx.post(
        f"{platform.url}/v1/{PROJECT}/runs",
        headers={"authorization": f"Bearer {platform.token}"},
        json={"spec": base64.b64encode(b"#" * (1024 * 1024 + 1)).decode()},
    )
    assert response.status_code == 400
    assert response.json()["violations"][0]["field"] == "spec"
    response = httpx.post(
        f"{platform.url}/v1/{PROJECT}/runs",
        headers={"authorization": f"Bearer {platform.token}"},
        content=b" " * (5 * 1024 * 1024),
    )
    assert response.status_code == 413


def test_a_refused_spec_leaves_nothing_behind(admin: Client) -> None:
    before = admin.call(RunService.LIST_RUNS, pb.ListRunsRequest(parent=PROJECT, page_size=1000))
    with pytest.raises(InvalidArgument):
        admin.call(
            RunService.CREATE_RUN,
            pb.CreateRunRequest(parent=PROJECT, spec=BAD["unknown_field"].spec),
        )
    after = admin.call(RunService.LIST_RUNS, pb.ListRunsRequest(parent=PROJECT, page_size=1000))
    assert len(before.runs) == len(after.runs)
