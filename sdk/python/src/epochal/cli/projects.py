"""`epochal projects`: list, begin, read, put away."""

from __future__ import annotations

from typing import Annotated

import epochal_proto.v1 as pb
import typer
from epochal_proto.v1.services import ProjectService

from epochal.cli.output import Column, Output, show_list, show_one, when
from epochal.cli.session import LimitOption, OutputOption, session
from epochal.names import last_part

app = typer.Typer(no_args_is_help=True, help="Projects: list, begin, read, put away.")

_FIELDS = [
    Column[pb.Project]("ID", lambda project: last_part(project.name), "bold"),
    Column[pb.Project]("NAME", lambda project: project.display_name),
    Column[pb.Project]("DESCRIPTION", lambda project: project.description),
    Column[pb.Project]("CREATED", lambda project: when(project.create_time)),
    Column[pb.Project]("ARCHIVED", lambda project: "yes" if project.archived else ""),
]

ProjectArgument = Annotated[str, typer.Argument(help="PROJECT, ORG/PROJECT or full name.")]


@app.command("ls")
def list_projects(
    archived: Annotated[bool, typer.Option("--archived", help="Also those put away.")] = False,
    limit: LimitOption = 50,
    output: OutputOption = Output.table,
) -> None:
    """List the projects you may read.

    For example:

        epochal projects ls

        epochal projects ls --archived -o json
    """
    with session() as opened:
        request = pb.ListProjectsRequest(parent=opened.org, show_archived=archived)
        found = opened.paged(
            ProjectService.LIST_PROJECTS, request, lambda page: page.projects, limit
        )
        show_list(found, _FIELDS, output, "no projects; begin one with `epochal projects create`")


@app.command("create")
def create_project(
    project: ProjectArgument,
    name: Annotated[str, typer.Option(help="Name for people.")] = "",
    description: Annotated[str, typer.Option(help="What it is about.")] = "",
    output: OutputOption = Output.table,
) -> None:
    """Begin a project.

    For example:

        epochal projects create vision --description "Digits and faces"
    """
    with session(project) as opened:
        request = pb.CreateProjectRequest(
            parent=opened.org,
            project_id=last_part(opened.project),
            display_name=name,
            description=description,
        )
        show_one(opened.client.call(ProjectService.CREATE_PROJECT, request), _FIELDS, output)


@app.command("get")
def get_project(project: ProjectArgument, output: OutputOption = Output.table) -> None:
    """Show one project.

    For example:

        epochal projects get vision -o json
    """
    with session(project) as opened:
        request = pb.GetProjectRequest(name=opened.project)
        show_one(opened.client.call(ProjectService.GET_PROJECT, request), _FIELDS, output)


@app.command("archive")
def archive_project(project: ProjectArgument, output: OutputOption = Output.table) -> None:
    """Put a project away; nothing in it is deleted.

    For example:

        epochal projects archive vision
    """
    with session(project) as opened:
        request = pb.ArchiveProjectRequest(name=opened.project)
        show_one(opened.client.call(ProjectService.ARCHIVE_PROJECT, request), _FIELDS, output)
