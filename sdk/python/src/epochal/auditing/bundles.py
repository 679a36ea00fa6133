"""Writes audit bundles: the log or a part of it, with all that is needed to check it offline."""

from __future__ import annotations

import base64
import json
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path
from typing import Final
from uuid import UUID

import epochal_proto.v1 as pb
from epochal_proto.v1.services import ProofService

from epochal.client import Client

FORMAT: Final = "epochal-audit-bundle/1"

_PAGE: Final = 1_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def records_of(client: Client, org: str, *, whole: bool) -> Iterator[pb.ExportedRecord]:
    """Yields the log up to the newest checkpoint: an organisation's part, or all of it.

    Raises:
        PermissionDenied: Reading the audit is for administrators, all of it for the platform's.
    """
    if whole:
        stream = client.stream(ProofService.EXPORT_LOG, pb.ExportLogRequest())
    else:
        stream = client.stream(ProofService.EXPORT_RECORDS, pb.ExportRecordsRequest(parent=org))
    for batch in stream:
        yield from batch.records


def write_log(client: Client, org: str, path: Path, *, whole: bool) -> int:
    """Writes a bundle of the log; returns how many positions it has.

    Args:
        client: The platform.
        org: Whose events to take; of all others only digests.
        path: The file to write; replaced when it is there.
        whole: Take everybody's.
    """
    found = client.call(ProofService.GET_CHECKPOINT, pb.GetCheckpointRequest(parent=org))
    digests = bytearray()
    fresh = path.with_suffix(path.suffix + ".new")
    with zipfile.ZipFile(fresh, "w", zipfile.ZIP_DEFLATED) as bundle:
        with bundle.open("events.jsonl", "w", force_zip64=True) as events:
            for record in _up_to(records_of(client, org, whole=whole), found.checkpoint.size):
                digests += record.digest
                if record.HasField("event"):
                    events.write(_line(event_row(record.event)))
                elif whole:
                    events.write(_line({"position": record.position, "withheld": "secret"}))
        bundle.writestr("digests.bin", bytes(digests))
        _write_head(bundle, client, org, found, {"kind": "log", "whole": whole})
    fresh.replace(path)
    return len(digests) // 32


def write_evidence(
    client: Client,
    org: str,
    path: Path,
    events: Iterable[pb.EventEnvelope],
    subject: dict[str, object],
    more: Mapping[str, object] | None = None,
) -> int:
    """Writes a bundle of chosen events, each with its proof; returns how many.

    Args:
        client: The platform.
        org: Whose events they are.
        path: The file to write; replaced when it is there.
        events: By position; those after the newest checkpoint are left out.
        subject: What they are evidence of, for people.
        more: What else bundle.json says.
    """
    found = client.call(ProofService.GET_CHECKPOINT, pb.GetCheckpointRequest(parent=org))
    size = found.checkpoint.size
    chosen = [event for event in events if event.position <= size]
    proofs = [
        client.call(
            ProofService.GET_PROOF,
            pb.GetProofRequest(parent=org, position=event.position, size=size),
        )
        for event in chosen
    ]
    fresh = path.with_suffix(path.suffix + ".new")
    with zipfile.ZipFile(fresh, "w", zipfile.ZIP_DEFLATED) as bundle:
        bundle.writestr("events.jsonl", b"".join(_line(event_row(event)) for event in chosen))
        bundle.writestr(
            "proofs.jsonl",
            b"".join(
                _line({"position": proof.leaf_index + 1, "hashes": list(proof.hashes)})
                for proof in proofs
            ),
        )
        bundle.writestr("subject.json", json.dumps(subject, indent=2, ensure_ascii=False) + "\n")
        _write_head(
            bundle, client, org, found, {"kind": "evidence", "whole": False, **(more or {})}
        )
    fresh.replace(path)
    return len(chosen)


def event_row(event: pb.EventEnvelope) -> dict[str, object]:
    """Returns an event as a line of events.jsonl has it."""
    moment = event.recorded_at.ToDatetime(tzinfo=UTC)
    return {
        "position": event.position,
        "event_id": event.event_id.hex(),
        "org_id": event.org_id,
        "category": event.category,
        "stream_id": event.stream_id.hex(),
        "version": event.version,
        "type": event.type,
        "payload": base64.b64encode(event.payload).decode("ascii"),
        "actor": event.actor,
        "resource": event.resource,
        "correlation_id": event.correlation_id.hex(),
        "causation_id": event.causation_id.hex(),
        "traceparent": event.traceparent,
        "recorded_at_us": (moment - _EPOCH) // timedelta(microseconds=1),
        "chain": event.chain.hex(),
    }


def uuid_text(data: bytes) -> str:
    """Returns the text of a UUID of 16 bytes, or "" of none."""
    return str(UUID(bytes=data)) if data else ""


def _write_head(
    bundle: zipfile.ZipFile,
    client: Client,
    org: str,
    found: pb.GetCheckpointResponse,
    what: dict[str, object],
) -> None:
    checkpoint = found.checkpoint
    manifest = {
        "format": FORMAT,
        **what,
        "org": org,
        "origin": checkpoint.origin,
        "size": checkpoint.size,
        "keys": list(found.verifier_keys),
    }
    notes = {*found.handovers, *_notes(client, org, checkpoint.size)}
    bundle.writestr("bundle.json", json.dumps(manifest, indent=2) + "\n")
    bundle.writestr("checkpoint", checkpoint.note)
    ordered = sorted(notes, key=lambda note: int(note.split("\n", 2)[1]))
    bundle.writestr("checkpoints.jsonl", b"".join(_line({"note": note}) for note in ordered))
    bundle.writestr("verify.py", verifier_text())


def verifier_text() -> str:
    """Returns the program that checks bundles, a single file."""
    return resources.files("epochal").joinpath("audit_verifier.py").read_text(encoding="utf-8")


def _notes(client: Client, org: str, size: int) -> Iterator[str]:
    request = pb.ListCheckpointsRequest(parent=org, page_size=_PAGE)
    while True:
        page = client.call(ProofService.LIST_CHECKPOINTS, request)
        yield from (one.note for one in page.checkpoints if one.size <= size)
        if not page.next_page_token:
            return
        request.page_token = page.next_page_token


def _up_to(records: Iterable[pb.ExportedRecord], size: int) -> Iterator[pb.ExportedRecord]:
    """The log may have been sealed further since the checkpoint was fetched."""
    for record in records:
        if record.position > size:
            return
        yield record


def _line(row: dict[str, object]) -> bytes:
    return json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
