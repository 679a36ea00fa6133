"""MLflow's unmodified clients, each in an environment of its own, against one real platform."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import epochal_proto.v1 as pb
import pytest
from epochal.client import Client
from epochal_proto.v1.services import AccessService
from platform_world import Platform

sys.path.insert(0, str(Path(__file__).parent))

from environments import CHECKS, FOLDER, Results, Run, interpreter, surroundings
from foreign_environments import NotInstallable

HERE = Path(__file__).parent


def checks(version: str) -> list[tuple[str, str]]:
    """Every check there is for a client: its module, its name."""
    return [
        (path.stem, node.name)
        for path in sorted((HERE / CHECKS[version]).glob("*.py"))
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("check_")
    ]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make a test of every check and every version of the client."""
    if "check" in metafunc.fixturenames:
        metafunc.parametrize(
            ("version", "check"),
            [(version, check) for version in CHECKS for check in checks(version)],
            ids=lambda one: one if isinstance(one, str) else f"{one[0]}.{one[1][6:]}",
        )


@pytest.fixture(scope="session")
def run_checks(platform: Platform) -> Iterator[Run]:
    """Runs the checks of one module with one version, once."""
    known: dict[tuple[str, str], Results] = {}
    with platform.client() as admin:

        def run(version: str, module: str) -> Results:
            if (version, module) not in known:
                known[version, module] = _run(platform, admin, version, module)
            return known[version, module]

        yield run


def _run(platform: Platform, admin: Client, version: str, module: str) -> Results:
    try:
        python = interpreter(version)
    except NotInstallable as error:
        pytest.skip(f"not here: {error}")
    name = f"mlflow-{uuid4().hex[:8]}"
    admin.call(AccessService.CREATE_ORGANIZATION, pb.CreateOrganizationRequest(org_id=name))
    secret = admin.call(
        AccessService.CREATE_TOKEN, pb.CreateTokenRequest(parent=f"orgs/{name}")
    ).secret
    done = subprocess.run(
        [python, HERE / "run_checks.py", HERE / CHECKS[version] / f"{module}.py"],
        env=surroundings(
            MLFLOW_TRACKING_URI=platform.url,
            MLFLOW_TRACKING_TOKEN=secret,
            MLFLOW_HTTP_REQUEST_MAX_RETRIES="0",
            CHECKED_ORG=f"orgs/{name}",
        ),
        # From elsewhere: MLflow takes the project it is started in for what a model needs.
        cwd=FOLDER,
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("CHECK ")]
    found = [json.loads(line.removeprefix("CHECK ")) for line in lines]
    assert done.returncode == 0, done.stderr[-4000:]
    return {one["name"]: one["problem"] for one in found}
