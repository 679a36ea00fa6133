"""Runs beside each other: one row for each thing that any of them has."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import epochal_proto.v1 as pb

#: Sections in the order in which they are told.
SECTIONS = ("run", "params", "metrics", "outputs", "tags")
_SHOWN = ("name", "uid", "display_name", "status", "kind", "create_time", "start_time", "end_time")


def tabulate(runs: Sequence[pb.Run], *, with_equal: bool) -> pb.RunTable:
    """Return the table of some runs; equal rows only when they are wanted."""
    table = pb.RunTable()
    for run in runs:
        shown = table.runs.add()
        shown.CopyFrom(run)
        for field in shown.DESCRIPTOR.fields:
            if field.name not in _SHOWN:
                shown.ClearField(field.name)
    columns = [_sections(run) for run in runs]
    for section in SECTIONS:
        names = sorted({name for column in columns for name in column[section]})
        for name in names:
            values = [column[section].get(name, pb.Value()) for column in columns]
            differs = len({_comparable(value) for value in values}) > 1
            if not differs:
                table.equal[section] += 1
            if differs or with_equal:
                table.rows.add(section=section, name=name, values=values, differs=differs)
    return table


def _sections(run: pb.Run) -> Mapping[str, Mapping[str, pb.Value]]:
    return {
        "run": dict(_own(run)),
        "params": dict(run.params),
        "metrics": {
            name: pb.Value(double_value=summary.last) for name, summary in run.metrics.items()
        },
        "outputs": dict(run.outputs),
        "tags": {name: pb.Value(string_value=value) for name, value in run.tags.items()},
    }


def _own(run: pb.Run) -> Iterator[tuple[str, pb.Value]]:
    for name, text in (
        ("name", run.display_name),
        ("creator", run.creator),
        ("queue", run.queue),
        ("spec_digest", run.spec_digest),
        ("status", pb.RunStatus.Name(run.status).removeprefix("RUN_STATUS_").lower()),
    ):
        if text:
            yield name, pb.Value(string_value=text)
    if run.HasField("start_time") and run.HasField("end_time"):
        took = run.end_time.ToNanoseconds() - run.start_time.ToNanoseconds()
        yield "duration_s", pb.Value(double_value=took / 1e9)


def _comparable(value: pb.Value) -> tuple[str, object]:
    """One NaN is as good as another, and a number is the same whatever its type."""
    kind = value.WhichOneof("kind") or ""
    content = getattr(value, kind) if kind else None
    if kind == "double_value" and math.isnan(value.double_value):
        return "number", "nan"
    if kind in ("int_value", "double_value"):
        return "number", content
    return kind, content
