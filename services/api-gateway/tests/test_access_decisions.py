"""Organisations, projects, members, tokens: any history folds, any command keeps the invariants."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise

import epochal_proto.v1 as pb
import pytest
from epochal_gateway.domain import organization, permissions, tokens
from epochal_gateway.domain.organization import Scope, ScopeAggregate
from epochal_gateway.domain.tokens import TokenAggregate
from epochal_kernel.errors import AlreadyExists, EpochalError, FailedPrecondition, NotFound
from epochal_proto.v1.events import EVENTS
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

ORG = "orgs/acme"
PROJECT = f"{ORG}/projects/vision"
USERS = ("users/ann", "users/bob", "users/cleo")
ROLES = (pb.ROLE_VIEWER, pb.ROLE_EDITOR, pb.ROLE_ADMIN, pb.ROLE_OWNER)

users = st.sampled_from(USERS)
roles = st.sampled_from(ROLES)
texts = st.sampled_from(["", "One", "Two"])
Decide = Callable[[Scope], Sequence[Message]]


def commands(name: str) -> st.SearchStrategy[Decide]:
    return st.one_of(
        st.builds(
            lambda title, user: lambda s: organization.create_organization(s, name, title, user),
            texts,
            users,
        ),
        st.builds(
            lambda title, text: lambda s: organization.create_project(s, name, title, text),
            texts,
            texts,
        ),
        st.builds(
            lambda title, text: lambda s: organization.describe_project(s, name, title, text),
            st.none() | texts,
            st.none() | texts,
        ),
        st.just(lambda s: organization.archive_project(s, name)),
        st.just(lambda s: organization.restore_project(s, name)),
        st.builds(
            lambda tags, gone: lambda s: organization.set_tags(s, name, tags, gone),
            st.dictionaries(st.sampled_from("abc"), texts),
            st.lists(st.sampled_from("abc")),
        ),
        st.builds(
            lambda user, role: lambda s: organization.set_member(s, name, user, role), users, roles
        ),
        st.builds(lambda user: lambda s: organization.remove_member(s, name, user), users),
    )


def follow(state: Scope, decide: Decide) -> Scope:
    """Decide and fold; a refusal changes nothing."""
    try:
        events = decide(state)
    except EpochalError:
        return state
    for event in events:
        state = ScopeAggregate().evolve(state, event)
    return state


def owners(state: Scope) -> set[str]:
    return {user for user, role in state.members.items() if role == pb.ROLE_OWNER}


ANY_EVENT = st.sampled_from(sorted(EVENTS)).map(lambda name: EVENTS[name]())


ARCHIVING = pb.ProjectArchived | pb.ProjectRestored


@given(st.lists(ANY_EVENT, max_size=20))
def test_every_history_folds(history: list[Message]) -> None:
    scope, token = ScopeAggregate().initial(), TokenAggregate().initial()
    for event in history:
        scope = ScopeAggregate().evolve(scope, event)
        token = TokenAggregate().evolve(token, event)
    assert token.issued == any(isinstance(event, pb.TokenIssued) for event in history)
    moves = [event for event in history if isinstance(event, ARCHIVING)]
    assert scope.archived == bool(moves and isinstance(moves[-1], pb.ProjectArchived))


@given(users, st.lists(commands(ORG), max_size=25))
def test_an_organisation_never_loses_its_last_owner(first: str, history: list[Decide]) -> None:
    state = follow(Scope(), lambda s: organization.create_organization(s, ORG, "", first))
    for decide in history:
        state = follow(state, decide)
        assert owners(state)


@given(st.lists(commands(PROJECT), max_size=25))
def test_what_is_archived_changes_only_by_being_restored(history: list[Decide]) -> None:
    state = Scope()
    for decide in history:
        after = follow(state, decide)
        if state.archived:
            assert after in (state, replace(state, archived=False))
        state = after


@given(st.lists(commands(ORG), max_size=15), commands(ORG))
def test_a_command_given_twice_decides_nothing_the_second_time(
    history: list[Decide], decide: Decide
) -> None:
    state = Scope()
    for earlier in history:
        state = follow(state, earlier)
    once = follow(state, decide)
    assert follow(once, decide) == once


@given(st.lists(commands(PROJECT), max_size=10), users, roles)
def test_events_say_the_role_before_and_after(
    history: list[Decide], user: str, role: pb.Role
) -> None:
    state = Scope()
    for decide in history:
        state = follow(state, decide)
    if not state.exists or state.archived:
        return
    events = organization.set_member(state, PROJECT, user, role)
    match list(events):
        case []:
            assert state.members[user] == role
        case [pb.MemberAdded() as added]:
            assert user not in state.members
            assert (added.parent, added.user, added.role) == (PROJECT, user, role)
        case [pb.MemberRoleChanged() as changed]:
            assert (changed.old_role, changed.new_role) == (state.members[user], role)
            assert changed.old_role != role
        case other:
            pytest.fail(f"decided {other}")


def test_nothing_happens_to_what_is_not_there() -> None:
    for decide in (
        lambda s: organization.describe_project(s, PROJECT, "x", None),
        lambda s: organization.archive_project(s, PROJECT),
        lambda s: organization.set_member(s, PROJECT, "users/ann", pb.ROLE_OWNER),
        lambda s: organization.remove_member(s, PROJECT, "users/ann"),
    ):
        with pytest.raises(NotFound) as caught:
            decide(Scope())
        assert caught.value.resource == PROJECT


def test_a_member_who_is_none_cannot_be_removed() -> None:
    with pytest.raises(NotFound) as caught:
        organization.remove_member(Scope(exists=True), ORG, "users/ann")
    assert caught.value.resource == f"{ORG}/members/ann"


def test_a_name_is_taken_once() -> None:
    there = Scope(exists=True)
    with pytest.raises(AlreadyExists):
        organization.create_organization(there, ORG, "", "users/ann")
    with pytest.raises(AlreadyExists):
        organization.create_project(there, PROJECT, "", "")


def test_a_name_is_shown_until_a_better_one_is_given() -> None:
    (created,) = organization.create_project(Scope(), PROJECT, "", "pictures")
    assert (created.display_name, created.description) == ("vision", "pictures")
    begun, owner = organization.create_organization(Scope(), ORG, "", "users/ann")
    assert begun.display_name == "acme"
    assert (owner.user, owner.role, owner.platform_admin) == ("users/ann", pb.ROLE_OWNER, False)


def test_the_last_owner_is_told_what_to_do() -> None:
    state = Scope(exists=True, members={"users/ann": pb.ROLE_OWNER, "users/bob": pb.ROLE_ADMIN})
    with pytest.raises(FailedPrecondition, match="make another member owner first") as caught:
        organization.set_member(state, ORG, "users/ann", pb.ROLE_VIEWER)
    assert caught.value.reason == "LAST_OWNER"
    assert organization.remove_member(state, ORG, "users/bob")


def test_a_project_may_be_without_owner_for_the_organisation_has_one() -> None:
    state = Scope(exists=True, members={"users/ann": pb.ROLE_OWNER})
    assert organization.remove_member(state, PROJECT, "users/ann")


TOKEN = f"{ORG}/tokens/0193a000-0000-7000-8000-000000000001"
token_commands = st.sampled_from(["issue", "revoke"])


@given(st.lists(token_commands, max_size=12))
def test_a_revoked_token_stays_revoked(history: list[str]) -> None:
    aggregate = TokenAggregate()
    state = aggregate.initial()
    issued = revoked = 0
    for command in history:
        was_revoked = state.revoked
        try:
            events = (
                tokens.issue(state, pb.TokenIssued(name=TOKEN))
                if command == "issue"
                else tokens.revoke(state, TOKEN, "lost")
            )
        except (AlreadyExists, NotFound):
            events = []
        for event in events:
            state = aggregate.evolve(state, event)
            issued += isinstance(event, pb.TokenIssued)
            revoked += isinstance(event, pb.TokenRevoked)
        assert state.revoked or not was_revoked
    assert issued <= 1
    assert revoked <= issued


def test_a_secret_is_shown_once() -> None:
    with pytest.raises(AlreadyExists, match="cannot be shown again"):
        tokens.issue(tokens.TokenState(issued=True), pb.TokenIssued(name=TOKEN))
    with pytest.raises(NotFound):
        tokens.revoke(tokens.TokenState(), TOKEN, "")


def test_each_role_includes_the_one_below() -> None:
    for lower, higher in pairwise(ROLES):
        assert permissions.PERMISSIONS[lower] < permissions.PERMISSIONS[higher]


def test_no_role_has_no_permission() -> None:
    assert not any(permissions.permitted(pb.ROLE_UNSPECIFIED, name) for name in permissions.ALL)
    assert not any(
        permissions.permitted(role, permissions.PLATFORM_ADMIN) for role in permissions.PERMISSIONS
    )


def test_a_run_cannot_manage_anything() -> None:
    beyond = {"access.manage", "project.write", "org.write", "token.write", "audit.read"}
    assert not permissions.RUN_PERMISSIONS & beyond
