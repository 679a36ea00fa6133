"""Bundles made by hand: a log of a few events, its tree by the RFC, checkpoints, a key."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from epochal.auditing.bundles import event_row
from epochal_kernel.ids import Position, Version
from epochal_kernel.log.chain import GENESIS, leaf
from epochal_kernel.log.events import EventRecord
from epochal_lineage.domain.tlog.notes import Checkpoint, Signer, signed_note
from naive_tree import mth, path

ORIGIN = "log.example.com/tests"
SIGNER = Signer(ORIGIN, b"\x01" * 32)


def a_record(position: int) -> EventRecord:
    return EventRecord(
        Position(position),
        UUID(int=position),
        "acme" if position % 3 else "other",
        "run",
        UUID(int=position * 7),
        Version(1),
        "epochal.v1.TagsSet",
        bytes([position % 256, 255, 0]),
        "users/ännchen",
        f"orgs/acme/projects/p/runs/{position}",
        UUID(int=position * 11),
        UUID(int=position * 13) if position % 2 else None,
        "",
        datetime(2026, 11, 1, tzinfo=UTC) + timedelta(seconds=position, microseconds=position),
        b"",
    )


def chained(records: Sequence[EventRecord]) -> list[EventRecord]:
    link, found = GENESIS, []
    for record in records:
        link = hashlib.sha256(link + leaf(record)).digest()
        found.append(record._replace(chain=link))
    return found


def history(count: int) -> list[EventRecord]:
    return chained([a_record(position) for position in range(1, count + 1)])


def note(records: Sequence[EventRecord], signers: Sequence[Signer] = (SIGNER,)) -> str:
    text = Checkpoint(ORIGIN, len(records), mth([leaf(one) for one in records])).text()
    return signed_note(text, [signer.sign(text) for signer in signers])


@dataclass(frozen=True)
class Written:
    """A bundle in a folder, and how it was made."""

    folder: Path
    records: list[EventRecord]

    def rows(self) -> list[dict[str, object]]:
        lines = (self.folder / "events.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]

    def put_rows(self, rows: Sequence[dict[str, object]]) -> None:
        (self.folder / "events.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def change(self, edit: Callable[[list[dict[str, object]]], object]) -> None:
        rows = self.rows()
        edit(rows)
        self.put_rows(rows)


def write_log(
    folder: Path,
    records: Sequence[EventRecord],
    signed_at: Sequence[int] = (),
    *,
    org: str = "",
    keys: Sequence[Signer] = (SIGNER,),
    notes: Sequence[str] = (),
) -> Written:
    """Write a bundle of a log; for one organisation or, without `org`, the whole."""
    folder.mkdir(exist_ok=True)
    manifest = {
        "format": "epochal-audit-bundle/1",
        "kind": "log",
        "whole": not org,
        "size": len(records),
        "keys": [str(one.verifier) for one in keys],
    }
    (folder / "bundle.json").write_text(json.dumps(manifest))
    (folder / "checkpoint").write_text(note(records, keys[-1:]))
    every = [*notes, *(note(records[:size]) for size in signed_at)]
    (folder / "checkpoints.jsonl").write_text(
        "".join(json.dumps({"note": one}) + "\n" for one in every)
    )
    (folder / "digests.bin").write_bytes(b"".join(map(leaf, records)))
    written = Written(folder, list(records))
    shown = [record for record in records if org in ("", record.org_id)]
    written.put_rows([event_row(record.to_envelope()) for record in shown])
    return written


def write_evidence(
    folder: Path, records: Sequence[EventRecord], positions: Sequence[int]
) -> Written:
    """Write a bundle of chosen events with their proofs."""
    written = write_log(folder, records)
    manifest = json.loads((folder / "bundle.json").read_text()) | {
        "kind": "evidence",
        "whole": False,
    }
    (folder / "bundle.json").write_text(json.dumps(manifest))
    (folder / "digests.bin").unlink()
    digests = [leaf(one) for one in records]
    written.put_rows([event_row(records[at - 1].to_envelope()) for at in positions])
    (folder / "proofs.jsonl").write_text(
        "".join(
            json.dumps({"position": at, "hashes": [one.hex() for one in path(at - 1, digests)]})
            + "\n"
            for at in positions
        )
    )
    return replace(written, records=list(records))
