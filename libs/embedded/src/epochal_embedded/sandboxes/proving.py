"""Holding a copied log against its own hash chain and against what its source signed.

A copy that is off by a byte, or a source whose past was rewritten since it signed it, is found
before anything is made of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from epochal_kernel.errors import LogCorrupted
from epochal_kernel.ids import Position
from epochal_kernel.log.chain import GENESIS
from epochal_kernel.log.reader import LogReader
from epochal_kernel.postgres import Connection
from epochal_lineage.domain.tlog.growing import Frontier
from epochal_lineage.domain.tlog.hashing import leaf_hash
from epochal_lineage.domain.tlog.notes import BadNote, Checkpoint, VerifierKey, split_note
from epochal_lineage.sealing.sealer import checked_digests

from epochal_embedded.errors import EmbeddedError
from epochal_embedded.sandboxes.sources import Signed

PAGE = 5_000


class NotProved(EmbeddedError):
    """The history is not what its platform recorded or signed."""


async def prove(target: Connection, signed: Signed, told: Callable[[int], None]) -> None:
    """Recompute the hash chain of a copied log, and the tree up to the source's checkpoint.

    Args:
        target: has the copy.
        signed: what the source says of it.
        told: called with the position reached.

    Raises:
        NotProved: an event is not as recorded, or not as signed.
    """
    reader, frontier = LogReader(target), Frontier()
    head, after, chain = await reader.head(), Position(0), GENESIS
    while after < head.position:
        # A page ends where the checkpoint does, so that the root is known there.
        limit = signed.size - after if after < signed.size else PAGE
        records = await reader.page(after, min(PAGE, limit))
        if not records:
            raise NotProved(f"Event {after + 1} is missing in the copy.")
        try:
            digests, chain = await asyncio.to_thread(checked_digests, records, chain)
        except LogCorrupted as error:
            raise NotProved(
                f"The source's history is not as it was recorded: {error.message}. "
                "`epochal audit verify` there says more."
            ) from error
        after = records[-1].position
        if after <= signed.size:
            leaves = [leaf_hash(digest) for digest in digests]
            await asyncio.to_thread(frontier.extend, leaves)
        if after == signed.size:
            _assert_signed(signed, frontier.root())
        told(after)
    if chain != head.chain:
        raise NotProved("The head of the copy is not that of its last event.")


def _assert_signed(signed: Signed, root: bytes) -> None:
    try:
        text, signatures = split_note(signed.checkpoint)
        found = Checkpoint.parse(text)
        keys = [VerifierKey.parse(verifier) for verifier in signed.verifiers]
    except BadNote as error:
        raise NotProved(f"The source's checkpoint of {signed.size} is none: {error}.") from error
    by_its_keys = any(
        one.is_by(key) and key.verifies(text, one.signature) for one in signatures for key in keys
    )
    if not by_its_keys or (found.size, found.root) != (signed.size, root):
        raise NotProved(
            f"The source's history is not what it signed at {signed.size} events: it was "
            "rewritten. `epochal audit verify` there says more."
        )
