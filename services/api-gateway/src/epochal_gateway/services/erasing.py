"""AccessService, erasures: a person's name becomes unreadable, in every event and for good.

The event comes first. The reactor that destroys the name runs in the transaction that moves the
gateway past the event, so that a crash in between is made up for at the next start.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final
from uuid import uuid5

import epochal_proto.v1 as pb
from epochal_kernel import paging
from epochal_kernel.errors import FailedPrecondition, NotFound
from epochal_kernel.log.commands import CommandContext
from epochal_kernel.log.events import Event
from epochal_kernel.log.ledger import Ledger
from epochal_kernel.log.personal import is_pseudonym
from epochal_kernel.log.subjects import ErasedSubject, Subjects, erase
from epochal_kernel.postgres import Connection
from epochal_kernel.projections.forgetting import LOG
from epochal_kernel.projections.store import Progress
from epochal_kernel.rpc.context import CallContext

from epochal_gateway import names
from epochal_gateway.domain import erasure, organization, tokens
from epochal_gateway.identity.directory import Directory
from epochal_gateway.projections import MemberRow, TokenRow

#: Where names may be: the requests that the log remembers, and services with a read model.
PLACES: Final = (LOG, "gateway", "scheduler", "tracker", "monitor", "lineage", "notifier")


class EraseReactor:
    """Destroys the name and the key behind a pseudonym when the log says so."""

    name = "erasing"

    async def react(self, transaction: Connection, event: Event) -> None:
        """Erase."""
        if isinstance(event.payload, pb.SubjectErased):
            await erase(transaction, event.payload.pseudonym)


class Erasing:
    """Handlers of AccessService's erasures."""

    def __init__(
        self, ledger: Ledger, directory: Directory, subjects: Subjects, progress: Progress
    ) -> None:
        self._ledger = ledger
        self._directory = directory
        self._subjects = subjects
        self._progress = progress
        self._scopes = organization.ScopeAggregate()
        self._tokens = tokens.TokenAggregate()
        self._erasures = erasure.ErasureAggregate()

    async def erase_subject(
        self, request: pb.EraseSubjectRequest, context: CallContext
    ) -> pb.Erasure:
        """Take all access away, then the name."""
        await self._progress.wait_for(context.min_position)
        user = request.user
        if user == context.actor:
            raise FailedPrecondition(
                "nobody erases themselves: the event would say who. Ask another administrator",
                reason="ERASES_ITSELF",
                resource=user,
            )
        pseudonym = await self._pseudonym(user)
        memberships = self._removable(user)
        issued = [row for row in self._directory.tokens_of(user) if not row.revoked]
        if request.validate_only:
            return pb.Erasure(
                name=_name(pseudonym),
                pseudonym=pseudonym,
                pending=PLACES,
                revoked_tokens=len(issued),
                removed_memberships=len(memberships),
            )
        command = context.command(request, request.request_id)
        for row in issued:
            await self._revoke(row, command)
        for member in memberships:
            await self._remove(member, command)
        outcome = await self._ledger.execute(
            self._erasures,
            erasure.erasure_stream(pseudonym),
            "erasures",
            lambda done: erasure.erase(done, pseudonym, request.reason),
            command,
        )
        context.wrote(outcome.position)
        await self._progress.wait_for(outcome.position)
        self._subjects.forget()
        found = await self._erasure(pseudonym)
        found.revoked_tokens = len(issued)
        found.removed_memberships = len(memberships)
        return found

    async def get_erasure(self, request: pb.GetErasureRequest, context: CallContext) -> pb.Erasure:
        """Say how far one is."""
        await self._progress.wait_for(context.min_position)
        return await self._erasure(f"users/{request.name.removeprefix('erasures/')}")

    async def list_erasures(
        self, request: pb.ListErasuresRequest, context: CallContext
    ) -> pb.ListErasuresResponse:
        """List them, newest first."""
        await self._progress.wait_for(context.min_position)
        size = request.page_size or paging.DEFAULT_PAGE
        before = paging.unpack(request.page_token)
        rows = await self._subjects.erased(before, size + 1)
        return pb.ListErasuresResponse(
            erasures=[_message(row) for row in rows[:size]],
            next_page_token=paging.pack(rows[size - 1].pseudonym) if len(rows) > size else "",
        )

    async def _pseudonym(self, user: str) -> str:
        if is_pseudonym(user):
            await self._erasure(user)
            return user
        self._subjects.forget()  # whom it knows may have been erased a moment ago
        stored = await self._subjects.stored_as(user)
        if len(stored) == 1:
            raise NotFound(
                f"no event names {user}; who was erased before has a pseudonym instead: "
                "epochal audit erasures",
                resource=user,
            )
        return stored[-1]

    def _removable(self, user: str) -> list[MemberRow]:
        """The memberships to take away; those in archived projects stay, without a name.

        Raises:
            FailedPrecondition: an organisation would be left without an owner.
        """
        found: list[MemberRow] = []
        for row in self._directory.memberships(user):
            project = self._directory.project(row.parent) if "/projects/" in row.parent else None
            if project is not None and project.archived:
                continue
            if project is None and self._directory.owners(row.parent) == {user}:
                raise FailedPrecondition(
                    f"{user} is the last owner of {row.parent}: make another member owner first; "
                    "nothing was erased",
                    reason="LAST_OWNER",
                    resource=row.parent,
                )
            found.append(row)
        return found

    async def _revoke(self, row: TokenRow, command: CommandContext) -> None:
        await self._ledger.execute(
            self._tokens,
            names.token_stream(row.name),
            row.name,
            lambda state: tokens.revoke(state, row.name, "its user is erased"),
            _step(command, row.name),
        )

    async def _remove(self, row: MemberRow, command: CommandContext) -> None:
        await self._ledger.execute(
            self._scopes,
            names.stream_of(row.parent),
            row.parent,
            lambda state: (
                organization.remove_member(state, row.parent, row.username)
                if row.username in state.members
                else []
            ),
            _step(command, row.parent),
        )

    async def _erasure(self, pseudonym: str) -> pb.Erasure:
        row = await self._subjects.erasure(pseudonym)
        if row is None:
            name = _name(pseudonym)
            raise NotFound(f"there is no {name}", resource=name)
        return _message(row)


def _step(command: CommandContext, resource: str) -> CommandContext:
    """The same request's command about one resource, in that resource's organisation."""
    return replace(
        command,
        command_id=uuid5(command.command_id, resource),
        org_id=resource.split("/")[1],
    )


def _name(pseudonym: str) -> str:
    return pseudonym.replace("users/", "erasures/", 1)


def _message(row: ErasedSubject) -> pb.Erasure:
    found = pb.Erasure(
        name=_name(row.pseudonym),
        pseudonym=row.pseudonym,
        forgotten_by=sorted(row.forgotten_by),
        pending=[one for one in PLACES if one not in row.forgotten_by],
    )
    found.erase_time.FromDatetime(row.erased_at)
    return found
