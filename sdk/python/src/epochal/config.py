"""Where the platform is and who we are to it, found without asking the user twice.

In this order, the first that names a URL wins:

1. environment: EPOCHAL_URL, EPOCHAL_TOKEN, EPOCHAL_PROJECT
2. `$EPOCHAL_HOME/client.json`, when EPOCHAL_HOME is set
3. the user's file: `$EPOCHAL_CONFIG`, else `~/.config/epochal/config.json`
4. `client.json` in the default data folder, where `epochal up` leaves it

A token goes only to the URL it was stored with: a URL from the environment takes a token from a
file only when that file names the same URL.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from epochal.errors import InvalidArgument, NotConfigured

DEFAULT_PROJECT: Final = "orgs/default/projects/main"


@dataclass(frozen=True, slots=True)
class Connection:
    """A platform and our part in it: `url` of its HTTP door, secret, default project."""

    url: str
    token: str = ""
    project: str = DEFAULT_PROJECT
    source: str = "given"


def home(environ: Mapping[str, str] = os.environ) -> Path:
    """The data folder of the embedded platform: EPOCHAL_HOME, or the default for this user."""
    if configured := environ.get("EPOCHAL_HOME"):
        return Path(configured).expanduser()
    if os.geteuid() == 0:
        return Path("/var/lib/epochal")
    return _base(environ, "XDG_DATA_HOME", ".local/share")


def user_file(environ: Mapping[str, str] = os.environ) -> Path:
    """The file that `epochal config set` writes."""
    if configured := environ.get("EPOCHAL_CONFIG"):
        return Path(configured).expanduser()
    return _base(environ, "XDG_CONFIG_HOME", ".config") / "config.json"


def spool_root(environ: Mapping[str, str] = os.environ) -> Path:
    """The folder under which every run keeps what the platform has not persisted yet."""
    if configured := environ.get("EPOCHAL_SPOOL"):
        return Path(configured).expanduser()
    return _base(environ, "XDG_STATE_HOME", ".local/state") / "spool"


def find(environ: Mapping[str, str] = os.environ) -> Connection:
    """Finds the platform.

    Raises:
        NotConfigured: Nothing names one.
        InvalidArgument: A file is there and is not what it should be.
    """
    files = [found for path in _files(environ) if (found := read(path)) is not None]
    url = environ.get("EPOCHAL_URL", "").rstrip("/")
    chosen = next((each for each in files if not url or each.url == url), None)
    if chosen is None:
        if not url:
            raise NotConfigured
        chosen = Connection(url=url, source="EPOCHAL_URL")
    return replace(
        chosen,
        token=environ.get("EPOCHAL_TOKEN") or chosen.token,
        project=environ.get("EPOCHAL_PROJECT") or chosen.project,
    )


def default_project(environ: Mapping[str, str] = os.environ) -> str:
    """The project that work goes to when none is named; needs no platform."""
    try:
        return find(environ).project
    except NotConfigured:
        return environ.get("EPOCHAL_PROJECT") or DEFAULT_PROJECT


def read(path: Path) -> Connection | None:
    """Reads one file; None when there is none, or it names no URL.

    Raises:
        InvalidArgument: It is not a JSON object of strings.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return None
    try:
        fields = json.loads(text)
    except ValueError as error:
        raise InvalidArgument(f"{path} is not JSON ({error}): mend or delete it") from error
    if not isinstance(fields, dict) or not all(isinstance(v, str) for v in fields.values()):
        raise InvalidArgument(f"{path} must be a JSON object of strings: mend or delete it")
    if not fields.get("url"):
        return None
    return Connection(
        url=fields["url"].rstrip("/"),
        token=fields.get("token", ""),
        project=fields.get("project") or DEFAULT_PROJECT,
        source=str(path),
    )


def write(connection: Connection, path: Path) -> None:
    """Stores a connection, readable by the user alone because it holds the secret."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fields = {"url": connection.url, "token": connection.token, "project": connection.project}
    fresh = path.with_suffix(".new")
    fresh.touch(mode=0o600)
    fresh.write_text(json.dumps(fields, indent=2) + "\n", encoding="utf-8")
    fresh.replace(path)


def _files(environ: Mapping[str, str]) -> list[Path]:
    client = home(environ) / "client.json"
    files = [user_file(environ), client]
    return files[::-1] if environ.get("EPOCHAL_HOME") else files


def _base(environ: Mapping[str, str], variable: str, fallback: str) -> Path:
    root = environ.get(variable)
    return (Path(root) if root else Path.home() / fallback) / "epochal"
