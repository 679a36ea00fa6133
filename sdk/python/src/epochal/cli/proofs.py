"""`epochal audit`: checkpoints, proofs and exports of the log."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import epochal_proto.v1 as pb
import typer
from epochal_proto.v1.services import AuditService, ProofService

from epochal.auditing.bundles import records_of, write_evidence, write_log
from epochal.auditing.evidence import gather
from epochal.auditing.formats import Format, write
from epochal.cli.audit import app, need_cryptography
from epochal.cli.history import time_stamp
from epochal.cli.output import Column, Output, as_json, console, print_json, show_list, when
from epochal.cli.session import LimitOption, OutputOption, ProjectOption, session
from epochal.errors import InvalidArgument

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
    out: Annotated[Path, typer.Option("--out", help="The file to write.")],
    how: Annotated[
        Format, typer.Option("--format", help="A bundle that proves itself, or only text.")
    ] = Format.bundle,
    whole: Annotated[
        bool, typer.Option("--whole", help="Everybody's events; a bundle, by the administrator.")
    ] = False,
    actor: Annotated[str, typer.Option(help="Text only: only by, such as users/alice.")] = "",
    resource: Annotated[str, typer.Option(help="Text only: only on this and below.")] = "",
    types: Annotated[
        list[str] | None, typer.Option("--type", "-t", help="Text only: such as RunQueued.")
    ] = None,
    since: Annotated[str, typer.Option(help="Text only: not before this time.")] = "",
    until: Annotated[str, typer.Option(help="Text only: before this time.")] = "",
) -> None:
    """Write the log: with all that proves it, or as JSON Lines, CSV or CloudEvents.

    A bundle holds the program that checks it offline. Events of other organisations are there as
    digests only.

    For example:

        epochal audit export --out audit.zip && unzip audit.zip -d audit

        python audit/verify.py audit --key "$KEY"

        epochal audit export --format csv --since 2026-11-01 --out november.csv

        epochal audit export --format cloudevents --type ModelAliasSet --out moves.jsonl
    """
    with session() as opened:
        if how is Format.bundle:
            if actor or resource or types or since or until:
                raise InvalidArgument("a bundle is the log without a gap: filter only texts")
            count = write_log(opened.client, opened.org, out, whole=whole)
        else:
            request = pb.ListEventsRequest(
                parent=opened.org,
                actor=actor,
                resource=resource,
                types=types or [],
                start_time=time_stamp(since),
                end_time=time_stamp(until),
            )
            found = opened.paged(AuditService.LIST_EVENTS, request, lambda page: page.events)
            fresh = out.with_suffix(out.suffix + ".new")
            with fresh.open("w", encoding="utf-8", newline="") as file:
                count = write(found, file, how)
            fresh.replace(out)
    told = f"; check it with epochal audit verify --bundle {out}"
    console().print(
        f"{out} has {count} events{told if how is Format.bundle else ''}", highlight=False
    )


@app.command("bundle")
def bundle(
    model: Annotated[str, typer.Argument(help="The model, in your project.")],
    version: Annotated[int, typer.Argument(min=1, help="Its version.")],
    out: Annotated[Path, typer.Option("--out", help="The .zip to write.")],
    project: ProjectOption = "",
) -> None:
    """Write the evidence for one model version: data, run, approvals, every move; with proofs.

    It is checked offline by the program in it, like an export of the log.

    For example:

        epochal audit bundle digits 3 --out digits-3.zip

        epochal audit verify --bundle digits-3.zip --key "$KEY"
    """
    with session(project) as opened:
        name = model if "/models/" in model else f"{opened.project}/models/{model}"
        records = records_of(opened.client, opened.org, whole=False)
        events = (record.event for record in records if record.HasField("event"))
        evidence = gather(events, name, version)
        count = write_evidence(opened.client, opened.org, out, evidence.events, evidence.subject)
    console().print(
        f"{out} has {count} events with their proofs; check it with "
        f"epochal audit verify --bundle {out}",
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
