"""RecordService: typed records of runs. Their bytes are artifacts, the gateway's business."""

from __future__ import annotations

import json

import epochal_proto.v1 as pb
from epochal_kernel.errors import InvalidArgument, NotFound, Violation
from epochal_kernel.log.ledger import Ledger
from epochal_kernel.paging import DEFAULT_PAGE, foreign, pack, unpack
from epochal_kernel.rpc.context import CallContext

from epochal_tracker.domain.tracking import TrackingAggregate
from epochal_tracker.services.lookup import RunLookup
from epochal_tracker.store.records import RecordKey, RecordStore, Wanted

#: One event stays well below what the broker takes.
MOST_BYTES = 2 * 1024 * 1024


class Records:
    """Handlers of RecordService."""

    def __init__(self, ledger: Ledger, lookup: RunLookup, store: RecordStore) -> None:
        self._ledger = ledger
        self._lookup = lookup
        self._store = store
        self._aggregate = TrackingAggregate()

    async def log_records(
        self, request: pb.LogRecordsRequest, context: CallContext
    ) -> pb.LogRecordsResponse:
        """Record a batch of records in one event."""
        row = await self._lookup.writable(request.run, context)
        event = pb.RecordsLogged(run=request.run, records=request.records)
        if event.ByteSize() > MOST_BYTES:
            message = f"has {event.ByteSize()} bytes, at most {MOST_BYTES}: send fewer at a time"
            raise InvalidArgument(
                f"records {message}", violations=[Violation("records", "max_bytes", message)]
            )
        outcome = await self._ledger.execute(
            self._aggregate,
            row.run_id,
            request.run,
            lambda _: [event],
            context.command(request, request.request_id),
        )
        context.wrote(outcome.position)
        return pb.LogRecordsResponse()

    async def get_record(self, request: pb.GetRecordRequest, context: CallContext) -> pb.Record:
        """Read one record."""
        row = await self._lookup.run(request.run, context)
        found = await self._store.record(row.run_id, request.record)
        if found is None:
            name = f"{request.run}/records/{request.record}"
            raise NotFound(
                f"there is no {name}, or its artifact was deleted: see ListRecords", resource=name
            )
        return pb.Record.FromString(found)

    async def list_records(
        self, request: pb.ListRecordsRequest, context: CallContext
    ) -> pb.ListRecordsResponse:
        """List records by kind, name and step."""
        row = await self._lookup.run(request.run, context)
        size = request.page_size or DEFAULT_PAGE
        wanted = Wanted(
            request.kind,
            request.series,
            request.from_step if request.HasField("from_step") else None,
            request.to_step if request.HasField("to_step") else None,
        )
        after = _key(request.page_token)
        found = await self._store.page(row.run_id, wanted, after, size + 1)
        return pb.ListRecordsResponse(
            records=[pb.Record.FromString(content) for _, content in found[:size]],
            next_page_token=pack(json.dumps(found[size - 1][0])) if len(found) > size else "",
        )

    async def list_record_series(
        self, request: pb.ListRecordSeriesRequest, context: CallContext
    ) -> pb.ListRecordSeriesResponse:
        """List kinds and names with the newest of each."""
        row = await self._lookup.run(request.run, context)
        size = request.page_size or DEFAULT_PAGE
        after = _pair(request.page_token)
        found = await self._store.series(row.run_id, request.kind, after, size + 1)
        last = found[size - 1] if len(found) > size else None
        return pb.ListRecordSeriesResponse(
            series=[
                pb.RecordSeries(
                    kind=one.kind,
                    series=one.series,
                    count=one.count,
                    latest=pb.Record.FromString(one.latest),
                )
                for one in found[:size]
            ],
            next_page_token=pack(json.dumps([last.kind, last.series])) if last else "",
        )


def _key(token: str) -> RecordKey | None:
    match _parts(token):
        case None:
            return None
        case [str(kind), str(series), int(step), int(time_us), str(record)] if (
            max(abs(step), abs(time_us)) < 2**63
        ):
            return kind, series, step, time_us, record
        case _:
            raise foreign()


def _pair(token: str) -> tuple[str, str] | None:
    match _parts(token):
        case None:
            return None
        case [str(kind), str(series)]:
            return kind, series
        case _:
            raise foreign()


def _parts(token: str) -> object:
    text = unpack(token)
    if not text:
        return None
    try:
        return json.loads(text)
    except ValueError:
        raise foreign() from None
