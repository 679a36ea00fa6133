"""What `run`, `check` and others share about specs: sources, parameters, mistakes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated

import epochal_proto.v1 as pb
import typer
from epochal_proto.v1.services import ComponentService

from epochal.cli.documents import (
    Document,
    default_file,
    is_preset,
    read_document,
    referred_files,
    without_fields,
)
from epochal.cli.failures import show_issues, spec_issues
from epochal.cli.output import errors_console
from epochal.cli.references import component_name
from epochal.cli.session import Session
from epochal.errors import EpochalError, InvalidArgument
from epochal.values import parse_value

FilesOption = Annotated[
    list[str] | None,
    typer.Option(
        "--file", "-f", help="A polyaxonfile; '-' reads standard input. Later ones lie over it."
    ),
]
FileOption = Annotated[
    str, typer.Option("--file", "-f", help="The polyaxonfile; '-' reads standard input.")
]
ParamsOption = Annotated[
    list[str] | None,
    typer.Option("--param", "-P", help="NAME=VALUE; may be given again. JSON values are typed."),
]
PresetsOption = Annotated[
    list[str] | None,
    typer.Option("--preset", help="A saved preset, NAME or NAME:TAG, laid over; again for more."),
]


@dataclass(frozen=True, slots=True)
class Sources:
    """All texts of one operation: the first, those laid over it, and those it names."""

    documents: Sequence[Document]
    files: dict[str, bytes] = field(default_factory=dict)

    @property
    def spec(self) -> bytes:
        """The text that the others are laid over."""
        return self.documents[0].text

    @property
    def overlays(self) -> list[bytes]:
        """The others."""
        return [document.text for document in self.documents[1:]]

    @property
    def labels(self) -> list[str]:
        """What to call each in messages."""
        return [document.label for document in self.documents]


def read_sources(
    opened: Session,
    files: Sequence[str],
    *,
    base: Document | None = None,
    presets: Sequence[str] = (),
    overlay: Document | None = None,
) -> Sources:
    """Reads all that an operation is made of.

    In this order: `base` or the first file, saved presets, the other files, `overlay`.

    Raises:
        EpochalError: A file cannot be read, or there is no such preset.
    """
    read = [] if base is None else [base]
    if files.count("-") > 1:
        raise InvalidArgument("standard input can be read once only")
    read += [read_document(file) for file in files or ([] if base else [default_file()])]
    saved = [_preset(opened, name) for name in presets]
    ordered = [read[0], *saved, *read[1:]]
    if overlay is not None:
        ordered.append(overlay)
    return Sources(ordered, referred_files(read))


def parsed(given: Sequence[str] | None, option: str = "-P") -> dict[str, pb.Value]:
    """The values of `-P` and the like: what reads as JSON is that, anything else is text."""
    return {key: parse_value(value) for key, value in pairs(given, option).items()}


def pairs(given: Sequence[str] | None, option: str, bare: str = "") -> dict[str, str]:
    """NAME=VALUE by name; a NAME alone is `bare`, if that is given.

    Raises:
        InvalidArgument: One is not of this form.
    """
    found = {}
    for each in given or ():
        name, equals, value = each.partition("=")
        if not name or not (equals or bare):
            raise InvalidArgument(f"{option} takes NAME=VALUE, not {each!r}")
        found[name] = value if equals else bare
    return found


def refused(error: InvalidArgument, labels: Sequence[str]) -> EpochalError | typer.Exit:
    """What to raise for a refusal: mistakes in a spec are printed with their places."""
    issues = spec_issues(error)
    if not any(issue.line for issue in issues) and not error.issues:
        return error
    show_issues(labels, issues, colour="red")
    count = "one mistake" if len(issues) == 1 else f"{len(issues)} mistakes"
    errors_console().print(f"[bold red]error:[/] {labels[0]} has {count}; nothing was started")
    return typer.Exit(1)


def _preset(opened: Session, name: str) -> Document:
    request = pb.GetComponentRequest(name=component_name(opened.org, name))
    found = opened.client.call(ComponentService.GET_COMPONENT, request)
    document = Document(found.spec, f"preset {name}")
    if not (found.is_preset or is_preset(document)):
        raise InvalidArgument(f"{name} is a component, not a preset: run it with --hub {name}")
    return without_fields(document, ("name", "description", "presets"))
