"""What is asked for, and what was found out before it is decided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic

import epochal_proto.v1 as pb

from epochal_lineage.domain.gates.policy import Policy
from epochal_lineage.domain.promotions import V


@dataclass(frozen=True, slots=True)
class Circumstances(Generic[V]):
    """What was found out before deciding, beside the stream of what has the places.

    Attributes:
        policy: in force.
        now: when it is asked.
        metrics: of each version that may matter.
        validations: runs that validated the version.
        signed_by: keys whose signature of the version's files holds.
        authors: who made the version.
        checks: what came of the rules that were held against it last, a dataset's.
        gone: versions that are deleted, where the stream does not say so itself.
    """

    policy: Policy
    now: datetime
    metrics: Mapping[V, Mapping[str, float]] = field(default_factory=dict)
    validations: Sequence[pb.GateValidation] = ()
    signed_by: Sequence[str] = ()
    authors: Sequence[str] = ()
    checks: Sequence[pb.RuleResult] = ()
    gone: frozenset[V] = frozenset()


@dataclass(frozen=True, slots=True)
class Asked(Generic[V]):
    """What is asked for, and by whom."""

    version: V
    stage: str
    alias: str
    requester: str
    reason: str = ""
    role: str = ""
    emergency: bool = False
