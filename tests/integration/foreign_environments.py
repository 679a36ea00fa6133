"""Environments with libraries that the workspace neither has nor needs, kept for the next time."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from uuid import uuid4

TORCH = "torch==2.13.0"
_PYTHON = "3.11"


class NotInstallable(Exception):
    """The environment cannot be made on this machine; the message says why."""


def plain_environment(folder: Path, name: str, pins: Sequence[str]) -> Path:
    """Return the interpreter of an environment with these packages."""

    def begin(begun: Path) -> None:
        _run(folder, "uv", "venv", "--quiet", "--relocatable", "--python", _PYTHON, str(begun))

    def fill(python: Path) -> None:
        _run(folder, "uv", "pip", "install", "--quiet", "--python", str(python), *pins)

    return _made(folder, name, pins, begin, fill)


def torch_environment(folder: Path, name: str, pins: Sequence[str]) -> Path:
    """Return the interpreter of an environment with PyTorch and these packages.

    PyTorch comes from a file of this machine, which only pip knows: from elsewhere it would be
    a build for GPUs of several gigabytes.

    Raises:
        NotInstallable: There is no such file, or no such Python.
    """
    base = shutil.which(f"python{_PYTHON}")
    if base is None:
        raise NotInstallable(f"there is no python{_PYTHON}")

    def begin(begun: Path) -> None:
        _run(folder, base, "-m", "venv", str(begun))

    def fill(python: Path) -> None:
        asked = ("install", "--dry-run", "--quiet", "--report", "-", "--no-deps", TORCH)
        found = subprocess.run(
            [python, "-m", "pip", *asked], capture_output=True, text=True, check=False, cwd=folder
        )
        url = "nowhere"
        if found.returncode == 0:
            url = json.loads(found.stdout)["install"][0]["download_info"]["url"]
        if not url.startswith("file:"):
            raise NotInstallable(f"{TORCH} is no file of this machine")
        _run(folder, str(python), "-m", "pip", "install", "--quiet", TORCH, *pins)

    return _made(folder, name, (TORCH, *pins), begin, fill)


def _made(
    folder: Path,
    name: str,
    pins: Sequence[str],
    begin: Callable[[Path], None],
    fill: Callable[[Path], None],
) -> Path:
    """Make an environment unless it is there, under a name of its own, and then rename it.

    So two test processes may make it at once, and a process that is killed leaves no half of one
    behind that the next takes for whole.
    """
    digest = hashlib.sha256(" ".join(pins).encode()).hexdigest()[:8]
    environment = folder / f"{name}-{digest}"
    python = environment / "bin" / "python"
    if python.exists():
        return python
    folder.mkdir(parents=True, exist_ok=True)
    begun = folder / f".{name}-{uuid4().hex}"
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


def _run(folder: Path, *command: str) -> None:
    # From elsewhere: the pins of the workspace are not theirs.
    subprocess.run(command, check=True, cwd=folder)
