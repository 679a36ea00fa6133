"""Environments with training libraries, which the workspace neither has nor needs."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from uuid import uuid4

import epochal
import epochal_proto

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
TORCH = "torch==2.13.0"
_PYTHON = "3.11"


class NotInstallable(Exception):
    """The environment cannot be made on this machine; the message says why."""


def trees() -> Path:
    """The interpreter of the environment with tree libraries, frames and figures."""

    def fill(python: Path) -> None:
        _run("uv", "pip", "install", "--quiet", "--python", str(python), *TREES, *_SDK)

    def begin(folder: Path) -> None:
        _run("uv", "venv", "--quiet", "--relocatable", "--python", _PYTHON, str(folder))

    return _made("trees", (*TREES, *_SDK), begin, fill)


def nets() -> Path:
    """The interpreter of the environment with neural networks.

    PyTorch comes from a file of this machine, which only pip knows: from elsewhere it would be
    a build for GPUs of several gigabytes.

    Raises:
        NotInstallable: There is no such file, or no such Python.
    """
    base = shutil.which(f"python{_PYTHON}")
    if base is None:
        raise NotInstallable(f"there is no python{_PYTHON}")

    def begin(folder: Path) -> None:
        _run(base, "-m", "venv", str(folder))

    def fill(python: Path) -> None:
        asked = ("install", "--dry-run", "--quiet", "--report", "-", "--no-deps", TORCH)
        found = subprocess.run(
            [python, "-m", "pip", *asked], capture_output=True, text=True, check=False, cwd=FOLDER
        )
        url = "nowhere"
        if found.returncode == 0:
            url = json.loads(found.stdout)["install"][0]["download_info"]["url"]
        if not url.startswith("file:"):
            raise NotInstallable(f"{TORCH} is no file of this machine")
        _run(str(python), "-m", "pip", "install", "--quiet", TORCH, *NETS, *_SDK)

    return _made("nets", (TORCH, *NETS, *_SDK), begin, fill)


def surroundings(**settings: str) -> dict[str, str]:
    """Variables to run a training with: the workspace's SDK, and none of its other packages."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("EPOCHAL_", "PYTHON", "VIRTUAL_ENV", "COV"))
    }
    sources = [str(Path(str(one.__file__)).parents[1]) for one in (epochal, epochal_proto)]
    return {**kept, "PYTHONPATH": os.pathsep.join(sources), "NO_PROXY": "*", **settings}


def _made(
    name: str,
    pins: Sequence[str],
    begin: Callable[[Path], None],
    fill: Callable[[Path], None],
) -> Path:
    """Makes an environment unless it is there, under a name of its own, and then renames it."""
    digest = hashlib.sha256(" ".join(pins).encode()).hexdigest()[:8]
    environment = FOLDER / f"{name}-{digest}"
    python = environment / "bin" / "python"
    if python.exists():
        return python
    FOLDER.mkdir(parents=True, exist_ok=True)
    begun = FOLDER / f".{name}-{uuid4().hex}"
    try:
        begin(begun)
        fill(begun / "bin" / "python")
        try:
            begun.rename(environment)
        except OSError:
            if not python.exists():
                raise
    finally:
        shutil.rmtree(begun, ignore_errors=True)
    return python


def _run(*command: str) -> None:
    # From elsewhere: the pins of the workspace are not theirs.
    subprocess.run(command, check=True, cwd=FOLDER)
