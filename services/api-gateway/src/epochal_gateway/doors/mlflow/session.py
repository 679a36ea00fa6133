"""One call of a client: who it is, and the RPCs that are made for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar, cast

from epochal_kernel.projections.store import Progress
from epochal_proto.method import AnyMethod, UnaryMethod
from google.protobuf.message import Message

from epochal_gateway.doors.dispatch import Caller, Dispatcher
from epochal_gateway.doors.mlflow.run_names import RunNames
from epochal_gateway.identity.authentication import Identity
from epochal_gateway.identity.authorization import Authorizer
from epochal_gateway.identity.directory import Directory

Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response", bound=Message)


@dataclass(frozen=True, slots=True)
class Platform:
    """What the door stands on; the same for every call."""

    dispatcher: Dispatcher
    authorizer: Authorizer
    directory: Directory
    progress: Progress
    runs: RunNames


@dataclass(frozen=True, slots=True)
class Session:
    """A caller, its organisation, and the way on.

    Every RPC made here is authenticated, authorised, validated and counted as if it had come
    through the gRPC door: this one adds no rights.
    """

    platform: Platform
    caller: Caller
    identity: Identity
    org: str

    async def call(self, method: UnaryMethod[Request, Response], request: Request) -> Response:
        """Make one RPC in the caller's name.

        Raises:
            EpochalError: refused at the door, or by the service.
        """
        answer = await self.platform.dispatcher.unary(
            cast("AnyMethod", method), request, self.caller
        )
        return method.response.FromString(answer.body)

    async def fresh(self) -> None:
        """Wait until the directory knows of the caller's own writes."""
        context = self.platform.dispatcher.context(self.identity, self.org, self.caller)
        await self.platform.progress.wait_for(context.min_position)

    def check(self, permission: str, resource: str, *, write: bool = False) -> None:
        """Check a permission, for what is answered from the directory.

        Raises:
            PermissionDenied, NotFound, FailedPrecondition: as for an RPC.
        """
        self.platform.authorizer.check(self.identity, permission, resource, write=write)
