"""Real MLflow stores, filled by the client, moved in twice and compared by the client."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import epochal_proto.v1 as pb
import pytest
from environments import FOLDER, interpreter, surroundings
from epochal.errors import Unavailable
from epochal.importing.folder import Folder
from epochal.importing.moving import Mover
from epochal.importing.records import File, Run
from epochal_proto.v1.services import AccessService
from mlflow_server import served
from platform_world import Platform

SCRIPT = Path(__file__).parent / "moving" / "store.py"


def client_does(uri: str, *words: str, token: str = "", cwd: Path = FOLDER) -> None:
    done = subprocess.run(
        [interpreter("3.17-server"), SCRIPT, *words],
        env=surroundings(
            MLFLOW_TRACKING_URI=uri, MLFLOW_TRACKING_TOKEN=token, MLFLOW_ALLOW_FILE_STORE="true"
        ),
        cwd=cwd, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]


@dataclass(frozen=True)
class Empty:
    """An organisation with nothing in it."""

    org: str
    token: str


@pytest.fixture
def empty(platform: Platform) -> Empty:
    org = f"orgs/moved-{uuid4().hex[:8]}"
    with platform.client() as admin:
        admin.call(AccessService.CREATE_ORGANIZATION, pb.CreateOrganizationRequest(org_id=org[5:]))
        request = pb.CreateTokenRequest(parent=org)
        return Empty(org, admin.call(AccessService.CREATE_TOKEN, request).secret)


def import_of(platform: Platform, empty: Empty, *words: str) -> subprocess.CompletedProcess[str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("EPOCHAL_")}
    return subprocess.run(
        [sys.executable, "-m", "epochal.cli.main", "import", "mlflow", *words, "-o", "json"],
        env=kept
        | {
            "EPOCHAL_URL": platform.url,
            "EPOCHAL_TOKEN": empty.token,
            "EPOCHAL_PROJECT": f"{empty.org}/projects/main",
        },
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


def moved(platform: Platform, empty: Empty, *words: str) -> dict[str, int]:
    done = import_of(platform, empty, *words)
    assert done.returncode == 0, done.stderr[-4000:]
    found: dict[str, int] = json.loads(done.stdout)
    return found


def assert_moved_once(platform: Platform, empty: Empty, source: str, *words: str) -> None:
    counted = moved(platform, empty, *words, "--dry-run")
    assert (counted["runs"], counted["models"], counted["versions"]) == (4, 1, 3)
    assert counted["logged_models"] == 2
    first = moved(platform, empty, *words)
    assert (first["runs"], first["points"], first["files"]) == (4, 2_503, 5)
    assert first["logged_models"] == 2
    again = moved(platform, empty, *words)
    assert again["passed"] == 4
    none = ("runs", "points", "files", "logged_models", "models", "versions", "updated")
    left = {key: again[key] for key in none}
    assert not any(left.values()), left
    client_does(platform.url, "compare", source, token=empty.token)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A file store."""
    found = tmp_path / "mlruns"
    client_does(found.as_uri(), "fill")
    return found


def test_a_file_store_is_moved_once(platform: Platform, empty: Empty, store: Path) -> None:
    assert_moved_once(platform, empty, store.as_uri(), "--folder", str(store))


class Breaking(Folder):
    """A store that breaks off at the first file."""

    def fetch(self, run: Run, file: File, target: Path) -> None:
        raise Unavailable("the disk is gone")


def test_a_move_that_broke_off_goes_on(platform: Platform, empty: Empty, store: Path) -> None:
    with platform.client(empty.token) as client:
        broken = Mover(Breaking(store), client, empty.org, lambda _: None)
        with closing(broken), pytest.raises(Unavailable, match="disk"):
            broken.move()
        assert broken.summary.points == 2_503
        with closing(Mover(Folder(store), client, empty.org, lambda _: None)) as again:
            rest = again.move()
    assert (rest.points, rest.files) == (0, 5), "no point is there twice"
    client_does(platform.url, "compare", store.as_uri(), token=empty.token)


def test_a_server_is_moved_once(platform: Platform, empty: Empty, tmp_path: Path) -> None:
    with served(tmp_path) as url:
        client_does(url, "fill")
        assert_moved_once(platform, empty, url, "--uri", url)


def test_a_database_is_moved_without_a_server_and_what_changed_is_moved_on(
    platform: Platform, empty: Empty, tmp_path: Path
) -> None:
    source = f"sqlite:///{tmp_path}/mlflow.db"
    client_does(source, "fill", cwd=tmp_path)
    assert_moved_once(platform, empty, source, "--uri", source)
    client_does(source, "change", cwd=tmp_path)
    changed = moved(platform, empty, "--uri", source)
    assert (changed["updated"], changed["versions"]) == (2, 1)
    client_does(platform.url, "compare", source, token=empty.token)
    assert moved(platform, empty, "--uri", source)["updated"] == 0


def test_artifacts_that_a_server_kept_are_found_without_it(
    platform: Platform, empty: Empty, tmp_path: Path
) -> None:
    with served(tmp_path) as url:
        client_does(url, "fill")
    source = f"sqlite:///{tmp_path}/mlflow.db"
    done = import_of(platform, empty, "--uri", source)
    assert done.returncode != 0
    assert "--artifacts" in done.stderr
    first = moved(platform, empty, "--uri", source, "--artifacts", f"{tmp_path}/artifacts")
    assert (first["files"], first["logged_models"]) == (5, 2)
    assert moved(platform, empty, "--uri", source, "--artifacts", f"{tmp_path}/artifacts") == {
        **dict.fromkeys(first, 0), "experiments": 2, "passed": 4, "dry_run": False
    }  # fmt: skip
