"""The tracker process: the only place that builds its parts."""

from __future__ import annotations

import uvloop
from epochal_kernel.acts import Act
from epochal_kernel.leading import Leader
from epochal_kernel.log.reader import LogReader
from epochal_kernel.runtime.logs import configure_logs
from epochal_kernel.runtime.service import Kernel, Parts, run_service
from epochal_proto.v1.services import (
    ArchiveService,
    ArtifactService,
    RecordService,
    RetentionService,
    RunService,
    SearchService,
    SeriesService,
    TraceService,
    TrackingService,
)

from epochal_tracker.archiving import Archiver
from epochal_tracker.feeding import SummaryFeed
from epochal_tracker.joining import Joiner
from epochal_tracker.objects import ArchiveObjects
from epochal_tracker.projections import READ_MODEL
from epochal_tracker.retaining import Keeper
from epochal_tracker.sealing import Sealer
from epochal_tracker.services.archiving import Archives
from epochal_tracker.services.artifacts import Artifacts
from epochal_tracker.services.capturing import Captures
from epochal_tracker.services.curves import Curves
from epochal_tracker.services.finding import Finder
from epochal_tracker.services.grouping import Grouping
from epochal_tracker.services.keeping import Keeping
from epochal_tracker.services.lookup import RunLookup
from epochal_tracker.services.marking import Marking
from epochal_tracker.services.producers import Producers
from epochal_tracker.services.ranking import Ranking
from epochal_tracker.services.records import Records
from epochal_tracker.services.runs import Runs
from epochal_tracker.services.sampling import Sampling
from epochal_tracker.services.searching import Searching
from epochal_tracker.services.traces import Traces
from epochal_tracker.services.tracking import Tracking
from epochal_tracker.services.writing import Writing
from epochal_tracker.settings import TrackerSettings
from epochal_tracker.signals import RunBells
from epochal_tracker.sink import Sink
from epochal_tracker.store.archiving import ArchiveStore
from epochal_tracker.store.curves import CurveStore
from epochal_tracker.store.ingest import IngestStore
from epochal_tracker.store.joining import JoinStore
from epochal_tracker.store.keeping import LossStore, RetentionStore, TruncationStore
from epochal_tracker.store.marks import MarkStore
from epochal_tracker.store.records import RecordStore
from epochal_tracker.store.runs import RunStore
from epochal_tracker.store.search import SearchStore
from epochal_tracker.store.telemetry import TelemetryStore
from epochal_tracker.store.traces import TraceStore
from epochal_tracker.store.writing import WriteStore
from epochal_tracker.telling import LossTeller, Teller
from epochal_tracker.writing import PointWriter


def main() -> None:
    """Run the tracker until it is told to stop."""
    settings = TrackerSettings()
    configure_logs("tracker", settings.log_level)
    uvloop.run(run(settings))


async def run(settings: TrackerSettings) -> None:
    """Run the tracker in this event loop."""

    async def build(kernel: Kernel) -> Parts:
        return _build(kernel, settings)

    await run_service(settings, READ_MODEL, "epochal_tracker", build)


