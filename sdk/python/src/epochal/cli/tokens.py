"""`epochal tokens`: list, issue, withdraw."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

import epochal_proto.v1 as pb
import typer
from epochal_proto.v1.services import AccessService
from google.protobuf.timestamp_pb2 import Timestamp

from epochal.cli.output import (
    Column,
    Output,
    as_json,
    console,
    errors_console,
    print_json,
    show_list,
    show_one,
    when,
)
from epochal.cli.session import LimitOption, OutputOption, session
from epochal.errors import InvalidArgument
from epochal.names import last_part

app = typer.Typer(no_args_is_help=True, help="Tokens: list, issue, withdraw.")

_UNITS: Final = {"h": "hours", "d": "days", "w": "weeks"}

_FIELDS = [
    Column[pb.Token]("ID", lambda token: last_part(token.name), "dim"),
    Column[pb.Token]("FOR", lambda token: token.user, "bold"),
    Column[pb.Token]("WHAT", lambda token: token.display_name),
    Column[pb.Token]("LIMITED TO", lambda token: " ".join(token.scopes)),
    Column[pb.Token]("CREATED", lambda token: when(token.create_time)),
    Column[pb.Token]("EXPIRES", lambda token: when(token.expire_time)),
    Column[pb.Token]("REVOKED", lambda token: "yes" if token.revoked else ""),
]


@app.command("ls")
def list_tokens(limit: LimitOption = 50, output: OutputOption = Output.table) -> None:
    """List your tokens, or all if you manage access.

    For example:

        epochal tokens ls -o json
    """
    with session() as opened:
        request = pb.ListTokensRequest(parent=opened.org)
        found = opened.paged(AccessService.LIST_TOKENS, request, lambda page: page.tokens, limit)
        show_list(found, _FIELDS, output, "no tokens")


@app.command("create")
def create_token(
    name: Annotated[str, typer.Argument(help="What it is for.")],
    user: Annotated[str, typer.Option(help="Whom it speaks for; you if left out.")] = "",
    scopes: Annotated[
        list[str] | None,
        typer.Option("--scope", help="Limit it: run.read; again for more."),
    ] = None,
    expires: Annotated[str, typer.Option(help="Such as 12h, 30d, 8w; never when left out.")] = "",
    output: OutputOption = Output.table,
) -> None:
    """Issue a token. The secret is shown once, alone on stdout.

    For example:

        epochal tokens create ci --scope run.write --scope run.read --expires 30d

        export EPOCHAL_TOKEN=$(epochal tokens create notebook)
    """
    with session() as opened:
        request = pb.CreateTokenRequest(
            parent=opened.org,
            user=f"users/{user.removeprefix('users/')}" if user else "",
            display_name=name,
            scopes=scopes or [],
            expire_time=_after(expires),
        )
        made = opened.client.call(AccessService.CREATE_TOKEN, request)
    if output is Output.json:
        print_json(as_json(made))
        return
    console().print(made.secret, highlight=False, soft_wrap=True)
    errors_console().print(
        f"{last_part(made.token.name)} for {made.token.user}; keep the secret, it is shown once",
        highlight=False,
    )


@app.command("revoke")
def revoke_token(
    token: Annotated[str, typer.Argument(help="Its id.")],
    reason: Annotated[str, typer.Option(help="Why.")] = "",
    output: OutputOption = Output.table,
) -> None:
    """Withdraw a token at once.

    For example:

        epochal tokens revoke 0190f5c8-0000-7000-8000-000000000001 --reason leaked
    """
    with session() as opened:
        name = token if "/" in token else f"{opened.org}/tokens/{token}"
        request = pb.RevokeTokenRequest(name=name, reason=reason)
        show_one(opened.client.call(AccessService.REVOKE_TOKEN, request), _FIELDS, output)


def _after(text: str) -> Timestamp | None:
    if not text:
        return None
    match = re.fullmatch(r"([1-9][0-9]{0,4})([hdw])", text)
    if match is None:
        raise InvalidArgument(
            f"--expires takes hours, days or weeks such as 12h, 30d, 8w, not {text!r}"
        )
    end = Timestamp()
    end.FromDatetime(datetime.now(UTC) + timedelta(**{_UNITS[match[2]]: int(match[1])}))
    return end
