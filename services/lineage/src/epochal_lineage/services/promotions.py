"""PromotionService: policies, and the way of versions to their places and back.

Asking for a place of a model is here, for a stage of a dataset or a component in `stages`; what was
asked for goes on the same way: yes, no, reviews, lists.
"""

from __future__ import annotations

import epochal_proto.v1 as pb
from epochal_kernel import paging
from epochal_kernel.errors import NotFound
from epochal_kernel.log.ledger import Ledger
from epochal_kernel.projections.store import Progress
from epochal_kernel.rpc.context import CallContext

from epochal_lineage.domain import promoting
from epochal_lineage.domain.asking import Asked
from epochal_lineage.domain.gates.policy import digest_of
from epochal_lineage.domain.gates.reading import read_policy
from epochal_lineage.domain.model import version_number
from epochal_lineage.domain.promotions import V, promotion_number
from epochal_lineage.domain.registry_policy import PolicyAggregate, refuse_elsewhere, set_policy
from epochal_lineage.domain.shelves import collection_of, owner_of
from epochal_lineage.services.deciding import Decisions, S
from epochal_lineage.services.deciding_models import ModelDecisions
from epochal_lineage.services.deciding_shelves import ShelfDecisions
from epochal_lineage.services.moments import Moments
from epochal_lineage.services.policies import policy_stream
from epochal_lineage.services.promoted import Promoted
from epochal_lineage.services.promotion_messages import policy_message, promotion_message
from epochal_lineage.store.promotions import PromotionStore

_LAST = 2**62


class Promotions:
    """Handlers of PromotionService."""

    def __init__(
        self,
        ledger: Ledger,
        store: PromotionStore,
        models: ModelDecisions,
        shelves: ShelfDecisions,
        promoted: Promoted,
        moments: Moments,
        progress: Progress,
    ) -> None:
        self._ledger = ledger
        self._store = store
        self._models = models
        self._shelves = shelves
        self._promoted = promoted
        self._moments = moments
        self._progress = progress
        self._policies = PolicyAggregate()

    async def get_registry_policy(
        self, request: pb.GetRegistryPolicyRequest, context: CallContext
    ) -> pb.RegistryPolicy:
        """Read a policy."""
        owner = _owner(request.name)
        position = await self._moments.of(request.as_of, "as_of", context)
        row = await self._store.policy(owner, request.version, position)
        if row is None and request.version:
            raise NotFound(f"{request.name} has no version {request.version}", resource=owner)
        return policy_message(owner, row)

    async def set_registry_policy(
        self, request: pb.SetRegistryPolicyRequest, context: CallContext
    ) -> pb.RegistryPolicy:
        """Set a policy."""
        owner, text = _owner(request.name), request.text
        refuse_elsewhere(read_policy(text), owner)
        if request.validate_only:
            return pb.RegistryPolicy(name=request.name, text=text, digest=digest_of(text))
        outcome = await self._ledger.execute(
            self._policies,
            policy_stream(owner),
            owner,
            lambda state: set_policy(state, owner, text, context.actor, request.reason),
            context.command(request, request.request_id),
        )
        context.wrote(outcome.position)
        await self._progress.wait_for(outcome.position)
        return policy_message(owner, await self._store.policy(owner, outcome.state.version))

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
            return await self._promoted.preview(self._models, model, asked, context)
        outcome = await self._models.place(model, asked, request, request.request_id, context)
        return await self._promoted.of(self._models, model, outcome, asked, context)

    async def approve_promotion(
        self, request: pb.ApprovePromotionRequest, context: CallContext
    ) -> pb.Promotion:
        """Say yes to a promotion."""
        await self._progress.wait_for(context.min_position)
        if _of_a_model(request.name):
            return await self._approve(self._models, request, context)
        return await self._approve(self._shelves, request, context)

    async def reject_promotion(
        self, request: pb.RejectPromotionRequest, context: CallContext
    ) -> pb.Promotion:
        """Say no to a promotion, or take it back."""
        if _of_a_model(request.name):
            return await self._reject(self._models, request, context)
        return await self._reject(self._shelves, request, context)

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
        outcome = await self._models.decide(
            model,
            None,
            request.stage,
            request.alias,
            lambda state, found: promoting.roll_back(state, model, asked, found),
            context,
            request,
            request.request_id,
        )
        return await self._promoted.of(self._models, model, outcome, asked, context)

    async def review_promotion(
        self, request: pb.ReviewPromotionRequest, context: CallContext
    ) -> pb.Promotion:
        """Close the review of an emergency."""
        if _of_a_model(request.name):
            return await self._review(self._models, request, context)
        return await self._review(self._shelves, request, context)

    async def get_promotion(
        self, request: pb.GetPromotionRequest, context: CallContext
    ) -> pb.Promotion:
        """Read one promotion."""
        position = await self._moments.past(request.as_of, "as_of", context)
        return await self._promoted.read(request.name, position)

    async def list_promotions(
        self, request: pb.ListPromotionsRequest, context: CallContext
    ) -> pb.ListPromotionsResponse:
        """List promotions, newest first."""
        position = await self._moments.past(request.as_of, "as_of", context)
        size = request.page_size or paging.DEFAULT_PAGE
        before = paging.unpack_number(request.page_token)
        whole = collection_of(request.parent) in ("orgs", "projects")
        rows = await self._store.promotions(
            request.parent if whole else owner_of(request.parent),
            "" if whole else request.parent,
            request.state,
            request.review_open,
            _LAST if before is None else before,
            size + 1,
            position,
        )
        return pb.ListPromotionsResponse(
            promotions=[promotion_message(row) for row in rows[:size]],
            next_page_token=paging.pack(str(rows[size - 1].position)) if len(rows) > size else "",
        )

    async def _approve(
        self,
        decisions: Decisions[S, V],
        request: pb.ApprovePromotionRequest,
        context: CallContext,
    ) -> pb.Promotion:
        resource, number = _parts(request.name)
        state = decisions.places(await decisions.state(resource), None)
        wish = promoting.known_wish(state, resource, number)
        outcome = await decisions.decide(
            resource,
            wish.version,
            wish.stage,
            wish.alias,
            lambda state, found: promoting.approve(
                state, resource, number, context.actor, context.role, request.comment, found
            ),
            context,
            request,
            request.request_id,
        )
        return await self._promoted.written(request.name, outcome, context)

    async def _reject(
        self,
        decisions: Decisions[S, V],
        request: pb.RejectPromotionRequest,
        context: CallContext,
    ) -> pb.Promotion:
        resource, number = _parts(request.name)
        outcome = await decisions.plainly(
            resource,
            lambda state: promoting.reject(
                decisions.places(state, None), resource, number, context.actor, request.reason
            ),
            request,
            request.request_id,
            context,
        )
        return await self._promoted.written(request.name, outcome, context)

    async def _review(
        self,
        decisions: Decisions[S, V],
        request: pb.ReviewPromotionRequest,
        context: CallContext,
    ) -> pb.Promotion:
        resource, number = _parts(request.name)
        outcome = await decisions.plainly(
            resource,
            lambda state: promoting.review(
                decisions.places(state, None), resource, number, context.actor, request.comment
            ),
            request,
            request.request_id,
            context,
        )
        return await self._promoted.written(request.name, outcome, context)


def _owner(policy: str) -> str:
    """Return the project or organisation that a policy is of."""
    return policy.removesuffix("/registryPolicy")


def _parts(promotion: str) -> tuple[str, int]:
    return promotion.rpartition("/promotions/")[0], promotion_number(promotion)


def _of_a_model(promotion: str) -> bool:
    return collection_of(_parts(promotion)[0]) == "models"
