"""Traces: recorded, found, tagged, linked to runs, deleted. `otlp` takes their spans."""

from __future__ import annotations

import json
import re
from typing import Final

import epochal_proto.v1 as pb
from epochal_kernel.errors import InvalidArgument, NotFound
from epochal_proto.v1.services import TraceService

from epochal_gateway.doors.mlflow import experiments, paging, trace_messages
from epochal_gateway.doors.mlflow.errors import MlflowError, no_such
from epochal_gateway.doors.mlflow.reading import Fields
from epochal_gateway.doors.mlflow.registry_places import readable
from epochal_gateway.doors.mlflow.routing import MlflowRoute, Variables
from epochal_gateway.doors.mlflow.session import Session
from epochal_gateway.doors.mlflow.trace_values import KEY_CHARS, VALUE_CHARS
from epochal_gateway.doors.mlflow.writing import JsonObject

DEFAULT_RESULTS: Final = 100
MOST_RESULTS: Final = 500
MOST_LINKS: Final = 100
MOST_DELETED: Final = 1_000

_TRACE_ID = re.compile(r"[A-Za-z0-9][\w.\-]{0,99}\Z", re.ASCII)


async def find(session: Session, trace_id: str) -> pb.Trace:
    """Return a trace by its id, wherever the caller may look.

    Raises:
        MlflowError: there is none, for this caller.
    """
    found = await find_all(session, [trace_id])
    if not found:
        raise no_such(f"Trace with ID '{trace_id}' not found.")
    return found[0]


async def find_all(session: Session, trace_ids: list[str]) -> list[pb.Trace]:
    """Return those traces of some ids that are there, in the order of the ids."""
    wanted = list(dict.fromkeys(one for one in trace_ids if _TRACE_ID.match(one)))
    parents = readable(session)
    found: dict[str, pb.Trace] = {}
    for start in range(0, len(wanted) if parents else 0, 100):
        ids = ", ".join(f"'{one}'" for one in wanted[start : start + 100])
        request = pb.SearchTracesRequest(
            parents=parents, filter=f"request_id IN ({ids})", page_size=MOST_RESULTS
        )
        answer = await session.call(TraceService.SEARCH_TRACES, request)
        found.update((trace_messages.trace_id(one), one) for one in answer.traces)
    return [found[one] for one in wanted if one in found]


async def start(session: Session, fields: Fields) -> JsonObject:
    """Record a trace as a whole."""
    if not fields.has("trace"):
        raise fields.missing("trace")
    given = fields.child("trace").child("trace_info")
    experiment = given.child("trace_location").child("mlflow_experiment")
    project = await experiments.find(session, experiment.required("experiment_id"))
    trace_id = given.required("trace_id")
    if _TRACE_ID.match(trace_id) is None:
        raise MlflowError(f"Invalid value \"{trace_id[:300]}\" for parameter 'trace_id' supplied.")
    request = pb.RecordTraceRequest(
        parent=project.name, trace_id=trace_id, trace=trace_messages.trace_of(given)
    )
    trace = await session.call(TraceService.RECORD_TRACE, request)
    return {"trace": {"trace_info": trace_messages.info(session, trace)}}


async def get_info(session: Session, _: Fields, variables: Variables) -> JsonObject:
    """Read a trace without its spans."""
    await session.fresh()
    trace = await find(session, variables["trace_id"])
    return {"trace": {"trace_info": trace_messages.info(session, trace)}}


async def get(session: Session, fields: Fields) -> JsonObject:
    """Read a trace with its spans."""
    await session.fresh()
    trace_id = fields.required("trace_id")
    return {"trace": await _whole(session, await find(session, trace_id))}


async def batch_get(session: Session, fields: Fields) -> JsonObject:
    """Read traces with their spans; those that are not there are left out."""
    await session.fresh()
    found = await find_all(session, _ids(fields, "trace_ids"))
    return {"traces": [await _whole(session, one) for one in found]}


