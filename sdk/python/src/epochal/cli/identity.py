"""`epochal whoami` and `epochal config`: who we are, and to which platform."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import epochal_proto.v1 as pb
import typer
from epochal_proto.v1.services import AccessService

from epochal import config
from epochal.cli.output import Column, Output, errors_console, print_json, show_one
from epochal.cli.session import OutputOption, session
from epochal.config import Connection
from epochal.discovery import locate
from epochal.errors import InvalidArgument, NotConfigured
from epochal.names import full_project

app = typer.Typer(no_args_is_help=True, help="Which platform this machine speaks to.")

_FIELDS = [
    Column[pb.Caller]("you are", lambda caller: caller.actor),
    Column[pb.Caller]("token", lambda caller: caller.token),
    Column[pb.Caller]("platform admin", lambda caller: "yes" if caller.platform_admin else ""),
    Column[pb.Caller]("roles", lambda caller: "\n".join(map(_membership, caller.memberships))),
    Column[pb.Caller]("limited to", lambda caller: " ".join(caller.scopes)),
]


def whoami(output: OutputOption = Output.table) -> None:
    """Say who you are to the platform, and what you may do.

    For example:

        epochal whoami -o json
    """
    with session() as opened:
        caller = opened.client.call(AccessService.GET_CALLER, pb.GetCallerRequest())
    show_one(caller, _FIELDS, output)


@app.command("show")
def show_config(output: OutputOption = Output.table) -> None:
    """Show which platform is spoken to, and why; never the token.

    For example:

        epochal config show -o json
    """
    found = config.find()
    fields = {
        "url": found.url,
        "project": found.project,
        "token": "set" if found.token else "not set",
        "source": found.source,
        "spool": str(config.spool_root()),
    }
    if output is Output.json:
        print_json(fields)
        return
    for name, value in fields.items():
        typer.echo(f"{name:8} {value}")


@app.command("set")
def set_config(
    url: Annotated[str, typer.Option(help="Such as https://epochal.example.org.")] = "",
    token: Annotated[str, typer.Option(help="The secret; '-' asks for it.")] = "",
    project: Annotated[str, typer.Option(help="Default project.")] = "",
) -> None:
    """Remember a platform for this user, after checking that it answers.

    For example:

        epochal config set --url https://epochal.example.org --token - --project vision
    """
    path = config.user_file()
    known = config.read(path) or _current()
    if not (url or known):
        raise InvalidArgument("give --url: no platform is known yet")
    if token == "-":
        token = typer.prompt("token", hide_input=True)
    moved = bool(url) and (known is None or known.url != url.rstrip("/"))
    base = Connection(url.rstrip("/")) if known is None or moved else known
    chosen = replace(
        base,
        token=token or base.token,
        project=full_project(project, base.project),
    )
    locate(chosen)
    config.write(chosen, path)
    errors_console().print(f"{chosen.url} is remembered in {path}", highlight=False, soft_wrap=True)


def _current() -> Connection | None:
    try:
        return config.find()
    except NotConfigured:
        return None


def _membership(member: pb.Member) -> str:
    role = pb.Role.Name(member.role).removeprefix("ROLE_").lower()
    return f"{role} of {member.name.rsplit('/members/', 1)[0]}"
