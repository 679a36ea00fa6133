"""`epochal models`: versions with their files: register, sign, download, card, tags, deletion."""

from __future__ import annotations

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import epochal_proto.v1 as pb
import typer
from epochal_proto.v1.services import ModelCardService, RegistryService

from epochal import models
from epochal.cli.model_names import (
    ModelArgument,
    VersionArgument,
    any_name,
    metrics_text,
    version_name,
)
from epochal.cli.output import (
    Column,
    Output,
    errors_console,
    print_json,
    show_list,
    show_one,
    transfer_progress,
)
from epochal.cli.past import AsOfOption, moment
from epochal.cli.references import run_name
from epochal.cli.session import LimitOption, OutputOption, ProjectOption, Session, session
from epochal.errors import InvalidArgument

app = typer.Typer()

KeyOption = Annotated[
    Path | None,
    typer.Option("--sign-key", help="Private key (PEM) to sign the files with."),
]
PASSWORD: Final = "EPOCHAL_SIGN_PASSWORD"

_VERSION: Final = [
    Column[pb.ModelVersion]("VERSION", lambda one: one.name, "bold"),
    Column[pb.ModelVersion]("DIGEST", lambda one: one.digest),
    Column[pb.ModelVersion]("FILES", lambda one: str(one.file_count or "")),
    Column[pb.ModelVersion]("METRICS", lambda one: metrics_text(one)),
    Column[pb.ModelVersion]("SIGNED BY", lambda one: " ".join(one.signed_by)),
]
_FILES: Final = [
    Column[pb.ModelVersionFile]("PATH", lambda one: one.path, "bold"),
    Column[pb.ModelVersionFile]("BYTES", lambda one: str(one.size_bytes), right=True),
    Column[pb.ModelVersionFile]("SHA256", lambda one: one.sha256.hex()),
]


class Section(StrEnum):
    """What people write in a card."""

    intended_use = "intended-use"
    limitations = "limitations"
    risks = "risks"


_SECTIONS: Final = {
    Section.intended_use: pb.CARD_SECTION_INTENDED_USE,
    Section.limitations: pb.CARD_SECTION_LIMITATIONS,
    Section.risks: pb.CARD_SECTION_RISKS,
}


@app.command("register")
def register(
    model: Annotated[str, typer.Argument(help="Id of the model, new or known.")],
    run: Annotated[str, typer.Option("--run", help="Run that made it.")] = "",
    path: Annotated[
        str, typer.Option("--path", help="Artifact of the run; a folder ends with a slash.")
    ] = "",
    source: Annotated[str, typer.Option("--source", help="URI, when it is elsewhere.")] = "",
    description: Annotated[str, typer.Option("--description", help="What is new.")] = "",
    flavor: Annotated[str, typer.Option("--flavor", help="Such as sklearn or onnx.")] = "",
    tag: Annotated[list[str] | None, typer.Option("--tag", help="NAME=VALUE.")] = None,
    sign_key: KeyOption = None,
    project: ProjectOption = "",
    output: OutputOption = Output.table,
) -> None:
    """Register a version: files of a run, or a URI. It never changes afterwards.

    A key with a password takes it from EPOCHAL_SIGN_PASSWORD.

    For example:

        epochal models register digits --run brave-otter --path model/digits/

        epochal models register digits --run brave-otter --path model/digits/ --sign-key r.key

        epochal models register llm --source s3://models/llm-7b
    """
    with session(project) as opened:
        request = pb.RegisterModelVersionRequest(
            parent=opened.project,
            model_id=model,
            run=run_name(opened, run) if run else "",
            artifact_path=path,
            source=source,
            description=description,
            flavor=flavor,
            tags=_pairs(tag),
        )
        done = opened.client.call(RegistryService.REGISTER_MODEL_VERSION, request)
        if sign_key is not None:
            done = models.sign(opened.client, done.name, sign_key, _password())
    show_one(done, _VERSION, output)


@app.command("sign")
def sign(
    version: VersionArgument,
    key: Annotated[Path, typer.Option("--key", help="Private key (PEM).")],
    project: ProjectOption = "",
    output: OutputOption = Output.table,
) -> None:
    """Sign the files of a version in OpenSSF's model-signing format.

    For example:

        epochal models sign digits/3 --key release.key
    """
    with session(project) as opened:
        name = version_name(opened, version)
        show_one(models.sign(opened.client, name, key, _password()), _VERSION, output)


@app.command("files")
def list_files(
    version: VersionArgument,
    as_of: AsOfOption = "",
    project: ProjectOption = "",
    limit: LimitOption = 0,
    output: OutputOption = Output.table,
) -> None:
    """List the files of a version with their digests.

    For example:

        epochal models files digits/3 -o json

        epochal models files digits/3 --as-of 2026-03-03T14:00
    """
    with session(project) as opened:
        found = opened.paged(
            RegistryService.LIST_MODEL_VERSION_FILES,
            pb.ListModelVersionFilesRequest(
                parent=version_name(opened, version), as_of=moment(as_of)
            ),
            lambda page: page.files,
            limit,
        )
        show_list(found, _FILES, output, "no files here: it was registered from elsewhere")


