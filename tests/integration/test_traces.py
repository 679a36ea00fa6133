"""Traces of applications by the platform's own doors: RPCs and the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from uuid import uuid4

import epochal_proto.v1 as pb
import pytest
from epochal.client import Client
from epochal.errors import InvalidArgument, NotFound
from epochal_proto.v1.services import AuditService, ProjectService, TraceService
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from platform_world import Platform

ROOT, CHILD = b"r" * 8, b"c" * 8


@pytest.fixture
def owner(platform: Platform) -> Iterator[Client]:
    with platform.client() as client:
        yield client


@pytest.fixture
def project(owner: Client) -> str:
    request = pb.CreateProjectRequest(parent="orgs/default", project_id=f"traced-{uuid4().hex[:8]}")
    return owner.call(ProjectService.CREATE_PROJECT, request).name


def spans_of(trace: bytes, *, ended: bool = True) -> list[bytes]:
    begun = 10**18
    root = Span(trace_id=trace, span_id=ROOT, name="answer", start_time_unix_nano=begun)
    if ended:
        root.end_time_unix_nano = begun + 2_500_000
        root.status.code = Status.STATUS_CODE_OK
    child = Span(trace_id=trace, span_id=CHILD, parent_span_id=ROOT, name="retrieve")
    child.start_time_unix_nano, child.end_time_unix_nano = begun + 1, begun + 2
    return [root.SerializeToString(), child.SerializeToString()]


def written(owner: Client, project: str, *, ended: bool = True, trace: bytes = b"") -> str:
    spans = spans_of(trace or uuid4().bytes, ended=ended)
    request = pb.WriteSpansRequest(parent=project, spans=spans)
    (name,) = owner.call(TraceService.WRITE_SPANS, request).traces
    return str(name)


def cli(platform: Platform, project: str, *words: str) -> subprocess.CompletedProcess[str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("EPOCHAL_")}
    done = subprocess.run(
        [sys.executable, "-m", "epochal.cli.main", "traces", *words, "-p", project],
        env=kept
        | {"EPOCHAL_URL": platform.url, "EPOCHAL_TOKEN": platform.token, "COLUMNS": "160"},
        capture_output=True, text=True, timeout=90, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done


def test_a_trace_grows_with_its_spans_and_is_one_event_a_state(owner: Client, project: str) -> None:
    trace = uuid4().bytes
    name = written(owner, project, ended=False, trace=trace)
    begun = owner.call(TraceService.GET_TRACE, pb.GetTraceRequest(name=name))
    assert (begun.state, begun.has_spans) == (pb.TRACE_STATE_IN_PROGRESS, True)
    for _ in range(2):
        written(owner, project, trace=trace)
    ended = owner.call(TraceService.GET_TRACE, pb.GetTraceRequest(name=name))
    assert (ended.state, ended.duration_us) == (pb.TRACE_STATE_OK, 2_500)
    # A span that comes late, as it was before it ended, takes nothing back.
    written(owner, project, ended=False, trace=trace)
    found = owner.call(TraceService.LIST_SPANS, pb.ListSpansRequest(parent=name)).spans
    assert [(one.display_name, one.end_time_ns > 0) for one in found] == [
        ("answer", True),
        ("retrieve", True),
    ]
    request = pb.ListEventsRequest(parent="orgs/default", resource=name)
    events = owner.call(AuditService.LIST_EVENTS, request).events
    assert [one.type for one in events] == ["epochal.v1.TraceRecorded"] * 2


def test_pages_of_spans_are_whole(owner: Client, project: str) -> None:
    name = written(owner, project)
    seen, token = [], ""
    while True:
        request = pb.ListSpansRequest(parent=name, page_size=1, page_token=token)
        page = owner.call(TraceService.LIST_SPANS, request)
        seen += [one.display_name for one in page.spans]
        token = page.next_page_token
        if not token:
            break
    assert seen == ["answer", "retrieve"]
    with pytest.raises(InvalidArgument, match="page_token"):
        owner.call(TraceService.LIST_SPANS, pb.ListSpansRequest(parent=name, page_token="x"))


def test_a_deleted_trace_is_gone_with_its_spans(owner: Client, project: str) -> None:
    name = written(owner, project)
    request = pb.DeleteTracesRequest(parent=project, trace_ids=[name.rpartition("/")[2]])
    assert owner.call(TraceService.DELETE_TRACES, request).deleted == 1
    assert owner.call(TraceService.DELETE_TRACES, request).deleted == 0
    with pytest.raises(NotFound):
        owner.call(TraceService.LIST_SPANS, pb.ListSpansRequest(parent=name))


def test_traces_are_listed_shown_as_a_tree_and_deleted(
    platform: Platform, owner: Client, project: str
) -> None:
    identity = written(owner, project).rpartition("/")[2]
    listed = cli(platform, project, "ls", "-q", "span.name = 'retrieve'", "-o", "json").stdout
    assert [one["name"] for one in json.loads(listed)] == [f"{project}/traces/{identity}"]
    shown = cli(platform, project, "get", identity).stdout
    assert "2.5 ms" in shown
    assert shown.index("answer") < shown.index("retrieve")
    whole = json.loads(cli(platform, project, "get", identity, "-o", "json").stdout)
    assert [one["displayName"] for one in whole["spans"]] == ["answer", "retrieve"]
    assert "deleted 1 of 1" in cli(platform, project, "rm", identity).stderr
    assert "no traces" in cli(platform, project, "ls").stderr
