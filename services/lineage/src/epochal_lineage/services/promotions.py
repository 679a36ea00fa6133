"""PromotionService: policies, and the way of versions to their places and back."""

from __future__ import annotations

import epochal_proto.v1 as pb
from epochal_kernel import paging
from epochal_kernel.errors import NotFound
from epochal_kernel.log.ledger import Ledger, Outcome
from epochal_kernel.projections.store import Progress
from epochal_kernel.rpc.context import CallContext

from epochal_lineage.domain import promoting
from epochal_lineage.domain.asking import Asked
from epochal_lineage.domain.gates.evaluating import evaluate, outcome_of
from epochal_lineage.domain.gates.policy import digest_of
from epochal_lineage.domain.gates.reading import read_policy
from epochal_lineage.domain.model import ModelState, require_version, version_number
from epochal_lineage.domain.promotions import Wish, promotion_number
from epochal_lineage.domain.registry_policy import PolicyAggregate, set_policy
from epochal_lineage.projections.graph import project_of
from epochal_lineage.services.deciding import Decisions, policy_stream
from epochal_lineage.services.moments import Moments
from epochal_lineage.services.promotion_messages import policy_message, promotion_message
from epochal_lineage.store.promotions import PromotionStore

_LAST = 2**62


class Promotions:
    """Handlers of PromotionService."""

    def __init__(
        self,
        ledger: Ledger,
        store: PromotionStore,
        decisions: Decisions,
        moments: Moments,
        progress: Progress,
    ) -> None:
        self._moments = moments
        self._ledger = ledger
        self._store = store
        self._decisions = decisions
        self._progress = progress
        self._policies = PolicyAggregate()

    async def get_registry_policy(
        self, request: pb.GetRegistryPolicyRequest, context: CallContext
    ) -> pb.RegistryPolicy:
        """Read a policy."""
        project = project_of(request.name)
        position = await self._moments.of(request.as_of, "as_of", context)
        row = await self._store.policy(project, request.version, position)
        if row is None and request.version:
            raise NotFound(f"{request.name} has no version {request.version}", resource=project)
        return policy_message(project, row)

    async def set_registry_policy(
        self, request: pb.SetRegistryPolicyRequest, context: CallContext
    ) -> pb.RegistryPolicy:
        """Set a policy."""
        project, text = project_of(request.name), request.text
        read_policy(text)
        if request.validate_only:
            return pb.RegistryPolicy(name=request.name, text=text, digest=digest_of(text))
        outcome = await self._ledger.execute(
            self._policies,
            policy_stream(project),
            project,
            lambda state: set_policy(state, project, text, context.actor, request.reason),
            context.command(request, request.request_id),
        )
        context.wrote(outcome.position)
        await self._progress.wait_for(outcome.position)
        return policy_message(project, await self._store.policy(project, outcome.state.version))

    async def promote_model_version(
        self, request: pb.PromoteModelVersionRequest, context: CallContext
    ) -> pb.Promotion:
        """Ask for a place."""
        await self._progress.wait_for(context.min_position)
        model = request.name.rpartition("/versions/")[0]
        asked = Asked(
            version=version_number(request.name),
            stage=request.stage,
            alias=request.alias,
            requester=context.actor,
            reason=request.reason,
            role=context.role,
            emergency=request.emergency,
        )
        if request.validate_only:
            return await self._preview(model, asked, context)
        outcome = await self._decisions.place(model, asked, request, request.request_id, context)
        return await self._promotion(model, outcome, asked, context)

    async def approve_promotion(
        self, request: pb.ApprovePromotionRequest, context: CallContext
    ) -> pb.Promotion:
        """Say yes to a promotion."""
        await self._progress.wait_for(context.min_position)
        model, number = request.name.rpartition("/promotions/")[0], promotion_number(request.name)
        wish = promoting.known_wish(await self._decisions.state(model), model, number)
        outcome = await self._decisions.decide(
            model,
            wish.version,
            wish.stage,
            wish.alias,
            lambda state, found: promoting.approve(
                state, model, number, context.actor, context.role, request.comment, found
            ),
            context,
            request,
            request.request_id,
        )
        return await self._read(request.name, outcome, context)

    async def reject_promotion(
        self, request: pb.RejectPromotionRequest, context: CallContext
    ) -> pb.Promotion:
        """Say no to a promotion, or take it back."""
        model, number = request.name.rpartition("/promotions/")[0], promotion_number(request.name)
        outcome = await self._decisions.plainly(
            model,
            lambda state: promoting.reject(state, model, number, context.actor, request.reason),
            request,
            request.request_id,
            context,
        )
        return await self._read(request.name, outcome, context)

    async def rollback_model(
        self, request: pb.RollbackModelRequest, context: CallContext
    ) -> pb.Promotion:
        """Give a place back to the version that had it before."""
        asked = Asked(
            version=0,
            stage=request.stage,
            alias=request.alias,
            requester=context.actor,
            reason=request.reason,
            role=context.role,
        )
        model = request.name
        outcome = await self._decisions.decide(
            model,
            0,
            request.stage,
            request.alias,
            lambda state, found: promoting.roll_back(state, model, asked, found),
            context,
            request,
            request.request_id,
        )
        return await self._promotion(model, outcome, asked, context)

    async def review_promotion(
        self, request: pb.ReviewPromotionRequest, context: CallContext
    ) -> pb.Promotion:
        """Close the review of an emergency."""
        model, number = request.name.rpartition("/promotions/")[0], promotion_number(request.name)
        outcome = await self._decisions.plainly(
            model,
            lambda state: promoting.review(state, model, number, context.actor, request.comment),
            request,
            request.request_id,
            context,
        )
        return await self._read(request.name, outcome, context)

    async def get_promotion(
        self, request: pb.GetPromotionRequest, context: CallContext
    ) -> pb.Promotion:
        """Read one promotion."""
        await self._progress.wait_for(context.min_position)
        return await self._row(request.name)

    async def list_promotions(
        self, request: pb.ListPromotionsRequest, context: CallContext
    ) -> pb.ListPromotionsResponse:
        """List promotions, newest first."""
        await self._progress.wait_for(context.min_position)
        size = request.page_size or paging.DEFAULT_PAGE
        before = paging.unpack_number(request.page_token)
        rows = await self._store.promotions(
            project_of(request.parent),
            request.parent if "/models/" in request.parent else "",
            request.state,
            request.review_open,
            _LAST if before is None else before,
            size + 1,
        )
        return pb.ListPromotionsResponse(
            promotions=[promotion_message(row) for row in rows[:size]],
            next_page_token=paging.pack(str(rows[size - 1].position)) if len(rows) > size else "",
        )

    async def _preview(self, model: str, asked: Asked, context: CallContext) -> pb.Promotion:
        found = await self._decisions.gather(
            model, asked.version, asked.stage, asked.alias, context
        )
        state = await self._decisions.state(model)
        require_version(state, model, asked.version)
        wish = promoting.wish_for(state, asked, found)
        facts = promoting.facts_of(state, wish, found)
        results = evaluate(found.policy, facts)
        return pb.Promotion(
            model_version=f"{model}/versions/{asked.version}",
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
        )

    async def _promotion(
        self, model: str, outcome: Outcome[ModelState], asked: Asked, context: CallContext
    ) -> pb.Promotion:
        """Return the promotion that a command was about, now or when it came first."""
        numbers = [
            promotion_number(one.promotion)
            for one in outcome.events
            if isinstance(one, pb.PromotionEvaluated | pb.PromotionCompleted)
        ]
        number = numbers[0] if numbers else _last_of(outcome.state, asked)
        if not number:
            # It had the place before there was any promotion: nothing was decided.
            return pb.Promotion(
                model_version=f"{model}/versions/{asked.version}",
                stage=asked.stage,
                alias=asked.alias,
                state=pb.PROMOTION_STATE_COMPLETED,
            )
        return await self._read(f"{model}/promotions/{number}", outcome, context)

    async def _read(
        self, name: str, outcome: Outcome[ModelState], context: CallContext
    ) -> pb.Promotion:
        context.wrote(outcome.position)
        await self._progress.wait_for(outcome.position)
        return await self._row(name)

    async def _row(self, name: str) -> pb.Promotion:
        row = await self._store.promotion(
            name.rpartition("/promotions/")[0], promotion_number(name)
        )
        if row is None:
            raise NotFound(f"there is no {name}", resource=name)
        return promotion_message(row)


def _last_of(state: ModelState, asked: Asked) -> int:
    def same(wish: Wish) -> bool:
        return (wish.stage, wish.alias) == (asked.stage, asked.alias) and (
            asked.version in (0, wish.version)
        )

    return max((number for number, one in state.promotions.wishes.items() if same(one)), default=0)
