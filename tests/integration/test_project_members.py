"""A member of one project sees that project and no other; a limited token makes no greater one."""

from __future__ import annotations

from uuid import uuid4

import epochal_proto.v1 as pb
import pytest
from epochal.client import Client
from epochal.errors import PermissionDenied
from epochal_proto.v1.services import AccessService, ProjectService
from platform_world import Platform


@pytest.fixture
def org(admin: Client) -> str:
    name = f"members-{uuid4().hex[:8]}"
    admin.call(AccessService.CREATE_ORGANIZATION, pb.CreateOrganizationRequest(org_id=name))
    for project in ("seen", "unseen"):
        admin.call(
            ProjectService.CREATE_PROJECT,
            pb.CreateProjectRequest(parent=f"orgs/{name}", project_id=project),
        )
    return f"orgs/{name}"


def token_of(admin: Client, org: str, user: str, scopes: list[str] | None = None) -> str:
    return admin.call(
        AccessService.CREATE_TOKEN,
        pb.CreateTokenRequest(parent=org, user=user, scopes=scopes or []),
    ).secret


def test_a_project_member_lists_only_its_project(
    admin: Client, platform: Platform, org: str
) -> None:
    user = f"users/m-{uuid4().hex[:8]}"
    admin.call(
        AccessService.SET_MEMBER,
        pb.SetMemberRequest(parent=f"{org}/projects/seen", user=user, role=pb.ROLE_EDITOR),
    )
    with platform.client(token_of(admin, org, user)) as member:
        listed = member.call(ProjectService.LIST_PROJECTS, pb.ListProjectsRequest(parent=org))
        assert [project.name for project in listed.projects] == [f"{org}/projects/seen"]
        with pytest.raises(PermissionDenied):
            member.call(
                ProjectService.GET_PROJECT, pb.GetProjectRequest(name=f"{org}/projects/unseen")
            )
        with pytest.raises(PermissionDenied):
            member.call(AccessService.LIST_MEMBERS, pb.ListMembersRequest(parent=org))


def test_a_limited_token_issues_only_tokens_within_its_limits(
    admin: Client, platform: Platform, org: str
) -> None:
    user = f"users/m-{uuid4().hex[:8]}"
    admin.call(
        AccessService.SET_MEMBER,
        pb.SetMemberRequest(parent=org, user=user, role=pb.ROLE_EDITOR),
    )
    secret = token_of(admin, org, user, ["token.write", "run.read"])
    with platform.client(secret) as limited:
        for scopes in ([], ["run.write"], ["run.read", "run.write"]):
            with pytest.raises(PermissionDenied, match="limited"):
                limited.call(
                    AccessService.CREATE_TOKEN, pb.CreateTokenRequest(parent=org, scopes=scopes)
                )
        made = limited.call(
            AccessService.CREATE_TOKEN, pb.CreateTokenRequest(parent=org, scopes=["run.read"])
        )
        assert list(made.token.scopes) == ["run.read"]


def test_nobody_hands_out_more_than_it_has(admin: Client, platform: Platform, org: str) -> None:
    user = f"users/m-{uuid4().hex[:8]}"
    admin.call(
        AccessService.SET_MEMBER, pb.SetMemberRequest(parent=org, user=user, role=pb.ROLE_ADMIN)
    )
    with (
        platform.client(token_of(admin, org, user)) as manager,
        pytest.raises(PermissionDenied, match="lower role"),
    ):
        manager.call(
            AccessService.SET_MEMBER,
            pb.SetMemberRequest(parent=org, user=user, role=pb.ROLE_OWNER),
        )
