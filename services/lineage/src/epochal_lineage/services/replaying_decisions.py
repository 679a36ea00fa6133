"""PromotionService, what if: recorded decisions made again under another policy.

A decision was made on facts that its event keeps, and gates are pure: the facts under another text
say what that text would have decided, each by itself or one upon the other. What it cannot know is
what people would then have done.
"""

from __future__ import annotations

from typing import Final

import epochal_proto.v1 as pb
from epochal_kernel.errors import InvalidArgument, Violation
from epochal_kernel.log.events import EventCodec
from epochal_kernel.rpc.context import CallContext

from epochal_lineage.domain.gates.evaluating import evaluate, outcome_of
from epochal_lineage.domain.gates.following import Decided, Following
from epochal_lineage.domain.gates.reading import read_policy
from epochal_lineage.domain.registry_policy import refuse_elsewhere
from epochal_lineage.domain.shelves import collection_of, owner_of
from epochal_lineage.services.moments import Moments
from epochal_lineage.services.registry_messages import timestamp
from epochal_lineage.store.history import HistoryStore

SHOWN: Final = 1_000
_TYPES: Final = (
    pb.PromotionRequested.DESCRIPTOR.full_name,
    pb.PromotionEvaluated.DESCRIPTOR.full_name,
)
_MOVES: Final = tuple(
    one.DESCRIPTOR.full_name
    for one in (
        pb.ModelAliasSet,
        pb.ModelAliasDeleted,
        pb.ModelVersionStageChanged,
        pb.ModelVersionDeleted,
        pb.DatasetStageSet,
        pb.ComponentStageSet,
    )
)


class ReplayingDecisions:
    """Handler of PromotionService.ReplayDecisions."""

    def __init__(self, history: HistoryStore, moments: Moments, codec: EventCodec) -> None:
        self._history = history
        self._moments = moments
        self._codec = codec

    async def replay_decisions(
        self, request: pb.ReplayDecisionsRequest, context: CallContext
    ) -> pb.ReplayDecisionsResponse:
        """Make decisions again."""
        policy = read_policy(request.text)
        refuse_elsewhere(policy, request.parent)
        after = await self._moments.past(request.after, "after", context) or 0
        through = await self._moments.of(request.through, "through", context)
        if after > through:
            raise InvalidArgument(
                "the first moment comes after the second",
                violations=[Violation("after", "order", "name the earlier moment first")],
            )
        answer = pb.ReplayDecisionsResponse()
        following = Following(policy)
        types = (*_TYPES, *_MOVES) if request.carry_on else _TYPES
        versions: dict[str, str] = {}
        org_id = request.parent.split("/")[1]
        async for record in self._history.events(org_id, types, 0, through):
            if owner_of(record.resource) != request.parent:
                continue
            event = await self._codec.decode_payload(record.type, record.payload, record.position)
            inside = record.position > after
            if isinstance(event, pb.PromotionRequested):
                versions[event.name] = event.model_version
            if request.carry_on:
                decided = following.see(record.resource, event, inside)
            elif isinstance(event, pb.PromotionEvaluated) and inside:
                results = evaluate(policy.about(collection_of(record.resource)), event.facts)
                decided = Decided(outcome_of(event.results), outcome_of(results), results)
            else:
                decided = None
            if decided is None or not isinstance(event, pb.PromotionEvaluated):
                continue
            answer.examined += 1
            if decided.before == decided.after:
                continue
            answer.differ += 1
            if len(answer.differing) < SHOWN:
                answer.differing.append(
                    pb.DifferingDecision(
                        position=record.position,
                        promotion=event.promotion,
                        model_version=versions.get(event.promotion, ""),
                        before=decided.before,  # type: ignore[arg-type]  # the stubs want the enum
                        after=decided.after,  # type: ignore[arg-type]  # the stubs want the enum
                        gates=decided.gates,
                        time=timestamp(record.recorded_at),
                    )
                )
        answer.holders.extend(following.differences())
        return answer
