"""DatasetService: datasets, their versions, how they differ, whether rules hold."""

from __future__ import annotations

from collections.abc import Sequence

import epochal_proto.v1 as pb
from epochal_kernel import paging
from epochal_kernel.clock import Clock
from epochal_kernel.errors import NotFound
from epochal_kernel.log.ledger import Ledger
from epochal_kernel.rpc.context import CallContext
from google.protobuf.message import Message

from epochal_lineage.domain.dataset_differences import differences
from epochal_lineage.domain.dataset_rules import check_rules
from epochal_lineage.projections.datasets import DatasetVersionRow
from epochal_lineage.projections.graph_rows import OPEN
from epochal_lineage.services.moments import Moments
from epochal_lineage.services.registry_messages import stream_of, timestamp
from epochal_lineage.store.datasets import DatasetStore


class Validations:
    """The stream of one version's validations: whatever was found before, they may be made."""

    category = "lineage"

    def initial(self) -> None:
        """Nothing."""

    def evolve(self, state: None, event: Message) -> None:
        """Nothing that was found bears on what will be."""


class Datasets:
    """Handlers of DatasetService."""

    def __init__(
        self,
        ledger: Ledger,
        store: DatasetStore,
        moments: Moments,
        clock: Clock,
    ) -> None:
        self._ledger = ledger
        self._store = store
        self._moments = moments
        self._clock = clock
        self._validations = Validations()

    async def list_datasets(
        self, request: pb.ListDatasetsRequest, context: CallContext
    ) -> pb.ListDatasetsResponse:
        """List the datasets of a project, by name."""
        position = await self._moments.past(request.as_of, "as_of", context)
        size = request.page_size or paging.DEFAULT_PAGE
        after = paging.unpack(request.page_token)
        found = await self._store.datasets(request.parent, after, size + 1, position)
        return pb.ListDatasetsResponse(
            datasets=[
                pb.Dataset(
                    name=one.name,
                    versions=one.versions,
                    latest_version=one.latest,
                    update_time=timestamp(one.update_time),
                )
                for one in found[:size]
            ],
            next_page_token=paging.pack(found[size - 1].name) if len(found) > size else "",
        )

    async def list_dataset_versions(
        self, request: pb.ListDatasetVersionsRequest, context: CallContext
    ) -> pb.ListDatasetVersionsResponse:
        """List the versions of a dataset, newest first."""
        position = await self._moments.past(request.as_of, "as_of", context)
        size = request.page_size or paging.DEFAULT_PAGE
        before = paging.unpack_number(request.page_token) or OPEN
        found = await self._store.versions(request.parent, before, size + 1, position)
        last = found[size - 1].position if len(found) > size else 0
        return pb.ListDatasetVersionsResponse(
            versions=[_version(row) for row in found[:size]],
            next_page_token=paging.pack(str(last)) if last else "",
        )

    async def get_dataset_version(
        self, request: pb.GetDatasetVersionRequest, context: CallContext
    ) -> pb.DatasetVersion:
        """Return one version."""
        position = await self._moments.past(request.as_of, "as_of", context)
        return _version(await self._row(request.name, position))

    async def compare_dataset_versions(
        self, request: pb.CompareDatasetVersionsRequest, context: CallContext
    ) -> pb.CompareDatasetVersionsResponse:
        """Tell how a version differs from another."""
        position = await self._moments.past(request.as_of, "as_of", context)
        new = await self._row(request.name, position)
        old = await self._row(request.base, position)
        after, before = new.known(), old.known()
        found = pb.CompareDatasetVersionsResponse(
            columns=differences(before, after),
            same_content=bool(new.digest) and new.digest == old.digest,
        )
        if before.HasField("rows"):
            found.old_rows = before.rows
        if after.HasField("rows"):
            found.new_rows = after.rows
        return found

    async def validate_dataset_version(
        self, request: pb.ValidateDatasetVersionRequest, context: CallContext
    ) -> pb.ValidateDatasetVersionResponse:
        """Hold rules against a version, and record what came of them."""
        # A write: its caller names no position, and may have told of the version just now.
        await self._moments.caught_up()
        row = await self._row(request.name)
        contents = row.known()
        results = check_rules(request.rules, contents, self._clock.now())
        validated = pb.DatasetValidated(
            dataset=row.name, results=results, passed=all(one.passed for one in results)
        )

        def decide(state: None) -> Sequence[Message]:
            return [validated]

        outcome = await self._ledger.execute(
            self._validations,
            stream_of(row.name),
            row.name,
            decide,
            context.command(request, request.request_id),
        )
        context.wrote(outcome.position)
        return pb.ValidateDatasetVersionResponse(results=results, passed=validated.passed)

    async def _row(self, name: str, position: int | None = None) -> DatasetVersionRow:
        row = await self._store.version(name, position)
        if row is None:
            raise NotFound(f"there is no {name}", resource=name)
        return row


def _version(row: DatasetVersionRow) -> pb.DatasetVersion:
    return pb.DatasetVersion(
        name=row.name,
        uri=row.uri,
        digest=row.digest,
        contents=row.known(),
        details=pb.DatasetDetails.FromString(row.details),
        run=row.run,
        produced=row.produced,
        features=row.features,
        position=row.position,
        create_time=timestamp(row.create_time),
        results=pb.DatasetValidated.FromString(row.validated).results,
    )