def _build(kernel: Kernel, settings: TrackerSettings) -> Parts:
    bells = RunBells()
    runs, telemetry = RunStore(kernel.pool), TelemetryStore(kernel.pool)
    lookup = RunLookup(runs, kernel.progress)
    search = SearchStore(kernel.pool)
    finder = Finder(search, runs, telemetry, kernel.clock)
    _bind_runs(kernel, Runs(lookup, finder, runs, telemetry, kernel.progress, bells))
    _bind_search(kernel, finder, search)
    marks = MarkStore(kernel.pool)
    _bind_marks(kernel, Marking(kernel.ledger, lookup, marks, kernel.progress, kernel.clock))
    _bind_artifacts(kernel, Artifacts(kernel.ledger, lookup, runs, RetentionStore(kernel.pool)))
    _bind_records(kernel, Records(kernel.ledger, lookup, RecordStore(kernel.pool)))
    _bind_tracking(kernel, Tracking(kernel.ledger, lookup, telemetry, bells))
    traces = TraceStore(kernel.pool)
    _bind_traces(kernel, Traces(kernel.ledger, traces, lookup, kernel.progress, kernel.clock))
    log = LogReader(kernel.pool)
    _bind_captures(kernel, Captures(kernel.ledger, log, kernel.codec, lookup, runs, telemetry))
    kernel.server.unary(TrackingService.SAMPLE_METRICS, Sampling(telemetry).sample_metrics)
    _bind_producers(
        kernel,
        Producers(kernel.ledger, lookup, telemetry, kernel.progress, bells, kernel.clock),
    )
    ingest = IngestStore(kernel.pool)
    writes = WriteStore(kernel.pool, ingest)
    feed = SummaryFeed(kernel.bus, kernel.clock)
    writer = PointWriter(writes, bells, kernel.clock, feed)
    kernel.server.unary(TrackingService.LOG_METRICS, Writing(lookup, writer).log_metrics)
    curves = Curves(lookup, runs, CurveStore(kernel.pool), kernel.progress, bells)
    kernel.server.unary(SeriesService.QUERY_SERIES, curves.query_series)
    kernel.server.stream(SeriesService.TAIL_METRICS, curves.tail_metrics)
    joiner = Joiner(JoinStore(kernel.pool), kernel.clock)
    sealer = Sealer(kernel.ledger, writes, telemetry, kernel.clock, kernel.ids)
    truncations, retention = TruncationStore(kernel.pool), RetentionStore(kernel.pool)
    objects = ArchiveObjects(settings.object_store_url) if settings.object_store_url else None
    keeping = Keeping(
        kernel.ledger, lookup, retention, truncations, kernel.progress, archives=objects is not None
    )
    _bind_keeping(kernel, keeping)
    archives = ArchiveStore(kernel.pool)
    _bind_archives(
        kernel, Archives(kernel.ledger, lookup, archives, objects, kernel.progress, kernel.clock)
    )
    teller = Teller(kernel.ledger, kernel.ids)
    losses = LossTeller(teller, LossStore(kernel.pool), truncations, kernel.clock)
    keeper = Keeper(
        retention,
        teller,
        kernel.client,
        kernel.clock,
        kernel.ids,
        Leader(kernel.pool, kernel.clock, "tracker-keeper"),
        settings.object_min_age_s,
        Archiver(archives, objects, teller) if objects is not None else None,
        settings.retention_every_s,
    )
    sink = Sink(
        kernel.bus,
        ingest,
        bells,
        kernel.clock,
        settings.telemetry_max_bytes,
        feed,
    )
    expiring = [keeper.run] if kernel.may(Act.EXECUTE) else []
    return Parts(
        listeners=[bells],
        background=[sink.run, writer.run, sealer.run, joiner.run, losses.run, *expiring],
    )


def _bind_runs(kernel: Kernel, runs: Runs) -> None:
    kernel.server.unary(RunService.GET_RUN, runs.get_run)
    kernel.server.unary(RunService.LIST_RUNS, runs.list_runs)
    kernel.server.stream(RunService.WATCH_RUN, runs.watch_run)


def _bind_search(kernel: Kernel, finder: Finder, search: SearchStore) -> None:
    server, progress = kernel.server, kernel.progress
    grouping = Grouping(finder, search, progress, kernel.clock)
    server.unary(SearchService.SEARCH_RUNS, Searching(finder, progress).search_runs)
    server.unary(SearchService.GROUP_RUNS, grouping.group_runs)
    server.unary(SearchService.TABULATE_RUNS, grouping.tabulate_runs)
    server.unary(SearchService.RANK_PARAMS, Ranking(finder, progress).rank_params)


def _bind_marks(kernel: Kernel, marking: Marking) -> None:
    server = kernel.server
    server.unary(SearchService.ANNOTATE_RUN, marking.annotate_run)
    server.unary(SearchService.BOOKMARK_RUN, marking.bookmark_run)
    server.unary(SearchService.GET_RUN_MARKS, marking.get_run_marks)
    server.unary(SearchService.SAVE_SEARCH, marking.save_search)
    server.unary(SearchService.SHARE_SEARCH, marking.share_search)
    server.unary(SearchService.GET_SEARCH, marking.get_search)
    server.unary(SearchService.LIST_SEARCHES, marking.list_searches)
    server.unary(SearchService.DELETE_SEARCH, marking.delete_search)


