"""What a graph decides, and how it explains that a step waits."""

from __future__ import annotations

from dataclasses import dataclass

from epochal_scheduler.domain.statuses import Status


@dataclass(frozen=True, slots=True)
class Start:
    """The step starts now."""

    step: str


@dataclass(frozen=True, slots=True)
class Skip:
    """The step is skipped; it will not start."""

    step: str
    reason: str


@dataclass(frozen=True, slots=True)
class FailUpstream:
    """The step will not start, because `upstream` ended otherwise than its trigger asks."""

    step: str
    upstream: str
    reason: str


@dataclass(frozen=True, slots=True)
class StopAll:
    """Every step that has not ended is to be stopped; the graph then ends as `status`."""

    reason: str
    status: Status


@dataclass(frozen=True, slots=True)
class End:
    """Every step has ended, and with them the graph."""

    status: Status
    reason: str


Decision = Start | Skip | FailUpstream | StopAll | End


@dataclass(frozen=True, slots=True)
class Waiting:
    """Why a step has not started, in one sentence, and the steps that are the cause."""

    reason: str
    blockers: tuple[str, ...] = ()
