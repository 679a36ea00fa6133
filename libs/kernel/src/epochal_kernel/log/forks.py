"""Whether this log is a fork: a copy of another platform's history that goes on by itself.

What the copied part asked for was done by the platform it is of, or is still done by it. A service
that did it again would tell people twice, train twice, deploy twice. So up to the fork's position
no reactor is called, and what acts on the world beyond is off unless somebody allows it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from epochal_kernel.ids import Position
from epochal_kernel.postgres import Connection, Pool, adapting

_COLUMNS = "number, fork_id, position, chain, source, origin, checkpoint, verifiers, forked_at"
_READ = f"SELECT {_COLUMNS} FROM log.fork ORDER BY number DESC LIMIT 1"
_MARK = (
    "INSERT INTO log.fork (number, fork_id, position, chain, source, origin, checkpoint, verifiers)"
    " VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"
)


@dataclass(frozen=True, slots=True)
class Fork:
    """Where the history of this log was taken from.

    Attributes:
        number: 1 for a fork of an original, 2 for a fork of that, and so on.
        fork_id: of this fork.
        position: the last position that is the source's; this platform's own follow.
        chain: link of the hash chain there.
        source: where it was copied from, in words, without secrets.
        origin: name of the source's log in its checkpoints; empty when it had signed none.
        checkpoint: its newest checkpoint within the fork, a signed note; or empty.
        verifiers: the source's keys.
        forked_at: when.
    """

    number: int
    fork_id: UUID
    position: Position
    chain: bytes
    source: str
    origin: str
    checkpoint: str
    verifiers: tuple[str, ...]
    forked_at: datetime


async def read_fork(source: Pool | Connection) -> Fork | None:
    """Return the mark of a fork, or None for a platform with a history of its own."""
    with adapting():
        row = await source.fetchrow(_READ)
    if row is None:
        return None
    number, fork_id, position, chain, place, origin, checkpoint, verifiers, forked_at = row
    return Fork(
        number,
        fork_id,
        Position(position),
        chain,
        place,
        origin,
        checkpoint,
        tuple(verifiers),
        forked_at,
    )


async def mark_fork(connection: Connection, fork: Fork) -> None:
    """Write the mark; the database says when."""
    with adapting():
        await connection.execute(
            _MARK,
            fork.number,
            fork.fork_id,
            fork.position,
            fork.chain,
            fork.source,
            fork.origin,
            fork.checkpoint,
            list(fork.verifiers),
        )
