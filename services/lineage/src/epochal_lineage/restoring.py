r"""Restoring the log from its archive into an empty database, and proving it while it is loaded.

    EPOCHAL_DATABASE_URL=... epochal-restore-log s3://bucket/log --names s3://other/names \
        [--key VERIFIER_KEY]

The log is marked as a fork of what was archived (`log.fork`): up to there services replay with
projectors alone, so nothing that the past asked for is done again, and what the restored platform
may do of its own accord is said by EPOCHAL_FORK_ALLOWS.

Every event is held against the hash chain, the tree against every checkpoint of the archive, and
the newest checkpoint against a key. All is one transaction: a log that does not hold is not there.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import uuid4

from epochal_kernel.clock import SystemClock
from epochal_kernel.errors import DataLoss, EpochalError, FailedPrecondition, InvalidArgument
from epochal_kernel.log.chain import GENESIS
from epochal_kernel.log.events import COLUMNS
from epochal_kernel.log.forks import Fork, mark_fork
from epochal_kernel.log.reader import LogReader
from epochal_kernel.migrations import migrate
from epochal_kernel.postgres import Connection, Pool, adapting, connect, load_sql

from epochal_lineage.domain.naming import NAMES, PersonName, origin_of
from epochal_lineage.domain.naming import read as read_names
from epochal_lineage.domain.segments import ARCHIVE, MANIFEST, Segment, ordered, read
from epochal_lineage.domain.tlog.growing import Frontier
from epochal_lineage.domain.tlog.hashing import leaf_hash
from epochal_lineage.domain.tlog.notes import BadNote, Checkpoint, VerifierKey, split_note
from epochal_lineage.sealing.places import Bucket

_SQL: Final = load_sql("epochal_lineage", "archiving.sql")
_COLUMNS: Final = COLUMNS.split(", ")


@dataclass(frozen=True, slots=True)
class Archive:
    """What an archive says of itself, signed."""

    origin: str
    size: int
    keys: tuple[VerifierKey, ...]
    newest: Checkpoint
    checkpoints: tuple[Checkpoint, ...]
    note: str


async def opened(place: Bucket, key: str = "") -> Archive:
    """Read what an archive says of itself, and check who signed it.

    Args:
        place: the archive.
        key: verifier key to trust, with those it handed over to; else the archive's first.

    Raises:
        DataLoss: something of it is missing, or not as it was written.
        InvalidArgument: the key is none.
    """
    try:
        manifest = json.loads(await place.get(MANIFEST))
        origin, size = str(manifest["origin"]), int(manifest["size"])
        keys = tuple(VerifierKey.parse(str(one)) for one in manifest["keys"])
        if manifest["format"] != ARCHIVE or not keys:
            raise DataLoss(f"{place.name} is no archive of a log")
        pinned = VerifierKey.parse(key) if key else keys[0]
        note = (await place.get("checkpoint")).decode()
        names = await place.names("checkpoints/")
        notes = [*[(await place.get(name)).decode() for name in names], note]
        every = [Checkpoint.parse(split_note(one)[0]) for one in notes]
        newest = every[-1]
        by_size = sorted(zip(every, notes, strict=True), key=lambda one: one[0].size)
        trusted = _trusted(pinned, [one for _, one in by_size], keys)
    except BadNote as error:
        raise InvalidArgument(f"{place.name}: {error}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise DataLoss(f"{place.name}/{MANIFEST} cannot be read: {error}") from error
    for one, text in zip(every, notes, strict=True):
        if not any(_signed(text, by) for by in trusted):
            raise DataLoss(
                f"the checkpoint of size {one.size} of {place.name} is signed neither by {pinned} "
                "nor by a key it handed over to"
            )
    if newest.size < size:
        raise DataLoss(f"{place.name} has {size} events, its checkpoint {newest.size}")
    within = tuple(one for one in every if one.size <= newest.size)
    return Archive(origin, newest.size, keys, newest, (*within, newest), note)


async def segments(place: Bucket, archive: Archive) -> AsyncIterator[Segment]:
    """Yield the segments of an archive in order, each held against chain and checkpoints.

    Raises:
        DataLoss: names the first position that is not as it was sealed, as far as it is known.
    """
    roots: dict[int, set[bytes]] = {}
    for one in archive.checkpoints:
        roots.setdefault(one.size, set()).add(one.root)
    sizes = sorted(roots)
    frontier, link, good = Frontier(), GENESIS, 0
    for name in ordered(await place.names("segments/")):
        if frontier.size >= archive.size:
            return
        segment = read(name, await place.get(name), link, frontier.size)
        link = segment.records[-1].chain
        start = frontier.size
        for size in [one for one in sizes if start < one <= start + len(segment.digests)]:
            upto = segment.digests[frontier.size - start : size - start]
            frontier.extend(map(leaf_hash, upto))
            if roots[size] != {frontier.root()}:
                raise DataLoss(
                    f"the log was rewritten after position {good} and not later than {size}"
                )
            good = size
        frontier.extend(map(leaf_hash, segment.digests[frontier.size - start :]))
        yield segment
    if frontier.size < archive.size:
        raise DataLoss(f"the segment that begins with position {frontier.size + 1} is missing")


async def restore(pool: Pool, place: Bucket, key: str = "", names: Bucket | None = None) -> Archive:
    """Load an archive into an empty log, all or nothing.

    Args:
        pool: of the new database.
        place: the archive.
        key: verifier key to trust.
        names: where names of people are; without them people stay pseudonyms.

    Raises:
        FailedPrecondition: the database has a log with events.
        DataLoss: the archive does not hold; nothing was loaded.
    """
    archive = await opened(place, key)
    people = await _people(names, archive) if names is not None else []
    with adapting():
        async with pool.acquire() as connection:
            await migrate(connection, "log", "epochal_kernel.log")
            await connection.execute(_SQL["unhurried"])
            async with connection.transaction():
                if not await connection.fetchval(_SQL["is_empty"]):
                    raise FailedPrecondition(
                        "the database has a log with events: restore into a new one",
                        reason="LOG_NOT_EMPTY",
                    )
                await _load(connection, place, archive)
                await connection.execute(
                    _SQL["add_names"],
                    [one.pseudonym for one in people],
                    [one.name for one in people],
                    [one.key for one in people],
                    [one.created_at for one in people],
                    [one.erased_at for one in people],
                )
    return archive


async def _people(names: Bucket, archive: Archive) -> list[PersonName]:
    data = await names.get(NAMES)
    if (origin := origin_of(data)) != archive.origin:
        raise InvalidArgument(
            f"{names.name} has the names of the log {origin}, the archive is of {archive.origin}"
        )
    return read_names(data)


async def _load(connection: Connection, place: Bucket, archive: Archive) -> None:
    async for segment in segments(place, archive):
        await connection.copy_records_to_table(
            "event",
            schema_name="log",
            columns=_COLUMNS,
            records=[record for record in segment.records if record.position <= archive.size],
            timeout=None,
        )
    await connection.execute(_SQL["streams"], timeout=None)
    await connection.execute(_SQL["head"])
    head = await LogReader(connection).head()
    fork = Fork(
        number=1,
        fork_id=uuid4(),
        position=head.position,
        chain=head.chain,
        source=f"the archive at {place.name}",
        origin=archive.origin,
        checkpoint=archive.note,
        verifiers=tuple(map(str, archive.keys)),
        forked_at=SystemClock().now(),
    )
    await mark_fork(connection, fork)


def _signed(note: str, key: VerifierKey) -> bool:
    text, signatures = split_note(note)
    return any(one.is_by(key) and key.verifies(text, one.signature) for one in signatures)


def _trusted(
    pinned: VerifierKey, notes: Sequence[str], known: Sequence[VerifierKey]
) -> list[VerifierKey]:
    """Return the key and those it led to: a checkpoint that both signed hands over."""
    trusted = [pinned]
    for note in notes:
        if any(_signed(note, key) for key in trusted):
            trusted += [key for key in known if key not in trusted and _signed(note, key)]
    return trusted


def main(arguments: Sequence[str] | None = None) -> int:
    """Restore what the command line names; exit status 1 when it does not hold."""
    parser = argparse.ArgumentParser(
        prog="epochal-restore-log",
        description="Load an archived log into the empty database of EPOCHAL_DATABASE_URL.",
        epilog="example: epochal-restore-log s3://acme-audit/log --key 'log.acme.com+1a2b3c4d+AQ'",
    )
    parser.add_argument("place", help="file:///folder, s3://bucket/prefix, gs://..., az://...")
    parser.add_argument("--key", default="", help="verifier key that you trust")
    parser.add_argument(
        "--names", default="", help="where names of people are; without them nobody has a role"
    )
    options = parser.parse_args(arguments)
    try:
        archive = asyncio.run(_run(options.place, options.key, options.names))
    except EpochalError as error:
        print(f"nothing was restored: {error.message}", file=sys.stderr)
        return 1
    print(
        f"{archive.size} events of {archive.origin} are restored, as its checkpoint says.\n"
        "Start the services on this database: read models are made from the log. They answer, and\n"
        "act on nothing of their own accord until EPOCHAL_FORK_ALLOWS says so (docs/operations.md)."
    )
    return 0


async def _run(place: str, key: str, names: str) -> Archive:
    url = os.environ.get("EPOCHAL_DATABASE_URL", "")
    if not url:
        raise InvalidArgument("set EPOCHAL_DATABASE_URL to the new database")
    async with await connect(url, name="epochal-restore-log", max_size=2) as pool:
        return await restore(pool, Bucket(place), key, Bucket(names) if names else None)


if __name__ == "__main__":
    sys.exit(main())
