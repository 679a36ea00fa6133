"""The artifacts of the platform that is forked: its object store is a folder, copied or linked.

A linked object is one file in both platforms. Objects are named by their content and never
written again, so neither platform can change the other's; either may delete its own name of it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from epochal_embedded.errors import EmbeddedError

#: The published tree of the source's log. A fork has a log of its own.
_LEFT_OUT = frozenset(("tlog",))


class Objects(StrEnum):
    """What becomes of the artifacts."""

    none = "none"
    link = "link"
    copy = "copy"


@dataclass(frozen=True, slots=True)
class Taken:
    """How many files, and how many bytes they hold."""

    files: int = 0
    size_bytes: int = 0


def measure(folder: Path) -> Taken:
    """Return what a folder of objects holds."""
    files = size = 0
    for entry in _files(folder):
        files, size = files + 1, size + entry.stat().st_size
    return Taken(files, size)


def take(source: Path, target: Path, how: Objects, told: Callable[[int], None]) -> Taken:
    """Copy or link every object; blocking.

    Args:
        source: folder of the objects.
        target: an empty folder.
        how: copy, or link where both are on one disk.
        told: called with the number of files done.

    Raises:
        EmbeddedError: links were asked for and the folders are on two disks.
    """
    files = size = 0
    for entry in _files(source):
        place = target / Path(entry.path).relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            if how is Objects.link:
                os.link(entry.path, place)
            else:
                shutil.copyfile(entry.path, place)
            size += place.stat().st_size
        except FileNotFoundError:
            continue  # deleted by retention meanwhile: its event is beyond the fork
        except OSError as error:
            if how is Objects.link:
                raise EmbeddedError(
                    f"{entry.path} cannot be linked into {target} ({error.strerror}): use "
                    "--objects copy."
                ) from error
            raise
        files += 1
        told(files)
    return Taken(files, size)


def _files(folder: Path, *, top: bool = True) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                if not (top and entry.name in _LEFT_OUT):
                    yield from _files(Path(entry.path), top=False)
            elif entry.is_file(follow_symlinks=False):
                yield entry
