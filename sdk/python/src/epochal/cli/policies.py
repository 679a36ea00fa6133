"""`epochal policy`: what holds for all runs of a project."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

import epochal_proto.v1 as pb
import typer
from epochal_proto.v1.services import QueueService

from epochal.cli.output import Column, Output, show_one
from epochal.cli.session import OutputOption, ProjectOption, session
from epochal.errors import InvalidArgument

app = typer.Typer(no_args_is_help=True, help="Policy: what holds for all runs of a project.")


class Cache(StrEnum):
    """Whether equal runs are reused."""

    on = "on"
    off = "off"
    default = "default"


_CACHES: Final = {
    Cache.on: pb.CACHE_USE_ON,
    Cache.off: pb.CACHE_USE_OFF,
    Cache.default: pb.CACHE_USE_UNSPECIFIED,
}
_WORDS: Final = {number: word.value for word, number in _CACHES.items()}

_FIELDS = [
    Column[pb.ProjectPolicy]("project", lambda policy: policy.name),
    Column[pb.ProjectPolicy]("cache", lambda policy: _WORDS.get(policy.cache, "")),
    Column[pb.ProjectPolicy](
        "four eyes", lambda policy: "never the author alone" if policy.four_eyes else "no"
    ),
]


@app.command("get")
def get_policy(project: ProjectOption = "", output: OutputOption = Output.table) -> None:
    """Show the policy of a project.

    For example:

        epochal policy get -p vision -o json
    """
    with session(project) as opened:
        request = pb.GetProjectPolicyRequest(name=opened.project)
        found = opened.client.call(QueueService.GET_PROJECT_POLICY, request)
    show_one(found, _FIELDS, output)


@app.command("set")
def set_policy(
    cache: Annotated[
        Cache | None, typer.Option(help="Reuse equal runs; default leaves it to the deployment.")
    ] = None,
    four_eyes: Annotated[
        bool | None,
        typer.Option("--four-eyes/--no-four-eyes", help="Approvals are never by the author alone."),
    ] = None,
    project: ProjectOption = "",
    output: OutputOption = Output.table,
) -> None:
    """Change the policy of a project; what is left out stays.

    For example:

        epochal policy set --cache on --four-eyes -p vision

        epochal policy set --cache default
    """
    if cache is None and four_eyes is None:
        raise InvalidArgument("say what to change: --cache on|off|default, --four-eyes")
    with session(project) as opened:
        request = pb.GetProjectPolicyRequest(name=opened.project)
        policy = opened.client.call(QueueService.GET_PROJECT_POLICY, request)
        if cache is not None:
            policy.cache = _CACHES[cache]
        if four_eyes is not None:
            policy.four_eyes = four_eyes
        opened.client.call(
            QueueService.SET_PROJECT_POLICY, pb.SetProjectPolicyRequest(policy=policy)
        )
    show_one(policy, _FIELDS, output)
