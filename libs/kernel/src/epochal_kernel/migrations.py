"""Numbered SQL files, applied once each, in order, under an advisory lock.

A file that was applied must never change: its sha256 is stored and compared at every start.
"""

from __future__ import annotations

import hashlib
from importlib import resources

from epochal_kernel.errors import FailedPrecondition
from epochal_kernel.postgres import Connection, adapting

# Any number; all services of one database use the same one.
_LOCK = 0x6570_6F63

_TABLE = """
CREATE SCHEMA IF NOT EXISTS epochal;
CREATE TABLE IF NOT EXISTS epochal.migration (
    owner text NOT NULL, name text NOT NULL, sha256 bytea NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp(), PRIMARY KEY (owner, name)
)
"""


class MigrationChanged(FailedPrecondition):
    """A migration that was applied to this database has other text now."""

    default_reason = "MIGRATION_CHANGED"


async def migrate(connection: Connection, owner: str, package: str) -> list[str]:
    """Apply what is new of `package`'s sql/NNNN_*.sql and return the names applied.

    Raises:
        MigrationChanged: an applied file was edited, or is gone: the release is older than the
            database.
    """
    folder = resources.files(package).joinpath("sql")
    files = sorted(
        (entry.name, entry.read_text())
        for entry in folder.iterdir()
        if entry.name[:4].isdigit() and entry.name.endswith(".sql")
    )
    applied_now: list[str] = []
    with adapting():
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
            await connection.execute(_TABLE)
            rows = await connection.fetch(
                "SELECT name, sha256 FROM epochal.migration WHERE owner = $1", owner
            )
            known = {row[0]: row[1] for row in rows}
            gone = sorted(known.keys() - {name for name, _ in files})
            if gone:
                raise MigrationChanged(
                    f"the database has migration {owner}/{gone[0]}, which this release lacks: "
                    "start the release that wrote it, or a newer one"
                )
            for name, text in files:
                digest = hashlib.sha256(text.encode()).digest()
                if name in known:
                    if known[name] != digest:
                        raise MigrationChanged(f"{owner}/{name} was edited after it was applied")
                    continue
                await connection.execute(text)
                await connection.execute(
                    "INSERT INTO epochal.migration (owner, name, sha256) VALUES ($1, $2, $3)",
                    owner,
                    name,
                    digest,
                )
                applied_now.append(name)
    return applied_now
