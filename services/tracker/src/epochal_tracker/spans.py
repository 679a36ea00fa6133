"""Spans as OpenTelemetry sends them, and what they tell of their trace.

The keys are those of MLflow's clients (mlflow/tracing/constant.py); their values are JSON texts or
plain ones, by the client's version.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import epochal_proto.v1 as pb
from epochal_kernel.errors import InvalidArgument, Violation
from google.protobuf.message import DecodeError
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from epochal_tracker import usage
from epochal_tracker.store.traces import NewSpan, SpanRow

PREVIEW_CHARS: Final = 1_000
_NAME_CHARS: Final = 8_000
_VALUE_CHARS: Final = 250
_TAG_PREFIX: Final = "mlflow.traceTag."
_LAST_NS: Final = 2**63 - 1
NOTHING: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Read:
    """A span, its attributes as text, and what of it is stored."""

    trace_id: str
    span: Span
    attributes: Mapping[str, str]
    row: SpanRow

    def stored(self) -> NewSpan:
        """Return what is stored."""
        tokens, cost = usage.tokens_of(self.attributes), usage.cost_of(self.attributes)
        content = {
            "name": self.row.name,
            "type": self.row.type,
            "status": self.row.status,
            "attributes": self.attributes,
            "events": [
                {"name": event.name, "attributes": _texts(event.attributes)}
                for event in self.span.events
            ],
        }
        return NewSpan(
            self.trace_id,
            self.row,
            json.dumps(content, ensure_ascii=False),
            json.dumps(tokens) if tokens else None,
            json.dumps(cost) if cost else None,
        )


def read(spans: Iterable[bytes]) -> list[Read]:
    """Read serialized spans; of one that comes twice, the later.

    Raises:
        InvalidArgument: one is none, or has no ids.
    """
    found: dict[tuple[str, str], Read] = {}
    for place, content in enumerate(spans):
        one = _read(place, content)
        found[one.trace_id, one.row.span_id] = one
    return list(found.values())


def observed(
    name: str, spans: Sequence[Read], creator: str, resource: Mapping[str, str] = NOTHING
) -> tuple[pb.Trace, bool]:
    """Return a trace as some spans of it show it, and whether its root has ended.

    Args:
        name: of the trace.
        spans: of this trace.
        creator: who sent them.
        resource: tags that say what made them.
    """
    root = next((one.span for one in spans if not one.row.parent_id), None)
    ended = root is not None and root.end_time_unix_nano > 0
    first_ns = min(one.row.start_ns for one in spans)
    trace = pb.Trace(
        name=name, state=pb.TRACE_STATE_IN_PROGRESS, creator=creator, tags=dict(resource)
    )
    if root is not None:
        values = {one.key: one.value for one in root.attributes}
        first_ns = min(root.start_time_unix_nano, _LAST_NS)
        trace.tags["mlflow.traceName"] = root.name[:_NAME_CHARS]
        for key, value in values.items():
            if key.startswith(_TAG_PREFIX) and len(_TAG_PREFIX) < len(key) <= _VALUE_CHARS:
                trace.tags[key[len(_TAG_PREFIX) :]] = text(value)[:_NAME_CHARS]
        trace.request_preview = text(values.get("mlflow.spanInputs"))[:PREVIEW_CHARS]
        if ended:
            failed = root.status.code == Status.STATUS_CODE_ERROR
            trace.state = pb.TRACE_STATE_ERROR if failed else pb.TRACE_STATE_OK
            trace.duration_us = (root.end_time_unix_nano - root.start_time_unix_nano) // 1_000
            trace.response_preview = text(values.get("mlflow.spanOutputs"))[:PREVIEW_CHARS]
    for metadata, keys in (
        ("mlflow.trace.session", ("session.id", "gen_ai.conversation.id")),
        ("mlflow.trace.user", ("user.id",)),
    ):
        known = next((text(value) for value in _values(spans, keys)), "")
        if known:
            trace.metadata[metadata] = known[:_VALUE_CHARS]
    trace.request_time.FromNanoseconds(first_ns)
    return trace, ended


def resource_tags(content: bytes) -> dict[str, str]:
    """Return the attributes of a serialized OTLP resource as tags of the traces that it made.

    As MLflow does: without what its SDK says of itself, and without names that are MLflow's own.

    Raises:
        InvalidArgument: it is no resource.
    """
    try:
        resource = Resource.FromString(content)
    except DecodeError:
        raise InvalidArgument(
            "resource is no OTLP resource",
            violations=[Violation("resource", "otlp", "must be a serialized Resource")],
        ) from None
    return {
        key: value[:_NAME_CHARS]
        for key, value in _texts(resource.attributes).items()
        if not key.startswith(("telemetry.sdk.", "mlflow.")) and len(key) <= _VALUE_CHARS
    }


def text(value: AnyValue | None) -> str:
    """Return an attribute's value as text: a JSON text is unpacked."""
    kind = value.WhichOneof("value") if value is not None else None
    if value is None or kind is None:
        return ""
    if kind == "string_value":
        try:
            plain = json.loads(value.string_value)
        except ValueError:
            return value.string_value
        return plain if isinstance(plain, str) else value.string_value
    return json.dumps(_plain(value), ensure_ascii=False)


def _texts(attributes: Iterable[KeyValue]) -> dict[str, str]:
    return {_storable(one.key): text(one.value).replace("\0", "") for one in attributes if one.key}


def _values(spans: Sequence[Read], keys: Sequence[str]) -> Iterable[AnyValue]:
    return (
        attribute.value
        for one in spans
        for attribute in one.span.attributes
        if attribute.key in keys
    )


def _plain(value: AnyValue) -> object:
    kind = value.WhichOneof("value")
    match kind:
        case None:
            return None
        case "array_value":
            return [_plain(one) for one in value.array_value.values]
        case "kvlist_value":
            return {one.key: _plain(one.value) for one in value.kvlist_value.values}
        case "bytes_value":
            return value.bytes_value.hex()
        case _:
            found: object = getattr(value, kind)
            return found


def _read(place: int, content: bytes) -> Read:
    try:
        span = Span.FromString(content)
    except DecodeError:
        raise _refused(place, "otlp", "is no OTLP span") from None
    if len(span.trace_id) != 16 or len(span.span_id) != 8:
        raise _refused(place, "ids", "needs a trace_id of 16 bytes and a span_id of 8")
    attributes = _texts(span.attributes)
    status = {Status.STATUS_CODE_OK: "OK", Status.STATUS_CODE_ERROR: "ERROR"}
    row = SpanRow(
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        name=_storable(span.name),
        type=attributes.get("mlflow.spanType", "")[:_NAME_CHARS] or "UNKNOWN",
        status=status.get(span.status.code, "UNSET"),
        start_ns=min(span.start_time_unix_nano, _LAST_NS),
        end_ns=min(span.end_time_unix_nano, _LAST_NS),
        otlp=content,
    )
    return Read(f"tr-{span.trace_id.hex()}", span, attributes, row)


def _storable(name: str) -> str:
    return name.replace("\0", "")[:_NAME_CHARS]


def _refused(place: int, rule: str, message: str) -> InvalidArgument:
    return InvalidArgument(
        f"span {place} {message}", violations=[Violation(f"spans[{place}]", rule, message)]
    )
