"""DatasetStageService: which version of a dataset has which stage."""

from __future__ import annotations

import epochal_proto.v1 as pb
from epochal_kernel import paging
from epochal_kernel.errors import NotFound
from epochal_kernel.log.ledger import Ledger
from epochal_kernel.projections.store import Progress
from epochal_kernel.rpc.context import CallContext

from epochal_lineage.domain.dataset_stages import DatasetStagesAggregate, give_stage, take_stage
from epochal_lineage.projections.dataset_stages import DatasetStageRow
from epochal_lineage.services.registry_messages import stream_of, timestamp
from epochal_lineage.store.dataset_stages import DatasetStageStore
from epochal_lineage.store.datasets import DatasetStore


class DatasetStages:
    """Handlers of DatasetStageService."""

    def __init__(
        self,
        ledger: Ledger,
        datasets: DatasetStore,
        store: DatasetStageStore,
        progress: Progress,
    ) -> None:
        self._ledger = ledger
        self._datasets = datasets
        self._store = store
        self._progress = progress
        self._aggregate = DatasetStagesAggregate()

    async def set_dataset_stage(
        self, request: pb.SetDatasetStageRequest, context: CallContext
    ) -> pb.DatasetStage:
        """Give a stage to a version, or take it away."""
        await self._progress.wait_for(context.min_position)
        if await self._datasets.version(request.name) is None:
            raise NotFound(f"there is no {request.name}", resource=request.name)
        dataset, _, version = request.name.partition("/versions/")
        decide = take_stage if request.removed else give_stage
        outcome = await self._ledger.execute(
            self._aggregate,
            stream_of(f"{dataset}/stages"),
            dataset,
            lambda state: decide(state, dataset, request.stage, version, request.reason),
            context.command(request, request.request_id),
        )
        context.wrote(outcome.position)
        await self._progress.wait_for(outcome.position)
        row = await self._store.stage(dataset, request.stage)
        return _message(row) if row else pb.DatasetStage(dataset=dataset, stage=request.stage)

    async def list_dataset_stages(
        self, request: pb.ListDatasetStagesRequest, context: CallContext
    ) -> pb.ListDatasetStagesResponse:
        """List stages, by name."""
        await self._progress.wait_for(context.min_position)
        size = request.page_size or paging.DEFAULT_PAGE
        after = paging.unpack(request.page_token)
        rows = await self._store.stages(request.parent, after, size + 1)
        return pb.ListDatasetStagesResponse(
            stages=[_message(row) for row in rows[:size]],
            next_page_token=paging.pack(rows[size - 1].stage) if len(rows) > size else "",
        )


def _message(row: DatasetStageRow) -> pb.DatasetStage:
    return pb.DatasetStage(
        dataset=row.dataset,
        stage=row.stage,
        version=f"{row.dataset}/versions/{row.version}",
        reason=row.reason,
        author=row.author,
        update_time=timestamp(row.update_time),
    )
