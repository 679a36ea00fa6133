"""Spans: pieces of work of a language model's application, with the ids of OpenTelemetry.

Spans that are opened inside one another, in one thread or asyncio task, are one trace.
"""

from __future__ import annotations

import contextlib
import contextvars
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

import epochal_proto.v1 as pb

from epochal.records.made import Made
from epochal.records.texts import encode_json

SpanKind = Literal["llm", "chain", "agent", "tool", "embedding", "retriever"]

_current: Final[contextvars.ContextVar[Span | None]] = contextvars.ContextVar(
    "epochal_span", default=None
)


@dataclass(slots=True)
class Span:
    """One piece of work: what went in, what came out, how long it took.

    Attributes:
        name: of what was done.
        kind: "llm", "chain", "agent", "tool", "embedding" or "retriever".
        inputs: what went in.
        outputs: what came out.
        attributes: anything else, such as token counts.
        trace_id: 32 hexadecimal digits, of the whole.
        span_id: 16 hexadecimal digits, its own.
        parent_span_id: of the span it is part of.
        start_ns: nanoseconds since 1970.
        end_ns: nanoseconds since 1970.
        status: "ok", "error" or "unset".
    """

    name: str
    kind: SpanKind = "chain"
    inputs: object = None
    outputs: object = None
    attributes: Mapping[str, object] = field(default_factory=dict)
    trace_id: str = field(default_factory=lambda: secrets.token_hex(16))
    span_id: str = field(default_factory=lambda: secrets.token_hex(8))
    parent_span_id: str = ""
    start_ns: int = field(default_factory=time.time_ns)
    end_ns: int = 0
    status: Literal["ok", "error", "unset"] = "unset"


def encode_span(span: Span) -> Made:
    """Encodes a span; inputs, outputs and attributes are its JSON."""
    body = {
        "name": span.name,
        "inputs": span.inputs,
        "outputs": span.outputs,
        "attributes": dict(span.attributes),
    }
    made = encode_json("span", body)
    made.about.span.CopyFrom(
        pb.SpanSummary(
            trace_id=span.trace_id,
            span_id=span.span_id,
            parent_span_id=span.parent_span_id,
            span_kind=span.kind,
            start_ns=span.start_ns,
            end_ns=span.end_ns or span.start_ns,
            status=span.status,
        )
    )
    return made


@contextlib.contextmanager
def opened(
    name: str, kind: SpanKind, inputs: object, log: Callable[[Span], object]
) -> Iterator[Span]:
    """Opens a span, part of the one that is open here, and logs it when it ends, as it ended."""
    parent = _current.get()
    span = Span(name, kind, inputs)
    if parent is not None:
        span.trace_id, span.parent_span_id = parent.trace_id, parent.span_id
    token = _current.set(span)
    try:
        yield span
    except BaseException as error:
        span.status = "error"
        span.attributes = {**span.attributes, "error": f"{type(error).__name__}: {error}"}
        raise
    else:
        span.status = "ok" if span.status == "unset" else span.status
    finally:
        _current.reset(token)
        span.end_ns = time.time_ns()
        log(span)
