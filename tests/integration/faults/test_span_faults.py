"""Spans by OTLP through a whole platform whose tracker dies after it has stored some."""

from __future__ import annotations

import threading
from pathlib import Path
from uuid import uuid4

import epochal_proto.v1 as pb
import httpx
import pytest
from epochal.client import Client
from epochal.config import Connection
from epochal_embedded import control
from epochal_embedded.home import Home
from epochal_proto.v1.services import AuditService, TraceService
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from whole_platform import started, unit_of

pytestmark = pytest.mark.faults

TRACES = 60
CHILDREN = 3
EXPORTERS = 4
#: The tracker dies at this export of each of its lives.
DIES_AT = 20
TRIES = 1_000
BEGUN = 10**18


def exported(trace_id: bytes) -> bytes:
    """One trace, whole, as an exporter sends it."""
    export = ExportTraceServiceRequest()
    spans = export.resource_spans.add().scope_spans.add().spans
    for place in range(1 + CHILDREN):
        span = Span(trace_id=trace_id, span_id=(place + 1).to_bytes(8), name=f"span {place}")
        if place:
            span.parent_span_id = (1).to_bytes(8)
        span.start_time_unix_nano, span.end_time_unix_nano = BEGUN + place, BEGUN + 100
        span.status.code = Status.STATUS_CODE_OK
        spans.append(span)
    return export.SerializeToString()


def export(home: Home, connection: Connection, trace_ids: list[bytes]) -> None:
    """Send traces one after the other, each until it is acknowledged."""
    headers = {
        "authorization": f"Bearer {connection.token}",
        "content-type": "application/x-protobuf",
        "x-mlflow-experiment-id": "0",
    }
    with httpx.Client(base_url=connection.url, headers=headers, timeout=2) as door:
        while trace_ids:
            body = exported(trace_ids[-1])
            for _ in range(TRIES):
                try:
                    answer = door.post("/v1/traces", content=body)
                except httpx.TimeoutException:
                    continue  # the tracker died with the question
                if answer.status_code == 200:
                    break
                assert answer.status_code == 503, answer.text
                control.wait_ready(home, lambda _: None)
            else:
                raise AssertionError("never acknowledged")
            trace_ids.pop()


def test_a_tracker_that_dies_after_it_stored_spans_leaves_each_once_and_its_trace(
    shared_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EPOCHAL_FAILPOINTS", f"traces.after_spans=kill@{DIES_AT}")
    wanted = [uuid4().bytes for _ in range(TRACES)]
    with started(shared_folder) as (home, connection):
        shares = [wanted[place::EXPORTERS] for place in range(EXPORTERS)]
        exporters = [
            threading.Thread(target=export, args=(home, connection, one)) for one in shares
        ]
        for one in exporters:
            one.start()
        for one in exporters:
            one.join()
        assert not any(shares), "each was acknowledged"
        control.wait_ready(home, lambda _: None)
        assert unit_of(home, "tracker").restarts >= 2
        with Client(connection) as client:
            for trace_id in wanted:
                assert_whole(client, f"orgs/default/projects/main/traces/tr-{trace_id.hex()}")


def assert_whole(client: Client, name: str) -> None:
    """Assert that a trace is recorded once, with each of its spans once."""
    spans = client.call(TraceService.LIST_SPANS, pb.ListSpansRequest(parent=name)).spans
    assert [one.display_name for one in spans] == [f"span {n}" for n in range(1 + CHILDREN)]
    request = pb.ListEventsRequest(parent="orgs/default", resource=name)
    events = client.call(AuditService.LIST_EVENTS, request).events
    assert [one.type for one in events] == ["epochal.v1.TraceRecorded"]
