"""How runs and projects are kept: names, tags, what is deleted or put away and comes back."""

from __future__ import annotations

from typing import Annotated

import epochal_proto.v1 as pb
import typer
from epochal_proto.v1.services import ProjectService, RunService

from epochal.cli.output import Output, as_json, console, print_json
from epochal.cli.projects import ProjectArgument
from epochal.cli.projects import app as projects
from epochal.cli.references import RunArgument, run_name
from epochal.cli.runs import app as runs
from epochal.cli.session import OutputOption, ProjectOption, session
from epochal.errors import InvalidArgument

UuidArgument = Annotated[
    str, typer.Argument(help="UUID of the run: what is deleted is found by no name.")
]


@projects.command("restore")
def restore_project(project: ProjectArgument, output: OutputOption = Output.table) -> None:
    """Take a project into use again that was put away.

    For example:

        epochal projects restore vision
    """
    with session(project) as opened:
        request = pb.RestoreProjectRequest(name=opened.project)
        restored = opened.client.call(ProjectService.RESTORE_PROJECT, request)
    _tell(restored, f"{restored.name} is in use", output)


@projects.command("tag")
def tag_project(
    project: ProjectArgument,
    tags: Annotated[list[str], typer.Argument(help="NAME=VALUE sets, NAME- removes.")],
    output: OutputOption = Output.table,
) -> None:
    """Set and remove tags of a project.

    For example:

        epochal projects tag vision team=perception stale-
    """
    given, removed = {}, []
    for tag in tags:
        name, equals, value = tag.partition("=")
        if equals:
            given[name] = value
        elif tag.endswith("-") and tag != "-":
            removed.append(tag[:-1])
        else:
            raise InvalidArgument(f"{tag!r} is neither NAME=VALUE nor NAME-")
    with session(project) as opened:
        request = pb.SetProjectTagsRequest(name=opened.project, tags=given, remove=removed)
        tagged = opened.client.call(ProjectService.SET_PROJECT_TAGS, request)
    shown = ", ".join(f"{name}={value}" for name, value in sorted(tagged.tags.items()))
    _tell(tagged, shown or "no tags", output)


@runs.command("rename")
def rename_run(
    run: RunArgument,
    name: Annotated[str, typer.Argument(help="Its new name for people.")],
    project: ProjectOption = "",
    output: OutputOption = Output.table,
) -> None:
    """Give a run another name for people.

    For example:

        epochal runs rename brave-otter baseline
    """
    with session(project) as opened:
        request = pb.RenameRunRequest(name=run_name(opened, run), display_name=name)
        renamed = opened.client.call(RunService.RENAME_RUN, request)
    _tell(renamed, f"{renamed.uid} is {renamed.display_name}", output)


@runs.command("delete")
def delete_run(
    run: RunArgument, project: ProjectOption = "", output: OutputOption = Output.table
) -> None:
    """Delete a run: lists leave it out and nothing is written to it, until it is restored.

    For example:

        epochal runs delete brave-otter
    """
    with session(project) as opened:
        request = pb.DeleteRunRequest(name=run_name(opened, run))
        deleted = opened.client.call(RunService.DELETE_RUN, request)
    _tell(
        deleted,
        f"{deleted.display_name} is deleted; back with: epochal runs restore {deleted.uid}",
        output,
    )


@runs.command("restore")
def restore_run(
    uuid: UuidArgument, project: ProjectOption = "", output: OutputOption = Output.table
) -> None:
    """Restore a deleted run.

    For example:

        epochal runs restore 0190f5c8-0000-7000-8000-000000000001
    """
    with session(project) as opened:
        request = pb.RestoreRunRequest(name=f"{opened.project}/runs/{uuid.rpartition('/')[2]}")
        restored = opened.client.call(RunService.RESTORE_RUN, request)
    _tell(restored, f"{restored.display_name} is there again", output)


def _tell(changed: pb.Run | pb.Project, words: str, output: Output) -> None:
    if output is Output.json:
        print_json(as_json(changed))
    else:
        console().print(words, highlight=False)
