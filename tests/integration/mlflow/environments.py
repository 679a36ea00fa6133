"""Environments with MLflow's own client, which wants older libraries than the workspace has."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

FOLDER = Path.home() / ".cache" / "epochal-mlflow-clients"
#: The client as it is released. `mlflow-skinny` is the same code without what models need.
PINS = {
    "3.9": ("mlflow-skinny==3.9.0",),
    "3.17": ("mlflow-skinny==3.17.2",),
    "3.17-server": ("mlflow==3.17.2",),
    "3.17-sklearn": ("mlflow-skinny==3.17.2", "pandas==3.1.1", "scikit-learn==1.9.1"),
    "3.17-boosters": (
        "mlflow-skinny==3.17.2",
        "pandas==3.1.1",
        "scikit-learn==1.9.1",
        # The same library without what GPUs need.
        "xgboost-cpu==3.2.0",
        "lightgbm==4.7.0",
    ),
}
#: The folder whose modules each environment runs.
CHECKS = {
    "3.9": "checks",
    "3.17": "checks",
    "3.17-sklearn": "training",
    "3.17-boosters": "boosting",
}
_PYTHON = "3.11"

#: What went wrong by name of the check, empty for what did not.
Results = dict[str, str]
#: Runs the checks of a module with a version of the client.
Run = Callable[[str, str], Results]


def interpreter(version: str) -> Path:
    """Return the interpreter of a client's environment, which is made when it is not there.

    Made under a name of its own and then renamed, so that two test processes may make it at once
    and a process that is killed leaves no half of one behind that the next takes for whole.
    """
    pins = PINS[version]
    digest = hashlib.sha256(" ".join(pins).encode()).hexdigest()[:8]
    environment = FOLDER / f"{version}-{digest}"
    python = environment / "bin" / "python"
    if python.exists():
        return python
    FOLDER.mkdir(parents=True, exist_ok=True)
    begun = FOLDER / f".{version}-{uuid4().hex}"
    try:
        _uv("venv", "--quiet", "--relocatable", "--python", _PYTHON, str(begun))
        _uv("pip", "install", "--quiet", "--python", str(begun / "bin" / "python"), *pins)
        try:
            begun.rename(environment)
        except OSError:
            if not python.exists():
                raise
    finally:
        shutil.rmtree(begun, ignore_errors=True)
    return python


def _uv(*arguments: str) -> None:
    # From elsewhere: the pins of the workspace are not the client's.
    subprocess.run(["uv", *arguments], check=True, cwd=FOLDER)


def surroundings(**settings: str) -> dict[str, str]:
    """Return the variables that a client is started with: ours, and none that tune MLflow."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("MLFLOW_", "PYTHON", "VIRTUAL_ENV", "COV"))
    }
    return {**kept, "NO_PROXY": "*", "MLFLOW_DISABLE_TELEMETRY": "true", **settings}
