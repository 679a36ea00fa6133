"""A logged model as a stream: its parameters never change, what is known of it grows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import epochal_proto.v1 as pb
from epochal_kernel.errors import FailedPrecondition, NotFound, Violation
from google.protobuf.message import Message

from epochal_lineage.domain.tags import changed_tags, tag_change


@dataclass(frozen=True, slots=True)
class LoggedState:
    """State of one logged model."""

    exists: bool = False
    deleted: bool = False
    status: int = pb.LOGGED_MODEL_STATUS_UNSPECIFIED
    params: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


class LoggedModelAggregate:
    """Folds the stream of one logged model."""

    category = "registry"

    def initial(self) -> LoggedState:
        """Not logged."""
        return LoggedState()

    def evolve(self, state: LoggedState, event: Message) -> LoggedState:
        """Fold one event."""
        match event:
            case pb.ModelLogged():
                return LoggedState(
                    exists=True,
                    status=pb.LOGGED_MODEL_STATUS_PENDING,
                    params=dict(event.params),
                    tags=dict(event.tags),
                )
            case pb.LoggedModelFinalized():
                return replace(state, status=event.status)
            case pb.LoggedModelParamsAdded():
                return replace(state, params={**state.params, **event.params})
            case pb.LoggedModelTagged():
                return replace(state, tags=changed_tags(state.tags, event.tags, event.removed))
            case pb.LoggedModelDeleted():
                return replace(state, deleted=True)
            case _:
                return state


def finalize(
    state: LoggedState, name: str, status: pb.LoggedModelStatus, message: str
) -> Sequence[Message]:
    """Say that all files are there, or will never be; the last word counts.

    Raises:
        NotFound: no such logged model.
    """
    _require(state, name)
    if state.status == status:
        return []
    return [pb.LoggedModelFinalized(name=name, status=status, message=message)]


def add_params(state: LoggedState, name: str, params: Mapping[str, str]) -> Sequence[Message]:
    """Add parameters; those that are there with the same value are left out.

    Raises:
        NotFound: no such logged model.
        FailedPrecondition: a parameter has another value already; names each.
    """
    _require(state, name)
    clashes = [
        Violation(f"params.{param}", "param_immutable", "has another value already")
        for param, value in sorted(params.items())
        if state.params.get(param, value) != value
    ]
    if clashes:
        raise FailedPrecondition(
            "parameters of a logged model never change: "
            + ", ".join(violation.field for violation in clashes),
            reason="PARAM_IMMUTABLE",
            violations=clashes,
            resource=name,
        )
    new = {param: value for param, value in params.items() if param not in state.params}
    return [pb.LoggedModelParamsAdded(name=name, params=new)] if new else []


def tag_logged(
    state: LoggedState, name: str, tags: Mapping[str, str], removed: Iterable[str]
) -> Sequence[Message]:
    """Set and remove tags.

    Raises:
        NotFound: no such logged model.
    """
    _require(state, name)
    change = tag_change(state.tags, tags, removed)
    if not change:
        return []
    return [pb.LoggedModelTagged(name=name, tags=change.tags, removed=change.removed)]


def measure(
    state: LoggedState, name: str, metrics: Iterable[pb.LoggedModelMetric]
) -> Sequence[Message]:
    """Record what was measured.

    Raises:
        NotFound: no such logged model.
    """
    _require(state, name)
    return [pb.LoggedModelMeasured(name=name, metrics=metrics)]


def delete_logged(state: LoggedState, name: str) -> Sequence[Message]:
    """Delete a logged model.

    Raises:
        NotFound: no such logged model.
    """
    _require(state, name)
    return [pb.LoggedModelDeleted(name=name)]


def _require(state: LoggedState, name: str) -> None:
    if not state.exists:
        raise NotFound(f"there is no {name}", resource=name)
    if state.deleted:
        raise NotFound(f"{name} was deleted", resource=name, reason="LOGGED_MODEL_DELETED")
