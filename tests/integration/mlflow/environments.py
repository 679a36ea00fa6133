"""Environments with MLflow's own client, which wants older libraries than the workspace has."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from foreign_environments import plain_environment, torch_environment

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
    "3.17-torch": ("mlflow-skinny==3.17.2", "pandas==3.1.1", "lightning==2.6.6"),
    # The older client with libraries of its time.
    "3.9-sklearn": ("mlflow-skinny==3.9.0", "pandas==2.3.3", "scikit-learn==1.8.0"),
    "3.9-boosters": (
        "mlflow-skinny==3.9.0",
        "pandas==2.3.3",
        "scikit-learn==1.8.0",
        "xgboost-cpu==3.1.3",
        "lightgbm==4.6.0",
    ),
    "3.9-torch": ("mlflow-skinny==3.9.0", "pandas==2.3.3", "lightning==2.6.0"),
}
WITH_TORCH = {"3.17-torch", "3.9-torch"}
#: The folder whose modules each environment runs.
CHECKS = {
    "3.9": "checks",
    "3.17": "checks",
    # What prompts need, the slim client has not.
    "3.17-server": "prompting",
    "3.17-sklearn": "training",
    "3.17-boosters": "boosting",
    "3.17-torch": "nets",
    "3.9-sklearn": "training",
    "3.9-boosters": "boosting",
    "3.9-torch": "nets",
}

#: What went wrong by name of the check, empty for what did not.
Results = dict[str, str]
#: Runs the checks of a module with a version of the client.
Run = Callable[[str, str], Results]


def interpreter(version: str) -> Path:
    """Return the interpreter of a client's environment, which is made when it is not there.

    Raises:
        NotInstallable: It has PyTorch, which is no file of this machine.
    """
    made = torch_environment if version in WITH_TORCH else plain_environment
    return made(FOLDER, version, PINS[version])


def surroundings(**settings: str) -> dict[str, str]:
    """Return the variables that a client is started with: ours, and none that tune MLflow."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("MLFLOW_", "PYTHON", "VIRTUAL_ENV", "COV"))
    }
    return {**kept, "NO_PROXY": "*", "MLFLOW_DISABLE_TELEMETRY": "true", **settings}