@app.command("download")
def download(
    version: VersionArgument,
    to: Annotated[Path, typer.Option("--to", help="Folder to write into.")] = Path("."),
    verify: Annotated[
        list[Path] | None,
        typer.Option("--verify", help="Public key (PEM), one of which must have signed the files."),
    ] = None,
    project: ProjectOption = "",
) -> None:
    """Download the files of a version; each is checked against its registered digest.

    With --verify nothing is downloaded unless one of the keys has signed these very files.

    For example:

        epochal models download digits/3 --to ./champion

        epochal models download digits/3 --to ./champion --verify release.pub
    """
    with session(project) as opened, transfer_progress() as bars:
        name = version_name(opened, version)
        bar = bars.add_task(version, total=None)
        written = models.download(
            opened.client,
            name,
            to,
            verify_with=verify or (),
            progress=lambda sent: bars.advance(bar, sent),
        )
    said = ", signature verified" if verify else ""
    errors_console().print(f"{len(written)} files in {to.resolve()}{said}", highlight=False)


@app.command("card")
def card(
    version: VersionArgument,
    to: Annotated[Path | None, typer.Option("--to", help="File to write, as README.md.")] = None,
    as_of: AsOfOption = "",
    project: ProjectOption = "",
    output: OutputOption = Output.table,
) -> None:
    """Print the card of a version: Markdown with the head that the Hugging Face hub reads.

    For example:

        epochal models card digits/3 --to README.md

        epochal models card digits/3 --as-of 2026-03-03T14:00
    """
    with session(project) as opened:
        text = models.card(opened.client, version_name(opened, version), moment(as_of))
    if to is not None:
        to.write_text(text, encoding="utf-8")
        errors_console().print(f"{to.resolve()}", highlight=False)
    elif output is Output.json:
        print_json({"markdown": text})
    else:
        sys.stdout.write(text)


@app.command("write")
def write(
    name: Annotated[str, typer.Argument(help="MODEL, or MODEL/VERSION for that one only.")],
    section: Annotated[Section, typer.Argument(help="Which section of the card.")],
    text: Annotated[str, typer.Argument(help="Markdown; - reads it from the input.")],
    project: ProjectOption = "",
) -> None:
    """Write what only people know in a card: what it is for, where it is wrong, its risks.

    For example:

        epochal models write digits limitations "Not for handwriting of children."

        epochal models write digits/3 intended-use - < use.md
    """
    with session(project) as opened:
        request = pb.WriteCardSectionRequest(
            name=any_name(opened, name),
            section=_SECTIONS[section],
            text=sys.stdin.read() if text == "-" else text,
        )
        opened.client.call(ModelCardService.WRITE_CARD_SECTION, request)
    errors_console().print("written", highlight=False)


@app.command("tag")
def tag_model(
    name: Annotated[str, typer.Argument(help="MODEL or MODEL/VERSION.")],
    tags: Annotated[list[str], typer.Argument(help="NAME=VALUE; NAME- removes one.")],
    project: ProjectOption = "",
) -> None:
    """Set and remove tags of a model or a version.

    For example:

        epochal models tag digits/3 license=apache-2.0 draft-
    """
    removed = [one[:-1] for one in tags if one.endswith("-") and "=" not in one]
    given = _pairs([one for one in tags if one[:-1] not in removed or "=" in one])
    with session(project) as opened:
        full = any_name(opened, name)
        if "/versions/" in full:
            opened.client.call(
                RegistryService.TAG_MODEL_VERSION,
                pb.TagModelVersionRequest(name=full, tags=given, removed=removed),
            )
        else:
            opened.client.call(
                RegistryService.TAG_MODEL,
                pb.TagModelRequest(name=full, tags=given, removed=removed),
            )
    errors_console().print("done", highlight=False)


@app.command("describe")
def describe(
    name: Annotated[str, typer.Argument(help="MODEL or MODEL/VERSION.")],
    text: Annotated[str, typer.Argument(help="What it is.")],
    project: ProjectOption = "",
) -> None:
    """Describe a model or a version anew.

    For example:

        epochal models describe digits "Reads handwritten digits."
    """
    with session(project) as opened:
        full = any_name(opened, name)
        if "/versions/" in full:
            described = pb.ModelVersion(name=full, description=text)
            version = pb.UpdateModelVersionRequest(model_version=described)
            opened.client.call(RegistryService.UPDATE_MODEL_VERSION, version)
        else:
            request = pb.UpdateModelRequest(model=pb.Model(name=full, description=text))
            request.update_mask.paths.append("description")
            opened.client.call(RegistryService.UPDATE_MODEL, request)
    errors_console().print("done", highlight=False)


@app.command("delete")
def delete(
    name: ModelArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    project: ProjectOption = "",
) -> None:
    """Delete a model with its versions, or one version; their history stays in the log.

    For example:

        epochal models delete digits/2

        epochal models delete digits --yes
    """
    with session(project) as opened:
        full = any_name(opened, name)
        if not yes:
            typer.confirm(f"Delete {full}?", abort=True, err=True)
        _delete(opened, full)
    errors_console().print(f"{full} is deleted", highlight=False)


def _delete(opened: Session, full: str) -> None:
    if "/versions/" in full:
        request = pb.DeleteModelVersionRequest(name=full)
        opened.client.call(RegistryService.DELETE_MODEL_VERSION, request)
    else:
        opened.client.call(RegistryService.DELETE_MODEL, pb.DeleteModelRequest(name=full))


def _pairs(texts: list[str] | None) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in texts or []:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise InvalidArgument(f"{text!r} is no tag: write NAME=VALUE")
        found[name] = value
    return found


def _password() -> bytes | None:
    given = os.environ.get(PASSWORD, "")
    return given.encode() if given else None