async def batch_get_infos(session: Session, fields: Fields) -> JsonObject:
    """Read traces without their spans; those that are not there are left out."""
    await session.fresh()
    found = await find_all(session, _ids(fields, "trace_ids"))
    return {"trace_infos": [trace_messages.info(session, one) for one in found]}


async def search(session: Session, fields: Fields) -> JsonObject:
    """Find traces of some experiments."""
    wanted = [
        place.child("mlflow_experiment").required("experiment_id")
        for place in fields.objects("locations")
        if place.has("mlflow_experiment")
    ]
    found, token = await searched(session, fields, wanted, "locations")
    answer: dict[str, object] = {
        "traces": [trace_messages.info(session, one) for one in found],
    }
    return {**answer, "next_page_token": token} if token else answer


async def searched(
    session: Session, fields: Fields, experiment_ids: list[str], named: str
) -> tuple[list[pb.Trace], str]:
    """Return a page of traces of some experiments, and the next page's token.

    Raises:
        MlflowError: no experiment is named.
    """
    if not experiment_ids:
        raise fields.missing(named)
    size = paging.max_results(fields, DEFAULT_RESULTS, MOST_RESULTS)
    await session.fresh()
    allowed = set(readable(session))
    parents = sorted({name for one in experiment_ids if (name := await _name(session, one))})
    parents = [name for name in parents if name in allowed]
    if not parents:
        return [], ""
    request = pb.SearchTracesRequest(
        parents=parents,
        filter=fields.text("filter"),
        order_by=", ".join(fields.texts("order_by")),
        page_size=size,
        page_token=fields.text("page_token"),
    )
    answer = await session.call(TraceService.SEARCH_TRACES, request)
    return list(answer.traces), answer.next_page_token


async def delete(session: Session, fields: Fields) -> JsonObject:
    """Delete traces of an experiment: by id, or those up to a time, the oldest first."""
    project = await experiments.find(session, fields.required("experiment_id"))
    trace_ids, until = fields.texts("request_ids"), fields.has("max_timestamp_millis")
    most = fields.whole("max_traces") if fields.has("max_traces") else None
    if not trace_ids and not until:
        raise MlflowError("Either `max_timestamp_millis` or `trace_ids` must be specified.")
    if trace_ids and until:
        raise MlflowError("Only one of `max_timestamp_millis` and `trace_ids` can be specified.")
    if trace_ids and most is not None:
        raise MlflowError("`max_traces` can't be specified if `trace_ids` is specified.")
    if most is not None and most <= 0:
        raise MlflowError(f"`max_traces` must be a positive integer, received {most}.")
    if trace_ids:
        return {"traces_deleted": await _delete(session, project.name, trace_ids)}
    deleted = 0
    while most is None or deleted < most:
        request = pb.SearchTracesRequest(
            parents=[project.name],
            filter=f"timestamp_ms <= {fields.whole('max_timestamp_millis')}",
            order_by="timestamp_ms ASC",
            page_size=MOST_RESULTS if most is None else min(MOST_RESULTS, most - deleted),
        )
        await session.fresh()
        found = (await session.call(TraceService.SEARCH_TRACES, request)).traces
        if not found:
            break
        ids = [trace_messages.trace_id(one) for one in found]
        deleted += await _delete(session, project.name, ids)
    return {"traces_deleted": deleted}


async def set_tag(session: Session, fields: Fields, variables: Variables) -> JsonObject:
    """Set a tag."""
    key = fields.required("key", limit=KEY_CHARS)
    value = fields.text("value")[:VALUE_CHARS]
    await session.fresh()
    trace = await find(session, variables["trace_id"])
    request = pb.TagTraceRequest(name=trace.name, tags={key: value})
    await session.call(TraceService.TAG_TRACE, request)
    return {}


async def delete_tag(session: Session, fields: Fields, variables: Variables) -> JsonObject:
    """Remove a tag."""
    key = fields.required("key")
    await session.fresh()
    trace = await find(session, variables["trace_id"])
    if key not in trace.tags:
        raise no_such(f"No trace tag with key '{key}' for trace with ID '{variables['trace_id']}'")
    request = pb.TagTraceRequest(name=trace.name, removed=[key])
    await session.call(TraceService.TAG_TRACE, request)
    return {}


