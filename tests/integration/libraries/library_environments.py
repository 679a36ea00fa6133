"""Environments with training libraries, which the workspace neither has nor needs."""

from __future__ import annotations

import os
from pathlib import Path

import epochal
import epochal_proto
from foreign_environments import plain_environment, torch_environment

FOLDER = Path.home() / ".cache" / "epochal-training-libraries"
#: What the SDK itself needs.
_SDK = (
    "grpcio==1.85.1", "protobuf==7.36.2", "httpx==0.28.1", "typer==0.29.2", "rich==15.0.0",
    "pathspec==1.1.1", "pyyaml==6.0.3", "zstandard==0.25.0", "googleapis-common-protos==1.76.0",
)  # fmt: skip
TREES = (
    "numpy==2.4.6", "xgboost-cpu==3.2.0", "lightgbm==4.7.0", "scikit-learn==1.9.1",
    "pandas==3.1.1", "pyarrow==26.0.1", "polars==2.1.0", "matplotlib==3.11.2", "pillow==13.0.0",
    "plotly==7.1.0", "altair==6.1.0", "bokeh==3.9.2", "tensorboardX==2.6.5",
)  # fmt: skip
NETS = ("keras==3.15.1", "lightning==2.6.6", "transformers==5.24.0", "accelerate==1.15.0")


def trees() -> Path:
    """The interpreter of the environment with tree libraries, frames and figures."""
    return plain_environment(FOLDER, "trees", (*TREES, *_SDK))


def nets() -> Path:
    """The interpreter of the environment with neural networks.

    Raises:
        NotInstallable: PyTorch is no file of this machine.
    """
    return torch_environment(FOLDER, "nets", (*NETS, *_SDK))


def surroundings(**settings: str) -> dict[str, str]:
    """Variables to run a training with: the workspace's SDK, and none of its other packages."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("EPOCHAL_", "PYTHON", "VIRTUAL_ENV", "COV"))
    }
    sources = [str(Path(str(one.__file__)).parents[1]) for one in (epochal, epochal_proto)]
    return {**kept, "PYTHONPATH": os.pathsep.join(sources), "NO_PROXY": "*", **settings}
