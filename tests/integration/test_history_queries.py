"""State as of any moment, before and after of a change, rules over a window."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import epochal_proto.v1 as pb
import pytest
from command_line import CommandLine
from epochal.client import Client
from epochal.errors import InvalidArgument, NotFound
from epochal_proto.v1.services import AccessService, AuditService, HistoryService
from platform_world import Platform


@pytest.fixture(scope="module")
def org(platform: Platform) -> str:
    """An organisation in which bob came, rose and went."""
    uid = f"history-{uuid4().hex[:8]}"
    with platform.client() as admin:
        name = admin.call(
            AccessService.CREATE_ORGANIZATION, pb.CreateOrganizationRequest(org_id=uid)
        ).name
        for role in (pb.ROLE_VIEWER, pb.ROLE_ADMIN):
            admin.call(
                AccessService.SET_MEMBER,
                pb.SetMemberRequest(parent=name, user="users/bob", role=role),
            )
        admin.call(AccessService.REMOVE_MEMBER, pb.RemoveMemberRequest(name=f"{name}/members/bob"))
    return name


@pytest.fixture
def positions(admin: Client, org: str) -> list[int]:
    listed = admin.call(AuditService.LIST_EVENTS, pb.ListEventsRequest(parent=org))
    assert [event.type.rpartition(".")[2] for event in listed.events][-3:] == [
        "MemberAdded", "MemberRoleChanged", "MemberRemoved",
    ]  # fmt: skip
    return [event.position for event in listed.events][-3:]


@pytest.fixture
def cli(platform: Platform, org: str, tmp_path: Path) -> Iterator[CommandLine]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EPOCHAL_PROJECT", f"{org}/projects/none")
        yield CommandLine(platform, tmp_path)


def role_at(admin: Client, org: str, at: pb.Moment) -> str:
    found = admin.call(HistoryService.GET_STATE, pb.GetStateRequest(parent=org, at=at))
    return {one.name: one.fields["role"] for one in found.entries if "role" in one.fields}.get(
        f"{org}/members/bob", ""
    )


def test_state_is_that_of_the_moment_by_position_or_time(
    admin: Client, org: str, positions: list[int]
) -> None:
    roles = [role_at(admin, org, pb.Moment(position=one)) for one in positions]
    assert roles == ["viewer", "admin", ""]
    for position, role in zip(positions, roles, strict=True):
        event = admin.call(
            HistoryService.GET_EVENT, pb.GetEventRequest(name=f"{org}/events/{position}")
        ).event
        assert role_at(admin, org, pb.Moment(time=event.record_time)) == role
    with pytest.raises(InvalidArgument, match="not both"):
        role_at(admin, org, pb.Moment(position=1, time=event.record_time))


def test_an_event_is_shown_with_before_and_after(
    cli: CommandLine, admin: Client, org: str, positions: list[int]
) -> None:
    request = pb.GetEventRequest(name=f"{org}/events/{positions[1]}")
    (change,) = admin.call(HistoryService.GET_EVENT, request).changes
    assert (change.field, change.before, change.after) == ("role", "viewer", "admin")
    shown = cli("audit", "show", str(positions[1])).stdout
    assert "MemberRoleChanged" in shown
    assert "viewer" in shown


def test_no_event_of_another_organisation_is_shown_or_told_of(
    admin: Client, org: str, positions: list[int]
) -> None:
    foreign, missing = f"orgs/default/events/{positions[0]}", f"orgs/default/events/{10**9}"
    told = []
    for name in (foreign, missing):
        with pytest.raises(NotFound) as caught:
            admin.call(HistoryService.GET_EVENT, pb.GetEventRequest(name=name))
        told.append(caught.value.message.replace(name, "it"))
    assert told[0] == told[1]
    state = admin.call(HistoryService.GET_STATE, pb.GetStateRequest(parent="orgs/default"))
    assert org not in str(state)


def test_command_line_shows_state_and_differences(
    cli: CommandLine, org: str, positions: list[int]
) -> None:
    (bob,) = [
        one
        for one in cli.json("audit", "state", "--of", "roles", "--at", str(positions[0]))
        if one["name"].endswith("/bob")
    ]
    assert bob["fields"]["role"] == "viewer"
    changes = cli.json(
        "audit", "diff", "--from", str(positions[0]), "--to", str(positions[1]), "--of", "members"
    )
    assert [(one["field"], one["before"], one["after"]) for one in changes] == [
        ("role", "viewer", "admin")
    ]
    assert "nothing differs" in cli("audit", "diff", "--from", str(positions[2])).stderr
    wrong = cli("audit", "diff", "--from", str(positions[1]), "--to", str(positions[0]), code=1)
    assert "earlier moment first" in wrong.stderr
    assert "neither a position nor a time" in cli("audit", "state", "--at", "soon", code=1).stderr


def test_rule_is_checked_over_a_window(cli: CommandLine, positions: list[int]) -> None:
    found = cli.json("audit", "check", "role-given-by-another", "--from", str(positions[0] - 1))
    assert (found["holds"], found["examined"]) == (True, "2")
    # Without the window, whoever founded the organisation made themselves its owner.
    broken = cli("audit", "check", "role-given-by-another", code=1)
    assert "does not hold" in broken.stdout
    assert "events break the rule" in broken.stderr
