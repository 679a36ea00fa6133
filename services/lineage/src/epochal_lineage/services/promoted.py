"""What came of asking: a promotion as it is recorded, or as it would be."""

from __future__ import annotations

import epochal_proto.v1 as pb
from epochal_kernel.errors import NotFound
from epochal_kernel.log.ledger import Outcome
from epochal_kernel.projections.store import Progress
from epochal_kernel.rpc.context import CallContext

from epochal_lineage.domain import promoting
from epochal_lineage.domain.asking import Asked
from epochal_lineage.domain.gates.evaluating import evaluate, outcome_of
from epochal_lineage.domain.places import Places
from epochal_lineage.domain.promotions import V, Wish, promotion_number
from epochal_lineage.services.deciding import Decisions, S
from epochal_lineage.services.promotion_messages import promotion_message
from epochal_lineage.store.promotions import PromotionStore


class Promoted:
    """Shows promotions of any kind of resource."""

    def __init__(self, store: PromotionStore, progress: Progress) -> None:
        self._store = store
        self._progress = progress

    async def preview(
        self, decisions: Decisions[S, V], resource: str, asked: Asked[V], context: CallContext
    ) -> pb.Promotion:
        """Return what asking would come to, and leave no trace."""
        found = await decisions.gather(resource, asked.version, asked.stage, asked.alias, context)
        state = decisions.places(await decisions.state(resource), found)
        state.require_version(resource, asked.version)
        wish = promoting.wish_for(state, asked, found)
        facts = promoting.facts_of(state, resource, wish, found)
        results = evaluate(found.policy, facts)
        holder = state.holder(asked.stage, asked.alias)
        return pb.Promotion(
            model_version=f"{resource}/versions/{asked.version}",
            stage=asked.stage,
            alias=asked.alias,
            kind=wish.kind,  # type: ignore[arg-type]  # the stubs want the enum's own type
            state=outcome_of(results),
            requester=asked.requester,
            reason=asked.reason,
            gates=results,
            policy_version=found.policy.version,
            policy_digest=found.policy.digest,
            approvals=facts.approvals,
            old_holder=facts.holder,
            old_version="" if holder is None else f"{resource}/versions/{holder}",
        )

    async def of(
        self,
        decisions: Decisions[S, V],
        resource: str,
        outcome: Outcome[S],
        asked: Asked[V],
        context: CallContext,
    ) -> pb.Promotion:
        """Return the promotion that a command was about, now or when it came first."""
        numbers = [
            promotion_number(one.promotion)
            for one in outcome.events
            if isinstance(one, pb.PromotionEvaluated | pb.PromotionCompleted)
        ]
        number = numbers[0] if numbers else _last_of(decisions.places(outcome.state, None), asked)
        if not number:
            # It had the place before there was any promotion: nothing was decided.
            return pb.Promotion(
                model_version=f"{resource}/versions/{asked.version}",
                stage=asked.stage,
                alias=asked.alias,
                state=pb.PROMOTION_STATE_COMPLETED,
            )
        return await self.written(f"{resource}/promotions/{number}", outcome, context)

    async def written(self, name: str, outcome: Outcome[S], context: CallContext) -> pb.Promotion:
        """Return a promotion after a command about it."""
        context.wrote(outcome.position)
        await self._progress.wait_for(outcome.position)
        return await self.read(name)

    async def read(self, name: str, position: int | None = None) -> pb.Promotion:
        """Return a promotion, as of a position.

        Raises:
            NotFound: there is none.
        """
        resource = name.rpartition("/promotions/")[0]
        row = await self._store.promotion(resource, promotion_number(name), position)
        if row is None:
            raise NotFound(f"there is no {name}", resource=name)
        return promotion_message(row)


def _last_of(state: Places[V], asked: Asked[V]) -> int:
    def same(wish: Wish[V]) -> bool:
        there = (wish.stage, wish.alias) == (asked.stage, asked.alias)
        return there and (not asked.version or wish.version == asked.version)

    return max((number for number, one in state.promotions.wishes.items() if same(one)), default=0)
