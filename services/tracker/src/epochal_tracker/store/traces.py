"""Storing spans, and reading traces."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from epochal_kernel import paging
from epochal_kernel.failpoints import failpoint
from epochal_kernel.postgres import Pool, adapting, load_sql

from epochal_tracker import usage
from epochal_tracker.search import traces
from epochal_tracker.search.sources import Parameters
from epochal_tracker.trace_rows import AssessmentRow, TraceRow

_SQL = load_sql("epochal_tracker", "traces.sql")
_COLUMNS = ", ".join(f"t.{name}" for name in TraceRow.__slots__)

#: Bytes of spans in one answer.
PAGE_BYTES = 2 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class SpanRow:
    """One span; `otlp` is the span itself, serialized."""

    span_id: str
    parent_id: str
    name: str
    type: str
    status: str
    start_ns: int
    end_ns: int
    otlp: bytes


@dataclass(frozen=True, slots=True)
class NewSpan:
    """A span to store: what is searched of it, and what it tells of tokens and costs, as JSON."""

    trace_id: str
    row: SpanRow
    content: str
    tokens: str | None
    cost: str | None


@dataclass(frozen=True, slots=True)
class Sums:
    """Tokens and costs of a trace as JSON; empty for none."""

    tokens: str
    cost: str


@dataclass(frozen=True, slots=True)
class Asked:
    """What traces are searched for."""

    projects: Sequence[str]
    filter: str
    order_by: str
    page_token: str
    size: int


class TraceStore:
    """Spans, and queries over traces."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def store(self, project: str, spans: Sequence[NewSpan]) -> None:
        """Store spans: all or nothing.

        Args:
            project: where.
            spans: at most one of a trace and a span id.

        Raises:
            Unavailable: nothing is stored, or all is and the answer was lost.
        """
        rows = [one.row for one in spans]
        with adapting():
            await self._pool.execute(
                _SQL["store_spans"],
                project,
                [one.trace_id for one in spans],
                [row.span_id for row in rows],
                [row.parent_id for row in rows],
                [row.name for row in rows],
                [row.type for row in rows],
                [row.status for row in rows],
                [row.start_ns for row in rows],
                [row.end_ns for row in rows],
                [row.otlp for row in rows],
                [one.content for one in spans],
                [one.tokens for one in spans],
                [one.cost for one in spans],
            )
        failpoint("traces.after_spans")

    async def sums(self, project: str, trace_ids: Sequence[str]) -> dict[str, Sums]:
        """Return the tokens and costs of those of some traces that have any."""
        with adapting():
            rows = await self._pool.fetch(_SQL["amounts"], project, list(trace_ids))
        tokens: dict[str, list[usage.Node]] = {}
        costs: dict[str, list[usage.Node]] = {}
        for trace_id, span_id, parent_id, told, cost in rows:
            tokens.setdefault(trace_id, []).append(_node(span_id, parent_id, told))
            costs.setdefault(trace_id, []).append(_node(span_id, parent_id, cost))
        return {
            trace_id: Sums(
                usage.summed(nodes, usage.TOKENS, usage.CACHED),
                usage.summed(costs[trace_id], usage.COSTS),
            )
            for trace_id, nodes in tokens.items()
        }

    async def delete_spans(self, project: str, trace_ids: Sequence[str]) -> None:
        """Delete the spans of some traces."""
        with adapting():
            await self._pool.execute(_SQL["delete_spans"], project, list(trace_ids))

    async def spans(
        self, project: str, trace_id: str, token: str, limit: int
    ) -> tuple[list[SpanRow], str]:
        """Return spans of a trace in the order they began, and the token of the next page.

        Raises:
            InvalidArgument: the token is none.
        """
        start_ns, span_id = _place(token)
        with adapting():
            rows = await self._pool.fetch(
                _SQL["spans"], project, trace_id, start_ns, span_id, limit + 1, PAGE_BYTES
            )
            page = [SpanRow(*row) for row in rows[:limit]]
            if not page:
                return [], ""
            last = page[-1]
            more = len(rows) > limit or await self._pool.fetchval(
                _SQL["more_spans"], project, trace_id, last.start_ns, last.span_id
            )
        return page, paging.pack(json.dumps([last.start_ns, last.span_id])) if more else ""

    async def trace(self, name: str) -> TraceRow | None:
        """Return one trace."""
        with adapting():
            row = await self._pool.fetchrow(_SQL["trace"], name)
        return TraceRow(*row) if row else None

    async def assessments(self, names: Sequence[str]) -> dict[str, list[AssessmentRow]]:
        """Return what is said of some traces."""
        found: dict[str, list[AssessmentRow]] = {}
        with adapting():
            rows = await self._pool.fetch(_SQL["assessments"], list(names))
        for row in rows:
            found.setdefault(row[0], []).append(AssessmentRow(*row))
        return found

    async def runs(self, names: Sequence[str]) -> dict[str, list[str]]:
        """Return the ids, without dashes, of the runs that some traces are linked to."""
        found: dict[str, list[str]] = {}
        with adapting():
            rows = await self._pool.fetch(_SQL["runs"], list(names))
        for trace, run_id in rows:
            found.setdefault(trace, []).append(run_id)
        return found

    async def has_spans(self, project: str, trace_id: str) -> bool:
        """Whether a trace has spans here."""
        with adapting():
            found: bool = await self._pool.fetchval(_SQL["more_spans"], project, trace_id, -1, "")
        return found

    async def with_spans(self, rows: Sequence[TraceRow]) -> frozenset[str]:
        """Return the names of those traces that have spans here."""
        with adapting():
            found = await self._pool.fetch(
                _SQL["with_spans"],
                [row.name for row in rows],
                [row.project for row in rows],
                [row.trace_id for row in rows],
            )
        return frozenset(row[0] for row in found)

    async def search(self, asked: Asked) -> tuple[list[TraceRow], str]:
        """Return a page of traces, and the token of the next; empty at the end.

        Raises:
            InvalidArgument: the filter, the order or the token is not right.
        """
        parameters = Parameters()
        projects = parameters.add(list(asked.projects))
        wanted = traces.condition(asked.filter, parameters)
        keys = traces.parse_order(asked.order_by)
        after = _after(keys, asked.page_token, parameters)
        order = ", ".join(
            f"{key.sql} {'DESC' if key.descending else 'ASC'} NULLS LAST" for key in keys
        )
        sorted_by = ", ".join(key.sql for key in keys)
        statement = (
            f"SELECT {_COLUMNS}, {sorted_by} FROM trace t "
            f"WHERE t.project = ANY({projects}::text[]) AND ({wanted}) AND {after} "
            f"ORDER BY {order} LIMIT {parameters.add(asked.size + 1)}"
        )
        with adapting():
            rows = [tuple(row) for row in await self._pool.fetch(statement, *parameters.values)]
        columns = len(TraceRow.__slots__)
        page = [TraceRow(*row[:columns]) for row in rows[: asked.size]]
        if len(rows) <= asked.size:
            return page, ""
        return page, paging.pack(json.dumps(list(rows[asked.size - 1][columns:])))


