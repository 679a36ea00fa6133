"""Rows of the monitor's read model, and their tables."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from epochal_kernel.projections.tables import Table


@dataclass(frozen=True, slots=True)
class WatchedRow:
    """A run as far as watching goes; `rules` is a serialized AlertRulesDeclared."""

    run_id: UUID
    name: str
    org_id: str
    end_time: datetime | None
    rules: bytes


@dataclass(frozen=True, slots=True)
class AlertRow:
    """An alert; `number` counts those of its rule and metric, `position` is of its raising."""

    run: str
    rule: str
    metric: str
    number: int
    position: int
    project: str
    severity: int
    message: str
    value: float
    step: int
    raise_time: datetime
    resolve_time: datetime | None
    resolution: str


WATCHED = Table("watched", WatchedRow, ("run_id",))
ALERTS = Table("alert", AlertRow, ("run", "rule", "metric", "number"))
