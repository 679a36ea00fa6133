"""Erasing a person: the name is nowhere any more, and everything still proves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import asyncpg
import epochal_proto.v1 as pb
import pytest
from command_line import CommandLine
from epochal.client import Client
from epochal.errors import (
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    Unauthenticated,
)
from epochal_proto.v1.services import (
    AccessService,
    AuditService,
    ProjectService,
    ProofService,
    RegistryService,
    SearchService,
)
from epochal_testing.waiting import until
from platform_world import Platform


@pytest.fixture
def person() -> str:
    return f"ann-{uuid4().hex[:10]}"


@pytest.fixture
def cli(platform: Platform, tmp_path: Path) -> CommandLine:
    return CommandLine(platform, tmp_path)


@pytest.fixture
def org(platform: Platform, person: str) -> Iterator[tuple[str, Client]]:
    """An organisation, and a member of it who did something in every service."""
    uid = f"erasing-{uuid4().hex[:8]}"
    user = f"users/{person}"
    with platform.client() as admin:
        name = admin.call(
            AccessService.CREATE_ORGANIZATION, pb.CreateOrganizationRequest(org_id=uid)
        ).name
        admin.call(
            AccessService.SET_MEMBER,
            pb.SetMemberRequest(parent=name, user=user, role=pb.ROLE_ADMIN),
        )
        secret = admin.call(
            AccessService.CREATE_TOKEN, pb.CreateTokenRequest(parent=name, user=user)
        ).secret
    with platform.client(secret) as theirs:
        project = theirs.call(
            ProjectService.CREATE_PROJECT, pb.CreateProjectRequest(parent=name, project_id="p")
        ).name
        theirs.call(
            RegistryService.CREATE_MODEL, pb.CreateModelRequest(parent=project, model_id="digits")
        )
        theirs.call(
            SearchService.SAVE_SEARCH,
            pb.SaveSearchRequest(
                parent=project, search_id="bad", search=pb.SavedSearch(filter="status: failed")
            ),
        )
        theirs.call(
            AccessService.CREATE_TOKEN,
            pb.CreateTokenRequest(parent=name, display_name=f"{person}'s laptop"),
        )
        yield name, theirs


def actors(admin: Client, org: str, actor: str = "") -> list[str]:
    listed = admin.call(AuditService.LIST_EVENTS, pb.ListEventsRequest(parent=org, actor=actor))
    return [event.actor for event in listed.events]


def checkpoint(cli: CommandLine) -> str:
    """The newest checkpoint; empty before the first."""
    done = cli("audit", "checkpoint", code=None)
    return done.stdout if done.code == 0 else ""


async def rows_with(url: str, text: str) -> list[str]:
    """Every table of the database that holds a text anywhere, in whatever column."""
    connection = await asyncpg.connect(url)
    try:
        tables = await connection.fetch(
            "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables "
            "WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        )
        found: list[str] = []
        for (table,) in tables:
            # bytea shows as hex: look for the text and for its hex.
            count = await connection.fetchval(
                f"SELECT count(*) FROM {table} t WHERE strpos(t::text, $1) > 0 "
                "OR strpos(t::text, encode(convert_to($1, 'UTF8'), 'hex')) > 0",
                text,
            )
            found += [table] if count else []
        return found
    finally:
        await connection.close()


async def test_an_erased_person_is_nowhere_in_the_database_and_every_proof_holds(
    platform: Platform, admin: Client, cli: CommandLine, org: tuple[str, Client], person: str
) -> None:
    name, theirs = org
    before = actors(admin, name)
    assert f"users/{person}" in before
    assert actors(admin, name, f"users/{person}") == [one for one in before if person in one]
    holding = await rows_with(platform.database_url, person)
    assert "log.event" not in holding
    assert "log.subject" in holding
    assert any(one.startswith("gateway_rm_") for one in holding)
    (cli.folder / "kept").write_text(await until(lambda: checkpoint(cli), 70, what="a checkpoint"))

    told = json.loads(
        cli("audit", "erase-subject", person, "--reason", "request 17", "-y", "-o", "json").stdout
    )
    assert told["pending"] == []
    assert set(told["forgottenBy"]) == {
        "log", "gateway", "scheduler", "tracker", "monitor", "lineage", "notifier",
    }  # fmt: skip
    assert await rows_with(platform.database_url, person) == []

    pseudonym = told["pseudonym"]
    assert actors(admin, name)[: len(before)] == [
        pseudonym if person in one else one for one in before
    ]
    assert actors(admin, name, pseudonym) == [pseudonym for one in before if person in one]
    with pytest.raises(Unauthenticated):
        theirs.call(AccessService.GET_CALLER, pb.GetCallerRequest())
    members = admin.call(AccessService.LIST_MEMBERS, pb.ListMembersRequest(parent=name)).members
    assert [one.user for one in members] == ["users/admin"]

    assert cli("audit", "verify").code == 0
    cli("audit", "export", "--whole", "--out", "audit.zip")
    cli("audit", "verify", "--bundle", "audit.zip", "--checkpoint", "kept")
    cli("audit", "replay")
    listed = json.loads(cli("audit", "erasures", "-o", "json").stdout)
    assert [one["pseudonym"] for one in listed][:1] == [pseudonym]


def test_erasing_twice_is_once_and_by_pseudonym_too(
    admin: Client, org: tuple[str, Client], person: str
) -> None:
    request = pb.EraseSubjectRequest(
        user=f"users/{person}", reason="request 18", request_id=str(uuid4())
    )
    dry = pb.EraseSubjectRequest(user=request.user, reason="request 18", validate_only=True)
    would = admin.call(AccessService.ERASE_SUBJECT, dry)
    assert (would.revoked_tokens, would.removed_memberships) == (2, 1)
    first = admin.call(AccessService.ERASE_SUBJECT, request)
    assert first.pseudonym == would.pseudonym
    assert (first.revoked_tokens, first.removed_memberships) == (2, 1)
    again = admin.call(
        AccessService.ERASE_SUBJECT, pb.EraseSubjectRequest(user=first.pseudonym, reason="again")
    )
    assert (again.name, again.erase_time) == (first.name, first.erase_time)
    with pytest.raises(NotFound, match="no event names"):
        admin.call(
            AccessService.ERASE_SUBJECT,
            pb.EraseSubjectRequest(user=f"users/{person}", reason="again"),
        )


def test_an_erasure_that_would_leave_nobody_in_charge_does_nothing(
    platform: Platform, admin: Client, person: str
) -> None:
    name = admin.call(
        AccessService.CREATE_ORGANIZATION,
        pb.CreateOrganizationRequest(org_id=f"left-{uuid4().hex[:8]}"),
    ).name
    user = f"users/{person}"
    for who, role in ((user, pb.ROLE_OWNER), ("users/admin", pb.ROLE_VIEWER)):
        admin.call(AccessService.SET_MEMBER, pb.SetMemberRequest(parent=name, user=who, role=role))
    with pytest.raises(FailedPrecondition, match="last owner"):
        admin.call(
            AccessService.ERASE_SUBJECT, pb.EraseSubjectRequest(user=user, reason="request 19")
        )
    members = admin.call(AccessService.LIST_MEMBERS, pb.ListMembersRequest(parent=name)).members
    assert {one.user for one in members} == {user, "users/admin"}
    with pytest.raises(FailedPrecondition, match="nobody erases themselves"):
        admin.call(
            AccessService.ERASE_SUBJECT,
            pb.EraseSubjectRequest(user="users/admin", reason="request 20"),
        )


async def test_an_owner_is_not_demoted_by_their_pseudonym(
    platform: Platform, admin: Client, person: str
) -> None:
    name = admin.call(
        AccessService.CREATE_ORGANIZATION,
        pb.CreateOrganizationRequest(org_id=f"rank-{uuid4().hex[:8]}"),
    ).name
    user = f"users/{person}"
    admin.call(
        AccessService.SET_MEMBER, pb.SetMemberRequest(parent=name, user=user, role=pb.ROLE_ADMIN)
    )
    secret = admin.call(
        AccessService.CREATE_TOKEN, pb.CreateTokenRequest(parent=name, user=user)
    ).secret

    def actors_as_stored() -> list[str]:
        exported = admin.stream(ProofService.EXPORT_RECORDS, pb.ExportRecordsRequest(parent=name))
        return [one.event.actor for page in exported for one in page.records if one.event.actor]

    owner = (await until(actors_as_stored, 70, what="a checkpoint"))[0]
    with platform.client(secret) as theirs:
        for user in (owner, "users/admin"):
            with pytest.raises((InvalidArgument, PermissionDenied)):
                theirs.call(
                    AccessService.SET_MEMBER,
                    pb.SetMemberRequest(parent=name, user=user, role=pb.ROLE_VIEWER),
                )
    members = admin.call(AccessService.LIST_MEMBERS, pb.ListMembersRequest(parent=name)).members
    assert {one.user: one.role for one in members}["users/admin"] == pb.ROLE_OWNER


def test_only_administrators_of_the_platform_erase_or_see_erasures(
    org: tuple[str, Client],
) -> None:
    _, theirs = org
    with pytest.raises(PermissionDenied):
        theirs.call(
            AccessService.ERASE_SUBJECT, pb.EraseSubjectRequest(user="users/admin", reason="no")
        )
    with pytest.raises(PermissionDenied):
        theirs.call(AccessService.LIST_ERASURES, pb.ListErasuresRequest())
    with pytest.raises(PermissionDenied):
        theirs.call(
            AccessService.GET_ERASURE, pb.GetErasureRequest(name="erasures/anon-" + "a" * 26)
        )