def _bind_artifacts(kernel: Kernel, artifacts: Artifacts) -> None:
    kernel.server.unary(ArtifactService.COMMIT_ARTIFACT, artifacts.commit_artifact)
    kernel.server.unary(ArtifactService.DELETE_ARTIFACTS, artifacts.delete_artifacts)
    kernel.server.unary(ArtifactService.GET_ARTIFACT, artifacts.get_artifact)
    kernel.server.unary(ArtifactService.LIST_ARTIFACTS, artifacts.list_artifacts)


def _bind_records(kernel: Kernel, records: Records) -> None:
    kernel.server.unary(RecordService.LOG_RECORDS, records.log_records)
    kernel.server.unary(RecordService.GET_RECORD, records.get_record)
    kernel.server.unary(RecordService.LIST_RECORDS, records.list_records)
    kernel.server.unary(RecordService.LIST_RECORD_SERIES, records.list_record_series)


def _bind_tracking(kernel: Kernel, tracking: Tracking) -> None:
    server = kernel.server
    server.unary(TrackingService.LOG_PARAMS, tracking.log_params)
    server.unary(TrackingService.SET_TAGS, tracking.set_tags)
    server.unary(TrackingService.LIST_METRICS, tracking.list_metrics)
    server.unary(TrackingService.GET_METRIC_SERIES, tracking.get_metric_series)
    server.unary(TrackingService.LIST_LOG_LINES, tracking.list_log_lines)
    server.stream(TrackingService.TAIL_LOG_LINES, tracking.tail_log_lines)


def _bind_traces(kernel: Kernel, traces: Traces) -> None:
    server = kernel.server
    server.unary(TraceService.RECORD_TRACE, traces.record_trace)
    server.unary(TraceService.WRITE_SPANS, traces.write_spans)
    server.unary(TraceService.GET_TRACE, traces.get_trace)
    server.unary(TraceService.LIST_SPANS, traces.list_spans)
    server.unary(TraceService.SEARCH_TRACES, traces.search_traces)
    server.unary(TraceService.TAG_TRACE, traces.tag_trace)
    server.unary(TraceService.DELETE_TRACES, traces.delete_traces)
    server.unary(TraceService.ASSESS_TRACE, traces.assess_trace)
    server.unary(TraceService.UPDATE_ASSESSMENT, traces.update_assessment)
    server.unary(TraceService.DELETE_ASSESSMENT, traces.delete_assessment)
    server.unary(TraceService.LINK_TRACES, traces.link_traces)


def _bind_keeping(kernel: Kernel, keeping: Keeping) -> None:
    server = kernel.server
    server.unary(TrackingService.REPORT_LOSS, keeping.report_loss)
    server.unary(TrackingService.TRUNCATE_SERIES, keeping.truncate_series)
    server.unary(RetentionService.GET_RETENTION, keeping.get_retention)
    server.unary(RetentionService.SET_RETENTION, keeping.set_retention)
    server.unary(RetentionService.PURGE_RUN, keeping.purge_run)


def _bind_archives(kernel: Kernel, archives: Archives) -> None:
    kernel.server.unary(ArchiveService.LIST_ARCHIVE, archives.list_archive)
    kernel.server.stream(ArchiveService.READ_ARCHIVE, archives.read_archive)
    kernel.server.stream(ArchiveService.RESTORE_ARCHIVE, archives.restore_archive)


def _bind_captures(kernel: Kernel, captures: Captures) -> None:
    kernel.server.unary(TrackingService.RECORD_CAPTURE, captures.record_capture)
    kernel.server.unary(TrackingService.GET_CAPTURE, captures.get_capture)
    kernel.server.unary(TrackingService.COMPARE_RUNS, captures.compare_runs)


def _bind_producers(kernel: Kernel, producers: Producers) -> None:
    server = kernel.server
    server.unary(TrackingService.OPEN_PRODUCER, producers.open_producer)
    server.unary(TrackingService.WRITE_TELEMETRY, producers.write_telemetry)
    server.unary(TrackingService.GET_PRODUCER_CURSOR, producers.get_producer_cursor)
    server.stream(TrackingService.WATCH_PRODUCER_CURSOR, producers.watch_producer_cursor)
    server.unary(TrackingService.SEAL_PRODUCER, producers.seal_producer)


if __name__ == "__main__":
    main()
