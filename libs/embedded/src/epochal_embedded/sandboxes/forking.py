"""Forking a platform's history into a data folder of its own, in an order that survives a kill.

First the folder says that it is not complete, last that it is. What lies between can be begun
again: the database is dropped and made anew. The platform that is forked is only read.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
from epochal_kernel.clock import SystemClock
from epochal_kernel.failpoints import failpoint
from epochal_kernel.ids import Position
from epochal_kernel.log.forks import Fork
from epochal_kernel.migrations import migrate
from epochal_kernel.postgres import Connection, load_sql

from epochal_embedded.errors import EmbeddedError
from epochal_embedded.home import Home
from epochal_embedded.sandboxes.copying import copy_log, copy_marks, earlier_forks
from epochal_embedded.sandboxes.databases import database_of, server_of
from epochal_embedded.sandboxes.mark import ForkMark, read_mark
from epochal_embedded.sandboxes.objects import Objects, Taken, measure, take
from epochal_embedded.sandboxes.proving import prove
from epochal_embedded.sandboxes.sources import NoSource, Signed, Source, signed, snapshot
from epochal_embedded.sandboxes.telemetry import copy_telemetry, telemetry_bytes
from epochal_embedded.sandboxes.views import View, copy_views
from epochal_embedded.supervisor import lock_home

_SQL = load_sql("epochal_embedded.sandboxes", "forking.sql")

#: Of the log's size: what the copy needs at its largest, with the write-ahead log beside it.
_SPACE = 2.0
_SPARE_BYTES = 512 * 1024**2
#: Keys and names of people, without which what they are called reads as erased.
_NAMES = ("subject", "forgotten")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be forked, and how.

    Attributes:
        home: the data folder of a platform on this machine; None when `database_url` is given.
        database_url: the database of any platform.
        until: the last position or moment that is wanted; None for all there is.
        objects: what becomes of the artifacts.
        objects_folder: where they are, when they are not in `home`.
        views: whether the read models are copied too, to be compared with.
        telemetry: whether points, output and spans are copied.
        names: whether the keys of people's names are; without, read models are not copied either.
    """

    home: Home | None = None
    database_url: str = ""
    until: Position | datetime | None = None
    objects: Objects = Objects.none
    objects_folder: Path | None = None
    views: bool = True
    telemetry: bool = False
    names: bool = True


@dataclass(frozen=True, slots=True)
class Forked:
    """What was made."""

    home: Home
    fork: Fork
    head: Position
    sealed_size: int
    objects: Taken
    views: tuple[View, ...]


#: Told what is done now, how far it is and how far it goes (0: not known).
Told = Callable[[str, int, int], None]


async def fork(wanted: Wanted, home: Home, told: Told) -> Forked:
    """Copy a platform's history into a data folder that `epochal up --home` starts.

    Raises:
        EmbeddedError: nothing was made, or the folder says that it is not complete.
    """
    again = _assert_free(home)
    async with AsyncExitStack() as stack:
        url = wanted.database_url
        if wanted.home is not None:
            if wanted.home.root == home.root:
                raise EmbeddedError(f"{home.root} cannot be forked into itself: give another --to.")
            url = await stack.enter_async_context(database_of(wanted.home))
        source = await stack.enter_async_context(snapshot(url, wanted.until))
        objects = _objects_of(wanted)
        beside = await telemetry_bytes(source) if wanted.telemetry else 0
        if objects is not None and wanted.objects is Objects.copy:
            beside += measure(objects).size_bytes
        _assert_space(home, source, beside)
        lock = lock_home(home)
        stack.callback(lock.release)
        mark = ForkMark(complete=False, fork_id=str(uuid4()), source=source.place)
        mark.write(home)
        failpoint("fork.begun")
        target = await stack.enter_async_context(server_of(home))
        if again:
            _clear(home.objects)
        forked = await _fill(wanted, mark, source, target, home, told)
        if objects is not None:
            taken = await asyncio.to_thread(
                take, objects, home.objects, wanted.objects, lambda n: told("objects", n, 0)
            )
            forked = Forked(home, forked.fork, forked.head, forked.sealed_size, taken, forked.views)
        failpoint("fork.copied")
        mark.done(forked.fork.position, forked.fork.forked_at.isoformat()).write(home)
        return forked


async def _fill(
    wanted: Wanted, mark: ForkMark, source: Source, target_url: str, home: Home, told: Told
) -> Forked:
    """Make the database of the fork anew, fill it, prove it, mark it."""
    base, _, name = target_url.rpartition("/")
    await _recreate(f"{base}/postgres", name)
    target: Connection = await asyncpg.connect(target_url)
    try:
        await target.execute(_SQL["unhurried"])
        await migrate(target, "log", "epochal_kernel.log")
        known = await signed(source)
        await copy_log(
            source,
            target,
            lambda at: told("events", at, source.position),
            without=() if wanted.names else _NAMES,
        )
        failpoint("fork.log_copied")
        await prove(target, known, lambda at: told("proof", at, source.position))
        views: list[View] = []
        if wanted.views and wanted.names:  # read models have the names in them
            told("read models", 0, 0)
            views = await copy_views(source, target)
        if wanted.telemetry:
            await copy_telemetry(source, target, lambda at, of: told("telemetry", at, of))
        # The mark comes last of the database: no service may find a log that is half a fork's.
        fork = await _mark(mark, source, known, target)
        await target.execute(_SQL["settle"])
        return Forked(home, fork, source.head, known.size, Taken(), tuple(views))
    finally:
        await target.close(timeout=10)


async def _mark(mark: ForkMark, source: Source, known: Signed, target: Connection) -> Fork:
    fork = Fork(
        await earlier_forks(source) + 1,
        UUID(mark.fork_id),
        source.position,
        source.chain,
        source.place,
        known.origin,
        known.checkpoint,
        known.verifiers,
        SystemClock().now(),
    )
    await copy_marks(source, target, fork)
    return fork


async def _recreate(url: str, name: str) -> None:
    administrator: Connection = await asyncpg.connect(url)
    try:
        await administrator.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        await administrator.execute(f'CREATE DATABASE "{name}"')
    finally:
        await administrator.close(timeout=10)


def _assert_free(home: Home) -> bool:
    """Refuse a folder with something in it; return whether it is a fork to be begun again."""
    if not home.root.exists():
        return False
    mark = read_mark(home)
    if mark is not None and not mark.complete:
        return True
    if not home.root.is_dir() or any(home.root.iterdir()):
        what = "is a fork already" if mark is not None else "is not empty"
        raise EmbeddedError(f"{home.root} {what}: fork into a folder that is new or empty.")
    return False


def _assert_space(home: Home, source: Source, beside_bytes: int) -> None:
    share = source.position / max(1, source.head)
    needed = int(source.size_bytes * share * _SPACE) + beside_bytes + _SPARE_BYTES
    place = home.root
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if free < needed:
        raise EmbeddedError(
            f"The fork needs about {needed / 1e9:.1f} GB and {place} has {free / 1e9:.1f} GB free: "
            "fork into another disk, or less with --until, --without-views or --objects link."
        )


def _objects_of(wanted: Wanted) -> Path | None:
    if wanted.objects is Objects.none:
        return None
    folder = wanted.objects_folder or (wanted.home.objects if wanted.home else None)
    if folder is None or not folder.is_dir():
        raise NoSource(
            "--objects copies a folder of objects: name it with --objects-from (of a bucket, copy "
            "what is wanted into one first)."
        )
    return folder


def _clear(folder: Path) -> None:
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
