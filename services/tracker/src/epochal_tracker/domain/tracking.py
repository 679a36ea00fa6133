"""The telemetry stream of one run: parameters, producers, seals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import epochal_proto.v1 as pb
from epochal_kernel.errors import FailedPrecondition, NotFound, Violation
from google.protobuf.message import Message


@dataclass(frozen=True, slots=True)
class Producer:
    """One producer: how often it was opened, and the batch it was sealed at (None: not yet)."""

    epoch: int
    sealed_batch: int | None = None


@dataclass(frozen=True, slots=True)
class Tracking:
    """State of one run's telemetry stream. Parameters are kept as serialized values."""

    params: Mapping[str, bytes] = field(default_factory=dict)
    producers: Mapping[str, Producer] = field(default_factory=dict)


class TrackingAggregate:
    """Folds the telemetry stream of one run."""

    category = "telemetry"

    def initial(self) -> Tracking:
        """Nothing logged."""
        return Tracking()

    def evolve(self, state: Tracking, event: Message) -> Tracking:
        """Fold one event."""
        match event:
            case pb.ParamsLogged():
                added = {name: encoded(value) for name, value in event.params.items()}
                return replace(state, params={**state.params, **added})
            case pb.ProducerOpened():
                return _with(state, event.producer, Producer(event.epoch))
            case pb.TelemetrySealed():
                known = state.producers.get(event.producer, Producer(1))
                return _with(state, event.producer, replace(known, sealed_batch=event.last_batch))
            case _:
                return state


def encoded(value: pb.Value) -> bytes:
    """Return a value as bytes that are equal exactly when the values are."""
    return value.SerializeToString(deterministic=True)


def log_params(
    state: Tracking, run: str, given: Mapping[str, pb.Value], params: Mapping[str, pb.Value]
) -> Sequence[Message]:
    """Log parameters; those logged before with the same value are left out.

    Args:
        state: of the stream.
        run: resource name.
        given: parameters the run was created with.
        params: to log.

    Raises:
        FailedPrecondition: a parameter has another value already; names each.
    """
    violations: list[Violation] = []
    new: dict[str, pb.Value] = {}
    for name, value in params.items():
        known = state.params.get(name) or (encoded(given[name]) if name in given else None)
        if known is None:
            new[name] = value
        elif known != encoded(value):
            violations.append(
                Violation(
                    f"params.{name}",
                    "param_immutable",
                    "has another value already: log it under another name, or start a new run",
                )
            )
    if violations:
        raise FailedPrecondition(
            f"parameters of a run never change: {', '.join(v.field for v in violations)}",
            reason="PARAM_IMMUTABLE",
            violations=violations,
            resource=run,
        )
    return [pb.ParamsLogged(run=run, params=new)] if new else []


def open_producer(state: Tracking, run: str, producer: str) -> Sequence[Message]:
    """Open a producer, or open it again with the next epoch.

    Raises:
        FailedPrecondition: it is sealed.
    """
    known = state.producers.get(producer)
    if known is not None and known.sealed_batch is not None:
        raise FailedPrecondition(
            f"producer {producer} is sealed: telemetry that is proved complete takes no more; "
            "open another producer",
            reason="PRODUCER_SEALED",
            resource=run,
        )
    return [pb.ProducerOpened(run=run, producer=producer, epoch=known.epoch + 1 if known else 1)]


def seal_producer(state: Tracking, sealed: pb.TelemetrySealed) -> Sequence[Message]:
    """Seal a producer; doing it twice is once.

    Raises:
        NotFound: it was never opened.
        FailedPrecondition: it was sealed at another batch.
    """
    known = state.producers.get(sealed.producer)
    if known is None:
        raise NotFound(f"{sealed.run} has no producer {sealed.producer}", resource=sealed.run)
    if known.sealed_batch is None:
        return [sealed]
    if known.sealed_batch != sealed.last_batch:
        raise FailedPrecondition(
            f"producer {sealed.producer} was sealed at batch {known.sealed_batch}, "
            f"not at {sealed.last_batch}",
            reason="PRODUCER_SEALED",
            resource=sealed.run,
        )
    return []


def seal_unannounced(state: Tracking, sealed: pb.TelemetrySealed) -> Sequence[Message]:
    """Open and seal a producer in one step; doing it twice is once."""
    if sealed.producer in state.producers:
        return seal_producer(state, sealed)
    return [pb.ProducerOpened(run=sealed.run, producer=sealed.producer, epoch=1), sealed]


def _with(state: Tracking, name: str, producer: Producer) -> Tracking:
    return replace(state, producers={**state.producers, name: producer})
