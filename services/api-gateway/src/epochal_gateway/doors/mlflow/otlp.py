"""OpenTelemetry's door for traces: POST /v1/traces, protobuf or JSON, plain or compressed.

The header `x-mlflow-experiment-id` says where the spans belong, `x-mlflow-run-id` which run the
traces are of. A request is answered when its spans are durable; one that is sent again stores
nothing twice.

Source: opentelemetry.io/docs/specs/otlp (OTLP/HTTP), and mlflow/server/otel_api.py of MLflow 3.17.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterable, Iterator
from typing import Final

import epochal_proto.v1 as pb
from epochal_kernel.errors import EpochalError, InvalidArgument
from epochal_proto.v1.services import TraceService
from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from epochal_gateway.doors.bodies import unpacked
from epochal_gateway.doors.mlflow import experiments
from epochal_gateway.doors.mlflow.errors import BAD_REQUEST, MlflowError, error_response
from epochal_gateway.doors.mlflow.session import Session
from epochal_gateway.doors.rest_door import read_body

PROTOBUF: Final = "application/x-protobuf"
JSON: Final = "application/json"
#: Of spans in one message to the tracker.
CHUNK_BYTES: Final = 2 * 1024 * 1024
_MOST_SPANS: Final = 10_000
_MOST_LINKS: Final = 1_000
_IDS: Final = ("traceId", "spanId", "parentSpanId")


class OtlpDoor:
    """Takes spans."""

    def __init__(self, session: Callable[[Request], Session], max_body_bytes: int) -> None:
        self._session = session
        self._max_body_bytes = max_body_bytes

    def routes(self) -> list[BaseRoute]:
        """Return the application's routes."""
        return [Route("/v1/traces", self._answer, methods=["POST"])]

    async def _answer(self, request: Request) -> Response:
        try:
            return await self._take(request)
        except EpochalError as error:
            return error_response(error)

    async def _take(self, request: Request) -> Response:
        session = self._session(request)
        kind = request.headers.get("content-type", "").partition(";")[0].strip()
        if kind not in (PROTOBUF, JSON):
            raise MlflowError(
                f"Invalid Content-Type: {kind}. Expected: {PROTOBUF} or {JSON}", BAD_REQUEST
            )
        experiment = request.headers.get("x-mlflow-experiment-id", "")
        if not experiment:
            raise MlflowError(
                "the header x-mlflow-experiment-id is missing: it says which experiment the "
                "traces belong to"
            )
        body = _plain(
            await read_body(request, self._max_body_bytes),
            request.headers.get("content-encoding", "").lower(),
        )
        exported = exported_of(body, kind)
        project = await experiments.find(session, experiment)
        run_id = request.headers.get("x-mlflow-run-id", "")
        run = await session.platform.runs.writable(session.org, run_id) if run_id else ""
        for resource, chunk in sent(exported):
            written = pb.WriteSpansRequest(parent=project.name, spans=chunk, resource=resource)
            traces = (await session.call(TraceService.WRITE_SPANS, written)).traces
            ids = [name.rpartition("/")[2] for name in traces]
            for start in range(0, len(ids) if run else 0, _MOST_LINKS):
                link = pb.LinkTracesRequest(run=run, trace_ids=ids[start : start + _MOST_LINKS])
                await session.call(TraceService.LINK_TRACES, link)
        # An ExportTraceServiceResponse that says nothing is an empty message.
        return Response(b"{}" if kind == JSON else b"", media_type=kind)


def _plain(body: bytes, encoding: str) -> bytes:
    try:
        return unpacked(body, encoding)
    except InvalidArgument as error:
        raise MlflowError(error.message, BAD_REQUEST) from error


def exported_of(body: bytes, kind: str) -> ExportTraceServiceRequest:
    """Return the request that a body is.

    Raises:
        MlflowError: it is none, or has no spans.
    """
    exported = ExportTraceServiceRequest()
    try:
        if kind == JSON:
            given = _with_base64(json.loads(body))
            if not isinstance(given, dict):
                raise ValueError("no object")
            ParseDict(given, exported, ignore_unknown_fields=True)
        else:
            exported.ParseFromString(body)
    except (DecodeError, ParseError, ValueError, RecursionError):
        raise MlflowError("Invalid OpenTelemetry format", BAD_REQUEST) from None
    if not exported.resource_spans:
        raise MlflowError("Invalid OpenTelemetry format - no spans found", BAD_REQUEST)
    return exported


def sent(exported: ExportTraceServiceRequest) -> Iterator[tuple[bytes, list[bytes]]]:
    """Yield spans in lists that fit into messages, each with the resource that made them."""
    by_resource: dict[bytes, list[bytes]] = {}
    for one in exported.resource_spans:
        resource = one.resource.SerializeToString(deterministic=True)
        spans = [span.SerializeToString() for scope in one.scope_spans for span in scope.spans]
        by_resource.setdefault(resource, []).extend(spans)
    for resource, spans in by_resource.items():
        for chunk in chunks(spans):
            yield resource, chunk


def chunks(spans: Iterable[bytes]) -> Iterable[list[bytes]]:
    """Return spans in lists that fit into messages."""
    chunk: list[bytes] = []
    size = 0
    for span in spans:
        if chunk and (size + len(span) > CHUNK_BYTES or len(chunk) == _MOST_SPANS):
            yield chunk
            chunk, size = [], 0
        chunk.append(span)
        size += len(span)
    if chunk:
        yield chunk


def _with_base64(value: object) -> object:
    """OTLP's JSON has ids in hex, where protobuf's has bytes in base64."""
    if isinstance(value, list):
        return [_with_base64(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {
        key: _base64(one) if key in _IDS and isinstance(one, str) else _with_base64(one)
        for key, one in value.items()
    }


def _base64(text: str) -> str:
    try:
        return base64.b64encode(bytes.fromhex(text)).decode()
    except (ValueError, binascii.Error):
        raise MlflowError(
            f"Invalid OpenTelemetry format: {text[:100]!r} is no id", BAD_REQUEST
        ) from None
