"""Uploads what a run left in its outputs folder, so that it outlives the machine."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from epochal_kernel.errors import EpochalError

from epochal_scheduler.agent.artifacts import sha256_of
from epochal_scheduler.agent.launching import Launch
from epochal_scheduler.agent.ports import ArtifactPort

AT_ONCE = 4
MAX_FILES = 10_000
MAX_BYTES = 50 * 1024**3
LIMIT_S = 3600.0
PREFIX = "outputs"

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Problem:
    """Why outputs are not in the store, and whether that is the platform's fault."""

    message: str
    infrastructure: bool


@dataclass(frozen=True, slots=True)
class Collector:
    """Uploads outputs; what is in the store already is not sent again."""

    store: ArtifactPort

    async def collect(self, launch: Launch, say: Say) -> Problem | None:
        """Uploads the files of a run's outputs folder; says what was left out, and what is wrong.

        A refusal is the user's fault, such as a name that no artifact can have; a store that stays
        away, or a disk that cannot be read, is the platform's.
        """
        plugins = launch.plan.plugins
        if plugins is not None and plugins.collect_artifacts is False:
            return None
        if not _has_entries(launch.outputs):
            return None
        try:
            async with asyncio.timeout(LIMIT_S):
                await self._collect(launch, say)
        except TimeoutError:
            return Problem(f"outputs could not be uploaded within {LIMIT_S:g} s", True)
        except EpochalError as error:
            return Problem(f"outputs could not be uploaded: {error.message}", error.retryable)
        except OSError as error:
            return Problem(f"outputs could not be read: {error}", True)
        return None

    async def _collect(self, launch: Launch, say: Say) -> None:
        files, left_out = await asyncio.to_thread(_files, launch.outputs)
        for notice in left_out:
            say(notice)
        if not files:
            return
        run, token = launch.env["EPOCHAL_RUN"], launch.env["EPOCHAL_TOKEN"]
        known = {one.path: one.digest for one in await self.store.list(token, run, f"{PREFIX}/")}
        free = asyncio.Semaphore(AT_ONCE)

        async def send(file: Path) -> None:
            path = f"{PREFIX}/{file.relative_to(launch.outputs).as_posix()}"
            async with free:
                digest = (await asyncio.to_thread(sha256_of, file)).hex()
                if known.get(path) != f"sha256:{digest}":
                    await self.store.put(token, run, path, file, "output")

        try:
            async with asyncio.TaskGroup() as tasks:
                for file in files:
                    tasks.create_task(send(file))
        except ExceptionGroup as group:
            raise group.exceptions[0] from None  # the first that failed ended the others


def _has_entries(folder: Path) -> bool:
    try:
        with os.scandir(folder) as entries:
            return next(entries, None) is not None
    except FileNotFoundError:
        return False


def _files(folder: Path) -> tuple[list[Path], list[str]]:
    """Returns the regular files below a folder, within bounds, and what is left out and why."""
    files, left_out = list[Path](), list[str]()
    size = 0
    for path, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            file = Path(path, name)
            if not _is_text(str(file)):
                left_out.append(f"outputs: {name!r} is no text: not uploaded")
                continue
            if file.is_symlink() or not file.is_file():
                left_out.append(f"outputs/{file.relative_to(folder)} is no file: not uploaded")
                continue
            size += file.stat().st_size
            if len(files) >= MAX_FILES or size > MAX_BYTES:
                left_out.append(
                    f"outputs: only {MAX_FILES} files and {MAX_BYTES} bytes are uploaded"
                )
                return files, left_out
            files.append(file)
    return files, left_out


def _is_text(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
