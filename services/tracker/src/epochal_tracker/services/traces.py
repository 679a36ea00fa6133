"""TraceService: traces of applications, their spans, and what is said of them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, cast
from uuid import NAMESPACE_URL, UUID, uuid5

import epochal_proto.v1 as pb
from epochal_kernel.clock import Clock
from epochal_kernel.errors import InvalidArgument, NotFound, Violation
from epochal_kernel.log.ledger import Ledger, Outcome
from epochal_kernel.paging import DEFAULT_PAGE
from epochal_kernel.projections.store import Progress
from epochal_kernel.rpc.context import CallContext
from google.protobuf.message import Message

from epochal_tracker import spans
from epochal_tracker.domain import tracing
from epochal_tracker.domain.tracing import TraceFacts
from epochal_tracker.services.lookup import RunLookup
from epochal_tracker.store.traces import Asked, TraceStore
from epochal_tracker.trace_rows import AssessmentRow, TraceRow

_NAMESPACE: Final = uuid5(NAMESPACE_URL, "urn:epochal:trace")
_MOST_SPANS: Final = 1_000
_MOST_SUMS: Final = 5
#: Streams of one call that are written at once.
_AT_ONCE: Final = 64


class Traces:
    """Handlers of TraceService."""

    def __init__(
        self,
        ledger: Ledger,
        store: TraceStore,
        lookup: RunLookup,
        progress: Progress,
        clock: Clock,
    ) -> None:
        self._ledger = ledger
        self._store = store
        self._lookup = lookup
        self._progress = progress
        self._clock = clock
        self._aggregate = tracing.TraceAggregate()

    async def record_trace(self, request: pb.RecordTraceRequest, context: CallContext) -> pb.Trace:
        """Record a trace as a whole."""
        name = f"{request.parent}/traces/{request.trace_id}"
        trace, assessments = self._given(name, request.trace, context)
        outcome = await self._execute(
            name,
            lambda state: tracing.record(state, trace, assessments),
            request,
            request.request_id,
            context,
        )
        return await self._shown(name, outcome.state)

    async def write_spans(
        self, request: pb.WriteSpansRequest, context: CallContext
    ) -> pb.WriteSpansResponse:
        """Store spans, then record what they tell: a retry does what is left of both."""
        read = spans.read(request.spans)
        resource = spans.resource_tags(request.resource)
        await self._store.store(request.parent, [one.stored() for one in read])
        by_trace: dict[str, list[spans.Read]] = {}
        for one in read:
            by_trace.setdefault(f"{request.parent}/traces/{one.trace_id}", []).append(one)
        trace_ids = list({one.trace_id for one in read})
        sums = await self._store.sums(request.parent, trace_ids)

        async def observe(name: str) -> None:
            trace, ended = spans.observed(name, by_trace[name], context.actor, resource)
            trace.create_time.FromDatetime(self._clock.now())
            total = sums.get(name.rpartition("/")[2])
            told = zip(tracing.SUMS, (total.tokens, total.cost) if total else (), strict=False)
            trace.metadata.update({key: value for key, value in told if value})
            await self._execute(
                name,
                lambda state: tracing.observe(state, trace, ended=ended),
                request,
                "",
                context,
            )

        # Another call may store spans of the same traces meanwhile and tell of its sums first: who
        # tells last has seen all that is stored.
        for _ in range(_MOST_SUMS):
            await _each(observe, list(by_trace))
            if not sums:
                break
            before, sums = sums, await self._store.sums(request.parent, trace_ids)
            if sums == before:
                break
        return pb.WriteSpansResponse(traces=by_trace)

    async def get_trace(self, request: pb.GetTraceRequest, context: CallContext) -> pb.Trace:
        """Read one trace, without its spans."""
        await self._progress.wait_for(context.min_position)
        row = await self._store.trace(request.name)
        if row is None:
            raise NotFound(f"there is no {request.name}", resource=request.name)
        (found,) = await self._messages([row])
        return found

    async def list_spans(
        self, request: pb.ListSpansRequest, context: CallContext
    ) -> pb.ListSpansResponse:
        """List the spans of a trace, in the order they began."""
        await self._progress.wait_for(context.min_position)
        if await self._store.trace(request.parent) is None:
            raise NotFound(f"there is no {request.parent}", resource=request.parent)
        project, _, trace_id = request.parent.rpartition("/traces/")
        rows, token = await self._store.spans(
            project, trace_id, request.page_token, request.page_size or _MOST_SPANS
        )
        return pb.ListSpansResponse(
            spans=[
                pb.Span(
                    span_id=row.span_id,
                    parent_span_id=row.parent_id,
                    display_name=row.name,
                    type=row.type,
                    status=row.status,
                    start_time_ns=row.start_ns,
                    end_time_ns=row.end_ns,
                    otlp=row.otlp,
                )
                for row in rows
            ],
            next_page_token=token,
        )

    async def search_traces(
        self, request: pb.SearchTracesRequest, context: CallContext
    ) -> pb.SearchTracesResponse:
        """Find traces of several projects."""
        await self._progress.wait_for(context.min_position)
        rows, token = await self._store.search(
            Asked(
                request.parents,
                request.filter,
                request.order_by,
                request.page_token,
                request.page_size or DEFAULT_PAGE,
            )
        )
        return pb.SearchTracesResponse(traces=await self._messages(rows), next_page_token=token)

    async def tag_trace(self, request: pb.TagTraceRequest, context: CallContext) -> pb.Trace:
        """Set and remove tags."""
        outcome = await self._execute(
            request.name,
            lambda state: tracing.tag(state, request.name, request.tags, request.removed),
            request,
            request.request_id,
            context,
        )
        return await self._shown(request.name, outcome.state)

    async def delete_traces(
        self, request: pb.DeleteTracesRequest, context: CallContext
    ) -> pb.DeleteTracesResponse:
        """Delete traces, then their spans: a retry deletes the spans of those that are gone."""
        deleted = 0

        async def delete(trace_id: str) -> None:
            nonlocal deleted
            name = f"{request.parent}/traces/{trace_id}"
            outcome = await self._execute(
                name,
                lambda state: tracing.delete(state, name, context.actor),
                request,
                "",
                context,
            )
            deleted += bool(outcome.events)

        await _each(delete, list(dict.fromkeys(request.trace_ids)))
        await self._store.delete_spans(request.parent, request.trace_ids)
        return pb.DeleteTracesResponse(deleted=deleted)

    async def assess_trace(
        self, request: pb.AssessTraceRequest, context: CallContext
    ) -> pb.Assessment:
        """Say something of a trace."""
        command = context.command(request, request.request_id)
        # From the command's id, so that a repeated call finds what the first one made.
        made = self._assessment(request.assessment, uuid5(command.command_id, request.parent).hex)
        outcome = await self._ledger.execute(
            self._aggregate,
            stream_of(request.parent),
            request.parent,
            lambda state: tracing.assess(state, request.parent, made),
            command,
        )
        context.wrote(outcome.position)
        return outcome.state.assessments[made.assessment_id]

    async def update_assessment(
        self, request: pb.UpdateAssessmentRequest, context: CallContext
    ) -> pb.Assessment:
        """Change an assessment."""
        changes = pb.Assessment()
        changes.CopyFrom(request.assessment)
        changes.update_time.FromDatetime(self._clock.now())
        outcome = await self._execute(
            request.parent,
            lambda state: tracing.update(
                state, request.parent, changes, list(request.update_mask.paths)
            ),
            request,
            request.request_id,
            context,
        )
        return outcome.state.assessments[changes.assessment_id]

    async def delete_assessment(
        self, request: pb.DeleteAssessmentRequest, context: CallContext
    ) -> pb.DeleteAssessmentResponse:
        """Delete an assessment."""
        await self._execute(
            request.parent,
            lambda state: tracing.delete_assessment(state, request.parent, request.assessment_id),
            request,
            request.request_id,
            context,
        )
        return pb.DeleteAssessmentResponse()

    async def link_traces(
        self, request: pb.LinkTracesRequest, context: CallContext
    ) -> pb.LinkTracesResponse:
        """Link traces to a run of the same project."""
        await self._lookup.writable(request.run, context)
        project = request.run.rpartition("/runs/")[0]

        async def link(trace_id: str) -> None:
            name = f"{project}/traces/{trace_id}"
            await self._execute(
                name, lambda state: tracing.link(state, name, request.run), request, "", context
            )

        await _each(link, list(dict.fromkeys(request.trace_ids)))
        return pb.LinkTracesResponse()

    async def _execute(
        self,
        name: str,
        decide: Callable[[TraceFacts], Sequence[Message]],
        request: Message,
        request_id: str,
        context: CallContext,
    ) -> Outcome[TraceFacts]:
        outcome = await self._ledger.execute(
            self._aggregate, stream_of(name), name, decide, context.command(request, request_id)
        )
        context.wrote(outcome.position)
        return outcome

    def _given(
        self, name: str, given: pb.Trace, context: CallContext
    ) -> tuple[pb.Trace, list[pb.Assessment]]:
        trace = pb.Trace()
        trace.CopyFrom(given)
        for field in ("assessments", "runs", "has_spans"):
            trace.ClearField(field)
        trace.name, trace.creator = name, context.actor
        trace.create_time.FromDatetime(self._clock.now())
        if trace.state == pb.TRACE_STATE_UNSPECIFIED:
            trace.state = pb.TRACE_STATE_IN_PROGRESS
        made = [
            # From the trace and the place, so that the same told again is the same.
            self._assessment(one, uuid5(stream_of(name), f"{place}:{one.assessment_name}").hex)
            for place, one in enumerate(given.assessments)
        ]
        return trace, made

    def _assessment(self, given: pb.Assessment, uid: str) -> pb.Assessment:
        if given.kind == pb.ASSESSMENT_KIND_UNSPECIFIED or not given.assessment_name:
            raise InvalidArgument(
                "an assessment needs a kind and a name",
                violations=[Violation("assessment", "required", "set kind and assessment_name")],
            )
        if given.value:
            try:
                json.loads(given.value)
            except ValueError:
                raise InvalidArgument(
                    'the value of an assessment is JSON, such as true or "good"',
                    violations=[Violation("assessment.value", "json", "must be JSON")],
                ) from None
        made = pb.Assessment()
        made.CopyFrom(given)
        made.assessment_id, made.overridden = given.assessment_id or f"a-{uid}", False
        now = self._clock.now()
        if not given.HasField("create_time"):
            made.create_time.FromDatetime(now)
        if not given.HasField("update_time"):
            made.update_time.FromDatetime(now)
        return made

    async def _shown(self, name: str, state: TraceFacts) -> pb.Trace:
        """Return a trace as the log has it by now: no view need be waited for."""
        trace = pb.Trace()
        trace.CopyFrom(tracing.existing(state, name))
        trace.assessments.extend(state.assessments.values())
        trace.runs.extend(state.runs)
        project, _, trace_id = name.rpartition("/traces/")
        trace.has_spans = await self._store.has_spans(project, trace_id)
        return trace

    async def _messages(self, rows: Sequence[TraceRow]) -> list[pb.Trace]:
        names = [row.name for row in rows]
        assessments = await self._store.assessments(names)
        runs = await self._store.runs(names)
        with_spans = await self._store.with_spans(rows)
        return [
            _message(
                row,
                assessments.get(row.name, ()),
                runs.get(row.name, ()),
                has_spans=row.name in with_spans,
            )
            for row in rows
        ]


def stream_of(name: str) -> UUID:
    """Return the stream of a trace: its id is its name's."""
    return uuid5(_NAMESPACE, name)


