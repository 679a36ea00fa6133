"""Decisions about places: gathers what gates look at, then decides on one stream.

Facts of other streams (metrics of runs, validations, signatures, the policy) are read first; what
is of the resource itself, its holder above all, is looked at inside the decision, which the log
appends only if nobody else has moved meanwhile. A holder whose metrics were not gathered sends the
decision back for them.
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Final, Generic, NoReturn, TypeVar
from uuid import UUID

import epochal_proto.v1 as pb
from epochal_kernel.errors import Aborted, FailedPrecondition
from epochal_kernel.log.ledger import Aggregate, Ledger, Outcome
from epochal_kernel.projections.store import Progress
from epochal_kernel.rpc.context import CallContext
from google.protobuf.message import Message

from epochal_lineage.domain import promoting
from epochal_lineage.domain.asking import Asked, Circumstances
from epochal_lineage.domain.gates.evaluating import shut_gates
from epochal_lineage.domain.places import Places
from epochal_lineage.domain.promotions import V
from epochal_lineage.domain.shelves import collection_of

ATTEMPTS: Final = 16
S = TypeVar("S")


class Decisions(ABC, Generic[S, V]):
    """Decides about places of one kind of resource: S is the state of its stream."""

    def __init__(self, ledger: Ledger, aggregate: Aggregate[S], progress: Progress) -> None:
        self._ledger = ledger
        self._aggregate = aggregate
        self._progress = progress

    @abstractmethod
    def stream(self, resource: str) -> UUID:
        """Return the stream of a resource."""

    @abstractmethod
    def places(self, state: S, found: Circumstances[V] | None) -> Places[V]:
        """Return a state as promotions see it, with what was found out beside its stream."""

    @abstractmethod
    def version(self, name: str) -> V:
        """Read a version out of its name."""

    @abstractmethod
    async def gather(
        self, resource: str, version: V | None, stage: str, alias: str, context: CallContext
    ) -> Circumstances[V]:
        """Find out what gates of a place look at, and no more than they do.

        Raises:
            NotFound: there is no such version, where its stream does not say so.
        """

    async def place(
        self,
        resource: str,
        asked: Asked[V],
        request: Message,
        request_id: str,
        context: CallContext,
    ) -> Outcome[S]:
        """Ask for a place; the outcome's state says whether the version has it."""
        return await self.decide(
            resource,
            asked.version,
            asked.stage,
            asked.alias,
            lambda state, found: promoting.promote(state, resource, asked, found),
            context,
            request,
            request_id,
        )

    async def place_or_refuse(
        self,
        resource: str,
        asked: Asked[V],
        request: Message,
        request_id: str,
        context: CallContext,
    ) -> Outcome[S]:
        """Ask for a place, and raise unless the version has it then.

        Raises:
            FailedPrecondition: a gate is shut, or people must approve first; both are recorded.
        """
        outcome = await self.place(resource, asked, request, request_id, context)
        there = self.places(outcome.state, None).has(asked.version, asked.stage, asked.alias)
        if not there and (outcome.events or outcome.repeated):
            # Whoever is told of the wish can read it.
            await self._progress.wait_for(outcome.position)
            refuse(outcome.events, resource)
        return outcome

    async def decide(
        self,
        resource: str,
        version: V | None,
        stage: str,
        alias: str,
        decision: Callable[[Places[V], Circumstances[V]], Sequence[Message]],
        context: CallContext,
        request: Message,
        request_id: str,
    ) -> Outcome[S]:
        """Gather facts and decide, again when the holder changed meanwhile.

        Raises:
            EpochalError: what the decision raised.
        """
        command = context.command(request, request_id)
        attempt = 0
        while True:
            found = await self.gather(resource, version, stage, alias, context)
            decided = functools.partial(self._decided, decision, found)
            try:
                return await self._ledger.execute(
                    self._aggregate, self.stream(resource), resource, decided, command
                )
            except Aborted:
                attempt += 1
                if attempt >= ATTEMPTS:
                    raise

    async def plainly(
        self,
        resource: str,
        decision: Callable[[S], Sequence[Message]],
        request: Message,
        request_id: str,
        context: CallContext,
    ) -> Outcome[S]:
        """Decide something that looks at nothing but the resource's own stream.

        Raises:
            EpochalError: what the decision raised.
        """
        command = context.command(request, request_id)
        return await self._ledger.execute(
            self._aggregate, self.stream(resource), resource, decision, command
        )

    async def state(self, resource: str) -> S:
        """Return the state of a resource's stream."""
        state, _ = await self._ledger.load(self._aggregate, self.stream(resource))
        return state

    def _decided(
        self,
        decision: Callable[[Places[V], Circumstances[V]], Sequence[Message]],
        found: Circumstances[V],
        state: S,
    ) -> Sequence[Message]:
        return decision(self.places(state, found), found)


def refuse(events: Sequence[Message], resource: str) -> NoReturn:
    """Raise for a promotion that did not complete, with what its gates said.

    Raises:
        FailedPrecondition: always.
    """
    word = collection_of(resource)
    evaluated = next(
        (one for one in reversed(events) if isinstance(one, pb.PromotionEvaluated)), None
    )
    if evaluated is None:
        raise FailedPrecondition(
            "the registry policy did not let this through when it was asked first: "
            f"`epochal {word} promotions {resource}` says why",
            reason="PROMOTION_REFUSED",
            resource=resource,
        )
    waits = evaluated.outcome == pb.PROMOTION_STATE_OPEN
    name = evaluated.promotion
    raise FailedPrecondition(
        f"{name} waits for approval: {shut_gates(evaluated.results)}. Somebody else approves it "
        f"with `epochal {word} approve {name}`"
        if waits
        else f"the registry policy refuses it: {shut_gates(evaluated.results)}",
        reason="PROMOTION_OPEN" if waits else "PROMOTION_REFUSED",
        resource=name,
    )
