"""Who is calling, and what they may do: secrets, roles, run tokens, archived projects."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import epochal_proto.v1 as pb
import pytest
from epochal_gateway.domain import permissions
from epochal_gateway.identity.authentication import Authenticator, Identity
from epochal_gateway.identity.authorization import Authorizer, Place
from epochal_gateway.identity.directory import Directory
from epochal_gateway.identity.project_index import ProjectIndex
from epochal_gateway.projections import MemberRow, OrganizationRow, ProjectRow, TokenRow
from epochal_gateway.store import Snapshot
from epochal_kernel.errors import (
    FailedPrecondition,
    NotFound,
    PermissionDenied,
    Unauthenticated,
)
from epochal_kernel.log.events import Event
from epochal_kernel.projections.tables import Json
from epochal_testing.clock import ManualClock
from epochal_testing.projecting import recorded
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

NOW = datetime(2030, 1, 1, tzinfo=UTC)
ORG, OTHER = "orgs/acme", "orgs/other"
PROJECT, OLD = f"{ORG}/projects/vision", f"{ORG}/projects/old"
RUN = f"{PROJECT}/runs/0193a000-0000-7000-8000-000000000001"
SECRET = "epo_" + "s" * 43
KEY = "shared"


def project_row(name: str, number: int, *, archived: bool) -> ProjectRow:
    return ProjectRow(name, "", "", NOW, archived, number, number, Json("{}"), NOW)


class FakeStore:
    """The tables, as they are now; counts how often they are read."""

    def __init__(self, tokens: Sequence[TokenRow] = (), members: Sequence[MemberRow] = ()) -> None:
        self.tokens, self.members, self.position, self.reads = tokens, members, 7, 0

        self.projects = [
            project_row(PROJECT, 1, archived=False),
            project_row(OLD, 2, archived=True),
        ]

    async def project(self, name: str) -> ProjectRow | None:
        return next((row for row in self.projects if row.name == name), None)

    async def snapshot(self) -> Snapshot:
        self.reads += 1
        return Snapshot(
            self.position,
            [OrganizationRow(name, name, NOW) for name in (ORG, OTHER)],
            self.projects,
            self.members,
            self.tokens,
        )


def token(secret: str = SECRET, **changes: object) -> TokenRow:
    values: dict[str, object] = {
        "name": f"{ORG}/tokens/1",
        "username": "users/ann",
        "display_name": "",
        "secret_sha256": hashlib.sha256(secret.encode()).digest(),
        "scopes": "[]",
        "create_time": NOW,
        "expire_time": None,
        "revoked": False,
    }
    return TokenRow(**{**values, **changes})


async def authenticator(*tokens: TokenRow, key: str = KEY) -> Authenticator:
    directory = Directory(FakeStore(tokens))
    await directory.load()
    return Authenticator(directory, key, ManualClock(NOW))


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def run_token(claims: object, key: str = KEY) -> str:
    payload = encoded(json.dumps(claims).encode())
    return f"epr_{payload}.{encoded(hmac.digest(key.encode(), payload.encode(), 'sha256'))}"


def reason_of(authenticator: Authenticator, header: str) -> str:
    with pytest.raises(Unauthenticated) as caught:
        authenticator.identify(header)
    return caught.value.reason


async def test_a_secret_is_known_by_its_hash() -> None:
    found = (await authenticator(token(scopes='["run.read"]'))).identify(f"Bearer {SECRET}")
    assert found == Identity("users/ann", f"{ORG}/tokens/1", frozenset({"run.read"}))
    assert (await authenticator(token())).identify(f"  bearer   {SECRET} ").actor == "users/ann"


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", SECRET, f"Basic {SECRET}"])
async def test_a_header_without_a_bearer_secret_is_no_token(header: str) -> None:
    assert reason_of(await authenticator(token()), header) == "TOKEN_MISSING"


async def test_unknown_revoked_and_expired_secrets_are_refused() -> None:
    header = f"Bearer {SECRET}"
    assert reason_of(await authenticator(), header) == "TOKEN_UNKNOWN"
    assert reason_of(await authenticator(token(revoked=True)), header) == "TOKEN_REVOKED"
    assert reason_of(await authenticator(token(expire_time=NOW)), header) == "TOKEN_EXPIRED"
    later = token(expire_time=NOW + timedelta(microseconds=1))
    assert (await authenticator(later)).identify(header).actor == "users/ann"


async def test_a_token_expires_as_the_clock_turns() -> None:
    clock = ManualClock(NOW)
    directory = Directory(FakeStore([token(expire_time=NOW + timedelta(seconds=60))]))
    await directory.load()
    guard = Authenticator(directory, KEY, clock)
    guard.identify(f"Bearer {SECRET}")
    await clock.advance(60)
    assert reason_of(guard, f"Bearer {SECRET}") == "TOKEN_EXPIRED"


async def test_a_run_proves_itself_without_any_row() -> None:
    claims = {"run": RUN, "exp": NOW.timestamp() + 1}
    found = (await authenticator()).identify(f"Bearer {run_token(claims)}")
    assert found.actor == "runs/0193a000-0000-7000-8000-000000000001"
    assert (found.run, found.token) == (RUN, RUN)


async def test_a_run_token_that_is_old_forged_or_malformed_is_refused() -> None:
    guard = await authenticator()
    good = {"run": RUN, "exp": NOW.timestamp() + 1}
    assert reason_of(guard, f"Bearer {run_token({**good, 'exp': NOW.timestamp()})}") == (
        "TOKEN_EXPIRED"
    )
    genuine = run_token(good)
    payload, mac = genuine.removeprefix("epr_").split(".")
    other = encoded(json.dumps({**good, "run": f"{OTHER}/projects/p/runs/1"}).encode())
    for forged in (
        run_token(good, "guessed"),
        f"epr_{other}.{mac}",
        f"epr_{payload}.",
        f"epr_{payload}",
        "epr_",
        "epr_.",
        "epr_é.é",
        f"epr_{payload}.{'A' * len(mac)}",
    ):
        assert reason_of(guard, f"Bearer {forged}") == "TOKEN_UNKNOWN", forged
    for claims in ([], {}, {"run": RUN}, {"run": RUN, "exp": "soon"}, {"run": RUN, "exp": None}):
        assert reason_of(guard, f"Bearer {run_token(claims)}") == "TOKEN_UNKNOWN", claims


async def test_without_a_shared_secret_no_run_token_is_genuine() -> None:
    guard = await authenticator(key="")
    forged = run_token({"run": RUN, "exp": NOW.timestamp() + 1}, key="")
    assert reason_of(guard, f"Bearer {forged}") == "TOKEN_UNKNOWN"


@given(st.text(max_size=60))
def test_no_header_does_more_than_be_refused(header: str) -> None:
    directory = Directory(FakeStore())
    guard = Authenticator(directory, KEY, ManualClock(NOW))
    for text in (header, f"Bearer {header}", f"Bearer epr_{header}"):
        with pytest.raises(Unauthenticated):
            guard.identify(text.encode(errors="replace").decode())


def member(parent: str, role: pb.Role, user: str = "users/ann", admin: bool = False) -> MemberRow:
    return MemberRow(parent, user, role, admin)


async def authorizer(*members: MemberRow) -> Authorizer:
    directory = Directory(FakeStore(members=members))
    await directory.load()
    return Authorizer(directory)


ANN = Identity("users/ann", f"{ORG}/tokens/1")


@pytest.mark.parametrize("role", [0, *permissions.PERMISSIONS])
@pytest.mark.parametrize("at", [ORG, PROJECT])
async def test_a_role_allows_what_it_holds_where_it_was_given_and_below(
    role: pb.Role, at: str
) -> None:
    guard = await authorizer(*([member(at, role)] if role else []))
    for resource in (ORG, PROJECT, f"{PROJECT}/runs/1", OTHER, f"{OTHER}/projects/p"):
        inside = resource == at or resource.startswith(f"{at}/")
        for permission in sorted(permissions.ALL):
            # Who belongs to a project may see that it is there.
            around = resource == ORG and permission in ("org.read", "project.read")
            held = permissions.permitted(role, permission)
            expected = bool(role) and ((inside and held) or around)
            if expected:
                guard.check(ANN, permission, resource, write=False)
            else:
                with pytest.raises(PermissionDenied) as caught:
                    guard.check(ANN, permission, resource, write=False)
                assert caught.value.reason == "PERMISSION_MISSING"


async def test_the_stronger_of_two_roles_counts_in_a_project() -> None:
    guard = await authorizer(member(ORG, pb.ROLE_VIEWER), member(PROJECT, pb.ROLE_ADMIN))
    assert guard.role("users/ann", Place.of(PROJECT)) == pb.ROLE_ADMIN
    assert guard.role("users/ann", Place.of(ORG)) == pb.ROLE_VIEWER
    assert guard.role("users/ann", Place.of(OLD)) == pb.ROLE_VIEWER


async def test_a_scoped_token_does_only_what_its_scopes_say() -> None:
    guard = await authorizer(member(ORG, pb.ROLE_OWNER))
    scoped = Identity("users/ann", "t", frozenset({"run.read"}))
    guard.check(scoped, "run.read", PROJECT, write=False)
    with pytest.raises(PermissionDenied) as caught:
        guard.check(scoped, "run.write", PROJECT, write=True)
    assert caught.value.reason == "SCOPE_MISSING"
    guard.check(scoped, "authenticated", "", write=False)


async def test_a_scope_gives_nothing_that_the_role_does_not() -> None:
    guard = await authorizer(member(ORG, pb.ROLE_VIEWER))
    with pytest.raises(PermissionDenied):
        guard.check(
            Identity("users/ann", "t", frozenset({"run.write"})), "run.write", ORG, write=True
        )


async def test_only_an_administrator_of_the_platform_is_one() -> None:
    guard = await authorizer(
        member(ORG, pb.ROLE_OWNER), member(ORG, pb.ROLE_VIEWER, "users/root", True)
    )
    with pytest.raises(PermissionDenied):
        guard.check(ANN, permissions.PLATFORM_ADMIN, "", write=True)
    guard.check(Identity("users/root", "t"), permissions.PLATFORM_ADMIN, "", write=True)


async def test_a_run_writes_about_itself_alone() -> None:
    guard, run = await authorizer(), Identity("runs/1", RUN, run=RUN)
    for permission in ("run.write", "lineage.write"):
        guard.check(run, permission, RUN, write=True)
        guard.check(run, permission, f"{RUN}/artifacts/x", write=True)
        for elsewhere in (f"{RUN}0", f"{PROJECT}/runs/2", PROJECT, OTHER, OLD):
            with pytest.raises(PermissionDenied):
                guard.check(run, permission, elsewhere, write=True)


async def test_a_run_reads_and_registers_in_its_project() -> None:
    guard, run = await authorizer(), Identity("runs/1", RUN, run=RUN)
    for permission in ("run.read", "lineage.read", "model.read", "model.write", "project.read"):
        guard.check(run, permission, f"{PROJECT}/models/m", write=False)
        with pytest.raises(PermissionDenied):
            guard.check(run, permission, f"{OTHER}/projects/vision", write=False)
        with pytest.raises(PermissionDenied):
            guard.check(run, permission, OLD, write=False)
    for permission in sorted(permissions.ALL - permissions.RUN_PERMISSIONS):
        with pytest.raises(PermissionDenied):
            guard.check(run, permission, PROJECT, write=False)


async def test_an_archived_project_is_read_and_not_written() -> None:
    guard = await authorizer(member(ORG, pb.ROLE_OWNER))
    guard.check(ANN, "run.read", f"{OLD}/runs/1", write=False)
    with pytest.raises(FailedPrecondition) as caught:
        guard.check(ANN, "run.write", f"{OLD}/runs/1", write=True)
    assert caught.value.reason == "PROJECT_ARCHIVED"


async def test_what_is_missing_is_told_only_to_those_who_may_look() -> None:
    guard = await authorizer(member(ORG, pb.ROLE_VIEWER), member("orgs/gone", pb.ROLE_VIEWER))
    with pytest.raises(NotFound, match="projects create nope"):
        guard.check(ANN, "run.read", f"{ORG}/projects/nope/runs/1", write=False)
    with pytest.raises(NotFound):
        guard.check(ANN, "org.read", "orgs/gone", write=False)
    refusals = []
    for name in (OTHER, "orgs/nobody"):
        with pytest.raises(PermissionDenied) as caught:
            guard.check(ANN, "org.read", name, write=False)
        refusals.append(caught.value.message.replace(name, "X"))
    assert refusals[0] == refusals[1]


def test_a_place_is_read_off_a_name() -> None:
    assert Place.of(RUN) == Place(ORG, PROJECT)
    assert Place.of(f"{ORG}/tokens/1") == Place(ORG, "")
    assert Place.of("users/ann") == Place("", "")
    assert Place.of("") == Place("", "")


def followed(payload: Message) -> list[Event]:
    return [recorded(payload, 8, UUID(int=1))]


async def test_the_directory_reads_the_tables_only_for_what_concerns_it() -> None:
    store = FakeStore([token()])
    directory = Directory(store)
    assert directory.position == -1
    await directory.load()
    assert (directory.position, store.reads) == (7, 1)
    await directory.follow(7, followed(pb.RunStarted()), 8)
    assert (directory.position, store.reads) == (8, 1)
    store.tokens = [token(revoked=True)]
    await directory.follow(8, followed(pb.TokenRevoked()), 9)
    assert (directory.position, store.reads) == (9, 2)
    known = directory.token(hashlib.sha256(SECRET.encode()).digest())
    assert known is not None
    assert known.row.revoked


async def test_a_project_that_changed_is_read_alone() -> None:
    store = FakeStore()
    directory = Directory(store)
    await directory.load()
    renamed = replace(store.projects[0], display_name="New", version=8)
    store.projects[0] = renamed
    await directory.follow(7, followed(pb.ProjectDescribed(name=PROJECT)), 8)
    assert (directory.position, store.reads) == (8, 1)
    assert directory.project(PROJECT) == directory.numbered(1) == renamed
    assert directory.titled(ORG, "New") == [renamed]
    assert [row.name for row in directory.titled(ORG, "")] == [OLD]
    assert {row.name for row in directory.projects(ORG)} == {PROJECT, OLD}


titles = st.sampled_from(["", "a", "b"])
changes = st.lists(st.tuples(st.integers(1, 4), titles, st.booleans()), max_size=20)


@given(changes)
def test_an_index_that_follows_equals_one_that_is_made_anew(
    history: list[tuple[int, str, bool]],
) -> None:
    index, rows = ProjectIndex(), {}
    for number, title, archived in history:
        row = replace(
            project_row(f"{ORG}/projects/p{number}", number, archived=archived), display_name=title
        )
        rows[number] = row
        index.put(row)
    anew = ProjectIndex(rows.values())
    for title in ("", "a", "b"):
        assert list(index.titled(ORG, title)) == list(anew.titled(ORG, title))
    assert {row.name: row for row in index.of(ORG)} == {row.name: row for row in anew.of(ORG)}
    assert all(index.numbered(number) == row for number, row in rows.items())


async def test_a_directory_that_missed_events_reads_everything_anew() -> None:
    store = FakeStore()
    directory = Directory(store)
    await directory.load()
    store.members = [member(PROJECT, pb.ROLE_EDITOR), member(ORG, pb.ROLE_VIEWER)]
    await directory.follow(12, followed(pb.RunStarted()), 13)
    assert store.reads == 2
    assert [row.parent for row in directory.memberships("users/ann")] == [ORG, PROJECT]