def _node(span_id: str, parent_id: str, amounts: str | None) -> usage.Node:
    return usage.Node(span_id, parent_id, json.loads(amounts) if amounts else None)


def _place(token: str) -> tuple[int, str]:
    if not token:
        return -1, ""
    try:
        start_ns, span_id = json.loads(paging.unpack(token))
    except (ValueError, TypeError):
        raise paging.foreign() from None
    if not isinstance(start_ns, int) or not isinstance(span_id, str):
        raise paging.foreign()
    return start_ns, span_id


def _after(keys: Sequence[traces.Key], token: str, parameters: Parameters) -> str:
    """Return the condition that a trace comes after the place a token says."""
    if not token:
        return "true"
    try:
        values = json.loads(paging.unpack(token))
    except ValueError:
        raise paging.foreign() from None
    if not isinstance(values, list) or len(values) != len(keys):
        raise paging.foreign()
    alternatives: list[str] = []
    same: list[str] = []
    for key, value in zip(keys, values, strict=True):
        if value is None:
            same.append(f"{key.sql} IS NULL")
            continue
        if isinstance(value, bool) or not isinstance(value, float | int if key.number else str):
            raise paging.foreign()
        name = f"{parameters.add(value)}::{'float8' if key.number else 'text'}"
        beyond = f"({key.sql} {'<' if key.descending else '>'} {name} OR {key.sql} IS NULL)"
        alternatives.append(" AND ".join([*same, beyond]))
        same.append(f"{key.sql} = {name}")
    return f"({' OR '.join(f'({one})' for one in alternatives)})" if alternatives else "false"
