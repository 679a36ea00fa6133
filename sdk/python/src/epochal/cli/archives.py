"""The user's code as one archive: the same files give the same bytes, so the same digest."""

from __future__ import annotations

import gzip
import os
import stat
import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from pathspec import GitIgnoreSpec

from epochal.cli.documents import Mount
from epochal.cli.output import size
from epochal.errors import InvalidArgument

IGNORE_FILES: Final = (".epochalignore", ".polyaxonignore", ".gitignore")
MAX_BYTES: Final = 2 * 1024**3
MAX_FILES: Final = 100_000
_ALWAYS: Final = (".git/", ".hg/", ".svn/", "__pycache__/", "*.py[co]", ".venv/", ".DS_Store")


@dataclass(frozen=True, slots=True)
class Member:
    """One file of the archive: its name there, where it is read from, and its size."""

    name: str
    source: Path
    size_bytes: int


def members(mounts: Sequence[Mount]) -> list[Member]:
    """The files to pack, by name; what the folder's ignore file names is left out.

    The first of `.epochalignore`, `.polyaxonignore` and `.gitignore` in the folder counts. A link
    stands for what it leads to, as long as that is in the same folder.

    Raises:
        InvalidArgument: A link leads out, a name is taken twice, or it is all too much.
    """
    found: dict[str, Member] = {}
    for mount in mounts:
        for member in _of(mount):
            other = found.setdefault(member.name, member)
            if other.source != member.source:
                raise InvalidArgument(
                    f"both {other.source} and {member.source} would be uploaded as {member.name}"
                )
    chosen = sorted(found.values(), key=lambda member: member.name)
    _assert_bounds(chosen)
    return chosen


def pack(chosen: Sequence[Member], target: Path, progress: Callable[[int], None]) -> None:
    """Writes a `tar.gz` without times, owners and names of this machine.

    Raises:
        InvalidArgument: A file went away or cannot be read.
    """
    with (
        target.open("wb") as file,
        gzip.GzipFile("", "wb", 6, file, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for member in chosen:
            try:
                with member.source.open("rb") as content:
                    tar.addfile(_header(member, content), content)
            except OSError as error:
                raise InvalidArgument(
                    f"cannot read {member.source}: {error.strerror or error}"
                ) from error
            progress(member.size_bytes)


def _header(member: Member, content: IO[bytes]) -> tarfile.TarInfo:
    state = os.fstat(content.fileno())
    header = tarfile.TarInfo(member.name)
    header.size = state.st_size
    header.mode = 0o755 if state.st_mode & stat.S_IXUSR else 0o644
    return header


def _of(mount: Mount) -> Iterator[Member]:
    prefix = mount.target.strip("/")
    if mount.source.is_file():
        name = prefix or mount.source.name
        yield Member(_safe(name), mount.source, mount.source.stat().st_size)
        return
    root = mount.source.resolve()
    yield from _walk(root, root, "", prefix, _ignored(root), (root,))


def _walk(
    root: Path,
    folder: Path,
    inside: str,
    prefix: str,
    ignored: GitIgnoreSpec,
    above: tuple[Path, ...],
) -> Iterator[Member]:
    for entry in sorted(os.scandir(folder), key=lambda each: each.name):
        name = f"{inside}{entry.name}"
        try:
            is_folder = entry.is_dir()
        except OSError:
            is_folder = False
        if ignored.match_file(f"{name}/" if is_folder else name):
            continue
        source = Path(entry.path)
        if entry.is_symlink():
            source = _followed(root, source)
        if is_folder:
            if source.resolve() in above:
                raise InvalidArgument(f"the link {entry.path} leads back to a folder around it")
            yield from _walk(root, source, f"{name}/", prefix, ignored, (*above, source.resolve()))
        elif source.is_file():
            yield Member(
                _safe(f"{prefix}/{name}" if prefix else name), source, source.stat().st_size
            )


def _followed(root: Path, link: Path) -> Path:
    try:
        target = link.resolve(strict=True)
    except OSError:
        raise InvalidArgument(
            f"the link {link} leads nowhere: remove it, or name it in {IGNORE_FILES[0]}"
        ) from None
    if not target.is_relative_to(root):
        raise InvalidArgument(
            f"the link {link} leads out of {root}, to {target}: name it in {IGNORE_FILES[0]}, or "
            "copy what it leads to into the folder"
        )
    return target


def _ignored(root: Path) -> GitIgnoreSpec:
    file = next((root / name for name in IGNORE_FILES if (root / name).is_file()), None)
    lines = [] if file is None else file.read_text(encoding="utf-8", errors="replace").splitlines()
    return GitIgnoreSpec.from_lines([*_ALWAYS, *lines])


def _safe(name: str) -> str:
    if name.startswith("/") or any(part in {"", ".", ".."} for part in name.split("/")):
        raise InvalidArgument(f"{name!r} cannot be uploaded to: give a path below the run's folder")
    return name


def _assert_bounds(chosen: Sequence[Member]) -> None:
    total = sum(member.size_bytes for member in chosen)
    if not chosen:
        raise InvalidArgument("there is nothing to upload: every file is ignored, or none is there")
    if total <= MAX_BYTES and len(chosen) <= MAX_FILES:
        return
    largest = sorted(chosen, key=lambda member: -member.size_bytes)[:5]
    listed = "\n".join(f"  {size(each.size_bytes):>10}  {each.name}" for each in largest)
    raise InvalidArgument(
        f"{len(chosen)} files with {size(total)} are too much to upload with a run: at most "
        f"{MAX_FILES} files and {size(MAX_BYTES)}. Name what is not code in {IGNORE_FILES[0]}, and "
        f"bring data as artifacts or datasets. The largest:\n{listed}"
    )
