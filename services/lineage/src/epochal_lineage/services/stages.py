"""StageService and DatasetStageService: which version of a dataset or component has which stage."""

from __future__ import annotations

import epochal_proto.v1 as pb
from epochal_kernel import paging
from epochal_kernel.projections.store import Progress
from epochal_kernel.rpc.context import CallContext
from google.protobuf.message import Message

from epochal_lineage.domain import promoting
from epochal_lineage.domain.asking import Asked
from epochal_lineage.domain.shelves import last_part, take_stage
from epochal_lineage.projections.stages import StageRow
from epochal_lineage.services.deciding_shelves import ShelfDecisions
from epochal_lineage.services.moments import Moments
from epochal_lineage.services.promoted import Promoted
from epochal_lineage.services.registry_messages import timestamp
from epochal_lineage.store.stages import StageStore


class Stages:
    """Handlers of StageService and DatasetStageService."""

    def __init__(
        self,
        decisions: ShelfDecisions,
        store: StageStore,
        promoted: Promoted,
        moments: Moments,
        progress: Progress,
    ) -> None:
        self._decisions = decisions
        self._store = store
        self._promoted = promoted
        self._moments = moments
        self._progress = progress

    async def promote_version(
        self, request: pb.PromoteVersionRequest, context: CallContext
    ) -> pb.Promotion:
        """Ask for a stage."""
        await self._progress.wait_for(context.min_position)
        resource = request.name.partition("/versions/")[0]
        asked = Asked(
            version=last_part(request.name),
            stage=request.stage,
            alias="",
            requester=context.actor,
            reason=request.reason,
            role=context.role,
            emergency=request.emergency,
        )
        if request.validate_only:
            return await self._promoted.preview(self._decisions, resource, asked, context)
        place = self._decisions.place_or_refuse if request.now_or_fail else self._decisions.place
        outcome = await place(resource, asked, request, request.request_id, context)
        return await self._promoted.of(self._decisions, resource, outcome, asked, context)

    async def rollback_stage(
        self, request: pb.RollbackStageRequest, context: CallContext
    ) -> pb.Promotion:
        """Give a stage back to the version that had it before."""
        await self._progress.wait_for(context.min_position)
        asked = Asked(
            version="",
            stage=request.stage,
            alias="",
            requester=context.actor,
            reason=request.reason,
            role=context.role,
        )
        outcome = await self._decisions.decide(
            request.name,
            None,
            request.stage,
            "",
            lambda state, found: promoting.roll_back(state, request.name, asked, found),
            context,
            request,
            request.request_id,
        )
        return await self._promoted.of(self._decisions, request.name, outcome, asked, context)

    async def take_stage(self, request: pb.TakeStageRequest, context: CallContext) -> pb.HeldStage:
        """Take a stage away from the version that has it."""
        row = await self._take(
            request.name, request.stage, request.reason, request, request.request_id, context
        )
        resource = request.name.partition("/versions/")[0]
        return _held(row) if row else pb.HeldStage(resource=resource, stage=request.stage)

    async def list_held_stages(
        self, request: pb.ListHeldStagesRequest, context: CallContext
    ) -> pb.ListHeldStagesResponse:
        """List stages of a dataset or a component, by name."""
        rows, token = await self._page(
            request.parent, request.as_of, request.page_size, request.page_token, context
        )
        return pb.ListHeldStagesResponse(stages=[_held(row) for row in rows], next_page_token=token)

    async def set_dataset_stage(
        self, request: pb.SetDatasetStageRequest, context: CallContext
    ) -> pb.DatasetStage:
        """Give a stage to a version through its gates, or take it away."""
        await self._progress.wait_for(context.min_position)
        dataset = request.name.partition("/versions/")[0]
        if request.removed:
            row = await self._take(
                request.name, request.stage, request.reason, request, request.request_id, context
            )
        else:
            asked = Asked(
                version=last_part(request.name),
                stage=request.stage,
                alias="",
                requester=context.actor,
                reason=request.reason,
                role=context.role,
            )
            outcome = await self._decisions.place_or_refuse(
                dataset, asked, request, request.request_id, context
            )
            context.wrote(outcome.position)
            await self._progress.wait_for(outcome.position)
            row = await self._store.stage(dataset, request.stage)
        return _of_dataset(row) if row else pb.DatasetStage(dataset=dataset, stage=request.stage)

    async def list_dataset_stages(
        self, request: pb.ListDatasetStagesRequest, context: CallContext
    ) -> pb.ListDatasetStagesResponse:
        """List stages of a dataset, by name."""
        rows, token = await self._page(
            request.parent, request.as_of, request.page_size, request.page_token, context
        )
        return pb.ListDatasetStagesResponse(
            stages=[_of_dataset(row) for row in rows], next_page_token=token
        )

    async def _take(
        self,
        name: str,
        stage: str,
        reason: str,
        request: Message,
        request_id: str,
        context: CallContext,
    ) -> StageRow | None:
        await self._progress.wait_for(context.min_position)
        resource, version = name.partition("/versions/")[0], last_part(name)
        policy = await self._decisions.policy(resource)
        before = await self._store.held(resource)
        outcome = await self._decisions.plainly(
            resource,
            lambda state: take_stage(state.since(before), resource, stage, version, reason, policy),
            request,
            request_id,
            context,
        )
        context.wrote(outcome.position)
        await self._progress.wait_for(outcome.position)
        return await self._store.stage(resource, stage)

    async def _page(
        self, parent: str, as_of: pb.Moment, page_size: int, token: str, context: CallContext
    ) -> tuple[list[StageRow], str]:
        position = await self._moments.past(as_of, "as_of", context)
        size = page_size or paging.DEFAULT_PAGE
        rows = await self._store.stages(parent, paging.unpack(token), size + 1, position)
        more = paging.pack(rows[size - 1].stage) if len(rows) > size else ""
        return rows[:size], more


def _held(row: StageRow) -> pb.HeldStage:
    return pb.HeldStage(
        resource=row.resource,
        stage=row.stage,
        version=f"{row.resource}/versions/{row.version}",
        reason=row.reason,
        author=row.author,
        update_time=timestamp(row.update_time),
        promotion=row.promotion,
    )


def _of_dataset(row: StageRow) -> pb.DatasetStage:
    return pb.DatasetStage(
        dataset=row.resource,
        stage=row.stage,
        version=f"{row.resource}/versions/{row.version}",
        reason=row.reason,
        author=row.author,
        update_time=timestamp(row.update_time),
        promotion=row.promotion,
    )
