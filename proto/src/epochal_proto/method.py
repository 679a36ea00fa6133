"""Typed descriptors of RPCs: what both ends of a call need to know, and nothing of the transport.

A client passes a descriptor and a request and gets the right response type back; a server binds a
handler to a descriptor and the type checker sees whether they fit.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Generic, TypeVar, cast

from google.protobuf.message import Message

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor, MethodDescriptor

    from epochal_proto.v1.options_pb2 import MethodPolicy

Request = TypeVar("Request", bound=Message, covariant=True)
Response = TypeVar("Response", bound=Message, covariant=True)


@dataclass(frozen=True)
class Method(Generic[Request, Response]):
    """An RPC: full service name, method name, and its two message types."""

    service: str
    name: str
    request: type[Request]
    response: type[Response]

    @property
    def full_name(self) -> str:
        """Name as in descriptors, `epochal.v1.RunService.CreateRun`."""
        return f"{self.service}.{self.name}"

    @property
    def path(self) -> str:
        """Name as on the gRPC wire, `/epochal.v1.RunService/CreateRun`."""
        return f"/{self.service}/{self.name}"

    @cached_property
    def descriptor(self) -> MethodDescriptor:
        """The protobuf descriptor, with all options."""
        from google.protobuf import descriptor_pool

        import epochal_proto.v1  # noqa: F401 - registers the files in the default pool

        return descriptor_pool.Default().FindMethodByName(self.full_name)

    @cached_property
    def policy(self) -> MethodPolicy:
        """Permission, resource, access, owner and transport, as declared in proto/."""
        from epochal_proto.v1 import options_pb2

        return self.descriptor.GetOptions().Extensions[options_pb2.policy]


@dataclass(frozen=True)
class UnaryMethod(Method[Request, Response]):
    """One request, one response."""


@dataclass(frozen=True)
class StreamMethod(Method[Request, Response]):
    """One request, many responses."""


def descriptor_of(kind: type[Message] | Message) -> Descriptor:
    """Return the descriptor of a message or message type, as the type that type checkers know."""
    return cast("Descriptor", kind.DESCRIPTOR)


AnyMethod = UnaryMethod[Message, Message] | StreamMethod[Message, Message]
