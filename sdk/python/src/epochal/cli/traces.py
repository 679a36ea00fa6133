"""`epochal traces`: requests through applications, step by step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated

import epochal_proto.v1 as pb
import typer
from epochal_proto.v1.services import TraceService
from rich.text import Text
from rich.tree import Tree

from epochal.cli.output import (
    Column,
    Output,
    as_json,
    console,
    errors_console,
    print_json,
    show_list,
    show_one,
)
from epochal.cli.session import LimitOption, OutputOption, ProjectOption, Session, session
from epochal.names import last_part

app = typer.Typer(no_args_is_help=True, help="Traces of applications: requests step by step.")

_STATES = {
    pb.TRACE_STATE_OK: "ok",
    pb.TRACE_STATE_ERROR: "error",
    pb.TRACE_STATE_IN_PROGRESS: "running",
}


def _duration(trace: pb.Trace) -> str:
    return f"{trace.duration_us / 1_000:,.1f} ms" if trace.HasField("duration_us") else ""


def _assessments(trace: pb.Trace) -> str:
    known = [one for one in trace.assessments if not one.overridden]
    return ", ".join(f"{one.assessment_name}={one.value or 'failed'}" for one in known)


_FIELDS = [
    Column[pb.Trace]("TRACE", lambda trace: last_part(trace.name), "bold"),
    Column[pb.Trace]("NAME", lambda trace: trace.tags.get("mlflow.traceName", "")),
    Column[pb.Trace]("STATE", lambda trace: _STATES.get(trace.state, "")),
    Column[pb.Trace]("BEGAN", lambda trace: trace.request_time.ToJsonString()),
    Column[pb.Trace]("TOOK", _duration, right=True),
    Column[pb.Trace]("ASSESSED", _assessments),
]
_MORE = [
    *_FIELDS,
    Column[pb.Trace]("REQUEST", lambda trace: trace.request_preview),
    Column[pb.Trace]("RESPONSE", lambda trace: trace.response_preview),
    Column[pb.Trace]("RUNS", lambda trace: ", ".join(last_part(run) for run in trace.runs)),
    Column[pb.Trace]("CREATOR", lambda trace: last_part(trace.creator)),
]
TraceArgument = Annotated[str, typer.Argument(help="Id of the trace, such as tr-4f...")]


@app.command("ls")
def list_traces(
    filter_: Annotated[
        str, typer.Option("--filter", "--query", "-q", help="In MLflow's grammar.")
    ] = "",
    order_by: Annotated[str, typer.Option(help="Such as 'execution_time_ms DESC'.")] = "",
    project: ProjectOption = "",
    limit: LimitOption = 50,
    output: OutputOption = Output.table,
) -> None:
    """List traces, the newest first.

    For example:

        epochal traces ls -q "status = 'ERROR'" -n 10

        epochal traces ls -q "span.name = 'retrieve'" --order-by 'execution_time_ms DESC' -o json
    """
    with session(project) as opened:
        request = pb.SearchTracesRequest(
            parents=[opened.project], filter=filter_, order_by=order_by
        )
        found = opened.paged(TraceService.SEARCH_TRACES, request, lambda page: page.traces, limit)
        nothing = f"no trace fits {filter_!r}" if filter_ else "no traces; docs/mlflow.md says how"
        show_list(found, _FIELDS, output, nothing)


@app.command("get")
def get_trace(
    trace_id: TraceArgument, project: ProjectOption = "", output: OutputOption = Output.table
) -> None:
    """Show a trace with its spans, each below the one it is part of.

    For example:

        epochal traces get tr-4f0c8d1e2b3a49586776857463524130

        epochal traces get tr-4f0c8d1e2b3a49586776857463524130 -o json
    """
    with session(project) as opened:
        name = _full(opened, trace_id)
        trace = opened.client.call(TraceService.GET_TRACE, pb.GetTraceRequest(name=name))
        spans = list(_spans(opened, name))
    if output is Output.json:
        print_json({"trace": as_json(trace), "spans": [as_json(one) for one in spans]})
        return
    show_one(trace, _MORE, output)
    if spans:
        console().print(_tree(spans))


@app.command("rm")
def delete_traces(
    trace_ids: Annotated[list[str], typer.Argument(help="Ids of traces.")],
    project: ProjectOption = "",
) -> None:
    """Delete traces with their spans; that they were there stays in the log.

    For example:

        epochal traces rm tr-4f0c8d1e2b3a49586776857463524130
    """
    with session(project) as opened:
        ids = [last_part(one) for one in trace_ids]
        request = pb.DeleteTracesRequest(parent=opened.project, trace_ids=ids)
        deleted = opened.client.call(TraceService.DELETE_TRACES, request).deleted
    errors_console().print(f"deleted {deleted} of {len(ids)} traces", highlight=False)


def _full(opened: Session, trace_id: str) -> str:
    return trace_id if "/" in trace_id else f"{opened.project}/traces/{trace_id}"


def _spans(opened: Session, name: str) -> Iterator[pb.Span]:
    request = pb.ListSpansRequest(parent=name)
    return opened.paged(TraceService.LIST_SPANS, request, lambda page: page.spans)


def _tree(spans: Sequence[pb.Span]) -> Tree:
    """Spans as a tree; those whose parent is not here stand at the top."""
    tree = Tree("spans", hide_root=True)
    known = {span.span_id for span in spans}
    below: dict[str, list[pb.Span]] = {}
    for span in spans:
        parent = span.parent_span_id if span.parent_span_id in known else ""
        below.setdefault(parent, []).append(span)
    open_: list[tuple[Tree, str]] = [(tree, "")]
    while open_:
        branch, parent = open_.pop()
        children = below.pop(parent, ())
        open_ += [(branch.add(_line(span)), span.span_id) for span in children]
    return tree


def _line(span: pb.Span) -> Text:
    line = Text(span.display_name, "bold")
    line.append(f"  {span.type}", "dim")
    if span.end_time_ns:
        line.append(f"  {(span.end_time_ns - span.start_time_ns) / 1e6:,.1f} ms")
    if span.status == "ERROR":
        line.append("  error", "red")
    return line
