"""AccessService: organisations, members and tokens."""

from __future__ import annotations

import base64
import hashlib
import secrets
from typing import cast
from uuid import UUID, uuid5

import epochal_proto.v1 as pb
from epochal_kernel import paging
from epochal_kernel.clock import Clock
from epochal_kernel.errors import InvalidArgument, NotFound, PermissionDenied, Violation
from epochal_kernel.log.ledger import Ledger
from epochal_kernel.projections.store import Progress
from epochal_kernel.rpc.context import CallContext
from google.protobuf.empty_pb2 import Empty

from epochal_gateway import names
from epochal_gateway.domain import organization, tokens
from epochal_gateway.domain.permissions import ALL, permitted
from epochal_gateway.identity.authentication import TOKEN_PREFIX
from epochal_gateway.identity.directory import Directory
from epochal_gateway.projections import MemberRow, OrganizationRow, TokenRow
from epochal_gateway.services.timestamps import timestamp
from epochal_gateway.services.tokens import token_message
from epochal_gateway.store import AccessStore

_NAMESPACE = UUID("6f0b0b52-5d5e-4c1f-9d36-0a6c8e3b6a01")


class Access:
    """Handlers of AccessService."""

    def __init__(
        self,
        ledger: Ledger,
        store: AccessStore,
        directory: Directory,
        progress: Progress,
        clock: Clock,
    ) -> None:
        self._ledger = ledger
        self._store = store
        self._directory = directory
        self._progress = progress
        self._clock = clock
        self._scopes = organization.ScopeAggregate()
        self._tokens = tokens.TokenAggregate()

    async def create_organization(
        self, request: pb.CreateOrganizationRequest, context: CallContext
    ) -> pb.Organization:
        """Begin an organisation with the caller as its owner."""
        name = f"orgs/{request.org_id}"
        context.org_id = request.org_id
        outcome = await self._ledger.execute(
            self._scopes,
            names.stream_of(name),
            name,
            lambda state: organization.create_organization(
                state, name, request.display_name, context.actor
            ),
            context.command(request, request.request_id),
        )
        await self._written(outcome.position, context)
        return await self._organization(name)

    async def get_organization(
        self, request: pb.GetOrganizationRequest, context: CallContext
    ) -> pb.Organization:
        """Read one organisation."""
        await self._progress.wait_for(context.min_position)
        return await self._organization(request.name)

    async def list_organizations(
        self, request: pb.ListOrganizationsRequest, context: CallContext
    ) -> pb.ListOrganizationsResponse:
        """List the organisations the caller belongs to."""
        await self._progress.wait_for(context.min_position)
        size = request.page_size or paging.DEFAULT_PAGE
        mine = {"/".join(row.parent.split("/")[:2]) for row in self._memberships(context.actor)}
        rows = await self._store.organizations(
            sorted(mine), paging.unpack(request.page_token), size + 1
        )
        return pb.ListOrganizationsResponse(
            organizations=[_organization(row) for row in rows[:size]],
            next_page_token=paging.pack(rows[size - 1].name) if len(rows) > size else "",
        )

    async def get_caller(self, request: pb.GetCallerRequest, context: CallContext) -> pb.Caller:
        """Say who the caller is."""
        return pb.Caller(
            actor=context.actor,
            token=context.token,
            scopes=context.scopes,
            platform_admin=self._directory.is_platform_admin(context.actor),
            memberships=[_member(row) for row in self._memberships(context.actor)],
        )

    async def set_member(self, request: pb.SetMemberRequest, context: CallContext) -> pb.Member:
        """Add a member or change its role; nobody hands out more than it has."""
        self._require_rank(context.actor, request.parent, request.role)
        self._require_rank(
            context.actor, request.parent, self._directory.role(request.user, request.parent)
        )
        outcome = await self._ledger.execute(
            self._scopes,
            names.stream_of(request.parent),
            request.parent,
            lambda state: organization.set_member(
                state, request.parent, request.user, request.role
            ),
            context.command(request, request.request_id),
        )
        await self._written(outcome.position, context)
        return _member(MemberRow(request.parent, request.user, request.role, False))

    async def remove_member(self, request: pb.RemoveMemberRequest, context: CallContext) -> Empty:
        """Remove a member."""
        parent, _, user = request.name.rpartition("/members/")
        self._require_rank(context.actor, parent, self._directory.role(f"users/{user}", parent))
        outcome = await self._ledger.execute(
            self._scopes,
            names.stream_of(parent),
            parent,
            lambda state: organization.remove_member(state, parent, f"users/{user}"),
            context.command(request, request.request_id),
        )
        await self._written(outcome.position, context)
        return Empty()

    async def list_members(
        self, request: pb.ListMembersRequest, context: CallContext
    ) -> pb.ListMembersResponse:
        """List members by user."""
        await self._progress.wait_for(context.min_position)
        size = request.page_size or paging.DEFAULT_PAGE
        rows = await self._store.members(
            request.parent, paging.unpack(request.page_token), size + 1
        )
        return pb.ListMembersResponse(
            members=[_member(row) for row in rows[:size]],
            next_page_token=paging.pack(rows[size - 1].username) if len(rows) > size else "",
        )

    async def create_token(
        self, request: pb.CreateTokenRequest, context: CallContext
    ) -> pb.CreateTokenResponse:
        """Issue a token; only its hash is kept."""
        user = request.user or context.actor
        self._check_token_request(request, user, context)
        command = context.command(request, request.request_id)
        name = f"{request.parent}/tokens/{uuid5(_NAMESPACE, str(command.command_id))}"
        secret = new_secret()
        event = pb.TokenIssued(
            name=name,
            user=user,
            secret_sha256=hashlib.sha256(secret.encode()).digest(),
            scopes=sorted(set(request.scopes)),
            display_name=request.display_name,
        )
        if request.HasField("expire_time"):
            event.expire_time.CopyFrom(request.expire_time)
        outcome = await self._ledger.execute(
            self._tokens,
            names.token_stream(name),
            name,
            lambda state: tokens.issue(state, event),
            command,
        )
        if outcome.repeated:
            tokens.issue(outcome.state, event)  # raises: the secret cannot be shown again
        await self._written(outcome.position, context)
        return pb.CreateTokenResponse(token=token_message(await self._token(name)), secret=secret)

    async def list_tokens(
        self, request: pb.ListTokensRequest, context: CallContext
    ) -> pb.ListTokensResponse:
        """List the caller's tokens, or all for those who manage access."""
        await self._progress.wait_for(context.min_position)
        manager = permitted(self._directory.role(context.actor, request.parent), "access.manage")
        size = request.page_size or paging.DEFAULT_PAGE
        rows = await self._store.tokens(
            request.parent,
            paging.unpack(request.page_token),
            "" if manager else context.actor,
            size + 1,
        )
        return pb.ListTokensResponse(
            tokens=[token_message(row) for row in rows[:size]],
            next_page_token=paging.pack(rows[size - 1].name) if len(rows) > size else "",
        )

    async def revoke_token(self, request: pb.RevokeTokenRequest, context: CallContext) -> pb.Token:
        """Withdraw a token: one's own, or anyone's for those who manage access."""
        row = await self._token(request.name)
        if row.username != context.actor:
            self._require_manager(context.actor, request.name)
        outcome = await self._ledger.execute(
            self._tokens,
            names.token_stream(request.name),
            request.name,
            lambda state: tokens.revoke(state, request.name, request.reason),
            context.command(request, request.request_id),
        )
        await self._written(outcome.position, context)
        return token_message(await self._token(request.name))

    def _check_token_request(
        self, request: pb.CreateTokenRequest, user: str, context: CallContext
    ) -> None:
        if user != context.actor:
            self._require_manager(context.actor, request.parent)
            self._require_rank(
                context.actor, request.parent, self._directory.role(user, request.parent)
            )
        if not user.startswith("users/"):
            raise PermissionDenied(f"{user} cannot hold tokens: only users can")
        if context.scopes and not (request.scopes and set(request.scopes) <= set(context.scopes)):
            raise PermissionDenied(
                f"this token is limited to {', '.join(context.scopes)}: it can only issue tokens "
                "limited to some of that",
                reason="SCOPE_MISSING",
                resource=request.parent,
            )
        unknown = sorted(set(request.scopes) - ALL)
        if unknown:
            raise InvalidArgument(
                f"scope {unknown[0]!r} is no permission",
                violations=[Violation("scopes", "scope", f"use some of {', '.join(sorted(ALL))}")],
            )
        if request.HasField("expire_time") and (
            request.expire_time.ToNanoseconds() <= self._clock.now().timestamp() * 1e9
        ):
            raise InvalidArgument(
                "expire_time is in the past",
                violations=[Violation("expire_time", "future", "must lie in the future")],
            )

    def _require_manager(self, actor: str, resource: str) -> None:
        org = "/".join(resource.split("/")[:2])
        if not permitted(self._directory.role(actor, org), "access.manage"):
            raise PermissionDenied(
                f"{actor} lacks access.manage on {org}", reason="PERMISSION_MISSING", resource=org
            )

    def _require_rank(self, actor: str, parent: str, role: pb.Role) -> None:
        org = "/".join(parent.split("/")[:2])
        own = max(self._directory.role(actor, org), self._directory.role(actor, parent))
        if own < role:
            raise PermissionDenied(
                f"{actor} has a lower role on {parent} than {pb.Role.Name(role)}",
                reason="ROLE_TOO_LOW",
                resource=parent,
            )

    def _memberships(self, actor: str) -> list[MemberRow]:
        return self._directory.memberships(actor)

    async def _written(self, position: int, context: CallContext) -> None:
        context.wrote(position)
        await self._progress.wait_for(position)

    async def _organization(self, name: str) -> pb.Organization:
        row = await self._store.organization(name)
        if row is None:
            raise NotFound(f"there is no {name}", resource=name)
        return _organization(row)

    async def _token(self, name: str) -> TokenRow:
        row = await self._store.token(name)
        if row is None:
            raise NotFound(f"there is no {name}", resource=name)
        return row


def new_secret() -> str:
    """Return a new token secret: 256 random bits."""
    return TOKEN_PREFIX + base64.urlsafe_b64encode(secrets.token_bytes(32)).decode().rstrip("=")


def _organization(row: OrganizationRow) -> pb.Organization:
    return pb.Organization(
        name=row.name, display_name=row.display_name, create_time=timestamp(row.create_time)
    )


def _member(row: MemberRow) -> pb.Member:
    return pb.Member(
        name=f"{row.parent}/members/{row.username.removeprefix('users/')}",
        user=row.username,
        role=cast("pb.Role", row.role),
    )
