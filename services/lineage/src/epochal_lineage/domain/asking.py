"""What is asked for, and what was found out before it is decided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import epochal_proto.v1 as pb

from epochal_lineage.domain.gates.policy import Policy


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What was found out before deciding, beside the model's own stream.

    Attributes:
        policy: in force.
        now: when it is asked.
        metrics: of each version that may matter, by number.
        validations: runs that validated the version.
        signed_by: keys whose signature of the version's files holds.
        authors: who made the version.
    """

    policy: Policy
    now: datetime
    metrics: Mapping[int, Mapping[str, float]] = field(default_factory=dict)
    validations: Sequence[pb.GateValidation] = ()
    signed_by: Sequence[str] = ()
    authors: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked for, and by whom."""

    version: int
    stage: str
    alias: str
    requester: str
    reason: str = ""
    role: str = ""
    emergency: bool = False
