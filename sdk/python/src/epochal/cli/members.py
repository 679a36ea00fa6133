"""`epochal members`: who may do what."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

import epochal_proto.v1 as pb
import typer
from epochal_proto.v1.services import AccessService

from epochal.cli.output import Column, Output, errors_console, show_list, show_one
from epochal.cli.session import LimitOption, OutputOption, Session, session

app = typer.Typer(no_args_is_help=True, help="Members of the organisation or of a project.")


class RoleName(StrEnum):
    """Roles, each including the ones before it."""

    viewer = "viewer"
    editor = "editor"
    admin = "admin"
    owner = "owner"


_ROLES: Final = {
    RoleName.viewer: pb.ROLE_VIEWER,
    RoleName.editor: pb.ROLE_EDITOR,
    RoleName.admin: pb.ROLE_ADMIN,
    RoleName.owner: pb.ROLE_OWNER,
}

_FIELDS = [
    Column[pb.Member]("USER", lambda member: member.user, "bold"),
    Column[pb.Member](
        "ROLE", lambda member: pb.Role.Name(member.role).removeprefix("ROLE_").lower()
    ),
    Column[pb.Member]("IN", lambda member: member.name.rsplit("/members/", 1)[0]),
]

WhereOption = Annotated[
    str, typer.Option("--project", "-p", help="A project; the organisation when left out.")
]
UserArgument = Annotated[str, typer.Argument(help="NAME or users/NAME.")]


@app.command("ls")
def list_members(
    project: WhereOption = "", limit: LimitOption = 50, output: OutputOption = Output.table
) -> None:
    """List the members of the organisation, or of a project.

    For example:

        epochal members ls

        epochal members ls -p vision -o json
    """
    with session(project) as opened:
        request = pb.ListMembersRequest(parent=_where(opened, project))
        found = opened.paged(AccessService.LIST_MEMBERS, request, lambda page: page.members, limit)
        show_list(found, _FIELDS, output, "no members")


@app.command("set")
def set_member(
    user: UserArgument,
    role: Annotated[RoleName, typer.Argument(help="What they may do.")],
    project: WhereOption = "",
    output: OutputOption = Output.table,
) -> None:
    """Add a member, or change the role it has.

    For example:

        epochal members set alice editor -p vision

        epochal members set bob admin
    """
    with session(project) as opened:
        request = pb.SetMemberRequest(
            parent=_where(opened, project),
            user=f"users/{user.removeprefix('users/')}",
            role=_ROLES[role],
        )
        show_one(opened.client.call(AccessService.SET_MEMBER, request), _FIELDS, output)


@app.command("remove")
def remove_member(user: UserArgument, project: WhereOption = "") -> None:
    """Remove a member; what they did stays in the log.

    For example:

        epochal members remove alice -p vision
    """
    with session(project) as opened:
        where = _where(opened, project)
        name = f"{where}/members/{user.removeprefix('users/')}"
        opened.client.call(AccessService.REMOVE_MEMBER, pb.RemoveMemberRequest(name=name))
    errors_console().print(f"{user} is no longer a member of {where}", highlight=False)


def _where(opened: Session, project: str) -> str:
    return opened.project if project else opened.org
