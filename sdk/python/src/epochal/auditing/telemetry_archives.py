"""Archived telemetry of a run as a bundle: objects, the events that tell of them, and proofs."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import epochal_proto.v1 as pb
from epochal_proto.v1.services import ArchiveService, AuditService, ProofService

from epochal.audit_verifier import Broken, Told, check_object
from epochal.auditing.bundles import write_evidence
from epochal.client import Client
from epochal.errors import DataLoss, FailedPrecondition, NotFound

_TYPES: Final = ("TelemetrySealed", "TelemetryArchived")
_PAGE: Final = 1_000


def objects_of(client: Client, run: str) -> Iterator[pb.ArchivedObject]:
    """Yields what is archived of a run, in the order it was."""
    request = pb.ListArchiveRequest(run=run, page_size=_PAGE)
    while True:
        page = client.call(ArchiveService.LIST_ARCHIVE, request)
        yield from page.objects
        if not page.next_page_token:
            return
        request.page_token = page.next_page_token


def object_bytes(client: Client, run: str, sha256: str) -> bytes:
    """Fetches one object as it is stored; nothing is checked."""
    request = pb.ReadArchiveRequest(run=run, sha256=sha256)
    return b"".join(piece.data for piece in client.stream(ArchiveService.READ_ARCHIVE, request))


def check(client: Client, run: str, one: pb.ArchivedObject) -> tuple[int, int]:
    """Fetches an object and holds it against what the platform says of it.

    Returns:
        How many batches are proved, and how many had been altered before they were archived.

    Raises:
        DataLoss: It is not as it was archived; names the object and the batch.
    """
    told = Told(
        position=one.position,
        producer=one.producer,
        sha256=bytes.fromhex(one.sha256),
        first=one.first_batch,
        last=one.last_batch,
        sealed=one.sealed,
        size=one.tree_size,
        root=bytes.fromhex(one.merkle_root),
    )
    try:
        return check_object(object_bytes(client, run, one.sha256), told)
    except Broken as error:
        raise DataLoss(str(error)) from error


def write(client: Client, org: str, run: str, path: Path) -> tuple[int, int]:
    """Writes all that is archived of a run with what proves it; returns objects and events.

    Args:
        client: The platform.
        org: The run's organisation; its audit must be ours to read.
        run: Full name.
        path: The .zip to write; replaced when it is there.

    Raises:
        NotFound: Nothing of the run is archived.
        FailedPrecondition: The newest checkpoint does not cover the archiving yet.
        PermissionDenied: Reading the audit is for administrators.
    """
    objects = list(objects_of(client, run))
    if not objects:
        raise NotFound(f"nothing of {run} is archived")
    size = client.call(
        ProofService.GET_CHECKPOINT, pb.GetCheckpointRequest(parent=org)
    ).checkpoint.size
    newest = max(one.position for one in objects)
    if newest > size:
        raise FailedPrecondition(
            f"event {newest} is not sealed yet, the newest checkpoint has {size}: try again in a "
            "minute"
        )
    events = [_event(client, org, position) for position in _positions(client, org, run)]
    told = {pb.TelemetryArchived.FromString(one.payload).sha256.hex() for one in _told(events)}
    subject: dict[str, object] = {
        "run": run,
        "note": "What is proved is events.jsonl and archive/.",
    }
    count = write_evidence(client, org, path, events, subject, more={"archive": True})
    with zipfile.ZipFile(path, "a", zipfile.ZIP_STORED) as bundle:
        for sha256 in sorted(told):
            bundle.writestr(f"archive/{sha256}", object_bytes(client, run, sha256))
    return len(told), count


def _told(events: list[pb.EventEnvelope]) -> Iterator[pb.EventEnvelope]:
    return (one for one in events if one.type == "epochal.v1.TelemetryArchived")


def _positions(client: Client, org: str, run: str) -> Iterator[int]:
    request = pb.ListEventsRequest(parent=org, resource=run, types=_TYPES, page_size=_PAGE)
    while True:
        page = client.call(AuditService.LIST_EVENTS, request)
        yield from (one.position for one in page.events)
        if not page.next_page_token:
            return
        request.page_token = page.next_page_token


def _event(client: Client, org: str, position: int) -> pb.EventEnvelope:
    request = pb.ExportRecordsRequest(parent=org, after=position - 1, through=position)
    for batch in client.stream(ProofService.EXPORT_RECORDS, request):
        for record in batch.records:
            if record.position == position and record.HasField("event"):
                return record.event
    raise DataLoss(f"the log does not show event {position}, which it lists")
