"""What a service says it looks at is all that its projectors look at.

Events outside `ReadModel.interests` are passed over without a transaction, so one that is forgotten
there would be lost to the view for ever.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import epochal_proto.v1 as pb
import pytest
from epochal_gateway.projections import READ_MODEL as GATEWAY
from epochal_kernel.projections.model import ReadModel
from epochal_kernel.projections.rows import Rows
from epochal_lineage.projections import READ_MODEL as LINEAGE
from epochal_notifier.handlers import occasion_of
from epochal_notifier.projections import READ_MODEL as NOTIFIER
from epochal_proto.v1.events import EVENTS
from epochal_scheduler.projections import READ_MODEL as SCHEDULER
from epochal_testing.projecting import recorded
from epochal_tracker.projections import READ_MODEL as TRACKER
from google.protobuf.message import Message

GOLDEN = Path(__file__).parents[2] / "libs/kernel/tests/golden/events.json"
MODELS = (GATEWAY, SCHEDULER, TRACKER, LINEAGE, NOTIFIER)
STREAM = UUID("0192f0c0-0000-7000-8000-000000000001")


def golden() -> Iterator[Message]:
    for name, entry in json.loads(GOLDEN.read_text()).items():
        yield EVENTS[name].FromString(bytes.fromhex(entry["hex"]))


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.service)
def test_events_outside_the_interests_change_nothing(model: ReadModel) -> None:
    if model.interests is None:
        return
    assert model.interests <= EVENTS.keys()
    for payload in golden():
        if payload.DESCRIPTOR.full_name in model.interests:
            continue
        event = recorded(payload, 1, STREAM, resource="orgs/acme/projects/vision")
        rows = Rows.of()
        for projector in model.projectors:
            assert list(projector.touches(event)) == [], (projector.name, event.type)
            projector.apply(rows, event)
        for table in model.tables:
            assert not rows.upserts(table), (table.name, event.type)
            assert not rows.deletions(table), (table.name, event.type)


def test_the_notifier_looks_at_every_occasion() -> None:
    assert NOTIFIER.interests is not None
    for payload in golden():
        event = recorded(payload, 1, STREAM, resource="orgs/acme/projects/vision/runs/x")
        occasion, _ = occasion_of(event)
        if occasion != pb.OCCASION_UNSPECIFIED:
            assert event.type in NOTIFIER.interests
