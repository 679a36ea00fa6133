"""What this process was made of: command, code, interpreter, packages, machine, seeds.

Everything is read, nothing is imported or run but git: it must cost a training next to nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import epochal_proto.v1 as pb

GIT_S: Final = 10.0
MAX_DIFF_BYTES: Final = 20 * 1024 * 1024

_PACKAGE: Final = re.compile(r"(?P<name>.+?)-(?P<version>[^-]+)(?:-py[0-9.]+)?\.(?:dist|egg)-info$")
_CREDENTIALS: Final = re.compile(r"(?<=://)[^/@]*@")


@dataclass(slots=True)
class Code:
    """Where the code stands in its repository; `diff` is what is not committed."""

    state: pb.GitState | None = None
    diff: bytes = b""
    missing: list[str] = field(default_factory=list)


def describe(environ: Mapping[str, str] = os.environ) -> pb.Capture:
    """Returns all that is known without running anything."""
    return pb.Capture(
        command=sys.orig_argv,
        working_dir=os.getcwd(),
        interpreter=f"{platform.python_implementation()} {platform.python_version()}",
        packages=dict(packages(sys.path)),
        hardware=hardware(environ),
        seeds=seeds(environ),
    )


def packages(paths: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yields installed packages and versions, as the names of their metadata folders say."""
    for path in paths:
        try:
            names = os.listdir(path or ".")
        except OSError:
            continue
        for name in names:
            if match := _PACKAGE.match(name):
                yield match["name"].replace("_", "-").lower(), match["version"]


def hardware(environ: Mapping[str, str]) -> dict[str, str]:
    """Returns the machine; its name hashed when EPOCHAL_HASH_HOSTNAME is set."""
    host = platform.node()
    if environ.get("EPOCHAL_HASH_HOSTNAME", "") not in ("", "0"):
        host = hashlib.sha256(host.encode()).hexdigest()[:16]
    found = {
        "hostname": host,
        "platform": platform.platform(),
        "cpu_count": str(os.cpu_count() or 0),
    }
    with contextlib.suppress(ValueError, OSError):  # not every system says
        found["memory_bytes"] = str(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return found


def seeds(environ: Mapping[str, str]) -> dict[str, str]:
    """Returns seeds that the environment names."""
    return {
        name: value
        for name, value in environ.items()
        if value and (name == "PYTHONHASHSEED" or name.lower().endswith("seed"))
    }


def code(folder: Path) -> Code:
    """Returns the state of the repository a folder is in, if it is in one."""
    found = Code()
    try:
        commit = _git(folder, "rev-parse", "HEAD").decode().strip()
        branch = _git(folder, "rev-parse", "--abbrev-ref", "HEAD").decode().strip()
        found.diff = _git(folder, "diff", "--binary", "--no-ext-diff", "HEAD")
        changes = _git(folder, "status", "--porcelain").decode(errors="replace").splitlines()
    except FileNotFoundError:
        found.missing.append("git is not installed: the state of the code is not known")
        return found
    except (OSError, subprocess.SubprocessError):
        found.missing.append("the code is in no git repository with a commit")
        return found
    try:
        url = _git(folder, "config", "--get", "remote.origin.url").decode().strip()
    except subprocess.SubprocessError:
        url = ""
    found.state = pb.GitState(
        url=_CREDENTIALS.sub("", url),
        commit=commit,
        branch="" if branch == "HEAD" else branch,
        dirty=bool(changes),
    )
    if strangers := sum(line.startswith("??") for line in changes):
        found.missing.append(f"{strangers} files or folders that git does not know are not kept")
    if len(found.diff) > MAX_DIFF_BYTES:
        found.missing.append(f"the uncommitted difference has {len(found.diff)} bytes: not kept")
        found.diff = b""
    return found


def _git(folder: Path, *arguments: str) -> bytes:
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0"}
    return subprocess.run(
        ["git", *arguments],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=GIT_S,
        check=True,
    ).stdout
