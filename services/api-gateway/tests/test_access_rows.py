"""The gateway's read model: what rows say after events, in batches of any size."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID, uuid5

import epochal_proto.v1 as pb
from epochal_gateway.projections import READ_MODEL
from epochal_proto.v1.events import EVENTS
from epochal_testing.projecting import Stored, project, recorded
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

ID = UUID("0193a000-0000-7000-8000-000000000001")
PARENTS = ("orgs/acme", "orgs/acme/projects/a", "orgs/acme/projects/b")
parents = st.sampled_from(PARENTS)
users = st.sampled_from(["users/ann", "users/bob"])
roles = st.sampled_from([pb.ROLE_VIEWER, pb.ROLE_OWNER])
token_names = st.sampled_from([f"orgs/acme/tokens/{uuid5(ID, str(n))}" for n in range(2)])
texts = st.sampled_from(["", "x", "y"])

payloads = st.one_of(
    st.builds(pb.OrganizationCreated, name=parents, display_name=texts),
    st.builds(pb.ProjectCreated, name=parents, display_name=texts, description=texts),
    st.builds(pb.ProjectDescribed, name=parents, display_name=texts, description=texts),
    st.builds(pb.ProjectArchived, name=parents),
    st.builds(pb.ProjectRestored, name=parents),
    st.builds(
        pb.ProjectTagsSet,
        name=parents,
        tags=st.dictionaries(texts, texts),
        removed=st.lists(texts),
    ),
    st.builds(pb.MemberAdded, parent=parents, user=users, role=roles, platform_admin=st.booleans()),
    st.builds(pb.MemberRoleChanged, parent=parents, user=users, new_role=roles),
    st.builds(pb.MemberRemoved, parent=parents, user=users),
    st.builds(
        pb.TokenIssued, name=token_names, user=users, scopes=st.just(["run.read", "org.read"])
    ),
    st.builds(pb.TokenRevoked, name=token_names, reason=texts),
    st.sampled_from(sorted(EVENTS)).map(lambda name: EVENTS[name]()),
)


def rows(*given_: Message) -> Stored:
    return project(READ_MODEL, [recorded(one, n, ID) for n, one in enumerate(given_, start=1)])


@given(st.lists(payloads, max_size=30), st.lists(st.integers(1, 5), max_size=8))
def test_batches_of_any_size_give_the_same_rows(history: list[Message], sizes: list[int]) -> None:
    events = [recorded(one, n, ID) for n, one in enumerate(history, start=1)]
    assert project(READ_MODEL, events, sizes) == project(READ_MODEL, events)


@given(st.lists(payloads, max_size=30))
def test_members_are_those_added_and_not_removed(history: list[Message]) -> None:
    expected: dict[tuple[str, str], int] = {}
    for one in history:
        if isinstance(one, pb.MemberAdded):
            expected[one.parent, one.user] = one.role
        elif isinstance(one, pb.MemberRoleChanged) and (one.parent, one.user) in expected:
            expected[one.parent, one.user] = one.new_role
        elif isinstance(one, pb.MemberRemoved):
            expected.pop((one.parent, one.user), None)
    found = {key: row.role for key, row in rows(*history)["member"].items()}
    assert {key: role for key, role in found.items() if key[0]} == {
        key: role for key, role in expected.items() if key[0]
    }


def test_a_project_carries_the_position_of_its_last_change() -> None:
    name = PARENTS[1]
    (row,) = rows(
        pb.ProjectCreated(name=name, display_name="A", description="old"),
        pb.ProjectDescribed(name=name, display_name="A", description="new"),
        pb.MemberAdded(parent=name, user="users/ann"),
        pb.ProjectArchived(name=name),
    )["project"].values()
    assert (row.description, row.archived, row.version) == ("new", True, 4)
    assert row.create_time == datetime(2030, 1, 1, 0, 0, 1, tzinfo=UTC)


def test_an_administrator_of_the_platform_stays_one_when_its_role_changes() -> None:
    (row,) = rows(
        pb.MemberAdded(parent="orgs/acme", user="users/ann", role=4, platform_admin=True),
        pb.MemberRoleChanged(parent="orgs/acme", user="users/ann", old_role=4, new_role=1),
    )["member"].values()
    assert (row.role, row.platform_admin) == (1, True)


def test_a_token_expires_when_it_was_said_to_and_is_kept_when_revoked() -> None:
    name = "orgs/acme/tokens/x"
    issued = pb.TokenIssued(
        name=name, user="users/ann", secret_sha256=b"h", expire_time=Timestamp(seconds=86_400)
    )
    (row,) = rows(issued, pb.TokenRevoked(name=name))["token"].values()
    assert row.expire_time == datetime(1970, 1, 2, tzinfo=UTC)
    assert row.revoked
    assert row.scopes == "[]"
    (endless,) = rows(pb.TokenIssued(name=name, scopes=["run.read"]))["token"].values()
    assert (endless.expire_time, endless.revoked, endless.scopes) == (None, False, '["run.read"]')
