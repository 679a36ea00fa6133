"""A pipeline as its controller sees it, and what every controller can do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID, uuid5

import epochal_proto.v1 as pb

from epochal_scheduler.domain.run import RunState
from epochal_scheduler.domain.statuses import TERMINAL, Status
from epochal_scheduler.projections.children import ChildRow
from epochal_scheduler.spec.compiled import OperationPlan
from epochal_scheduler.working.commands import Target


@dataclass(frozen=True, slots=True)
class Pipeline:
    """What a pipeline is, unchanged while it runs.

    `begun` is the position of the event that began it or resumed it last: what ended badly before
    goes on, what ended badly after did so for good.
    """

    target: Target
    created: pb.RunCreated
    plan: OperationPlan
    begun: int
    begun_at: datetime

    @property
    def id(self) -> UUID:
        """Id of its run."""
        return self.target.run_id

    @property
    def name(self) -> str:
        """Resource name."""
        return self.target.name

    @property
    def org(self) -> str:
        """Organisation."""
        return self.target.org_id

    @property
    def project(self) -> str:
        """Project, without organisation."""
        return self.name.split("/")[3]

    def child_id(self, key: str) -> UUID:
        """Returns the id of the child under a key: the same for ever, so it is made once."""
        return uuid5(self.id, key)

    def child_name(self, run_id: UUID) -> str:
        """Returns a child's resource name."""
        return f"{self.name.rpartition('/')[0]}/{run_id}"


@dataclass(frozen=True, slots=True)
class ChildFact:
    """What became of a child."""

    run_id: UUID
    name: str
    step: str
    iteration: int
    status: Status
    position: int
    at: datetime
    message: str = ""

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self.status in TERMINAL


class Controller(Protocol):
    """Runs one pipeline. Methods are called one after another, never at once.

    Everything it decides is recorded on its children or on the pipeline, so that another one begun
    from the rows goes on where it was.
    """

    async def begin(self, state: RunState, children: Sequence[ChildRow]) -> None:
        """Takes up the pipeline from what is recorded, and decides what is due."""
        ...

    async def children_changed(self, facts: Sequence[ChildFact]) -> None:
        """Decides what follows from changes of children, in the order in which they came."""
        ...

    async def pipeline_changed(self, state: RunState) -> None:
        """Decides what follows from a pause, a stop, other limits."""
        ...

    async def tick(self, now: datetime) -> datetime | None:
        """Does what the clock asks for; returns when to be called again, None for never."""
        ...

    def explain_child(self, step: str, iteration: int) -> Sequence[pb.ExplanationItem]:
        """Tells why a child has not started, or was ended."""
        ...

    def summary(self) -> str:
        """Tells in one sentence how far the pipeline is."""
        ...
