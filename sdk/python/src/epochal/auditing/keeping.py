"""Checkpoints that were seen, kept on this machine: a log that contradicts one was rewritten.

The first checkpoint of a log is believed, and its key with it, unless a key is given. From then on
each must be signed by that key, or by one it handed over to, and continue the one before.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import epochal_proto.v1 as pb
from epochal_proto.v1.services import ProofService

from epochal.audit_verifier import (
    Broken,
    Head,
    Unreadable,
    consistency_holds,
    inclusion_holds,
    leaf_hash,
    read_checkpoint,
    read_key,
    trusted_keys,
)
from epochal.client import Client
from epochal.errors import DataLoss, InvalidArgument


@dataclass(frozen=True, slots=True)
class Seen:
    """What a check found: the newest checkpoint, the trusted key, the checkpoint before."""

    checkpoint: pb.Checkpoint
    key: str
    before: int
    first_time: bool


def check_newest(
    client: Client, org: str, key: str = "", environ: Mapping[str, str] = os.environ
) -> Seen:
    """Fetches the newest checkpoint, holds it against what was seen before, and keeps it.

    Args:
        client: The platform.
        org: An organisation whose audit we may read.
        key: Verifier key to trust from now on; without it the kept one, or the platform's.
        environ: Where the folder of kept checkpoints is looked up.

    Raises:
        DataLoss: The signature is not by the trusted key, or the log was rewritten.
    """
    found = client.call(ProofService.GET_CHECKPOINT, pb.GetCheckpointRequest(parent=org))
    kept = _Kept(client.connection.url, environ)
    note, kept_key = kept.read()
    trusted_text = key or kept_key or (found.verifier_keys[0] if found.verifier_keys else "")
    try:
        head = read_checkpoint(found.checkpoint.note)
        heads = [read_checkpoint(one) for one in found.handovers]
        known = [read_key(one) for one in found.verifier_keys]
        pinned = read_key(trusted_text)
        trusted = trusted_keys(pinned, heads, known)
        if not any(one.signed(head) for one in trusted):
            raise DataLoss(
                f"the checkpoint of size {head.size} is signed neither by {trusted_text} nor by a "
                "key it handed over to"
            )
        before = read_checkpoint(note) if note else None
    except Unreadable as error:
        raise InvalidArgument(str(error)) from error
    except Broken as error:
        raise DataLoss(str(error)) from error
    if before is not None:
        _continue(client, org, before, head)
    kept.write(found.checkpoint.note, trusted_text)
    return Seen(found.checkpoint, trusted_text, before.size if before else 0, before is None)


def check_event(client: Client, org: str, position: int) -> pb.GetProofResponse:
    """Fetches the proof of an event and checks it against its checkpoint.

    Raises:
        DataLoss: The proof does not hold.
    """
    proof = client.call(ProofService.GET_PROOF, pb.GetProofRequest(parent=org, position=position))
    head = read_checkpoint(proof.checkpoint.note)
    leaf = leaf_hash(bytes.fromhex(proof.digest))
    path = _unhex(proof.hashes)
    if not inclusion_holds(leaf, position - 1, head.size, path, head.root):
        raise DataLoss(f"event {position} is not as it was sealed")
    return proof


def _continue(client: Client, org: str, before: Head, head: Head) -> None:
    if before.origin != head.origin:
        raise DataLoss(f"this is another log: {head.origin} now, it was {before.origin}")
    if head.size < before.size:
        raise DataLoss(
            f"the log has {head.size} events now; it had {before.size}: its tail is gone"
        )
    proof = client.call(
        ProofService.GET_PROOF,
        pb.GetProofRequest(parent=org, from_size=before.size, size=head.size),
    )
    path = _unhex(proof.hashes)
    if not consistency_holds(before.size, head.size, before.root, head.root, path):
        raise DataLoss(
            f"the log was rewritten: what is signed now does not begin with the {before.size} "
            "events that were signed before"
        )


class _Kept:
    """The file of one platform in the folder of kept checkpoints."""

    def __init__(self, url: str, environ: Mapping[str, str]) -> None:
        configured = environ.get("EPOCHAL_CHECKPOINTS")
        state = environ.get("XDG_STATE_HOME")
        root = Path(state) if state else Path.home() / ".local/state"
        folder = Path(configured).expanduser() if configured else root / "epochal/checkpoints"
        self._path = folder / f"{hashlib.sha256(url.encode()).hexdigest()[:16]}.json"

    def read(self) -> tuple[str, str]:
        """Returns the kept note and key, or empty texts."""
        try:
            fields = json.loads(self._path.read_text(encoding="utf-8"))
            return str(fields["note"]), str(fields["key"])
        except FileNotFoundError:
            return "", ""
        except (ValueError, KeyError, TypeError) as error:
            raise InvalidArgument(
                f"{self._path} is damaged ({error}): restore it, or delete it to trust the "
                "platform anew"
            ) from error

    def write(self, note: str, key: str) -> None:
        """Keeps a note and a key."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._path.with_suffix(".new")
        fresh.write_text(json.dumps({"note": note, "key": key}, indent=2) + "\n", encoding="utf-8")
        fresh.replace(self._path)


def _unhex(hashes: Sequence[str]) -> list[bytes]:
    return [bytes.fromhex(one) for one in hashes]
