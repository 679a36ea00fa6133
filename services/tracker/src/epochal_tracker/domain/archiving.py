"""An object of archived telemetry: batches as they came, and what proves them against their seal.

    epochal-telemetry-archive/1
    {"run": ..., "producer": ..., "kind": "points" or "logs", "sealed": ..., "tree_size": N,
     "root": HEX, "first_leaf": PLACE, "proof": [HEX, ...], "batches": [BATCH, ...]}
    the stored bytes of each batch, one after the other

in two lines and then bytes. A BATCH is [number, leaf, stored, size, sha256]: the sha256 that came
with it, which is the entry of its leaf; how many bytes are stored here, 0 for a batch of the other
kind or one that is gone; its size unpacked (zlib, unless it is as long as stored); and the sha256
of what is stored when that is not the leaf, else "". Entries and proof give the root (RFC 9162): of
the tree in the producer's seal or, unsealed, of the one that the event of the archiving names.
A payload is PointColumns or LogLines, serialized, as telemetry.proto says. zlib and JSON, so that
whoever checks needs nothing but a standard library.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from epochal_kernel.errors import DataLoss

from epochal_tracker.merkle import range_root

MAGIC = b"epochal-telemetry-archive/1\n"
#: No batch may unpack to more, whatever its object says.
MAX_BATCH_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class KeptBatch:
    """One batch: its number, the sha256 that came with it, and its bytes, if they are kept here."""

    batch: int
    leaf: bytes
    payload: bytes | None

    @property
    def altered(self) -> bool:
        """Whether the bytes are not those that came."""
        return self.payload is not None and hashlib.sha256(self.payload).digest() != self.leaf


@dataclass(frozen=True, slots=True)
class ArchivePart:
    """Batches of one producer, in order, and where they are in a tree."""

    run: str
    producer: str
    kind: str
    sealed: bool
    tree_size: int
    root: bytes
    first_leaf: int
    proof: Sequence[bytes]
    batches: Sequence[KeptBatch]


def written(part: ArchivePart) -> bytes:
    """Return a part as the bytes of an object: the same for the same part."""
    rows: list[list[object]] = []
    blocks: list[bytes] = []
    for one in part.batches:
        payload = one.payload or b""
        packed = zlib.compress(payload, 6)
        block = packed if len(packed) < len(payload) else payload
        other = hashlib.sha256(payload).hexdigest() if one.altered else ""
        rows.append([one.batch, one.leaf.hex(), len(block), len(payload), other])
        blocks.append(block)
    head = {
        "run": part.run,
        "producer": part.producer,
        "kind": part.kind,
        "sealed": part.sealed,
        "tree_size": part.tree_size,
        "root": part.root.hex(),
        "first_leaf": part.first_leaf,
        "proof": [one.hex() for one in part.proof],
        "batches": rows,
    }
    line = json.dumps(head, separators=(",", ":")).encode()
    return b"".join((MAGIC, line, b"\n", *blocks))


def read(data: bytes) -> ArchivePart:
    """Return what the bytes of an object say, every batch and the proof checked.

    Raises:
        DataLoss: something is not as it was written; names the batch, where one can be named.
    """
    if not data.startswith(MAGIC):
        raise DataLoss("the object is no archive of telemetry")
    line, _, rest = data[len(MAGIC) :].partition(b"\n")
    try:
        head = json.loads(line)
        batches: list[KeptBatch] = []
        place = 0
        for number, leaf, stored, size, other in head["batches"]:
            block = rest[place : place + int(stored)]
            place += int(stored)
            payload = _unpacked(int(number), block, int(size)) if size else None
            wanted = str(other or leaf)
            if payload is not None and hashlib.sha256(payload).hexdigest() != wanted:
                raise DataLoss(f"batch {number} is not as it was archived")
            batches.append(KeptBatch(int(number), bytes.fromhex(leaf), payload))
        part = ArchivePart(
            run=str(head["run"]),
            producer=str(head["producer"]),
            kind=str(head["kind"]),
            sealed=bool(head["sealed"]),
            tree_size=int(head["tree_size"]),
            root=bytes.fromhex(head["root"]),
            first_leaf=int(head["first_leaf"]),
            proof=[bytes.fromhex(one) for one in head["proof"]],
            batches=batches,
        )
        root = range_root(
            [one.leaf for one in batches], part.first_leaf, part.tree_size, part.proof
        )
    except (ValueError, KeyError, TypeError) as error:
        raise DataLoss(f"the head of the archive does not read: {error}") from error
    if root != part.root or place != len(rest):
        raise DataLoss("the batches of the archive are not those of its tree")
    return part


def _unpacked(number: int, block: bytes, size: int) -> bytes:
    if len(block) == size:
        return block
    if not 0 < size <= MAX_BATCH_BYTES:
        raise DataLoss(f"batch {number} cannot have {size} bytes")
    try:
        payload = zlib.decompressobj().decompress(block, size)
    except zlib.error as error:
        raise DataLoss(f"batch {number} is not as it was archived: {error}") from error
    if len(payload) != size:
        raise DataLoss(f"batch {number} has {len(payload)} bytes, not {size}")
    return payload
