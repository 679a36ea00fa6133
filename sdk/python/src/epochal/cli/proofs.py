"""`epochal audit`: checkpoints, proofs and exports of the log."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import epochal_proto.v1 as pb
import typer
from epochal_proto.v1.services import ProofService

from epochal.cli.audit import app, need_cryptography
from epochal.cli.output import Column, Output, as_json, console, print_json, show_list, when
from epochal.cli.session import LimitOption, OutputOption, session

_FIELDS = [
    Column[pb.Checkpoint]("SIZE", lambda one: str(one.size), "bold", right=True),
    Column[pb.Checkpoint]("SIGNED", lambda one: when(one.seal_time)),
    Column[pb.Checkpoint]("ROOT", lambda one: one.root),
]


@app.command("checkpoint")
def checkpoint(
    size: Annotated[int, typer.Option(help="Of exactly this size; 0 means the newest.")] = 0,
    output: OutputOption = Output.table,
) -> None:
    """Print a signed checkpoint, as C2SP has it: keep it, or give it to somebody else.

    For example:

        epochal audit checkpoint > checkpoint-today

        epochal audit checkpoint --size 1024 -o json
    """
    with session() as opened:
        request = pb.GetCheckpointRequest(parent=opened.org, size=size)
        found = opened.client.call(ProofService.GET_CHECKPOINT, request)
    if output is Output.json:
        print_json(as_json(found))
    else:
        typer.echo(found.checkpoint.note, nl=False)


@app.command("checkpoints")
def checkpoints(limit: LimitOption = 50, output: OutputOption = Output.table) -> None:
    """List the signed checkpoints, oldest first.

    For example:

        epochal audit checkpoints -n 10

        epochal audit checkpoints -n 0 -o json
    """
    with session() as opened:
        request = pb.ListCheckpointsRequest(parent=opened.org)
        found = opened.paged(
            ProofService.LIST_CHECKPOINTS, request, lambda page: page.checkpoints, limit
        )
        show_list(found, _FIELDS, output, "no checkpoint is signed yet")


@app.command("prove")
def prove(
    position: Annotated[int, typer.Argument(min=1, help="Position of the event.")],
    output: OutputOption = Output.table,
) -> None:
    """Fetch the proof that an event is in the newest checkpoint, and check it here.

    For example:

        epochal audit prove 4711

        epochal audit prove 4711 -o json
    """
    need_cryptography()
    from epochal.auditing.keeping import check_event

    with session() as opened:
        proof = check_event(opened.client, opened.org, position)
    if output is Output.json:
        print_json(as_json(proof))
    else:
        console().print(
            f"[green]proved[/]  event {position} is in the checkpoint of "
            f"{proof.checkpoint.size} by {len(proof.hashes)} hashes",
            highlight=False,
        )


@app.command("export")
def export(
    out: Annotated[Path, typer.Option("--out", help="The .zip to write.")],
    whole: Annotated[
        bool, typer.Option("--whole", help="Everybody's events; for the administrator.")
    ] = False,
) -> None:
    """Write the log with all that proves it, and the program that checks it offline.

    Events of other organisations are there as digests only.

    For example:

        epochal audit export --out audit.zip

        epochal audit export --whole --out audit.zip && unzip audit.zip -d audit

        python audit/verify.py audit --key "$KEY"
    """
    from epochal.auditing.bundles import write_log

    with session() as opened:
        count = write_log(opened.client, opened.org, out, whole=whole)
    console().print(
        f"{out} has {count} positions; check it with [bold]epochal audit verify --bundle {out}[/]",
        highlight=False,
    )


@app.command("rotate-key")
def rotate_key(output: OutputOption = Output.table) -> None:
    """Make a new signing key; the old one signs the next checkpoint too, and then no more.

    For example:

        epochal audit rotate-key
    """
    with session() as opened:
        made = opened.client.call(ProofService.ROTATE_SIGNING_KEY, pb.RotateSigningKeyRequest())
    if output is Output.json:
        print_json(as_json(made))
    else:
        console().print(f"new key: {made.verifier_key}", highlight=False)


@app.command("cosign")
def cosign(
    size: Annotated[int, typer.Argument(min=1, help="Size of the checkpoint.")],
    line: Annotated[str, typer.Argument(help="The witness's signature line.")],
) -> None:
    """Add what a witness signed to a checkpoint; it must be in EPOCHAL_AUDIT_WITNESSES.

    For example:

        epochal audit cosign 1024 "$(cat cosignature)"
    """
    with session() as opened:
        request = pb.AddCosignatureRequest(parent=opened.org, size=size, line=line)
        typer.echo(opened.client.call(ProofService.ADD_COSIGNATURE, request).note, nl=False)
