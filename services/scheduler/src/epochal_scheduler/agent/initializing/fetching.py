"""Files of runs, brought into the folder of a run."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from epochal_scheduler.agent.initializing.failing import InitFailed
from epochal_scheduler.agent.ports import ArtifactPort, Stored

AT_ONCE = 4

_RUN = re.compile(
    r"(?:^|.*/)([0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12})(?:/(.*))?$"
)


@dataclass(frozen=True, slots=True)
class Source:
    """A path below a run, a file or a folder; empty for everything of it."""

    run: str
    path: str


@dataclass(frozen=True, slots=True)
class Fetcher:
    """Brings files with the token of one run.

    Attributes:
        store: the platform's artifacts.
        token: of the run that asks.
        project: runs are of this project: the token reads no other.
        home: the run's folder; nothing is written outside of it.
    """

    store: ArtifactPort
    token: str
    project: str
    home: Path

    async def fetch(self, source: Source, target: Path) -> dict[str, str]:
        """Brings a file to `target`, or the files of a folder below it; returns their digests.

        Raises:
            InitFailed: there is no such artifact, or `target` is outside.
            EpochalError: refused, or the platform is away.
            OSError: the disk is full, or a folder cannot be made.
        """
        prefix = source.path.strip("/")
        found = [
            one
            for one in await self.store.list(self.token, source.run, prefix)
            if not prefix or one.path == prefix or one.path.startswith(prefix + "/")
        ]
        if not found:
            raise InitFailed(f"{source.run} has no artifact {prefix or '/'}")
        places = [
            (one, target if one.path == prefix else target / _below(one.path, prefix))
            for one in found
        ]
        for _, place in places:
            self.inside(place)
        free = asyncio.Semaphore(AT_ONCE)

        async def bring(one: Stored, place: Path) -> tuple[str, str]:
            async with free:
                digest = await self.store.get(self.token, source.run, one.path, place)
            return f"{source.run.rpartition('/')[2]}/{one.path}", digest

        try:
            async with asyncio.TaskGroup() as tasks:
                bringing = [tasks.create_task(bring(one, place)) for one, place in places]
        except ExceptionGroup as group:
            raise group.exceptions[0] from None  # the first that failed ended the others
        return dict(task.result() for task in bringing)

    def inside(self, path: Path) -> Path:
        """Returns a path of the run's folder.

        Raises:
            InitFailed: it is outside.
        """
        whole = self.home / path
        if not whole.resolve().is_relative_to(self.home.resolve()):
            raise InitFailed(f"{path} is outside of the run's folder")
        return whole

    def source(self, text: str) -> Source:
        """Reads `UUID/PATH`, `runs.UUID/PATH`, or a whole path with a run's id in it.

        Raises:
            InitFailed: it names no run.
        """
        match = _RUN.match(text.strip().replace("runs.", "", 1).replace(":", "/", 1))
        if match is None:
            raise InitFailed(f"{text!r} names no run: write RUN_UUID/path")
        uid = match.group(1).replace("-", "")
        parts = (uid[:8], uid[8:12], uid[12:16], uid[16:20], uid[20:])
        path = match.group(2) or ""
        if ".." in PurePosixPath(path).parts:
            raise InitFailed(f"{text!r} leads out of its run")
        return Source(f"{self.project}/runs/{'-'.join(parts)}", path)


def _below(path: str, prefix: str) -> str:
    return path[len(prefix) + 1 :] if prefix else path


def pair(item: object) -> tuple[str, str]:
    """Returns `from` and `to` of an entry: a text, or a list of two.

    Raises:
        InitFailed: it is neither.
    """
    if isinstance(item, str):
        return item, ""
    if isinstance(item, Sequence) and len(item) == 2 and all(isinstance(i, str) for i in item):
        return str(item[0]), str(item[1])
    raise InitFailed(f"{item!r} is neither a path nor a pair of paths")
