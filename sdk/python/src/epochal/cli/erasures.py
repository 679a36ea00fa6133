"""`epochal audit erase-subject` and `erasures`: making a person's name unreadable."""

from __future__ import annotations

import time
from typing import Annotated, Final

import epochal_proto.v1 as pb
import typer
from epochal_proto.v1.services import AccessService

from epochal.cli.audit import app
from epochal.cli.output import (
    Column,
    Output,
    as_json,
    errors_console,
    print_json,
    show_list,
    show_one,
    when,
)
from epochal.cli.session import LimitOption, OutputOption, Session, session
from epochal.errors import Unavailable

POLL_S: Final = 1.0

_FIELDS = [
    Column[pb.Erasure]("PSEUDONYM", lambda one: one.pseudonym, "bold"),
    Column[pb.Erasure]("ERASED", lambda one: when(one.erase_time)),
    Column[pb.Erasure]("FORGOTTEN BY", lambda one: ", ".join(one.forgotten_by) or "-"),
    Column[pb.Erasure]("PENDING", lambda one: ", ".join(one.pending) or "-"),
]


@app.command("erase-subject")
def erase_subject(
    user: Annotated[str, typer.Argument(help="NAME or users/NAME.")],
    reason: Annotated[
        str, typer.Option(help="Why; kept for ever, so it must name nobody.", prompt=True)
    ],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be taken away.")
    ] = False,
    wait: Annotated[
        int, typer.Option(min=0, help="Seconds to wait until every service has forgotten.")
    ] = 600,
    output: OutputOption = Output.table,
) -> None:
    """Make a person's name unreadable in every event, for good, while every proof still verifies.

    Takes their tokens and memberships first. The events keep a pseudonym, users/anon-..., in the
    place of the name; the key that bound the two is destroyed. Then every service makes its views
    again from the log, which takes as long as a replay. For administrators of the platform.

    For example:

        epochal audit erase-subject alice --reason "request 4711" --dry-run

        epochal audit erase-subject alice --reason "request 4711"

        epochal audit erase-subject users/alice --reason "request 4711" --yes --wait 0 -o json
    """
    name = f"users/{user.removeprefix('users/')}"
    if not yes and not dry_run:
        typer.confirm(f"Erase {name}? Nobody can undo it.", abort=True, err=True)
    with session() as opened:
        request = pb.EraseSubjectRequest(user=name, reason=reason, validate_only=dry_run)
        erasure = opened.client.call(AccessService.ERASE_SUBJECT, request)
        taken = f"{erasure.revoked_tokens} tokens and {erasure.removed_memberships} memberships"
        told = f"would be {erasure.pseudonym}" if dry_run else f"is {erasure.pseudonym} from now on"
        errors_console().print(
            f"{name} {told}; {taken} {'would be' if dry_run else 'were'} taken away",
            highlight=False,
        )
        if dry_run:
            if output is Output.json:
                print_json(as_json(erasure))
            return
        show_one(_awaited(opened, erasure, wait), _FIELDS, output)


@app.command("erasures")
def erasures(limit: LimitOption = 50, output: OutputOption = Output.table) -> None:
    """List who was erased, newest first, by pseudonym, and which services still have to forget.

    For example:

        epochal audit erasures

        epochal audit erasures -o json
    """
    with session() as opened:
        request = pb.ListErasuresRequest()
        found = opened.paged(
            AccessService.LIST_ERASURES, request, lambda page: page.erasures, limit
        )
        show_list(found, _FIELDS, output, "nobody was erased")


def _awaited(opened: Session, erasure: pb.Erasure, wait_s: int) -> pb.Erasure:
    """Return the erasure when no service has to forget any more.

    Raises:
        Unavailable: some still had to after `wait_s` seconds.
    """
    until = time.monotonic() + wait_s
    while erasure.pending and wait_s:
        if time.monotonic() >= until:
            raise Unavailable(
                f"the name is destroyed, but {', '.join(erasure.pending)} still hold it in views "
                "they are making again; see epochal audit erasures"
            )
        time.sleep(POLL_S)
        request = pb.GetErasureRequest(name=erasure.name)
        erasure = opened.client.call(AccessService.GET_ERASURE, request)
    return erasure
