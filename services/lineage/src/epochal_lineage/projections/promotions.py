"""Promotions and policies as rows."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace

import epochal_proto.v1 as pb
from epochal_kernel.log.events import Event
from epochal_kernel.projections.rows import Rows
from epochal_kernel.projections.tables import Json, RowRef
from google.protobuf import json_format
from google.protobuf.message import Message

from epochal_lineage.domain.promotions import promotion_number
from epochal_lineage.domain.shelves import last_part, owner_of
from epochal_lineage.projections.promotion_rows import (
    FOREVER,
    PROMOTIONS,
    PROMOTIONS_PAST,
    REGISTRY_POLICIES,
    PromotionPastRow,
    PromotionRow,
    RegistryPolicyRow,
)

_CHANGES = (
    pb.PromotionEvaluated,
    pb.PromotionApproved,
    pb.PromotionRejected,
    pb.PromotionCompleted,
    pb.PromotionReviewed,
)


class PromotionProjector:
    """Projects promotions, and every version of every policy."""

    name = "promotions"
    tables = (PROMOTIONS, PROMOTIONS_PAST, REGISTRY_POLICIES)

    def touches(self, event: Event) -> Iterable[RowRef]:
        """All but the first event change the row."""
        if isinstance(event.payload, _CHANGES):
            yield PROMOTIONS.ref(*key_of(event.payload.promotion))

    def apply(self, rows: Rows, event: Event) -> None:
        """Write what an event changes."""
        payload = event.payload
        if isinstance(payload, pb.RegistryPolicySet):
            rows.put(REGISTRY_POLICIES, _policy(payload, event))
        elif isinstance(payload, pb.PromotionRequested):
            _put(rows, None, _requested(payload, event))
        elif isinstance(payload, _CHANGES):
            known = rows.get(PROMOTIONS, *key_of(payload.promotion))
            if known is not None:
                changed = replace(known, update_time=event.recorded_at, since=event.position)
                _put(rows, known, _changed(changed, event))


def _put(rows: Rows, old: PromotionRow | None, new: PromotionRow) -> None:
    if old is not None:
        rows.put(PROMOTIONS_PAST, PromotionPastRow(**asdict(old), until=new.since))
    rows.put(PROMOTIONS, new)
    rows.put(PROMOTIONS_PAST, PromotionPastRow(**asdict(new), until=FOREVER))


def key_of(name: str) -> tuple[str, int]:
    """Return the key of a promotion's row by its name."""
    return name.rpartition("/promotions/")[0], promotion_number(name)


def messages_json(messages: Sequence[Message]) -> Json:
    """Return messages as a list in JSON."""
    return Json(
        json.dumps(
            [json_format.MessageToDict(one, preserving_proto_field_name=True) for one in messages]
        )
    )


def _policy(payload: pb.RegistryPolicySet, event: Event) -> RegistryPolicyRow:
    return RegistryPolicyRow(
        project=payload.project,
        version=payload.version,
        text=payload.text,
        digest=payload.digest,
        author=payload.author,
        reason=payload.reason,
        create_time=event.recorded_at,
        position=event.position,
    )


def _requested(payload: pb.PromotionRequested, event: Event) -> PromotionRow:
    resource, number = key_of(payload.name)
    return PromotionRow(
        resource=resource,
        number=number,
        owner=owner_of(resource),
        version=last_part(payload.model_version),
        stage=payload.stage,
        alias=payload.alias,
        kind=payload.kind,
        state=pb.PROMOTION_STATE_OPEN,
        requester=payload.requester,
        reason=payload.reason,
        gates=Json("[]"),
        policy_version=0,
        policy_digest="",
        approvals=Json("[]"),
        old_version="",
        review_open=False,
        reviewer="",
        review="",
        rejection="",
        position=event.position,
        create_time=event.recorded_at,
        update_time=event.recorded_at,
        since=event.position,
    )


def _changed(row: PromotionRow, event: Event) -> PromotionRow:
    match event.payload:
        case pb.PromotionEvaluated() as evaluated:
            return replace(
                row,
                state=evaluated.outcome,
                gates=messages_json(evaluated.results),
                policy_version=evaluated.policy_version,
                policy_digest=evaluated.policy_digest,
            )
        case pb.PromotionApproved() as approved:
            others = [
                one for one in json.loads(row.approvals) if one["approver"] != approved.approver
            ]
            given = {"approver": approved.approver, "role": approved.role}
            return replace(row, approvals=Json(json.dumps([*others, given])))
        case pb.PromotionRejected() as rejected:
            return replace(row, state=pb.PROMOTION_STATE_REJECTED, rejection=rejected.reason)
        case pb.PromotionCompleted() as completed:
            return replace(
                row,
                state=pb.PROMOTION_STATE_COMPLETED,
                old_version=_before(completed),
                review_open=row.kind == pb.PROMOTION_KIND_EMERGENCY,
            )
        case pb.PromotionReviewed() as reviewed:
            return replace(
                row, review_open=False, reviewer=reviewed.reviewer, review=reviewed.comment
            )
        case _:
            return row


def _before(completed: pb.PromotionCompleted) -> str:
    """Who had the place before; events from before there were names have a number alone."""
    return last_part(completed.old_version) or str(completed.old_holder or "")
