"""What an export leaves out: events that hold a hash of a secret, or a sealed one."""

from __future__ import annotations

from typing import Final

import epochal_proto.v1 as pb
from epochal_kernel.log.chain import leaf
from epochal_kernel.log.events import EventRecord
from epochal_proto.v1.events import EVENTS

from epochal_lineage.domain.standing_folds import SECRET_FIELDS

_WITH_SECRETS: Final = frozenset(
    name
    for name, kind in EVENTS.items()
    if SECRET_FIELDS & {field.name for field in kind.DESCRIPTOR.fields}
)


def exported(record: EventRecord, org_id: str | None) -> pb.ExportedRecord:
    """Return an event for an organisation, or for the platform when it is None.

    Its digest always; its content only where the reader may see it and no secret is in it. The
    digest proves that the place is taken, and tells nothing else: every event holds random bits.
    """
    found = pb.ExportedRecord(position=record.position, digest=leaf(record))
    if org_id in (None, record.org_id) and record.type not in _WITH_SECRETS:
        found.event.CopyFrom(record.to_envelope())
    return found