async def _each(work: Callable[[str], Awaitable[None]], names: Sequence[str]) -> None:
    """Do something with each, some at once; the log takes them in batches."""
    gate = asyncio.Semaphore(_AT_ONCE)

    async def one(name: str) -> None:
        async with gate:
            await work(name)

    try:
        async with asyncio.TaskGroup() as group:
            for name in names:
                group.create_task(one(name))
    except ExceptionGroup as failed:
        # The caller is told of one: the others are most likely the same.
        raise failed.exceptions[0] from failed


def _message(
    row: TraceRow, assessments: Sequence[AssessmentRow], runs: Sequence[str], *, has_spans: bool
) -> pb.Trace:
    trace = pb.Trace.FromString(row.more)
    trace.name, trace.state = row.name, cast("pb.TraceState", row.state)
    trace.request_time.FromMicroseconds(row.time_us)
    if row.duration_us is not None:
        trace.duration_us = row.duration_us
    trace.client_request_id = row.client_request_id
    trace.tags.update(json.loads(row.tags))
    trace.metadata.update(json.loads(row.metadata))
    found = [pb.Assessment.FromString(one.content) for one in assessments]
    trace.assessments.extend(
        sorted(found, key=lambda one: (one.create_time.ToNanoseconds(), one.assessment_id))
    )
    trace.runs.extend(f"{row.project}/runs/{UUID(run)}" for run in runs)
    trace.has_spans = has_spans
    return trace
