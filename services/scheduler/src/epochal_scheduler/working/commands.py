"""Decisions about runs, carried out: each under the name of who caused it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

import epochal_proto.v1 as pb
from epochal_kernel.clock import Clock
from epochal_kernel.errors import NotFound
from epochal_kernel.ids import Ids
from epochal_kernel.log.commands import CommandContext
from epochal_kernel.log.ledger import Ledger, Outcome
from google.protobuf.message import Message

from epochal_scheduler.domain.attempts import Backoff
from epochal_scheduler.domain.run import RUN, RunState
from epochal_scheduler.projections import run_id_of
from epochal_scheduler.working.feed import Fact, Feed

ACTOR = "services/scheduler"

Decide = Callable[[RunState], Sequence[Message]]


@dataclass(frozen=True, slots=True)
class Target:
    """A run to decide about, and what made the scheduler do so."""

    run_id: UUID
    org_id: str
    name: str
    correlation_id: UUID
    causation_id: UUID | None = None
    traceparent: str = ""


class RunCommands:
    """Executes decisions on the log."""

    def __init__(
        self, ledger: Ledger, ids: Ids, clock: Clock, backoff: Backoff, feed: Feed | None = None
    ) -> None:
        self.clock = clock
        self.backoff = backoff
        self._feed = feed
        self._ledger = ledger
        self._ids = ids

    async def execute(self, target: Target, decide: Decide) -> Outcome[RunState]:
        """Decides and appends, on the scheduler's own behalf.

        Decisions are safe to repeat by their state, so each gets a command id of its own.

        Raises:
            EpochalError: what `decide` or the log raises.
        """
        return await self.carry_out(target.run_id, target.name, decide, self.context(target))

    def context(self, target: Target) -> CommandContext:
        """Returns the context of a command of the scheduler's own."""
        return CommandContext(
            command_id=self._ids.uuid7(),
            org_id=target.org_id,
            actor=ACTOR,
            correlation_id=target.correlation_id,
            request_sha256=hashlib.sha256(target.name.encode()).digest(),
            causation_id=target.causation_id,
            traceparent=target.traceparent,
        )

    async def carry_out(
        self, run_id: UUID, name: str, decide: Decide, context: CommandContext
    ) -> Outcome[RunState]:
        """Decides and appends in the context of a caller.

        Raises:
            NotFound: the run of this id has another name: the caller may have rights on the name
                that it gives, and none on the run.
            EpochalError: what `decide` or the log raises.
        """
        named = _named(name, decide)
        outcome = await self._ledger.execute(RUN, run_id, name, named, context)
        return self._told(run_id, name, outcome, context)

    async def create(
        self, run_id: UUID, name: str, decide: Decide, context: CommandContext
    ) -> Outcome[RunState]:
        """Decides and appends for a run that is most likely new; else as `carry_out`."""
        named = _named(name, decide)
        outcome = await self._ledger.begin(RUN, run_id, name, named, context)
        return self._told(run_id, name, outcome, context)

    def _told(
        self, run_id: UUID, name: str, outcome: Outcome[RunState], context: CommandContext
    ) -> Outcome[RunState]:
        """Tells the feed what was decided; returns the outcome."""
        if self._feed is None or outcome.repeated:
            return outcome
        first = outcome.position - len(outcome.events) + 1
        now = self.clock.now()
        for offset, event in enumerate(outcome.events):
            self._feed.tell(
                Fact(
                    run_id,
                    context.org_id,
                    name,
                    RUN.category,
                    event,
                    first + offset,
                    now,
                    context.correlation_id,
                    actor=context.actor,
                    traceparent=context.traceparent,
                )
            )
        return outcome

    async def load(self, run_id: UUID) -> RunState:
        """Returns the present state of a run."""
        state, _ = await self._ledger.load(RUN, run_id)
        return state

    async def load_named(self, name: str) -> RunState:
        """Returns the present state of the run that a caller names.

        Raises:
            NotFound: there is no run of this name.
        """
        state = await self.load(run_id_of(name))
        if state.status == pb.RUN_STATUS_UNSPECIFIED:
            raise NotFound(f"there is no {name}", resource=name)
        assert_named(state, name)
        return state


def _named(name: str, decide: Decide) -> Decide:
    """Returns the decision, refused for a run that has another name."""

    def decide_named(state: RunState) -> Sequence[Message]:
        assert_named(state, name)
        return decide(state)

    return decide_named


def assert_named(state: RunState, name: str) -> None:
    """Refuses a run that has another name than the one a caller gave.

    Raises:
        NotFound: in the words for a run that does not exist.
    """
    if state.status != pb.RUN_STATUS_UNSPECIFIED and state.name != name:
        raise NotFound(f"there is no {name}", resource=name)
