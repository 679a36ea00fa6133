"""Decisions on what is set by name: limits of queues, policies of projects, components."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import epochal_proto.v1 as pb
from epochal_kernel.errors import (
    AlreadyExists,
    InvalidArgument,
    NotFound,
    Violation,
)
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

LATEST = "latest"
_EDITABLE = (
    "priority", "concurrency", "quota", "cost_quota", "preempts", "weights", "description",
    "max_waiting",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class QueueState:
    """The limits of a queue; None when nobody has set any."""

    queue: pb.Queue | None = None


class QueueAggregate:
    """How events of category `queue` fold."""

    category = "queue"

    def initial(self) -> QueueState:
        """Returns the state of a queue nobody has configured."""
        return QueueState()

    def evolve(self, state: QueueState, event: Message) -> QueueState:
        """Returns the state after an event."""
        match event:
            case pb.QueueConfigured(queue=queue):
                return QueueState(queue)
            case pb.QueueDeleted():
                return QueueState()
            case _:
                return state


@dataclass(frozen=True, slots=True)
class PolicyState:
    """What holds for a project; None when nothing was set."""

    policy: pb.ProjectPolicy | None = None


class PolicyAggregate:
    """How policies of projects fold."""

    category = "queue"

    def initial(self) -> PolicyState:
        """Returns the state of a project nobody has set anything for."""
        return PolicyState()

    def evolve(self, state: PolicyState, event: Message) -> PolicyState:
        """Returns the state after an event."""
        return PolicyState(event.policy) if isinstance(event, pb.ProjectPolicySet) else state


@dataclass(frozen=True, slots=True)
class ComponentState:
    """One version of a component; None when there is none."""

    registered: pb.ComponentRegistered | None = None


class ComponentAggregate:
    """How events of a component's version fold."""

    category = "pipeline"

    def initial(self) -> ComponentState:
        """Returns the state of a version that does not exist."""
        return ComponentState()

    def evolve(self, state: ComponentState, event: Message) -> ComponentState:
        """Returns the state after an event."""
        match event:
            case pb.ComponentRegistered():
                return ComponentState(event)
            case pb.ComponentDeleted():
                return ComponentState()
            case _:
                return state


QUEUE = QueueAggregate()
POLICY = PolicyAggregate()
COMPONENT = ComponentAggregate()


def create_queue(state: QueueState, queue: pb.Queue, editor: str) -> Sequence[Message]:
    """Decides on the limits of a queue that has none.

    Raises:
        AlreadyExists: it has.
    """
    if state.queue is not None:
        raise AlreadyExists(
            f"{queue.name} exists; change it with `epochal queues update`", resource=queue.name
        )
    return (pb.QueueConfigured(queue=_limits(queue), editor=editor),)


def update_queue(
    state: QueueState, queue: pb.Queue, mask: FieldMask, editor: str
) -> Sequence[Message]:
    """Decides on other limits; a queue nobody has configured gets the ones that are given.

    Raises:
        InvalidArgument: the mask names a field that cannot be set.
    """
    unknown = sorted(set(mask.paths) - set(_EDITABLE))
    if unknown:
        message = f"'{unknown[0]}' cannot be set; these can: {', '.join(_EDITABLE)}"
        raise InvalidArgument(message, violations=[Violation("update_mask", "unknown", message)])
    new = pb.Queue(name=queue.name)
    new.MergeFrom(state.queue or pb.Queue(name=queue.name))
    given = [field.name for field, _ in queue.ListFields() if field.name in _EDITABLE]
    for path in mask.paths or given:
        new.ClearField(path)
        only = pb.Queue()
        only.MergeFrom(queue)
        for name in _EDITABLE:
            if name != path:
                only.ClearField(name)
        only.name = queue.name
        new.MergeFrom(_limits(only))
    if new == state.queue:
        return ()
    return (pb.QueueConfigured(queue=_limits(new), editor=editor),)


def delete_queue(state: QueueState, name: str) -> Sequence[Message]:
    """Decides that a queue has no limits any more.

    Raises:
        NotFound: it has none.
    """
    if state.queue is None:
        raise NotFound(f"{name} has no limits to remove", resource=name)
    return (pb.QueueDeleted(name=name),)


def set_policy(state: PolicyState, policy: pb.ProjectPolicy) -> Sequence[Message]:
    """Decides on what holds for a project; the same again changes nothing."""
    return () if state.policy == policy else (pb.ProjectPolicySet(policy=policy),)


def register_component(state: ComponentState, new: pb.ComponentRegistered) -> Sequence[Message]:
    """Decides on a version; `latest` moves, every other tag is for ever.

    Raises:
        AlreadyExists: the tag is another text's.
    """
    old = state.registered
    if old is not None and old.digest == new.digest and old.description == new.description:
        return ()
    tag = new.name.rpartition("/")[2]
    if old is not None and tag != LATEST and old.digest != new.digest:
        raise AlreadyExists(
            f"{new.name} is another text already, and a tag other than latest never changes; "
            "choose another tag",
            resource=new.name,
        )
    return (new,)


def delete_component(state: ComponentState, name: str) -> Sequence[Message]:
    """Decides that a version is gone.

    Raises:
        NotFound: there is none.
    """
    if state.registered is None:
        raise NotFound(f"there is no {name}", resource=name)
    return (pb.ComponentDeleted(name=name),)


def digest_of(spec: bytes) -> str:
    """Returns the digest of a text, `sha256:HEX`."""
    return "sha256:" + hashlib.sha256(spec).hexdigest()


def _limits(queue: pb.Queue) -> pb.Queue:
    """Returns what was set of a queue, without what is counted."""
    limits = pb.Queue()
    limits.MergeFrom(queue)
    for name in ("waiting", "running", "used", "agents"):
        limits.ClearField(name)
    return limits
