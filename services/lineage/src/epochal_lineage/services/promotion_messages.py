"""Promotions and policies as messages."""

from __future__ import annotations

import json

import epochal_proto.v1 as pb
from google.protobuf import json_format

from epochal_lineage.projections.promotion_rows import PromotionRow, RegistryPolicyRow
from epochal_lineage.services.registry_messages import timestamp


def promotion_message(row: PromotionRow) -> pb.Promotion:
    """Return a promotion as clients see it."""
    return pb.Promotion(
        name=f"{row.resource}/promotions/{row.number}",
        model_version=f"{row.resource}/versions/{row.version}",
        stage=row.stage,
        alias=row.alias,
        kind=row.kind,  # type: ignore[arg-type]  # the stubs want the enum's own type
        state=row.state,  # type: ignore[arg-type]  # the stubs want the enum's own type
        requester=row.requester,
        reason=row.reason,
        gates=[json_format.ParseDict(one, pb.GateResult()) for one in json.loads(row.gates)],
        policy_version=row.policy_version,
        policy_digest=row.policy_digest,
        approvals=[
            json_format.ParseDict(one, pb.GateApproval()) for one in json.loads(row.approvals)
        ],
        old_holder=int(row.old_version or 0) if "/models/" in row.resource else 0,
        old_version=f"{row.resource}/versions/{row.old_version}" if row.old_version else "",
        review_open=row.review_open,
        reviewer=row.reviewer,
        review=row.review,
        rejection=row.rejection,
        create_time=timestamp(row.create_time),
        update_time=timestamp(row.update_time),
    )


def policy_message(owner: str, row: RegistryPolicyRow | None) -> pb.RegistryPolicy:
    """Return a policy as clients see it; an owner that never had one has an empty one."""
    name = f"{owner}/registryPolicy"
    if row is None:
        return pb.RegistryPolicy(name=name)
    return pb.RegistryPolicy(
        name=name,
        text=row.text,
        version=row.version,
        digest=row.digest,
        author=row.author,
        create_time=timestamp(row.create_time),
        reason=row.reason,
    )
