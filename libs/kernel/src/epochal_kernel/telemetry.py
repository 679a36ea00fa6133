"""OpenTelemetry traces and Prometheus metrics of one process.

Traces go out by OTLP when `EPOCHAL_OTLP_ENDPOINT` is set and cost nothing otherwise; the W3C
trace context travels on through commands, events and headers either way.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST, generate_latest

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Telemetry:
    """Metrics registry and tracer of one process."""

    def __init__(self, service: str, version: str, otlp_endpoint: str = "") -> None:
        self.registry = CollectorRegistry()
        self._calls = Histogram(
            "epochal_rpc_seconds",
            "Time to answer an RPC, by method and status code.",
            ("method", "code"),
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self.position = Gauge(
            "epochal_position",
            "Log position reached, by part: head, relay, read_model.",
            ("part",),
            registry=self.registry,
        )
        self.counters = Counter(
            "epochal_things",
            "Things done, by what: points, batches, deliveries.",
            ("what",),
            registry=self.registry,
        )
        self._provider: TracerProvider | None = None
        self._propagator = TraceContextTextMapPropagator()
        if otlp_endpoint:
            self._provider = TracerProvider(
                resource=Resource.create(
                    {"service.name": f"epochal-{service}", "service.version": version}
                )
            )
            self._provider.add_span_processor(
                BatchSpanProcessor(OTLPSpanExporter(endpoint=otlp_endpoint, insecure=True))
            )
            self._tracer = self._provider.get_tracer("epochal")

    @contextmanager
    def span(self, name: str, traceparent: str) -> Iterator[str]:
        """Record a span as child of a trace context; yields the context to pass on."""
        if self._provider is None:
            yield traceparent
            return
        parent = self._propagator.extract({"traceparent": traceparent}) if traceparent else None
        with self._tracer.start_as_current_span(name, context=parent) as span:
            carrier: dict[str, str] = {}
            self._propagator.inject(carrier, context=trace.set_span_in_context(span))
            yield carrier.get("traceparent", traceparent)

    def observe_call(self, method: str, code: str, seconds: float) -> None:
        """Count one answered call."""
        self._calls.labels(method, code).observe(seconds)

    def exposition(self) -> tuple[bytes, str]:
        """Return all metrics in OpenMetrics text and its content type."""
        text: bytes = generate_latest(self.registry)  # type: ignore[no-untyped-call]  # untyped there
        return text, CONTENT_TYPE_LATEST

    def close(self) -> None:
        """Send what is left."""
        if self._provider is not None:
            self._provider.shutdown()
