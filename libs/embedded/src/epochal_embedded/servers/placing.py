"""Where the server's folder is made, and whose it is."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path

from epochal_embedded.servers.accounts import Account, can_enter
from epochal_embedded.servers.folders import make_folder


def write_for(account: Account | None, path: Path, text: str) -> None:
    """Write a 0600 file that the server's account owns."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        if account is not None:
            os.fchown(file.fileno(), account.uid, account.gid)
        file.write(text)


def own_folder(wanted: Path, account: Account | None, relocated: Path) -> Path:
    """Make the server's folder and return it.

    When the account cannot reach the wanted place, the folder is made under `relocated`, with a
    name that follows from the wanted path, and a link at the wanted path leads there.
    """
    folder = wanted
    if not can_enter(wanted.parent, account):
        name = hashlib.sha256(os.fsencode(wanted)).hexdigest()[:16]
        folder = relocated / f"postgres-{name}"
        make_folder(relocated, 0o711)
        wanted.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            wanted.symlink_to(folder, target_is_directory=True)
    if wanted.is_symlink():
        folder = wanted.resolve()
    created = make_folder(folder, 0o700)
    if created and account is not None:
        os.chown(folder, account.uid, account.gid)
    return folder
