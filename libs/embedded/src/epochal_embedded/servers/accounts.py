"""The account that PostgreSQL runs as, and what that account can reach.

PostgreSQL refuses to run as root, and root's own folders are usually closed to everybody
else. So as root the server runs as an existing unprivileged account, and every path it is given is
checked first: a path it cannot reach is replaced by a copy or by another place, never by
loosening the permissions of a folder that is not ours.
"""

from __future__ import annotations

import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path

from epochal_embedded.errors import AccountMissing

_CANDIDATES = ("nobody", "postgres", "daemon")


@dataclass(frozen=True, slots=True)
class Account:
    """An operating system account."""

    name: str
    uid: int
    gid: int


def server_account() -> Account | None:
    """Return the account to run PostgreSQL as, or None when this process is not root.

    `EPOCHAL_SERVER_USER` names another account than the usual ones.

    Raises:
        AccountMissing: this process is root and there is no unprivileged account.
    """
    if os.geteuid() != 0:
        return None
    wanted = os.environ.get("EPOCHAL_SERVER_USER")
    for name in (wanted,) if wanted else _CANDIDATES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid != 0:
            return Account(name=name, uid=entry.pw_uid, gid=entry.pw_gid)
    raise AccountMissing(
        "PostgreSQL cannot run as root and none of these accounts exists: "
        f"{wanted or ', '.join(_CANDIDATES)}. Set EPOCHAL_SERVER_USER to an ordinary account, "
        "or EPOCHAL_DATABASE_URL to a server of your own."
    )


def can_enter(path: Path, account: Account | None) -> bool:
    """Return whether the account may pass through every existing folder from the root to `path`.

    None stands for the account of this process, which made or was given the path.
    """
    if account is None:
        return True
    resolved = path.resolve()
    existing = [folder for folder in (resolved, *resolved.parents) if folder.is_dir()]
    return all(_may_traverse(folder.stat(), account) for folder in existing)


def _may_traverse(status: os.stat_result, account: Account) -> bool:
    if status.st_uid == account.uid:
        return bool(status.st_mode & stat.S_IXUSR)
    if status.st_gid == account.gid:
        return bool(status.st_mode & stat.S_IXGRP)
    return bool(status.st_mode & stat.S_IXOTH)
