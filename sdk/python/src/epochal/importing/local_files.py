"""Files of a store that are on this machine's disk, wherever the store says they are."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import unquote, urlparse

from epochal.errors import InvalidArgument, NotFound
from epochal.importing.records import File

PROXIED = "mlflow-artifacts"


class LocalFiles:
    """Finds what URIs of a store name."""

    def __init__(self, base: Path, artifacts: Path | None = None) -> None:
        """Takes where relative paths begin, and where a server that proxied artifacts kept them."""
        self._base = base
        self._artifacts = artifacts

    def folder(self, uri: str) -> Path:
        """The folder that a URI is.

        Raises:
            InvalidArgument: It is not on this machine, as far as can be told.
        """
        parsed = urlparse(uri)
        if parsed.scheme in ("", "file"):
            path = Path(unquote(parsed.path))
            return path if path.is_absolute() else self._base / path
        if parsed.scheme == PROXIED:
            if self._artifacts is None:
                raise InvalidArgument(
                    f"{uri} was kept by the server of this store: give the folder that was its "
                    "--artifacts-destination as --artifacts"
                )
            return self._artifacts / unquote(parsed.path).lstrip("/")
        raise InvalidArgument(
            f"{uri} is not on this machine: start a server over the store (`mlflow server "
            "--backend-store-uri ...`), which reads it, and give its http:// address"
        )


def files_below(root: Path) -> Iterable[File]:
    """All files below a folder; none when it is not there."""
    for path in sorted(root.rglob("*")) if root.is_dir() else ():
        if path.is_file():
            yield File(path.relative_to(root).as_posix(), path.stat().st_size)


def copy(root: Path, file: File, target: Path) -> None:
    """Copies a file of a folder.

    Raises:
        NotFound: It is gone.
    """
    try:
        shutil.copyfile(root / file.path, target)
    except FileNotFoundError as error:
        raise NotFound(f"{root / file.path} is gone since it was listed") from error
