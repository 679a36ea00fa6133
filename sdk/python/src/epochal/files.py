"""Which files an artifact or a model is made of, and what each is called under the run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from epochal.artifacts import checked_path
from epochal.digests import files
from epochal.errors import InvalidArgument


def named_files(path: Path, name: str) -> Iterator[tuple[Path, str]]:
    """A file as `name`, or every file of a folder as `name/...`, in order of name.

    Raises:
        InvalidArgument: There is nothing there, the folder is empty, or the name cannot be.
    """
    checked_path(name)
    if path.is_file():
        yield path, name
        return
    if not path.is_dir():
        raise InvalidArgument(f"there is no file or folder {path}")
    found = sorted(files(path))
    if not found:
        raise InvalidArgument(f"the folder {path} holds no files")
    for file in found:
        yield file, checked_path(f"{name}/{file.relative_to(path).as_posix()}")
