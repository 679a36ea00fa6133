"""The first start: an organisation, a project, an owner and its token, once.

Every step is an ordinary command with a fixed id, so that a start that was killed midway goes on
where it stopped, and two gateways that start together do it once.
"""

from __future__ import annotations

import hashlib
from uuid import UUID, uuid5

import epochal_proto.v1 as pb
from epochal_kernel.log.commands import CommandContext
from epochal_kernel.log.ledger import Ledger
from google.protobuf.message import Message

from epochal_gateway import names
from epochal_gateway.domain import organization, tokens

_NAMESPACE = UUID("0d5b4b6e-30a3-4a3d-8a53-5a1f6b1c2e77")
ORG = "orgs/default"
PROJECT = f"{ORG}/projects/main"
ADMIN = "users/admin"


async def bootstrap(ledger: Ledger, secret: str) -> int:
    """Make the default organisation, project, administrator and token, unless they are there.

    Returns the position at which all of it is.

    Raises:
        EpochalError: the log does not answer.
    """
    token = (
        f"{ORG}/tokens/{uuid5(_NAMESPACE, 'token:' + hashlib.sha256(secret.encode()).hexdigest())}"
    )
    scopes = organization.ScopeAggregate()

    def begin_organization(state: organization.Scope) -> list[Message]:
        if state.exists:
            return []
        return [
            pb.OrganizationCreated(name=ORG, display_name="Default"),
            pb.MemberAdded(parent=ORG, user=ADMIN, role=pb.ROLE_OWNER, platform_admin=True),
        ]

    def begin_project(state: organization.Scope) -> list[Message]:
        if state.exists:
            return []
        return [pb.ProjectCreated(name=PROJECT, display_name="Main")]

    def issue_token(state: tokens.TokenState) -> list[Message]:
        if state.issued:
            return []
        return [
            pb.TokenIssued(
                name=token,
                user=ADMIN,
                secret_sha256=hashlib.sha256(secret.encode()).digest(),
                display_name="bootstrap",
            )
        ]

    await ledger.execute(
        scopes, names.stream_of(ORG), ORG, begin_organization, _context("organization")
    )
    await ledger.execute(
        scopes, names.stream_of(PROJECT), PROJECT, begin_project, _context("project")
    )
    outcome = await ledger.execute(
        tokens.TokenAggregate(), names.token_stream(token), token, issue_token, _context(token)
    )
    return outcome.position


def _context(step: str) -> CommandContext:
    command_id = uuid5(_NAMESPACE, step)
    return CommandContext(
        command_id=command_id,
        org_id=ORG.removeprefix("orgs/"),
        actor="services/gateway",
        correlation_id=uuid5(_NAMESPACE, "bootstrap"),
        request_sha256=hashlib.sha256(step.encode()).digest(),
    )