async def link_to_run(session: Session, fields: Fields) -> JsonObject:
    """Link traces to a run of the same experiment."""
    trace_ids = _ids(fields, "trace_ids")
    run = await session.platform.runs.writable(session.org, fields.required("run_id"))
    if len(trace_ids) > MOST_LINKS:
        raise MlflowError(
            f"Cannot link more than {MOST_LINKS} traces to a run in a single request. "
            f"Provided {len(trace_ids)} traces."
        )
    await _checked(session, pb.LinkTracesRequest(run=run, trace_ids=trace_ids))
    return {}


async def link_prompts(session: Session, fields: Fields) -> JsonObject:
    """Note which versions of prompts a trace has used: a tag, as MLflow keeps it."""
    await session.fresh()
    trace = await find(session, fields.required("trace_id"))
    known = json.loads(trace.tags.get("mlflow.linkedPrompts") or "[]")
    for one in fields.objects("prompt_versions"):
        prompt = {"name": one.required("name"), "version": one.required("version")}
        if prompt not in known:
            known.append(prompt)
    request = pb.TagTraceRequest(name=trace.name, tags={"mlflow.linkedPrompts": json.dumps(known)})
    await session.call(TraceService.TAG_TRACE, request)
    return {}


async def _checked(session: Session, request: pb.LinkTracesRequest) -> None:
    try:
        await session.call(TraceService.LINK_TRACES, request)
    except NotFound as error:
        raise no_such(f"{error.message}: traces are linked to runs of their experiment") from error


async def _whole(session: Session, trace: pb.Trace) -> JsonObject:
    spans: list[pb.Span] = []
    token = ""
    while True:
        request = pb.ListSpansRequest(parent=trace.name, page_token=token)
        answer = await session.call(TraceService.LIST_SPANS, request)
        spans += answer.spans
        token = answer.next_page_token
        if not token:
            return trace_messages.with_spans(session, trace, spans)


async def _delete(session: Session, project: str, trace_ids: list[str]) -> int:
    known = [one for one in trace_ids if _TRACE_ID.match(one)]
    deleted = 0
    for start in range(0, len(known), MOST_DELETED):
        request = pb.DeleteTracesRequest(
            parent=project, trace_ids=known[start : start + MOST_DELETED]
        )
        deleted += (await session.call(TraceService.DELETE_TRACES, request)).deleted
    return deleted


async def _name(session: Session, experiment_id: str) -> str:
    try:
        return (await experiments.find(session, experiment_id)).name
    except InvalidArgument:
        return ""


def _ids(fields: Fields, name: str) -> list[str]:
    found = fields.texts(name)
    if not found:
        raise fields.missing(name)
    return found


def routes() -> list[MlflowRoute]:
    """Return the routes of traces, those of MLflow 3."""
    one = "traces/{trace_id}"
    return [
        MlflowRoute("POST", "traces", start, version="3.0"),
        MlflowRoute("POST", "traces/search", search, version="3.0"),
        MlflowRoute("GET", "traces/get", get, version="3.0"),
        MlflowRoute("GET", "traces/batchGet", batch_get, version="3.0"),
        MlflowRoute("POST", "traces/batchGetInfos", batch_get_infos, version="3.0"),
        MlflowRoute("POST", "traces/delete-traces", delete, version="3.0"),
        MlflowRoute("POST", "traces/delete-traces", delete),
        MlflowRoute("POST", "traces/link-to-run", link_to_run),
        MlflowRoute("POST", "traces/link-prompts", link_prompts),
        MlflowRoute("GET", one, path_handler=get_info, version="3.0"),
        MlflowRoute("PATCH", f"{one}/tags", path_handler=set_tag, version="3.0"),
        MlflowRoute("PATCH", f"{one}/tags", path_handler=set_tag),
        MlflowRoute("DELETE", f"{one}/tags", path_handler=delete_tag, version="3.0"),
        MlflowRoute("DELETE", f"{one}/tags", path_handler=delete_tag),
    ]
